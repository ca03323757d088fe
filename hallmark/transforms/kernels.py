"""Pixel operations on a batch with parameters per image; they match albumentations with the same parameters.

Images are float32 [n, c, h, w] with whole numbers from 0 to 255 before and after, like uint8 images. All operations are
elementwise or interpolate within an image: a result depends neither on the rest of the batch nor on the number of
threads. Parameters are NumPy arrays on the host, [n, ...].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

#: border mode: (grid_sample's, whether its coordinates refer to the centres of the corner pixels)
BORDERS = {"constant": ("zeros", True), "replicate": ("border", True), "reflect_101": ("reflection", True)}
BORDERS["reflect"] = ("reflection", False)


def _columns(values: NDArray[Any], like: Tensor) -> Tensor:
    """[n] or [n, ...] as float32 [n, 1, 1, 1] or [n, ...] beside the images."""
    columns = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(like.device, non_blocking=True)
    return columns.view(-1, 1, 1, 1) if columns.ndim == 1 else columns


def affine(
    *, height: int, width: int, scale_x: Floats, scale_y: Floats, rotate: Floats, shear_x: Floats, shear_y: Floats,
    shift_x: Floats, shift_y: Floats,
) -> Floats:  # fmt: skip
    """Matrices [n, 2, 3] that map pixel coordinates (x, y, 1) of the result to coordinates in the source.

    Angles in degrees, shifts in pixels: scale, counter-clockwise rotation, shear and shift about the centre.
    """
    turn, slant_x, slant_y = (np.deg2rad(angle) for angle in (rotate, shear_x, shear_y))
    cosine, sine, tangent_x, tangent_y = np.cos(turn), np.sin(turn), np.tan(slant_x), np.tan(slant_y)
    # forward: shear @ rotation @ scale
    a, b = (cosine - tangent_x * sine) * scale_x, (sine + tangent_x * cosine) * scale_y
    c, d = (tangent_y * cosine - sine) * scale_x, (tangent_y * sine + cosine) * scale_y
    determinant = a * d - b * c
    linear = np.stack([np.stack([d, -b], 1), np.stack([-c, a], 1)], 1) / determinant[:, None, None]
    centre = np.array([width / 2 - 0.5, height / 2 - 0.5])
    moved = centre + np.stack([shift_x, shift_y], 1)
    offset = centre - np.einsum("nij,nj->ni", linear, moved)
    return np.concatenate([linear, offset[:, :, None]], 2)


def warp(images: Tensor, matrices: Floats, *, border: str, fill: float = 0.0) -> Tensor:
    """The images warped by ``matrices`` (see :func:`affine`), with bilinear interpolation, rounded."""
    height, width = images.shape[2:]
    mode, corners = BORDERS[border]
    sides = np.array([width, height], dtype=np.float64)
    # grid_sample counts from -1 to 1 across the image
    unit = 2 / (sides - 1) if corners else 2 / sides
    scaled = matrices * unit[None, :, None]
    scaled[:, :, 2] += -1.0 if corners else 1 / sides - 1.0
    parts = _columns(scaled, images)
    across = torch.arange(width, dtype=torch.float32, device=images.device)
    down = torch.arange(height, dtype=torch.float32, device=images.device)
    grid = images.new_empty((len(images), height, width, 2))
    for axis in (0, 1):
        row, column = parts[:, axis, 0, None] * across, parts[:, axis, 1, None] * down + parts[:, axis, 2, None]
        torch.add(column[:, :, None], row[:, None, :], out=grid[..., axis])
    source = images - fill if fill else images
    out = functional.grid_sample(source, grid, mode="bilinear", padding_mode=mode, align_corners=corners)
    return (out + fill if fill else out).round_()


def crop(images: Tensor, boxes: Integers) -> Tensor:
    """The boxes (left, top, width, height) [n, 4] of the images, enlarged to the images' size."""
    height, width = images.shape[2:]
    sides = np.array([width, height], dtype=np.float64)
    start, size = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    grid_axes = []
    for axis, count in ((0, width), (1, height)):
        ratio = size[:, axis, None] / count
        # between the centres of the box's outer pixels: nothing outside the box leaks in
        inside = np.clip((np.arange(count) + 0.5) * ratio - 0.5, 0, size[:, axis, None] - 1)
        grid_axes.append((start[:, axis, None] + inside) * 2 / (sides[axis] - 1) - 1)
    grid = images.new_empty((len(images), height, width, 2))
    grid[..., 0] = _columns(grid_axes[0], images)[:, None, :]
    grid[..., 1] = _columns(grid_axes[1], images)[:, :, None]
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True).round_()


