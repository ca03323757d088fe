"""The residual between two small pictures after the changes that a copy may have.

A copy may differ in brightness and contrast (one gain in [0.6, 1.6] for all channels, and an offset), in sharpness
(resizing and re-encoding: either picture may be smoothed) and optionally in a shift and stretch of up to 5 % of the
side, as after a light crop (Gauss-Newton on the linearised warp; Lucas and Kanade 1981).

The four parameters of the warp also reduce the residual of *different* pictures: on 28 px digits the closest chance
pairs have 0.09 aligned but 0.14 unaligned, true crops 0.04. A residual after alignment therefore counts double.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pictures = NDArray[np.float32]
    Floats = NDArray[np.float64]

LARGEST_STRETCH = 0.05
ALIGNED_COUNTS = 2.0
_COARSE_STEPS, _FINE_STEPS = 3, 2
_FLAT = 1.5  # deviation in grey levels below which an image shows nothing to compare
_GAIN = (0.6, 1.6)
_SOFTER = (1, 2, 4)  # passes of the smoothing mask tried on either picture
_WORTH = 0.35  # residual above which smoothing cannot make one picture match the other
_WORTH_REFINING = 0.2  # residual at half the side above which a warp is not refined
_ROUGH = 0.5  # residual of the coarse luma above which a pair is no copy
_BLOCK = 128  # pairs at once: each holds half a MiB of intermediate pictures


def residual(
    pixels: NDArray[np.uint8], left: NDArray[np.int64], right: NDArray[np.int64], align: NDArray[np.bool_]
) -> Floats:
    """The share of the right image's contrast that the left one does not explain, per pair: 0 a copy, 1 unrelated.

    ``left`` and ``right`` ``[pairs]`` are rows of ``pixels``, uint8 ``[images, side, side, 3]``; ``align`` ``[pairs]``
    selects pairs to align. Align only images larger than a few dozen pixels: smaller ones match by chance.
    """
    out = np.empty(len(left))
    if (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]  # grey: one channel suffices, at a third of the cost
    for begin in range(0, len(left), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        a, b = pixels[left[part]].astype(np.float32), pixels[right[part]].astype(np.float32)
        # the coarse luma rules out most candidates, at a tenth of the cost
        out[part] = _explain(smooth(_half(a)), smooth(_half(b)))
        alike = np.flatnonzero(out[part] <= _ROUGH)
        out[begin + alike] = _residual(a[alike], b[alike], align[part][alike])
    return out


def _residual(a: Pictures, b: Pictures, align: NDArray[np.bool_]) -> Floats:
    out = _explain(a, b)
    near = np.flatnonzero((out > 0.01) & (out <= _WORTH))
    softer_a, softer_b = a[near], b[near]
    for passes in np.diff(_SOFTER, prepend=0):
        for _ in range(passes):
            softer_a, softer_b = smooth(softer_a), smooth(softer_b)
        out[near] = np.minimum(out[near], np.minimum(_explain(softer_a, b[near]), _explain(a[near], softer_b)))
    loose = np.flatnonzero(align & (out > 0.01))
    # resampling softens one picture; smoothing both removes that difference
    soft_a, soft_b = smooth(a[loose]), smooth(b[loose])
    there = _aligned(soft_a, soft_b)
    # a crop lacks the rim that aligning it to the whole needs, so the reverse direction is tried too
    again = np.flatnonzero(there <= _WORTH)
    there[again] = np.minimum(there[again], _aligned(soft_b[again], soft_a[again]))
    out[loose] = np.minimum(out[loose], ALIGNED_COUNTS * there)
    return out


def smooth(a: Pictures) -> Pictures:
    """The mask [1 2 1] / 4 along height and width of ``[pictures, height, width, ...]``."""
    for axis in (1, 2):
        last = a.shape[axis] - 1
        before, after = np.take(a, np.r_[0, :last], axis), np.take(a, np.r_[1 : last + 1, last], axis)
        a = (before + 2 * a + after) / 4
    return a


def _explain(a: Pictures, b: Pictures) -> Floats:
    """Residual of b on gain * a + offset; pictures without contrast match by their level."""
    width = int(np.prod(a.shape[1:]))  # reshape cannot infer -1 without pairs
    a, b = a.reshape(len(a), width), b.reshape(len(b), width)
    mean_a, mean_b = a.mean(axis=1, dtype=np.float64), b.mean(axis=1, dtype=np.float64)
    a, b = a - mean_a[:, None].astype(np.float32), b - mean_b[:, None].astype(np.float32)
    spread_a, spread_b = (np.sqrt((one**2).mean(axis=1, dtype=np.float64)) for one in (a, b))
    gain = np.clip((a * b).mean(axis=1, dtype=np.float64) / np.maximum(spread_a**2, 1e-9), *_GAIN)
    left = np.sqrt(((b - gain[:, None].astype(np.float32) * a) ** 2).mean(axis=1, dtype=np.float64))
    rest = left / np.maximum(np.maximum(spread_b, gain * spread_a), 1e-9)
    flat_a, flat_b = spread_a < _FLAT, spread_b < _FLAT
    alike = np.where(np.abs(mean_a - mean_b) <= 2 * _FLAT, 0.0, 1.0)
    rest = np.where(flat_a & flat_b, alike, np.where(flat_a ^ flat_b, 1.0, rest))
    return np.minimum(rest, 1.0)


def _half(a: Pictures) -> Pictures:
    """Light float32 ``[pairs, side / 2, side / 2]``."""
    light = _light(a)
    quarters = light[:, ::2, ::2] + light[:, 1::2, ::2] + light[:, ::2, 1::2] + light[:, 1::2, 1::2]
    return np.asarray(quarters / 4, np.float32)


def _light(a: Pictures) -> Pictures:
    """The mean of the channels, float32 ``[pairs, side, side]``."""
    return a[..., 0] if a.shape[3] == 1 else np.asarray(a.mean(axis=3), np.float32)


def _aligned(a: Pictures, b: Pictures) -> Floats:
    """Residual of b on a after shifting and stretching a; the rim is excluded because the warp has no pixels there.

    The warp is fitted on luma, first at half the side, then at full size.
    """
    side = a.shape[1]
    move = np.zeros((len(a), 4), np.float32)  # shift and stretch along x, then along y, in pixels
    half_a, half_b = _half(a), _half(b)
    for _ in range(_COARSE_STEPS):
        move = _step(half_a, half_b, move)
    rim = slice(1, side // 2 - 1)
    out = _explain(_warp(half_a[..., None], move)[:, rim, rim], half_b[:, rim, rim])
    fine = np.flatnonzero(out <= _WORTH_REFINING)
    a, b, move = a[fine], b[fine], 2 * move[fine]
    light_a, light_b = _light(a), _light(b)
    for _ in range(_FINE_STEPS):
        move = _step(light_a, light_b, move)
    rim = slice(2, side - 2)
    out[fine] = _explain(_warp(a, move)[:, rim, rim], b[:, rim, rim])
    return out


def _step(a: Pictures, b: Pictures, move: NDArray[np.float32]) -> NDArray[np.float32]:
    """One Gauss-Newton step on the light ``[pairs, side, side]``."""
    pairs, side = a.shape[:2]
    grid = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / (side / 2)
    rim = slice(1, side - 1)
    area = (side - 2) ** 2
    grey = _warp(a[..., None], move)[..., 0]
    gy, gx = np.gradient(grey, axis=(1, 2))
    terms = [grey, np.ones_like(grey), gx, grid * gx, gy, grid[:, None] * gy]
    design = np.stack([term[:, rim, rim].reshape(pairs, area) for term in terms], axis=2)
    across = design.transpose(0, 2, 1)
    normal = (across @ design).astype(np.float64) + 1e-3 * np.eye(6)
    solved = np.linalg.solve(normal, (across @ b[:, rim, rim].reshape(pairs, area, 1)).astype(np.float64))[:, :, 0]
    gain = np.clip(solved[:, :1], *_GAIN)
    largest = LARGEST_STRETCH * side
    return np.asarray(np.clip(move + solved[:, 2:] / gain, -largest, largest), np.float32)


def _warp(a: Pictures, move: NDArray[np.float32]) -> Pictures:
    """Bilinear resampling along each axis in turn: the warp is separable."""
    pairs, side = a.shape[:2]
    grid = np.arange(side, dtype=np.float32)
    unit = (grid - (side - 1) / 2) / (side / 2)
    for axis, shift, stretch in ((2, move[:, 0], move[:, 1]), (1, move[:, 2], move[:, 3])):
        at = np.clip(grid + shift[:, None] + stretch[:, None] * unit, 0, side - 1)
        low = np.minimum(at.astype(np.int64), side - 2)
        part = at - low
        shape = (pairs, 1, side, 1) if axis == 2 else (pairs, side, 1, 1)
        low, part = low.reshape(shape), part.reshape(shape)
        a = np.take_along_axis(a, low, axis) * (1 - part) + np.take_along_axis(a, low + 1, axis) * part
    return a
