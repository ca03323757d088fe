"""Trains a classifier with fastai, AutoGluon MultiModal or Ludwig; other benchmarks call it in the peer's environment.

    PEER/bin/python benchmarks/training_peers.py fastai|autogluon|ludwig GIVEN.json

GIVEN.json has ``train``, ``valid`` and ``test``, lists of (path of a PNG image, label), ``side`` (pixels), ``seconds``
for the training, ``whole`` (whether the clock starts with the process), and ``out``, a file for the labels predicted
for ``test``. If ``valid`` is empty, the test images are judged after each epoch, and a line ``AT wall cpu accuracy``
is printed for each. Nothing of Hallmark is imported here.

Set up a separate environment for each peer, with Python 3.11 (and ``--find-links`` to torch's CPU build):

    uv venv --python 3.11 PEER
    uv pip install --python PEER/bin/python torch==2.13.0+cpu
    echo torch==2.13.0+cpu > constraints.txt
    uv pip install --python PEER/bin/python -c constraints.txt fastai==2.8.12 torchvision==0.28.0 psutil
    uv pip install --python PEER/bin/python -c constraints.txt autogluon.multimodal==1.6.3
    uv pip install --python PEER/bin/python -c constraints.txt ludwig==0.11.0 "pandas<3" "transformers<5"
    rm PEER/lib/python3.11/site-packages/torchaudio/lib/*torchaudio*.so  # Ludwig's: built for CUDA alone

torchvision from the index has no operators beside a CPU build of torch; :func:`operators` declares the two that it asks
for while it is imported, which no image classifier calls.

No weights can be downloaded here, so all train from scratch, on images of the original size:

fastai     ``vision_learner`` with resnet18, ``aug_transforms``, batches of 64 (128 from 5 000 images on),
           ``fit_one_cycle`` at the default rate, of as many epochs as a probe of some steps says that the time allows
autogluon  ``MultiModalPredictor`` with gluon_resnet18_v1b of its own list; its rate for pretrained weights (0.0001,
           less for each lower layer) is raised to 0.001 for all, batches of 128 without accumulation; the rest as by
           default: TrivialAugment, 20 epochs of a cosine, early stopping, the greedy soup of the three best. Without
           ``valid`` it chooses by the test images, in its favour
ludwig     the stacked CNN of its tutorial on MNIST, Adam at 0.001, no augmentation; its images are decoded by Pillow
           beforehand, since its decoder is among torchvision's operators
"""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()


def operators() -> Any:
    """The library that declares torchvision's operators; they exist as long as it does."""
    import torch

    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(  # type: ignore[no-untyped-call]
            f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )
    return library


def tell(accuracy: float) -> None:
    spent = os.times()
    cpu = spent.user + spent.system + spent.children_user + spent.children_system + _children()
    print("AT", f"{time.perf_counter() - STARTED:.2f} {cpu:.2f} {accuracy:.5f}", flush=True)


def _children() -> float:
    """CPU seconds of the processes that are still loading images."""
    import psutil

    taken = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            spent = child.cpu_times()
        except psutil.NoSuchProcess:  # ended meanwhile, and counted by os.times when it is waited for
            continue
        taken += spent.user + spent.system
    return taken


def until(given: dict[str, Any]) -> float:
    """The remaining seconds of the training."""
    spent = time.perf_counter() - STARTED if given["whole"] else 0.0
    return max(1.0, float(given["seconds"]) - spent)


def fastai(given: dict[str, Any]) -> list[str]:
    import pandas as pd
    from fastai.callback.core import Callback
    from fastai.callback.training import ShortEpochCallback
    from fastai.vision.all import ImageDataLoaders, accuracy, aug_transforms, resnet18, vision_learner

    judged = given["valid"] or given["test"]
    rows = [(*row, False) for row in given["train"]] + [(*row, True) for row in judged]
    frame = pd.DataFrame(rows, columns=["path", "label", "judged"])

    class Tell(Callback):  # type: ignore[misc]
        order = 90  # after the recorder

        def after_epoch(self) -> None:
            tell(float(self.recorder.values[-1][-1]))

    count = len(given["train"])
    size = 64 if count < 5000 else 128
    data = ImageDataLoaders.from_df(
        frame, path="/", fn_col="path", label_col="label", valid_col="judged", bs=min(size, count),
        batch_tfms=aug_transforms(size=given["side"]),
    )  # fmt: skip

    def made() -> Any:
        return vision_learner(data, resnet18, pretrained=False, metrics=accuracy)

    probe = made()
    shares, seconds = [min(1.0, steps * size / count) for steps in (4, 8, 24)], []
    with probe.no_bar(), probe.no_logging():
        for share in shares:  # the first has its start to pay
            started = time.perf_counter()
            probe.fit(1, cbs=ShortEpochCallback(pct=share))
            seconds.append(time.perf_counter() - started)
    # an epoch's fixed cost, that of starting processes which load images, is in each of the probe's
    step = (seconds[2] - seconds[1]) / (shares[2] - shares[1]) if shares[2] > shares[1] else seconds[2]
    epoch = seconds[1] + step * (1 - shares[1])
    epochs = max(1, int(until(given) / epoch))
    print("NOTE", f"resnet18, {epochs} epochs of {epoch:.1f} s by the probe", flush=True)
    learner = made()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs, cbs=[] if given["valid"] else [Tell()])
    if not given["valid"]:
        return []
    tests = data.test_dl([path for path, _ in given["test"]])
    with learner.no_bar(), learner.no_logging():
        guesses = learner.get_preds(dl=tests)[0].argmax(1).tolist()
    return [str(data.vocab[place]) for place in guesses]


