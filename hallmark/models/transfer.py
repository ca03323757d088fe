"""Weights to start from, and the layers of a network from its input to its head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from hallmark.contracts.errors import InputError
from hallmark.models import weights
from hallmark.models.pretrained import Pretrained, kind_of, quiet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hallmark.models.backbone import Backbone


def initial(backbone: Backbone, description: Mapping[str, Any], *, seed: int) -> nn.Module:
    """The network that ``description`` (model.json's) tells of, with the backbone's weights.

    Its head is drawn from ``seed``, unless it answers for the same classes already. Position vectors of another image
    size are interpolated. Raises InputError where the backbone lacks weights, or has them torn or in other shapes.
    """
    network = weights.network(description, seed=seed)
    drawn = network.state_dict()
    fresh = () if backbone.keeps_head(description["classes"]) else _of_head(network)
    try:
        found = (
            load_file(backbone.folder / weights.WEIGHTS) if backbone.description is not None else _converted(backbone)
        )
    except SafetensorError as error:
        raise InputError(
            f"{backbone.where} '{backbone.source}' has weights that cannot be read: {error}",
            remedy="copy or download it again",
        ) from error
    taken: dict[str, Tensor] = {}
    for name, value in drawn.items():
        if name in fresh or name.startswith("normalise."):
            continue
        given = found.get(name)
        if given is not None and given.shape != value.shape and name.endswith(("position_embeddings", ".vectors")):
            given = _resampled(given, value)
        if given is None or given.shape != value.shape:
            raise InputError(
                f"{backbone.where} '{backbone.source}' does not fit: {name} is "
                + ("missing" if given is None else f"{list(given.shape)} there and {list(value.shape)} here"),
                remedy="set model.image_size to auto; else the backbone is incomplete: save it anew",
            )
        taken[name] = given.to(value.dtype)
    network.load_state_dict({**drawn, **taken})
    return network


def layers(network: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters layer by layer, from those that see the image to the head, which is the last layer.

    A layer is a step of our own networks with the norms that follow it, or a block or stage of transformers'.
    """
    body = network.body
    assert isinstance(body, nn.Module)
    found: dict[int, list[nn.Parameter]] = {}
    head = set(_of_head(network))
    named = dict(network.named_parameters())
    place = _places(body)
    for name, parameter in named.items():
        if name not in head:
            found.setdefault(place[name.removeprefix("body.")], []).append(parameter)
    return [found[number] for number in sorted(found)] + [[named[name] for name in named if name in head]]


def _places(body: nn.Module) -> dict[str, int]:
    """The layer of each parameter of a body, in the order of the forward pass."""
    if isinstance(body, Pretrained):
        blocks = _blocks(getattr(body.network, body.base))
        block_of = {id(p): number for number, block in enumerate(blocks, 1) for p in block.parameters()}
        places, reached = {}, 0
        for name, parameter in body.named_parameters():
            # what stands after the blocks, such as a last norm, belongs to the last of them
            reached = places[name] = max(reached, block_of.get(id(parameter), 0))
        return places
    places, reached = {}, 0
    for child, step in body.named_children():
        if any(parameter.ndim > 1 for parameter in step.parameters()):
            reached += 1
        places |= {f"{child}.{name}": reached for name, _ in step.named_parameters()}
    return places


def _blocks(base: nn.Module) -> list[nn.Module]:
    """The entries of the list that holds most of the network: its blocks or stages."""
    lists = [
        module for module in base.modules() if isinstance(module, nn.ModuleList | nn.Sequential) and len(module) > 1
    ]
    largest = max(lists, key=lambda module: sum(p.numel() for p in module.parameters()), default=None)
    return list(largest) if largest is not None else [base]


def head(network: nn.Module) -> nn.Module:
    """The layer that answers for the classes, from what the network saw."""
    first = next(name for name in _of_head(network) if name.endswith(".weight"))
    return network.get_submodule(first.removesuffix(".weight"))


def _of_head(network: nn.Module) -> tuple[str, ...]:
    """The names of the parameters that answer for the classes."""
    body = network.body
    assert isinstance(body, nn.Module)
    names = [name for name, _ in network.named_parameters()]
    if isinstance(body, Pretrained):
        return tuple(name for name in names if not name.startswith(f"body.network.{body.base}."))
    last = [name for name, module in body.named_children() if isinstance(module, nn.Linear)][-1]
    return tuple(name for name in names if name.startswith(f"body.{last}."))


def _converted(backbone: Backbone) -> dict[str, Tensor]:
    """The weights in a folder of transformers, under the names of our network; a missing one is left out."""
    assert backbone.config is not None
    made, settings = kind_of(backbone.config)
    with quiet(), torch.random.fork_rng(devices=[]):
        network, told = made.from_pretrained(
            backbone.folder,
            config=settings,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    absent = {*told["missing_keys"], *(key[0] for key in told["mismatched_keys"])}
    state: dict[str, Tensor] = network.state_dict()
    return {f"body.network.{name}": value for name, value in state.items() if name not in absent}


def _resampled(given: Tensor, wanted: Tensor) -> Tensor:
    """Position vectors [1, extra + h h, size] of one square grid for another; those of no place are kept."""
    old, new = (int(value.shape[1] ** 0.5) for value in (given, wanted))
    extra = given.shape[1] - old * old
    if given.ndim != 3 or wanted.shape[1] - new * new != extra or given.shape[2] != wanted.shape[2]:
        return given  # no square grid: the shapes are told to the user
    grid = given[:, extra:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    moved = functional.interpolate(grid.float(), (new, new), mode="bicubic", align_corners=False)
    return torch.cat([given[:, :extra].float(), moved.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