def tone(images: Tensor, contrast: Floats, brightness: Floats) -> Tensor:
    """images * contrast + brightness (in grey levels), clipped to 0..255 and rounded down."""
    return (images * _columns(contrast, images)).add_(_columns(brightness, images)).clamp_(0, 255).floor_()


def blur(images: Tensor, sigmas: Floats) -> Tensor:
    """Gaussian blur with int(3.5 sigma) taps per side (at most the image's side - 1) and reflected borders."""
    radii = (sigmas * 3.5).astype(np.int64)
    reach = int(radii.max(initial=0))
    if reach == 0:
        return images
    taps = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (taps / np.maximum(sigmas, 1e-9)[:, None]) ** 2) * (np.abs(taps) <= radii[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    factors = _columns(weights, images)
    padded = functional.pad(images, (reach, reach, reach, reach), mode="reflect")
    height, width = images.shape[2:]
    rows = padded[:, :, :, :width] * factors[:, 0, None, None, None]
    for tap in range(1, 2 * reach + 1):
        rows += padded[:, :, :, tap : tap + width] * factors[:, tap, None, None, None]
    out = rows[:, :, :height] * factors[:, 0, None, None, None]
    for tap in range(1, 2 * reach + 1):
        out += rows[:, :, tap : tap + height] * factors[:, tap, None, None, None]
    return out.round_().clamp_(0, 255)


def erase(images: Tensor, holes: Integers, fill: float) -> Tensor:
    """``fill`` inside the holes (left, top, right, bottom) [n, k, 4], right and bottom exclusive."""
    height, width = images.shape[2:]
    across, down = np.arange(width), np.arange(height)
    columns = (across >= holes[:, :, 0, None]) & (across < holes[:, :, 2, None])
    rows = (down >= holes[:, :, 1, None]) & (down < holes[:, :, 3, None])
    covered = torch.zeros((len(images), 1, height, width), dtype=torch.bool, device=images.device)
    for hole in range(holes.shape[1]):
        row, column = (torch.from_numpy(each[:, hole]).to(images.device) for each in (rows, columns))
        covered |= row[:, None, :, None] & column[:, None, None, :]
    return images.masked_fill(covered, float(int(fill)))


def colour(images: Tensor, hue: Floats, saturation: Floats, value: Floats) -> Tensor:
    """Shifts hue (units of 2 degrees), saturation and value (of 255) of RGB [n, 3, h, w]; grey pixels stay grey.

    As in albumentations, the shifts of saturation and value are truncated to whole numbers, and the intermediate hue
    and saturation are rounded.
    """
    red, green, blue = images.unbind(1)
    most, least = images.amax(1), images.amin(1)
    spread = most - least
    safe = spread.clamp_min(1)
    sector = torch.where(
        most == red,
        (green - blue) / safe,
        torch.where(most == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    angle = (sector * 30).round_()
    angle = torch.where(angle < 0, angle + 180, angle)
    depth = (spread * 255 / most.clamp_min(1)).round_()
    whole = (hue, np.trunc(saturation), np.trunc(value))
    shift_hue, shift_depth, shift_most = (_columns(each, images)[:, 0] for each in whole)
    angle = torch.remainder(angle + shift_hue, 180).floor_().clamp_(max=179)
    depth = torch.where(depth == 0, depth, (depth + shift_depth).clamp_(0, 255))
    most = (most + shift_most).clamp_(0, 255)
    sixth = angle / 30
    purity = depth / 255
    channels = []
    for offset in (5.0, 3.0, 1.0):
        turned = torch.remainder(sixth + offset, 6)
        channels.append(most - most * purity * torch.minimum(turned, 4 - turned).clamp_(0, 1))
    return torch.stack(channels, 1).round_().clamp_(0, 255)
