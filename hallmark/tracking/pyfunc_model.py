"""The code that MLflow runs to serve a registered version: a table with column ``image`` in, a table out.

MLflow copies this file into the model, so it imports nothing from Hallmark; the classifier comes from the package
next to it.
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd

if TYPE_CHECKING:
    from mlflow.pyfunc import PythonModelContext


class ImageClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Predicts one row per image: ``label``, ``error`` and ``probability_<class>`` for each class."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the model's package."""
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
        """``label``, ``error`` and the probabilities of each image, with the rows and index of the input.

        The row of an unreadable image has only an ``error`` with the reason; the other rows have no ``error``.
        """
        del params
        if "image" not in model_input:
            raise ValueError(f"the input has no column 'image': its columns are {list(map(str, model_input.columns))}")
        images, errors = [], []
        for value in model_input["image"]:
            data, error = read(value)
            images.append(data)
            errors.append(error)
        answers = self._answers(images, errors)
        labels = iter(self.classifier.labels(answers) if len(answers) else [])
        # None, which JSON can say, where NaN would make the server's answer no JSON
        columns = {
            "label": pd.Series([next(labels) if error is None else None for error in errors], dtype=object),
            "error": pd.Series(errors, dtype=object),
        }
        for index, name in enumerate(self.classifier.classes):
            values = iter(answers[:, index].tolist())
            column = [next(values) if error is None else None for error in errors]
            columns[f"probability_{name}"] = pd.Series(column, dtype=object if None in column else float)
        return pd.DataFrame(columns).set_axis(model_input.index)

    def _answers(self, images: list[bytes | None], errors: list[str | None]) -> Any:
        """Probabilities [readable images, classes]; writes decoding errors into ``errors``."""
        readable = [data for data in images if data is not None]
        try:
            return self.classifier.probabilities(readable)
        except ValueError:
            pass  # at least one cannot be decoded: which ones?
        for index, data in enumerate(images):
            if data is None:
                continue
            try:
                self.classifier.probabilities([data])
            except ValueError as error:
                # the classifier counts the images it was given, here one; its cause does not
                errors[index] = str(error.__cause__ or error)
        return self.classifier.probabilities(
            [data for data, error in zip(images, errors, strict=True) if data is not None and error is None]
        )


def read(value: object) -> tuple[bytes | None, str | None]:
    """The bytes of an image from bytes or Base64 text, and the error if there are none.

    >>> read("aGk="), read(b"hi")
    ((b'hi', None), (b'hi', None))
    >>> read("no picture!")
    (None, 'not Base64 text (Only base64 data is allowed): give the bytes of an image file, or these as Base64')
    """
    data: bytes | None = None
    error = None
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
    elif isinstance(value, str):
        text = value.partition(",")[2] if value.startswith("data:") else value
        try:
            data = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError) as fault:
            error = f"not Base64 text ({fault}): give the bytes of an image file, or these as Base64"
    elif value is None or value is pd.NA or (isinstance(value, float) and value != value):
        error = "no image: the value is missing"
    else:
        error = f"no image but {type(value).__name__}: give the bytes of an image file, or these as Base64"
    if data is not None and not data:
        return None, "no image: 0 bytes"
    return data, error


mlflow.models.set_model(ImageClassifier())