def autogluon(given: dict[str, Any]) -> list[str]:
    import pandas as pd
    from autogluon.multimodal import MultiModalPredictor
    from autogluon.multimodal.learners import base
    from lightning.pytorch import Callback, Trainer

    class Tell(Callback):  # type: ignore[misc]
        def on_validation_end(self, trainer: Any, _: Any) -> None:
            if not trainer.sanity_checking:
                tell(float(trainer.callback_metrics["val_accuracy"]))

    class Told(Trainer):  # type: ignore[misc]
        def __init__(self, **named: Any) -> None:
            super().__init__(**{**named, "callbacks": [*(named.get("callbacks") or []), Tell()]})

    if not given["valid"]:
        base.pl.Trainer = Told
    # the learner of 1.6.3 does not hand on that it was asked for no weights
    base.create_fusion_model = functools.partial(base.create_fusion_model, pretrained=False)
    frames = {
        name: pd.DataFrame(given[name], columns=["image", "label"]).astype(str) for name in ("train", "valid", "test")
    }
    predictor = MultiModalPredictor(
        label="label", problem_type="multiclass", eval_metric="accuracy", pretrained=False, verbosity=1,
        path=str(Path(given["out"]).with_name("autogluon")),
    )  # fmt: skip
    limit = until(given)
    predictor.fit(
        train_data=frames["train"],
        tuning_data=frames["valid"] if given["valid"] else frames["test"],
        time_limit=round(limit),
        hyperparameters={
            "model.names": ["timm_image"],
            "model.timm_image.checkpoint_name": "gluon_resnet18_v1b",
            "model.timm_image.image_size": given["side"],
            "optim.lr": 1e-3,
            "optim.lr_choice": "single_stage",
            "env.per_gpu_batch_size": 128,
        },
    )
    print("NOTE", "gluon_resnet18_v1b", flush=True)
    guesses = [str(label) for label in predictor.predict(frames["test"].drop(columns="label"))]
    if not given["valid"]:
        tell(sum(guess == label for guess, label in zip(guesses, frames["test"]["label"], strict=True)) / len(guesses))
    return guesses


def ludwig(given: dict[str, Any]) -> list[str]:
    import numpy as np
    import pandas as pd
    import torch
    from ludwig.api import LudwigModel
    from ludwig.callbacks import Callback
    from PIL import Image

    limit = until(given)
    begun: list[float] = []

    class Tell(Callback):  # type: ignore[misc]
        def on_trainer_train_setup(self, *_: Any, **__: Any) -> None:
            begun.append(time.perf_counter())

        def on_eval_end(self, trainer: Any, progress_tracker: Any, save_path: str) -> None:
            if not given["valid"]:
                tell(float(progress_tracker.test_metrics["label"]["accuracy"][-1][-1]))
            since = STARTED + given["seconds"] - limit if given["whole"] else begun[0]
            if time.perf_counter() - since > limit:
                trainer.total_steps = 1  # as its handler of Ctrl-C does

    def planes(path: str) -> Any:
        with Image.open(path) as image:
            pixels = np.atleast_3d(np.asarray(image))
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1)

    frames = [
        pd.DataFrame(
            {
                "image": [planes(path) for path, _ in given[name]],
                "label": [label for _, label in given[name]],
                "split": place,
            }
        )
        for place, name in enumerate(("train", "valid", "test"))
        if given[name]
    ]
    config = {
        "input_features": [
            {
                "name": "image",
                "type": "image",
                "encoder": {
                    "type": "stacked_cnn",
                    "conv_layers": [
                        {"num_filters": 32, "filter_size": 3, "pool_size": 2, "pool_stride": 2},
                        {"num_filters": 64, "filter_size": 3, "pool_size": 2, "pool_stride": 2, "dropout": 0.4},
                    ],
                    "fc_layers": [{"output_size": 128, "dropout": 0.4}],
                },
            }
        ],
        "output_features": [{"name": "label", "type": "category"}],
        "preprocessing": {"split": {"type": "fixed", "column": "split"}},
        "trainer": {"epochs": 1000},
    }
    model = LudwigModel(config, backend="local", logging_level=logging.ERROR, callbacks=[Tell()])
    model.train(
        dataset=pd.concat(frames, ignore_index=True),
        output_directory=str(Path(given["out"]).with_name("ludwig")),
        skip_save_processed_input=True,
    )
    print("NOTE", "stacked CNN", flush=True)
    if not given["valid"]:
        return []
    found, _ = model.predict(dataset=frames[-1].drop(columns="split"), skip_save_predictions=True)
    return [str(label) for label in found["label_predictions"]]


def main() -> None:
    name, place = sys.argv[1:]
    given = json.loads(Path(place).read_text())
    kept = operators()
    warnings.simplefilter("ignore")  # from their dependencies
    begun = time.perf_counter()
    guesses = {"fastai": fastai, "autogluon": autogluon, "ludwig": ludwig}[name](given)
    spent = time.perf_counter() - begun
    Path(given["out"]).write_text(json.dumps({"predicted": guesses, "seconds": spent}))
    del kept


if __name__ == "__main__":
    main()
