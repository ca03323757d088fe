from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from hallmark.contracts.errors import HallmarkError, InputError, MachineError
from hallmark.images.decoding import prepare
from hallmark.models import weights
from hallmark.models.params import NAMES
from hallmark.serving import package
from hallmark.serving.classifier import BATCH, Classifier
from hallmark.serving.source import resolve

if TYPE_CHECKING:
    from pathlib import Path


def torch_answer(train: Path, data: bytes) -> np.ndarray[Any, np.dtype[np.float32]]:
    pixels = prepare(data, 8, 6, 3).astype(np.float32) / 255
    with torch.inference_mode():
        logits = weights.load(train)(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    answer: np.ndarray[Any, np.dtype[np.float32]] = torch.softmax(logits, -1).numpy()[0]
    return answer


@pytest.fixture
def packed(train: Path, tmp_path: Path) -> Path:
    package.export(train, tmp_path)
    return tmp_path


def test_the_package_answers_as_the_network_does(train: Path, packed: Path, picture: bytes) -> None:
    classifier = Classifier(packed)
    probabilities = classifier.probabilities([picture] * (BATCH + 1))
    assert probabilities.shape == (BATCH + 1, 3)
    assert np.abs(probabilities - torch_answer(train, picture)).max() <= 1e-5
    assert classifier.probabilities([]).shape == (0, 3)
    with pytest.raises(ValueError, match="image 65 cannot be decoded: not_an_image"):
        classifier.probabilities([picture] * 65 + [b"text"])


def test_16_bit_samples_are_scaled_as_in_training(train: Path, packed: Path) -> None:
    levels = np.random.default_rng(1).integers(0, 256, (13, 11), dtype=np.uint8)
    description = json.loads((packed / "model.json").read_text())
    description["input"]["bits"] = 12
    (packed / "model.json").write_text(json.dumps(description))
    twelve = ((levels.astype(np.uint32) * 4095 + 127) // 255).astype(np.uint16)
    deep, plain = (encoded(Image.fromarray(pixels)) for pixels in (twelve, levels))
    probabilities = Classifier(packed).probabilities([deep, plain])
    assert (probabilities[0] == probabilities[1]).all()
    assert np.abs(probabilities[1] - torch_answer(train, plain)).max() <= 1e-5


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_package_needs_neither_torch_nor_hallmark(packed: Path, picture: bytes) -> None:
    (packed / "x.png").write_bytes(picture)
    before = sorted(path.name for path in packed.rglob("*"))
    code = (
        "import sys; sys.path = [p for p in sys.path if p.endswith(('lib-dynload', '.zip', 'site-packages')) "
        "or 'python3' in p.rsplit('/', 1)[-1]]\n"
        "namespace = {'__name__': 'packaged'}\n"
        "exec(open('classifier.py').read(), namespace)\n"
        "from pathlib import Path\n"
        "print(namespace['Classifier'](Path('.')).probabilities([Path('x.png').read_bytes()]).shape)\n"
        "assert not {'torch', 'hallmark', 'mlflow', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=packed, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(1, 3)\n", "")
    assert sorted(path.name for path in packed.rglob("*")) == before, "nothing is written into a package"


@pytest.mark.parametrize("name", NAMES)
def test_every_network_is_exported_for_any_batch(name: str, tmp_path: Path) -> None:
    shape = {"height": 16, "width": 16, "channels": 1, "scaling": "unit", "mean": [0.5], "std": [0.5]}
    description = {"name": name, "classes": ["a", "b"], "arguments": {}, "input": shape}
    train, folder = tmp_path / "train", tmp_path / "package"
    train.mkdir()
    folder.mkdir()
    weights.save_model(train, description, weights.network(description, seed=1).state_dict())
    package.export(train, folder)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).random((7, 1, 16, 16), dtype=np.float32)
    with torch.inference_mode():
        wanted = torch.softmax(weights.load(train)(torch.from_numpy(images)), -1).numpy()
    assert np.abs(session.run(None, {"images": images})[0] - wanted).max() <= 1e-5


def test_an_export_that_differs_is_refused(train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "TOLERANCE", -1.0)
    with pytest.raises(HallmarkError, match="differs from the trained one"):
        package.export(train, tmp_path)


def test_the_digest_follows_the_content(train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in train.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert package.digest(copy) == package.digest(train)
    description = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**description, "classes": ["x", "y", "z"]}))
    assert package.digest(copy) != package.digest(train)
    other = tmp_path / "decoding.py"
    other.write_text("# another way to decode\n")
    before = package.digest(train)
    real = package._code()
    monkeypatch.setattr(package, "_code", lambda: (other, real[1]))
    assert package.digest(train) != before


def test_a_model_that_is_not_registered_answers(
    train: Path, tmp_path: Path, picture: bytes, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    source = resolve("models:/m@champion", fallback=train)
    assert "no gate has passed" in caplog.text
    assert (source.version, source.temperature) == (None, None)
    probabilities = Classifier(source.files).probabilities([picture])[0]
    assert probabilities == pytest.approx(torch_answer(train, picture), abs=1e-5)
    # the second call exports nothing
    monkeypatch.setattr(package, "export", None)
    assert resolve(str(train)).files == source.files
    (folder,) = (tmp_path / ".hallmark/cache/packages").iterdir()
    assert folder.name == source.digest
    # the cached package is checked against the exported digests and against the model
    (folder / "model.onnx").write_bytes(b"other")
    with pytest.raises(MachineError, match=r"model.onnx is changed"):
        resolve(str(train))
    digests = json.loads((folder / "files.json").read_text())
    wrong: Any
    for wrong in ({**digests, "model.json": hashlib.sha256(b"{}").hexdigest()}, []):
        (folder / "model.json").write_text("{}")
        (folder / "model.onnx").write_bytes(source.files["model.onnx"])
        (folder / "files.json").write_text(json.dumps(wrong))
        with pytest.raises(MachineError, match=r"damaged .*delete .*it is exported again"):
            resolve(str(train))


def test_a_missing_model_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for uri, message in (
        ("models:/m@champion", "the registry has no models:/m@champion; `hallmark run` registers a model"),
        ("models:/m/3", "the registry has no models:/m/3"),
        ("models:/m", "give models:/<name>@<alias>"),
        ("nowhere", "no model in folder 'nowhere'"),
    ):
        with pytest.raises(InputError, match=message):
            resolve(uri)
    assert list(tmp_path.iterdir()) == []
