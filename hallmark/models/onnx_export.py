"""Networks as ONNX files, which ONNX Runtime computes without PyTorch and, on a CPU, several times as fast."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

OPSET = 18


def write(network: nn.Module, images: Tensor, path: Path, *, output: str) -> None:
    """Writes a network that maps ``images`` [batch, ...] to ``output`` [batch, ...], for batches of any size."""
    import torch

    with warnings.catch_warnings():
        # the tracing exporter is deprecated, but the default one needs another package; tracing warns of shapes that
        # it may freeze, which a comparison with the network detects
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (images,),
            str(path),
            input_names=["images"],
            output_names=[output],
            dynamic_axes={"images": {0: "batch"}, output: {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    _count_axes_from_the_front(path)


def _count_axes_from_the_front(path: Path) -> None:
    """Replaces negative axes: the exporter copies them from ``permute`` into Transpose, which allows none."""
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Transpose" and attribute.name == "perm" and min(attribute.ints) < 0:
                axes = [axis % len(attribute.ints) for axis in attribute.ints]
                del attribute.ints[:]
                attribute.ints.extend(axes)
    onnx.save(model, path)
