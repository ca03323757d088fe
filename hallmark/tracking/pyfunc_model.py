"""The code MLflow runs to serve a registered version: a table with a column ``image`` of bytes in, a table out.

MLflow copies this file into the model, so it imports nothing of Hallmark; the classifier itself comes from the
package beside it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd

if TYPE_CHECKING:
    from mlflow.pyfunc import PythonModelContext


class ImageClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """One row per image: ``label``, and ``probability_<class>`` for each class."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the package of the model."""
        folder = Path(context.artifacts["package"])
        spec = importlib.util.spec_from_file_location("_hallmark_packaged_classifier", folder / "classifier.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(f"the model has no {folder / 'classifier.py'}")
        module = importlib.util.module_from_spec(spec)
        exec(compile((folder / "classifier.py").read_bytes(), spec.origin or "", "exec"), module.__dict__)  # noqa: S102  no bytecode is left in the model
        self.classifier: Any = module.Classifier(folder)

    def predict(
        self,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Label and probabilities of each image; ValueError names a row that cannot be decoded."""
        del params
        found = self.classifier.probabilities(list(model_input["image"]))
        columns: dict[str, Any] = {"label": self.classifier.labels(found)}
        columns.update({f"probability_{name}": found[:, place] for place, name in enumerate(self.classifier.classes)})
        return pd.DataFrame(columns, index=model_input.index)


mlflow.models.set_model(ImageClassifier())
