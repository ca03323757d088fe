"""Few photographs: the shipped network sees more detail, and its head the features of several levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hallmark.models import backbone, features, onnx_export, shipped, transfer, weights
from hallmark.models.params import FEW_TO_TUNE, SHIPPED, Model

NAME = SHIPPED[0]
AUTO = Model(
    name="auto", backbone="auto", image_size="auto", channels="auto", width="auto", depth="auto", activation="auto",
    norm="auto", dropout=0.0, stochastic_depth=0.0,
)  # fmt: skip
CLASSES = ["a", "b", "c"]


def chosen(images: int = 300, side: int = 256, model: Model = AUTO) -> Any:
    return backbone.choose(shipped.read(NAME), model, classes=CLASSES, images=images, side=side, why="it is shipped")


def network(size: int = 0, **arguments: Any) -> torch.nn.Module:
    source = shipped.read(NAME)
    assert source.description is not None
    description = {
        "name": source.description["name"],
        "classes": CLASSES,
        "arguments": {"size": size, **arguments},
        "input": {
            "height": 64, "width": 64, "channels": 3, "scaling": "backbone", "mean": list(source.mean),
            "std": list(source.std),
        },
    }  # fmt: skip
    if size:
        return weights.network(description, seed=0).eval()
    return transfer.initial(source, description, seed=0).eval()


@pytest.mark.parametrize(("side", "expected"), [(48, 224), (193, 224), (200, 256), (256, 320), (277, 320), (4000, 320)])
def test_the_side_follows_the_detail_of_few_images(side: int, expected: int) -> None:
    choice = chosen(side=side)
    assert choice.side == expected
    assert ("as much detail as the images have" in choice.why) == (expected > 224)


def test_many_images_or_a_side_that_is_set_leave_the_side() -> None:
    many = chosen(images=FEW_TO_TUNE + 1)
    assert (many.side, many.arguments) == (224, {"size": 0})
    asked = Model(**{**AUTO.__dict__, "image_size": 96})
    assert (chosen(model=asked).side, chosen(model=asked).arguments) == (96, {"size": 0, "levels": True})


def test_the_head_sees_the_means_of_the_last_four_stages_and_the_last_layer() -> None:
    deep, plain = network(levels=True), network()
    assert transfer.widths(deep) == (80, 112, 192, 320, 1280)
    assert transfer.widths(plain) == (1280,)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    seen: dict[int, torch.Tensor] = {}
    steps = list(plain.body)  # type: ignore[arg-type]
    for number in (10, 13, 17, 18):  # the last blocks of stages of 3, 3, 4 and 1 blocks, after 5 others and the stem
        steps[number].register_forward_hook(lambda _m, _i, out, number=number: seen.update({number: out}))
    for each in (deep, plain):
        transfer.without_head(each)
    with torch.no_grad():
        together, last = deep(images), plain(images)
    parts = [seen[number].mean(dim=(2, 3)) for number in (10, 13, 17, 18)]
    torch.testing.assert_close(together, torch.cat([*parts, last], dim=1))


@pytest.mark.parametrize("size", [1, 2])
def test_the_larger_networks_have_levels_too(size: int) -> None:
    deep = network(size, levels=True)
    *stages, last = transfer.widths(deep)
    assert (len(stages), last) == (4, 1280)
    with torch.no_grad():
        assert deep(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


def test_the_runtime_gives_the_same_logits(tmp_path: Any) -> None:
    import onnxruntime

    deep = network(levels=True)
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    onnx_export.write(deep, torch.zeros(2, 3, 64, 64), tmp_path / "model.onnx", output="logits")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits, deep(images).numpy(), atol=1e-4)


def test_features_of_levels_and_of_the_last_layer_are_kept_apart(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    monkeypatch.chdir(tmp_path)
    source = replace(shipped.read(NAME), side=64)
    assert source.description is not None
    deep = replace(source, description={**source.description, "arguments": {"size": 0, "levels": True}})
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)

    def of(which: backbone.Backbone) -> Any:
        return features.cached(
            which, ["one", "two"], lambda rows: (pixels[row] for row in rows), bits=8, device=torch.device("cpu")
        )

    last, several = of(source), of(deep)
    assert (last.shape, several.shape) == ((2, 1280), (2, 1984))
    np.testing.assert_allclose(several[:, -1280:], last, atol=1e-4)
