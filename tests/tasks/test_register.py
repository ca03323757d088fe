from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hallmark.contracts.errors import InputError, MachineError
from hallmark.contracts.tables import CLUSTERS, write_table
from hallmark.judgement.gate import Gate
from hallmark.judgement.objective import Objective
from hallmark.models import weights
from hallmark.tracking import integrity, registry, runs, store, version_files
from hallmark.tracking.params import Tracking
from tasks import register

CLASSES = ["cat", "dog", "label"]
TRACKING = Tracking(experiment="hallmark", wandb="off")
PARAMS = register.Params(
    seed=0,
    objective=Objective(metric="accuracy"),
    tracking=TRACKING,
    model_name="animals",
    min_gain=0.0,
    confidence=0.9,
    replicates=100,
    gate=Gate(beat_constant=True, objective=None, worst_recall=0.0),
)


def model(folder: Path, seed: int) -> Path:
    """A network that was never trained: what it answers does not matter here."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = {"height": 8, "width": 8, "channels": 1, "scaling": "unit", "mean": [0.1], "std": [0.3]}
    description = {"name": "perceptron", "classes": CLASSES, "arguments": {}, "input": shape}
    weights.save_model(folder, description, weights.network(description, seed=seed).state_dict())
    return folder


def predictions(folder: Path, wrong: int, n: int = 90) -> Path:
    """Test images of three classes, the first ``wrong`` of them called the next class."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.arange(n) % 3
    predicted = np.where(np.arange(n) < wrong, (labels + 1) % 3, labels)
    probabilities = np.full((n, 3), 0.1)
    probabilities[np.arange(n), predicted] = 0.8
    table = pd.DataFrame({"path": [f"{i:03}.png" for i in range(n)]})
    table["label"] = [CLASSES[i] for i in labels]
    table["predicted"] = [CLASSES[i] for i in predicted]
    for place, name in enumerate(["cat", "dog", "probability_label"]):
        table[name] = probabilities[:, place]
    table.to_parquet(folder / "predictions.parquet")
    write_table(table[["path"]].assign(cluster=table["path"]), CLUSTERS, folder / "clusters.parquet")
    (folder / "temperature.json").write_text('{"temperature": 2.0}')
    right = float((labels == predicted).mean())
    estimate = {"value": right, "ci95": [right - 0.1, right + 0.05]}
    figures = {
        "n_test": n,
        "objective": {"metric": "accuracy", "class_name": "", **estimate},
        "accuracy": estimate,
        "log_loss": {"value": None, "ci95": None},
        "auroc": 0.9,
        "per_class": {name: {"support": n // 3, "recall": estimate} for name in CLASSES},
        "warnings": ["Few images."],
    }
    (folder / "figures.json").write_text(json.dumps(figures))
    return folder


def run(root: Path, *, seed: int, wrong: int, params: register.Params = PARAMS) -> register.Report:
    (root / "augment").mkdir(exist_ok=True)
    (root / "augment" / "policy.json").write_text('{"transforms": []}')
    out = root / "register"
    out.mkdir(exist_ok=True)
    train, evaluate = model(root / "train", seed), predictions(root / "evaluate", wrong)
    return register.run(params, augment=root / "augment", train=train, evaluate=evaluate, register=out)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store, made once: its migrations take seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    store.prepare(f"sqlite:///{path}")
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Path:
    workspace = tmp_path / "my work"
    workspace.mkdir()
    shutil.copyfile(empty_store, workspace / "mlflow.db")
    monkeypatch.chdir(workspace)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    return workspace


def receipt(root: Path) -> str:
    return (root / "register" / "receipt.json").read_text()


def versions(name: str = "animals") -> list[int]:
    return sorted(int(found.version) for found in store.client().search_model_versions(f"name = '{name}'"))


def test_champion_challenger_and_back(root: Path) -> None:
    first = run(root, seed=1, wrong=30)
    assert (first.decision, first.version, first.model_uri) == ("promoted", 1, "models:/animals/1")
    assert json.loads(json.dumps(asdict(first))) == asdict(first)
    before = receipt(root)
    assert run(root, seed=1, wrong=30) == first
    assert receipt(root) == before
    assert registry.receipt_matches(root / "register" / "receipt.json")

    worse = run(root, seed=2, wrong=35)
    assert (worse.decision, worse.version) == ("challenger", 2)
    assert worse.comparison is not None
    assert worse.comparison["gain"] == pytest.approx(-5 / 90)
    assert worse.comparison["paired"]
    assert registry.receipt_matches(root / "register" / "receipt.json")
    champion, challenger = registry.aliased("animals", "champion"), registry.aliased("animals", "challenger")
    assert champion is not None
    assert challenger is not None
    assert (champion.number, challenger.number) == (1, 2)

    better = run(root, seed=3, wrong=10)
    assert (better.decision, better.version) == ("promoted", 3)
    before = receipt(root)
    # the second time it is champion itself, and still tells whom it beat
    assert run(root, seed=3, wrong=10) == better
    assert receipt(root) == before

    # an older receipt, as restored from DVC's cache, no longer agrees with the registry
    old = run(root, seed=1, wrong=30)
    assert (old.decision, old.version) == ("challenger", 1)
    assert versions() == [1, 2, 3]
    (root / "register" / "receipt.json").write_text(before.replace('"version": 3', '"version": 1'))
    assert not registry.receipt_matches(root / "register" / "receipt.json")


def test_a_refusal_leaves_no_trace_in_the_registry(root: Path) -> None:
    (root / "mlflow.db").unlink()
    report = run(root, seed=1, wrong=70)
    assert (report.decision, report.version, report.model_uri) == ("refused", None, None)
    assert "not above 0.3333, the score of the best constant prediction" in report.reasons[0]
    assert not (root / "mlflow.db").exists()
    assert registry.receipt_matches(root / "register" / "receipt.json")


def test_the_gate_names_each_fault(root: Path) -> None:
    strict = replace(PARAMS, gate=Gate(beat_constant=False, objective=0.95, worst_recall=0.9))
    report = run(root, seed=1, wrong=30, params=strict)
    assert report.decision == "refused"
    assert report.reasons == [
        "accuracy is 0.6667, below register.gate.objective 0.95",
        *(f"recall of '{name}' is 0.6667, below register.gate.worst_recall 0.9" for name in CLASSES),
    ]


def test_a_new_registry_does_not_match_an_old_receipt(root: Path) -> None:
    run(root, seed=1, wrong=30)
    (root / "mlflow.db").unlink()
    assert not registry.receipt_matches(root / "register" / "receipt.json")
    with pytest.raises(InputError, match="not a receipt of register"):
        registry.receipt_matches(root / "none.json")


KILLS = ["create_logged_model", "log_model_artifacts", "finalize_logged_model", "create_model_version"]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", [*KILLS, "set_registered_model_alias"])
def test_a_registration_cut_short_is_completed(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str, moment: str
) -> None:
    from mlflow.tracking import MlflowClient

    class Cut(BaseException):
        pass

    real = getattr(MlflowClient, call)

    def cut(self: object, *arguments: object, **named: object) -> None:
        if moment == "after":
            real(self, *arguments, **named)
        raise Cut

    monkeypatch.setattr(MlflowClient, call, cut)
    with pytest.raises(Cut):
        run(root, seed=1, wrong=30)
    monkeypatch.undo()
    monkeypatch.chdir(root)
    report = run(root, seed=1, wrong=30)
    assert (report.decision, report.version) == ("promoted", 1)
    assert versions() == [1]
    client = store.client()
    experiment = store.experiment(client, "hallmark")
    models = client.search_logged_models([experiment])
    assert [str(found.status) for found in models] == ["READY"]


def test_the_version_tells_its_lineage(root: Path) -> None:
    (root / "params.yaml").write_text("seed: 0\n")
    with runs.open_run(TRACKING, key="k", stage="train", params={"lr": 0.1}) as tracked:
        tracked.output(model(root / "train", 1) / "model.safetensors")
    run(root, seed=1, wrong=30)
    version = store.client().get_model_version("animals", "1")
    assert version.run_id == tracked.run_id
    assert version.tags["hallmark.train_run"] == tracked.run_id
    assert version.tags["hallmark.metric.accuracy"] == "0.666667"
    assert len(version.tags["hallmark.params"]) == 64
    text = receipt(root)
    assert tracked.run_id not in text
    assert str(root) not in text


def predict(path: Path, uri: str) -> list[dict[str, Any]]:
    from hallmark.images.guard import Limits
    from hallmark.serving import paths
    from hallmark.serving import predict as predicting

    limits = Limits(max_pixels=10**6, seconds=60, memory_mib=512)
    return list(predicting.predict(paths.expand([str(path)]), model_uri=uri, limits=limits, workers=1).rows)


def test_the_champion_predicts(root: Path) -> None:
    run(root, seed=1, wrong=30)
    (root / "x.png").write_bytes(picture())
    shutil.rmtree(root / "train")
    (row,) = predict(root / "x.png", "models:/animals@champion")
    wanted = expected(model(root / "train", 1), picture())
    assert list(row["probabilities"].values()) == pytest.approx(wanted, abs=1e-5)
    roots = np.sqrt(wanted)  # a temperature of 2
    assert list(row["calibrated"].values()) == pytest.approx(roots / roots.sum(), abs=1e-5)
    # a workspace that was moved finds its files again
    moved = root.parent / "moved"
    root.rename(moved)
    os.chdir(moved)
    (again,) = predict(moved / "x.png", "models:/animals/1")
    assert again["probabilities"] == row["probabilities"]
    assert run(moved, seed=2, wrong=35).decision == "challenger"


def test_a_changed_package_is_refused_by_name(root: Path) -> None:
    from hallmark.serving.source import resolve
    from hallmark.tracking import model_uri

    run(root, seed=1, wrong=30)
    version = registry.numbered("animals", 1)
    assert version is not None
    model_folder = version_files.local_folder(version)
    assert model_folder is not None
    folder = model_folder / registry.PACKAGE
    names = {path.relative_to(model_folder).as_posix() for path in model_folder.rglob("*") if path.is_file()}
    assert set(json.loads(version.tags[integrity.FILES])) == names, "every file of the model has its digest"
    assert [healthy for _, healthy in registry.check_files("animals")] == [True]

    ran = root / "ran"
    for name in sorted(path.name for path in folder.iterdir()):
        content = (folder / name).read_bytes()
        for changed in (content + b" ", content[:100], b""):
            (folder / name).write_bytes(changed)
            with pytest.raises(MachineError, match=f"registered: {re.escape(name)} is changed"):
                resolve("models:/animals@champion")
        (folder / name).unlink()
        with pytest.raises(MachineError, match=f"registered: {re.escape(name)} is missing"):
            resolve("models:/animals@champion")
        (folder / name).write_bytes(content)
    decoder = (folder / "decoding.py").read_text()
    (folder / "decoding.py").write_text(decoder + f"\nopen({str(ran)!r}, 'w')\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "more.py").write_text("")
    both = r"registered: decoding.py is changed, sub/more.py is added"
    with pytest.raises(MachineError, match=both):
        resolve("models:/animals/1")
    with pytest.raises(MachineError, match=both):
        model_uri.package("models:/animals/1", root, param="model.source")
    assert not ran.exists(), "code of a changed package ran"
    ((line, healthy),) = registry.check_files("animals")
    assert (healthy, "decoding.py is changed" in line) == (False, True)
    (folder / "decoding.py").write_text(decoder)
    shutil.rmtree(folder / "sub")

    # what the gate compares with is held against its digest too
    (model_folder / registry.PREDICTIONS).write_bytes(b"other")
    with pytest.raises(MachineError, match=r"registered: predictions.parquet is changed"):
        run(root, seed=2, wrong=35)
    assert not registry.check_files("animals")[0][1]


def test_what_is_loaded_is_what_was_compared(root: Path) -> None:
    from hallmark.serving.classifier import Classifier
    from hallmark.serving.source import resolve

    run(root, seed=1, wrong=30)
    source = resolve("models:/animals@champion")
    version = registry.numbered("animals", 1)
    assert version is not None
    shutil.rmtree(version_files.local_folder(version))  # type: ignore[arg-type]
    assert Classifier(source.files).probabilities([picture()]).shape == (1, 3)


def test_a_version_without_digests_is_refused(root: Path) -> None:
    from hallmark.serving.source import resolve

    run(root, seed=1, wrong=30)
    client = store.client()
    for value in ("no json", "[]", None):
        if value is None:
            client.delete_model_version_tag("animals", "1", integrity.FILES)
        else:
            client.set_model_version_tag("animals", "1", integrity.FILES, value)
        with pytest.raises(InputError, match=r"has no digests .*version 1 .*registers the model again"):
            resolve("models:/animals@champion")
    client.delete_model_version("animals", "1")
    assert run(root, seed=1, wrong=30).version == 2
    assert resolve("models:/animals@champion").version == 2


LOAD = """
import sys, mlflow, pandas as pd
assert not [p for p in sys.path if p.rstrip("/") == sys.argv[2]], sys.path
images = pd.DataFrame({"image": [open(sys.argv[1], "rb").read()] * 2})
found = mlflow.pyfunc.load_model("models:/animals@champion").predict(images)
assert "hallmark" not in sys.modules and "torch" not in sys.modules
print(found.to_json(orient="records"))
"""


def picture() -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (13, 11, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def expected(train: Path, data: bytes) -> list[float]:
    from hallmark.images.decoding import prepare

    pixels = prepare(data, 8, 8, 1).astype(np.float32) / 255
    with torch.inference_mode():
        logits = weights.load(train)(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    return [float(value) for value in torch.softmax(logits, -1)[0]]


@pytest.mark.pipeline
def test_the_registered_model_works_without_this_repository(root: Path, tmp_path: Path) -> None:
    run(root, seed=1, wrong=30)
    # before the model is loaded: Python may then leave bytecode beside the file that it runs
    logged = [path.suffix for path in (root / "mlartifacts").rglob("*") if path.is_file()]
    assert logged
    assert not {".pkl", ".pickle", ".pyc", ".pt", ".bin"} & set(logged)
    (root / "x.png").write_bytes(picture())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    # -S and the site folder by hand: an editable install of this repository must not lend a hand
    site = next(path for path in sys.path if path.endswith("site-packages"))
    repository = str(Path(register.__file__).parents[1])
    code = f"import sys; sys.path.append({site!r})\n{LOAD}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, str(root / "x.png"), repository],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    wanted = expected(root / "train", picture())
    assert len(rows) == 2
    assert rows[0]["label"] == CLASSES[int(np.argmax(wanted))]
    found = [rows[0][f"probability_{name}"] for name in CLASSES]
    assert found == pytest.approx(wanted, abs=1e-5)


def readme() -> str:
    """The request that README shows for MLflow's own server."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (snippet,) = [part.split("```")[0] for part in text.split("```python\n") if "/invocations" in part.split("```")[0]]
    assert "mlflow models serve -m models:/hallmark@champion --env-manager local --port 5001" in text
    assert "MLFLOW_TRACKING_URI=sqlite:///mlflow.db" in text
    return snippet


@pytest.mark.pipeline
def test_mlflow_serves_the_champion_as_the_readme_says(root: Path) -> None:
    run(root, seed=1, wrong=30)
    (root / "image.png").write_bytes(picture())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/animals@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    # MLflow starts uvicorn by name: that of this interpreter
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with (root / "log").open("wb") as log:
        served = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        image = base64.b64encode(picture()).decode()
        bad = ["no image", None, "", base64.b64encode(b"junk").decode()]
        rows = [[image], *([each] for each in bad), [image]]
        asked = json.dumps({"dataframe_split": {"columns": ["image"], "data": rows}}).encode()
        answer = strict(post(f"http://127.0.0.1:{port}/invocations", asked, served, root / "log"))
        for right in (answer["predictions"][0], answer["predictions"][-1]):
            assert right["error"] is None
            found = [right[f"probability_{name}"] for name in CLASSES]
            assert found == pytest.approx(expected(root / "train", picture()), abs=1e-5)
        for wrong in answer["predictions"][1:-1]:
            assert wrong["error"]
            assert [value for name, value in wrong.items() if name != "error"] == [None] * 4
        code = readme().replace(":5001/", f":{port}/")
        done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            CLASSES[int(np.argmax(expected(root / "train", picture())))],
            "not Base64 text (Incorrect padding): give the bytes of an image file, or these as Base64",
        ]
        nameless = json.dumps({"dataframe_split": {"columns": ["img"], "data": [[image]]}}).encode()
        with pytest.raises(AssertionError, match=r"Model is missing inputs \['image'\]"):
            post(f"http://127.0.0.1:{port}/invocations", nameless, served, root / "log")
    finally:
        os.killpg(served.pid, signal.SIGKILL)
        served.wait()


def strict(text: bytes) -> Any:
    """JSON as browsers read it, without NaN."""

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_bad_row_is_an_error_of_its_own(root: Path) -> None:
    import mlflow

    run(root, seed=1, wrong=30)
    model = mlflow.pyfunc.load_model("models:/animals@champion")
    good, text = picture(), base64.b64encode(picture()).decode()
    rows = [
        good,
        b"junk",
        None,
        b"",
        "no Base64!",
        text,
        f"data:image/png;base64,{text}",
        5,
        good[:40],
        bytearray(good),
    ]
    frame = pd.DataFrame({"image": rows}, index=[f"row {number}" for number in range(len(rows))])
    found = model.predict(frame)
    assert list(found.index) == list(frame.index)
    right = found[found["error"].isna()]
    assert list(right.index) == ["row 0", "row 5", "row 6", "row 9"]
    wanted = expected(root / "train", good)
    for _, row in right.iterrows():
        assert [row[f"probability_{name}"] for name in CLASSES] == pytest.approx(wanted, abs=1e-5)
    wrong = found[~found["error"].isna()]
    assert wrong.drop(columns="error").isna().all(axis=None)
    assert all(isinstance(error, str) and error for error in wrong["error"])
    assert model.predict(frame.iloc[[0, 5]])["probability_cat"].dtype == np.float64
    assert model.predict(frame.iloc[1:3])["label"].isna().all()
    with pytest.raises(mlflow.exceptions.MlflowException, match=r"Model is missing inputs \['image'\]"):
        model.predict(pd.DataFrame({"picture": [good]}))


def test_the_pages_tell_how_good_a_version_is(root: Path) -> None:
    with runs.open_run(TRACKING, key="k", stage="train", params={"lr": 0.1}) as tracked:
        tracked.output(model(root / "train", 1) / "model.safetensors")
    run(root, seed=1, wrong=30)
    client = store.client()
    experiment = client.get_experiment_by_name("hallmark")
    assert experiment is not None
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    figures = client.get_run(tracked.run_id).data.metrics
    assert figures["test_accuracy"] == pytest.approx(2 / 3)
    assert figures["test_accuracy_ci_low"] == pytest.approx(2 / 3 - 0.1)
    assert figures["test_worst_recall_ci_high"] == pytest.approx(2 / 3 + 0.05)
    assert "test_log_loss" not in figures
    (logged,) = client.search_logged_models([experiment.experiment_id])
    assert {metric.key: metric.value for metric in logged.metrics} == figures
    assert {metric.dataset_name for metric in logged.metrics} == {"images (test)"}
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": "animals", "version": 1}]
    version = client.get_model_version("animals", "1")
    for words in ("promoted", "`cat`, `dog`, `label`", "90 test images", "| accuracy | 0.667 | 0.567 to 0.717 |",
                  "models:/animals/1", "Few images."):  # fmt: skip
        assert words in version.description
    assert "models:/animals@champion" in client.get_registered_model("animals").description
    # a second time nothing is doubled, and what a person wrote stays
    client.update_model_version("animals", "1", "Mine.")
    run(root, seed=1, wrong=30)
    assert client.get_model_version("animals", "1").description == "Mine."
    assert {len(client.get_metric_history(tracked.run_id, name)) for name in figures} == {1}
    (again,) = client.search_logged_models([experiment.experiment_id])
    assert len(again.metrics) == len(figures)


def test_a_refused_model_s_run_tells_its_figures(root: Path) -> None:
    with runs.open_run(TRACKING, key="k", stage="train", params={}) as tracked:
        tracked.output(model(root / "train", 1) / "model.safetensors")
    for _ in range(2):
        assert run(root, seed=1, wrong=70).decision == "refused"
    found = store.client().get_run(tracked.run_id).data
    assert found.metrics["test_accuracy"] == pytest.approx(20 / 90)
    assert found.tags["hallmark.decision"] == "refused"
    assert len(store.client().get_metric_history(tracked.run_id, "test_accuracy")) == 1
    assert store.client().search_registered_models() == []
    assert list((root / ".hallmark" / "tracking").iterdir()) == []


def post(url: str, body: bytes, served: subprocess.Popen[bytes], log: Path) -> bytes:
    """The answer, as soon as there is one."""
    until = time.monotonic() + 120
    while True:
        try:
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as response:
                answer: bytes = response.read()
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(error.read().decode()) from error
        except OSError:
            assert served.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
