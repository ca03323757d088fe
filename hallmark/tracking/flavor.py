"""Saves a package as an MLflow pyfunc model from code, with signature and input example, without pickle."""

from __future__ import annotations

import io
import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

REQUIREMENTS = ("mlflow", "numpy", "onnxruntime", "pandas", "pillow")


def save(package: Path, folder: Path, *, model_id: str | None = None, run_id: str | None = None) -> None:
    """Writes a package's MLflow model into ``folder``, which is created."""
    import pandas as pd

    description = json.loads((package / "model.json").read_text(encoding="utf-8"))
    with warnings.catch_warnings():
        # MLflow warns about its own type hints and its own comparison of columns with a range
        warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType")
        warnings.filterwarnings("ignore", message="Operation with range is deprecated")
        import mlflow.pyfunc
        from mlflow.models import Model

        from hallmark.tracking import pyfunc_model

        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(Path(str(pyfunc_model.__file__))),
            artifacts={"package": str(package)},
            signature=signature(description["classes"]),
            input_example=pd.DataFrame({"image": [example(**_shape(description))]}),
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
            mlflow_model=Model(model_uuid=model_id, model_id=model_id, run_id=run_id),
        )


def signature(classes: list[str]) -> ModelSignature:
    """``image`` in; ``label`` with a probability per class, or ``error``, out.

    ``image`` is Base64 text or bytes, both of which MLflow accepts in a string column. In a ``binary`` column its
    scoring server would decode the text itself, and one missing value would fail all rows.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, DataType, Schema

    outputs = [ColSpec(DataType.string, "label", required=False), ColSpec(DataType.string, "error", required=False)]
    outputs += [ColSpec(DataType.double, f"probability_{name}", required=False) for name in classes]
    return ModelSignature(inputs=Schema([ColSpec(DataType.string, "image")]), outputs=Schema(outputs))


def example(*, height: int, width: int, channels: int) -> bytes:
    """A PNG of the model's input size: a gradient, so that the model contains no one's data."""
    import numpy as np
    from PIL import Image

    ramp = np.linspace(0, 255, height * width).reshape(height, width).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(ramp if channels == 1 else np.stack([ramp] * 3, axis=-1)).save(buffer, format="PNG")
    return buffer.getvalue()


def _shape(description: dict[str, dict[str, int]]) -> dict[str, int]:
    return {name: description["input"][name] for name in ("height", "width", "channels")}
