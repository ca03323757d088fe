"""Networks that start from trained ones: small real checkpoints of transformers, saved and loaded here."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.nn import functional

from hallmark.contracts.errors import InputError, MachineError
from hallmark.models import backbone, hub, transfer, weights
from hallmark.models.params import Model
from hallmark.models.pretrained import Pretrained

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ["cat", "dog", "owl"]
MODEL = Model(
    name="pretrained", backbone="x", image_size="auto", channels="auto", width="auto", depth="auto", activation="auto",
    norm="auto", dropout=0.0, stochastic_depth=0.0,
)  # fmt: skip

VIT: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 16,
    "patch_size": 4, "num_channels": 1,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "vit": VIT,
    "deit": VIT,
    "dinov2": {k: v for k, v in VIT.items() if k != "intermediate_size"},
    "resnet": {
        "num_channels": 1, "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2], "layer_type": "basic"
    },
    "convnext": {"num_channels": 1, "hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "patch_size": 2},
    "swin": {
        "image_size": 16, "patch_size": 2, "num_channels": 1, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2],
        "window_size": 4,
    },
}  # fmt: skip


def checkpoint(folder: Path, kind: str = "vit", *, classes: int = 5, preprocessing: Any = None, **changes: Any) -> Path:
    """A folder written by save_pretrained, with weights unlike any fresh network's."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
    from transformers.utils import logging

    chatter: Any = logging
    chatter.disable_progress_bar()
    settings: Any = CONFIG_MAPPING[kind]
    config = settings(**{**KINDS[kind], **changes}, num_labels=classes)
    classifier: Any = MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING[type(config)]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(7)
        network = (classifier[0] if isinstance(classifier, tuple) else classifier)(config)
        with torch.no_grad():
            for value in network.state_dict().values():
                if value.is_floating_point():
                    value.add_(torch.rand_like(value) * 0.1)
    network.save_pretrained(folder)
    if preprocessing is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


def started(folder: Path, model: Model = MODEL, classes: list[str] = CLASSES, seed: int = 0) -> tuple[Any, Any]:
    """(description, network) of a training that starts from the folder."""
    source_network = backbone.read(folder, source="x")
    chosen = backbone.choose(source_network, model, classes=classes, images=100, side=8, why="")
    description = {
        "name": chosen.name,
        "classes": classes,
        "arguments": chosen.arguments,
        "input": {
            "height": chosen.side, "width": chosen.side, "channels": chosen.channels, "scaling": "backbone",
            "mean": list(source_network.mean), "std": list(source_network.std),
        },
    }  # fmt: skip
    return description, transfer.initial(source_network, description, seed=seed)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_checkpoint_gets_a_new_head(tmp_path: Path, kind: str) -> None:
    from transformers import AutoModel

    folder = checkpoint(tmp_path / "there", kind)
    description, network = started(folder, replace(MODEL, image_size=16))
    images = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert network.eval()(images).shape == (2, 3)
    assert isinstance(network.body, Pretrained)
    # the features are the library's own, on pixels as the network normalises them
    library = AutoModel.from_pretrained(folder).eval()
    ours = getattr(network.body.network, network.body.base)
    with torch.no_grad():
        torch.testing.assert_close(ours(images).last_hidden_state, library(images).last_hidden_state)
    # model.json holds the configuration: the folder is no longer needed, nor a connection
    out = tmp_path / "out"
    out.mkdir()
    weights.save_model(out, description, network.state_dict())
    for path in sorted(folder.iterdir()):
        path.unlink()
    assert str(tmp_path) not in (out / "model.json").read_text()
    with torch.no_grad():
        torch.testing.assert_close(weights.load(out)(images), network(images))


