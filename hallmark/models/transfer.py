"""Transfer learning: initial weights from a backbone, and a network's layers from input to head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from hallmark.contracts.errors import InputError
from hallmark.models import shipped, weights
from hallmark.models.pretrained import Pretrained, kind_of, quiet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hallmark.models.backbone import Backbone


def initial(backbone: Backbone, description: Mapping[str, Any], *, seed: int) -> nn.Module:
    """The network of ``description`` (as in model.json), with the backbone's weights.

    Its head is drawn from ``seed``, unless the backbone has the same classes. Position vectors of another image size
    are interpolated. Raises InputError if weights of the backbone are missing, damaged or of other shapes.
    """
    network = weights.network(description, seed=seed)
    drawn = network.state_dict()
    # features alone are asked for under the backbone's own classes, of more levels than its head has
    keeps = backbone.keeps_head(description["classes"]) and not description["arguments"].get("levels")
    fresh = () if keeps else _of_head(network)
    try:
        stored = _stored(backbone)
    except SafetensorError as error:
        raise InputError(
            f"{backbone.param} '{backbone.source}' has weights that cannot be read: {error}",
            remedy="copy or download it again",
        ) from error
    taken: dict[str, Tensor] = {}
    for name, value in drawn.items():
        if name in fresh or name.startswith("normalise."):
            continue
        weight = stored.get(name)
        if weight is not None and weight.shape != value.shape and name.endswith(("position_embeddings", ".vectors")):
            weight = _resampled(weight, value)
        if weight is None or weight.shape != value.shape:
            raise InputError(
                f"{backbone.param} '{backbone.source}' does not fit: {name} is "
                + ("missing" if weight is None else f"{list(weight.shape)} there and {list(value.shape)} here"),
                remedy="set model.image_size to auto; else the backbone is incomplete: save it again",
            )
        taken[name] = weight.to(value.dtype)
    network.load_state_dict({**drawn, **taken})
    return network


def layers(network: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters layer by layer, from the input to the head, which is the last layer.

    A layer is a step of our networks with the norms that follow it, or a block or stage of transformers'.
    """
    body = network.body
    assert isinstance(body, nn.Module)
    by_layer: dict[int, list[nn.Parameter]] = {}
    head = set(_of_head(network))
    named = dict(network.named_parameters())
    layer_of = _layer_numbers(body)
    for name, parameter in named.items():
        if name not in head:
            by_layer.setdefault(layer_of[name.removeprefix("body.")], []).append(parameter)
    return [by_layer[number] for number in sorted(by_layer)] + [[named[name] for name in named if name in head]]


def _layer_numbers(body: nn.Module) -> dict[str, int]:
    """The layer of each parameter of a body, in the order of the forward pass."""
    if isinstance(body, Pretrained):
        blocks = _blocks(getattr(body.network, body.base))
        block_of = {id(p): number for number, block in enumerate(blocks, 1) for p in block.parameters()}
        numbers, reached = {}, 0
        for name, parameter in body.named_parameters():
            # parameters after the blocks, such as a final norm, belong to the last block
            reached = numbers[name] = max(reached, block_of.get(id(parameter), 0))
        return numbers
    numbers, reached = {}, 0
    for child, step in body.named_children():
        if any(parameter.ndim > 1 for parameter in step.parameters()):
            reached += 1
        numbers |= {f"{child}.{name}": reached for name, _ in step.named_parameters()}
    return numbers


def _blocks(base: nn.Module) -> list[nn.Module]:
    """The blocks or stages: the entries of the module list with the most parameters."""
    lists = [
        module for module in base.modules() if isinstance(module, nn.ModuleList | nn.Sequential) and len(module) > 1
    ]
    largest = max(lists, key=lambda module: sum(p.numel() for p in module.parameters()), default=None)
    return list(largest) if largest is not None else [base]


def head(network: nn.Module) -> nn.Module:
    """The classification layer, from features to logits."""
    first = next(name for name in _of_head(network) if name.endswith(".weight"))
    return network.get_submodule(first.removesuffix(".weight"))


def widths(network: nn.Module) -> tuple[int, ...]:
    """The sizes of the parts of the features that the head takes: one for each level of the network."""
    layer = head(network)
    assert isinstance(layer, nn.Linear)
    return tuple(getattr(network.body, "widths", (layer.in_features,)))


def without_head(network: nn.Module) -> None:
    """Replaces the head by the identity, so that the network maps images to the features that the head takes."""
    first = next(name for name in _of_head(network) if name.endswith(".weight"))
    parent, _, name = first.removesuffix(".weight").rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Identity())


def _of_head(network: nn.Module) -> tuple[str, ...]:
    """The names of the head's parameters."""
    body = network.body
    assert isinstance(body, nn.Module)
    names = [name for name, _ in network.named_parameters()]
    if isinstance(body, Pretrained):
        return tuple(name for name in names if not name.startswith(f"body.network.{body.base}."))
    last = [name for name, module in body.named_children() if isinstance(module, nn.Linear)][-1]
    return tuple(name for name in names if name.startswith(f"body.{last}."))


def _stored(backbone: Backbone) -> dict[str, Tensor]:
    """The backbone's weights under our parameter names."""
    if backbone.published is not None:
        return shipped.weights(backbone.published)
    if backbone.description is not None:
        return load_file(backbone.folder / weights.WEIGHTS)
    return _converted(backbone)


def _converted(backbone: Backbone) -> dict[str, Tensor]:
    """The weights in a transformers folder under our parameter names, without the missing ones."""
    assert backbone.config is not None
    classifier, settings = kind_of(backbone.config)
    with quiet(), torch.random.fork_rng(devices=[]):
        network, info = classifier.from_pretrained(
            backbone.folder,
            config=settings,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    absent = {*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])}
    state: dict[str, Tensor] = network.state_dict()
    return {f"body.network.{name}": value for name, value in state.items() if name not in absent}


def _resampled(vectors: Tensor, target: Tensor) -> Tensor:
    """Position vectors [1, extra + h h, size] resampled to another square grid; the extra ones are kept."""
    old, new = (int(value.shape[1] ** 0.5) for value in (vectors, target))
    extra = vectors.shape[1] - old * old
    if vectors.ndim != 3 or target.shape[1] - new * new != extra or vectors.shape[2] != target.shape[2]:
        return vectors  # no square grid: the caller reports the shapes
    grid = vectors[:, extra:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    moved = functional.interpolate(grid.float(), (new, new), mode="bicubic", align_corners=False)
    return torch.cat([vectors[:, :extra].float(), moved.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