def test_only_the_head_is_drawn_and_from_the_seed(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "vit", classes=3)
    first, again, other = (started(folder, seed=seed)[1].state_dict() for seed in (0, 0, 1))
    differing = {name for name in first if not torch.equal(first[name], other[name])}
    assert differing == {"body.network.classifier.weight"}  # the bias starts at zero
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize(
    ("preprocessing", "side", "mean", "std"),
    [
        (None, 16, 0.0, 1.0),
        ({"size": {"height": 24, "width": 24}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}, 24, 0.5, 0.25),
        ({"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}, "image_mean": [0.1]}, 32, 0.1, 1.0),
        ({"size": 20, "crop_size": 12, "do_center_crop": False, "do_normalize": False, "image_mean": [0.5]}, 20, 0, 1),
    ],
)
def test_the_preprocessing_is_that_of_the_backbone(
    tmp_path: Path, preprocessing: Any, side: int, mean: float, std: float
) -> None:
    folder = checkpoint(tmp_path / "vit", preprocessing=preprocessing)
    description, network = started(folder)
    shape = description["input"]
    assert (shape["height"], shape["mean"], shape["std"]) == (side, [mean], [std])
    assert network(torch.rand(1, 1, side, side)).shape == (1, 3)


def test_position_vectors_follow_the_image_size(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "vit")
    name = "body.network.vit.embeddings.position_embeddings"
    small, large = (started(folder, replace(MODEL, image_size=side))[1].state_dict()[name] for side in (16, 32))
    assert (small.shape[1], large.shape[1]) == (1 + 4 * 4, 1 + 8 * 8)
    torch.testing.assert_close(small[:, 0], large[:, 0])
    shrunk = functional.interpolate(large[:, 1:].reshape(1, 8, 8, 16).permute(0, 3, 1, 2), (4, 4), mode="area")
    original = small[:, 1:].reshape(1, 4, 4, 16).permute(0, 3, 1, 2)
    assert float((shrunk - original).abs().mean()) < 0.3 * float(original.std())


def test_position_vectors_of_our_own_vit_follow_the_image_size(tmp_path: Path) -> None:
    shape = {**OURS["input"], "height": 16, "width": 16}
    folder = ours(tmp_path / "vit", name="vit", arguments={"units": 8, "depth": 1, "patch": 2}, input=shape)
    small, large = (started(folder, replace(MODEL, image_size=side))[1].state_dict() for side in (16, 24))
    (name,) = [name for name in small if name.endswith("vectors")]
    assert (small[name].shape[1], large[name].shape[1]) == (64, 144)
    assert float((large[name].mean(dim=1) - small[name].mean(dim=1)).abs().max()) < 0.01


@pytest.mark.parametrize(("kind", "count"), [("vit", 4), ("resnet", 4), ("dinov2", 4), ("convnext", 4)])
def test_layers_run_from_the_image_to_the_head(tmp_path: Path, kind: str, count: int) -> None:
    network = started(checkpoint(tmp_path / kind, kind))[1]
    layers = transfer.layers(network)
    assert len(layers) == count  # embeddings, two blocks or stages, head
    assert sum(len(layer) for layer in layers) == len(list(network.parameters()))
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert all("embed" in names[id(parameter)] for parameter in layers[0])
    assert all("classifier" in names[id(parameter)] for parameter in layers[-1])


OURS: dict[str, Any] = {
    "name": "cnn",
    "classes": ["cat", "cow"],
    "arguments": {"units": 4, "depth": 2},
    "input": {"height": 8, "width": 8, "channels": 1, "scaling": "standard", "mean": [0.2], "std": [0.3]},
}


def ours(folder: Path, **changes: Any) -> Path:
    description = {**OURS, **changes}
    folder.mkdir()
    state = weights.network(description, seed=5).state_dict()
    weights.save_model(folder, description, state)
    return folder


def test_one_of_our_own_networks_keeps_its_body_and_its_head_only_for_the_same_classes(tmp_path: Path) -> None:
    folder = ours(tmp_path / "mine")
    source = weights.load(folder).state_dict()
    head = {"body.15.weight", "body.15.bias"}
    assert head <= set(source)
    description, network = started(folder)
    assert (description["name"], description["input"]["mean"]) == ("cnn", [0.2])
    state = network.state_dict()
    assert {name for name in source if torch.equal(state[name], source[name])} == set(source) - head
    same = started(folder, classes=["cat", "cow"])[1].state_dict()
    assert all(torch.equal(same[name], source[name]) for name in source)
    # the same number of classes, but others
    other = started(folder, classes=["cat", "dog"])[1].state_dict()
    assert not torch.equal(other["body.15.weight"], source["body.15.weight"])
    assert len(transfer.layers(network)) == 5


def test_other_channels_than_the_backbone_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^channels is 3, .*set it to 1 or auto"):
        started(checkpoint(tmp_path / "vit"), replace(MODEL, channels=3))


def test_a_size_our_own_network_cannot_take_is_refused(tmp_path: Path) -> None:
    folder = ours(tmp_path / "mlp", name="mlp", arguments={"units": 4, "depth": 1})
    with pytest.raises(InputError, match=r"does not fit: body.1.weight is \[4, 64\] there and \[4, 256\] here"):
        started(folder, replace(MODEL, image_size=16))


def test_an_invalid_backbone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no folder './nowhere'"):
        hub.fetch("./nowhere")
    with pytest.raises(InputError, match="has no weights in safetensors"):
        backbone.read(tmp_path, source="x")
    folder = checkpoint(tmp_path / "vit")
    text = json.loads((folder / "config.json").read_text())
    for kind, message in (("bert", "classifies no images"), ("timm_wrapper", "cannot build by itself")):
        (folder / "config.json").write_text(json.dumps({**text, "model_type": kind}))
        with pytest.raises(InputError, match=message):
            started(folder)
    (folder / "config.json").write_text(json.dumps({**text, "num_hidden_layers": 3}))
    with pytest.raises(InputError, match=r"does not fit: .* is missing"):
        started(folder)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"neither config.json nor model.json"):
        backbone.read(folder, source="x")


@pytest.mark.parametrize("answer", ["refused", "silent"])
def test_an_unreachable_hub_is_reported_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    from huggingface_hub import constants

    # "silent" accepts the connection and never answers, as a firewall does
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if answer == "silent":
            server.listen()
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        monkeypatch.setattr(hub, "PATIENCE", 1.0)
        # without the timeout this would hang
        with pytest.raises(MachineError, match=r"is not on this machine, and the hub .* cannot be reached") as raised:
            hub.fetch("someone/net@main")
    assert "hf download someone/net --revision main --local-dir" in str(raised.value)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    for folder in (checkpoint(tmp_path / "vit"), ours(tmp_path / "mine")):
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(InputError, match="has weights that cannot be read"):
            started(folder)
