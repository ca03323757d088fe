"""What one decode of an image tells: size, light, sharpness, noise, and two hashes.

:func:`measure` takes the bytes of one file and never raises on bad content: a file that cannot be decoded gives its
reason in ``failure``. All columns of :data:`hallmark.contracts.tables.MEASUREMENTS` come from the same decode.

=============  ==============================================================================================
brightness     mean luma in [0, 1] (ITU-R BT.601)
contrast       the largest standard deviation of any channel, or of luma, in [0, 0.5]: a coloured object as bright as
               its ground has contrast
sharpness      variance of the Laplacian of luma over the variance of luma, a larger image brought down to the area of
               256x256 px; the ratio keeps a dark or flat image from looking blurred (0 for a uniform image). Of the
               three channels together where one of them varies more than twice as much as luma
noise          standard deviation of the noise in [0, 1]: the mask of Immerkaer (Fast noise variance estimation,
               CVIU 1996) with a low quantile in place of the mean, so that edges and texture do not count; of luma, or
               of red against blue brought to luma's scale, whichever is higher
phash          64 signs of the low DCT frequencies of the luma brought to 32x32 px, the mean left out: it holds
               through re-encoding, resizing and a change of light
sketch         256 bytes: the luma brought to 16x16 px, to tell unlike images apart without decoding them again
peak           the largest sample of a file with 16 bits a sample and no declared range, else 0
pixel_hash     XXH3, 128 bits, of the upright pixels and their shape; RGB with three equal channels is grey. It tells
               equal pixels from others by accident never, against somebody who sets out to make two images collide it
               does not hold; SHA-256, which does, took as long as a third of the decode. ``sha256`` names contents
=============  ==============================================================================================
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import xxhash

from hallmark.images.decoding import Undecodable, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hallmark.images.decoding import Decoded

NORMAL_SIDE = 256
NOISE_SIDE = 64
HASH_SIDE = 32
SKETCH_SIDE = 16
# the quantile of |N(0, 1)| that the estimate of noise divides by
NOISE_QUANTILE, NOISE_NORMAL = 0.3, 0.38532
# Immerkaer's mask, along each axis in turn: its response to white noise of deviation 1 has deviation 6, to a plane none
NOISE_MASK = np.array([1, -2, 1], np.float32)
# of noise that is independent in the channels, luma has 0.668 (BT.601) where red minus blue has the square root of 2
OPPONENT_NOISE = 0.668 / math.sqrt(2)
RED_AGAINST_BLUE = np.array([[0.5, 0, -0.5, 128]], np.float32)
# the deviation of a channel over that of luma, above which edges are looked for in colour
COLOUR_SPEAKS = 2.0
# rows of a band, of which one in BANDS is looked at
BAND, BANDS = 32, 4


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One image's measurements; ``failure`` is a reason where the file could not be decoded, else empty."""

    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    frames: int = 0
    pixel_hash: str = ""
    phash: int = 0
    sketch: bytes = b""
    brightness: float = math.nan
    contrast: float = math.nan
    sharpness: float = math.nan
    noise: float = math.nan
    peak: int = 0
    failure: str = ""

    def row(self) -> dict[str, Any]:
        return asdict(self)


COLUMNS = tuple(field.name for field in fields(Measured))


def measure(data: bytes, max_pixels: int, *, bits: int = 16) -> Measured:
    """Measures one file's bytes; files declaring more than ``max_pixels`` are refused before they are decoded.

    ``bits`` as in :func:`hallmark.images.decoding.decode`.
    """
    return _guarded(lambda: _measured(decode(data, max_pixels=max_pixels, bits=bits)))


def measure_peak(data: bytes, max_pixels: int) -> Measured:
    """As :func:`measure`, but ``peak`` alone."""
    return _guarded(lambda: Measured(peak=decode(data, max_pixels=max_pixels).peak))


def _guarded(work: Callable[[], Measured]) -> Measured:
    try:
        return work()
    except Undecodable as error:
        return Measured(failure=error.reason)
    except MemoryError:
        # within the declared size, yet past what a worker may hold: what a bomb does
        return Measured(failure="decompression_bomb")
    except cv2.error as error:
        if error.code != cv2.Error.StsNoMem:
            raise
        return Measured(failure="decompression_bomb")


def _measured(decoded: Decoded) -> Measured:
    light = luma(decoded.pixels)
    coloured = decoded.pixels.shape[2] == 3 and not _is_grey(decoded.pixels)
    brightness, of_light = mean_and_deviation(light)
    contrast = max(of_light, largest_deviation(decoded.pixels)) if coloured else of_light
    sharpness, noise = texture(
        light, decoded.pixels if coloured else None, colour_speaks=contrast > COLOUR_SPEAKS * of_light
    )
    small = cv2.resize(light, (HASH_SIDE, HASH_SIDE), interpolation=cv2.INTER_AREA)
    return Measured(
        format=decoded.format,
        mode=decoded.mode,
        width=light.shape[1],
        height=light.shape[0],
        frames=decoded.frames,
        pixel_hash=pixel_hash(decoded.pixels if coloured else decoded.pixels[:, :, 0]),
        phash=perceptual_hash(small),
        sketch=cv2.resize(small, (SKETCH_SIDE, SKETCH_SIDE), interpolation=cv2.INTER_AREA).tobytes(),
        brightness=brightness,
        contrast=contrast,
        sharpness=sharpness,
        noise=noise,
        peak=decoded.peak,
    )


def luma(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [height, width] from uint8 [height, width], [height, width, 1] or RGB [height, width, 3]."""
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels)
    if pixels.shape[2] == 1:
        return np.ascontiguousarray(pixels[:, :, 0])
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)  # type: ignore[no-any-return]


def mean_and_deviation(light: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean in [0, 1] and standard deviation in [0, 0.5] of uint8 [height, width]."""
    mean, deviation = cv2.meanStdDev(light)
    return float(mean[0, 0]) / 255, float(deviation[0, 0]) / 255


def largest_deviation(pixels: NDArray[np.uint8]) -> float:
    """The largest standard deviation of a channel of uint8 [height, width, channels], in [0, 0.5]."""
    _, deviation = cv2.meanStdDev(pixels)
    return float(deviation.max()) / 255


def texture(
    light: NDArray[np.uint8], coloured: NDArray[np.uint8] | None = None, *, colour_speaks: bool = False
) -> tuple[float, float]:
    """Sharpness and noise of uint8 luma [height, width], and RGB [height, width, 3] of an image that is not grey.

    See the module's table; ``colour_speaks`` takes sharpness from all channels.
    """
    # by area, not by the longer side, which would leave nothing of a strip
    scale = min(1.0, NORMAL_SIDE / math.sqrt(light.size))
    small = _resized(light, scale)
    if coloured is None:
        return _sharpness([small]), _noise(small)
    sharpness = _sharpness(cv2.split(_resized(coloured, scale)) if colour_speaks else [small])
    return sharpness, max(_noise(small), _colour_noise(coloured, scale))


def _colour_noise(coloured: NDArray[np.uint8], scale: float) -> float:
    """The noise of red against blue, on luma's scale, in bands of rows: all of them take twice as long to measure."""
    if len(coloured) >= BAND * BANDS:
        coloured = coloured[np.arange(len(coloured)) // BAND % BANDS == 0]
    # halved, or the difference would not fit in 8 bits
    difference = cv2.transform(coloured, RED_AGAINST_BLUE)
    return 2 * OPPONENT_NOISE * _noise(_resized(difference, scale))


def _resized(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale == 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    smaller: NDArray[np.uint8] = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return smaller


def _sharpness(channels: Sequence[NDArray[np.uint8]]) -> float:
    spread = sum(variance(channel) for channel in channels)
    if spread <= 0:
        return 0.0
    # 16 bits hold every response to 8-bit pixels exactly, and the sums of both are exact in 64
    return sum(variance(cv2.Laplacian(channel, cv2.CV_16S)) for channel in channels) / spread


def _noise(channel: NDArray[np.uint8]) -> float:
    if min(channel.shape) < 3:
        return 0.0
    # a quarter of the pixels tells a quantile of a large image as well
    step = 2 if min(channel.shape) > NOISE_SIDE else 1
    filtered = cv2.sepFilter2D(channel, cv2.CV_16S, NOISE_MASK, NOISE_MASK)
    response = np.abs(filtered[1:-1:step, 1:-1:step]).ravel()
    rank = int(NOISE_QUANTILE * (response.size - 1))
    # whole numbers up to 4080: counting them is faster than sorting, most of all where many are equal
    return float(np.searchsorted(np.cumsum(np.bincount(response)), rank, side="right")) / NOISE_NORMAL / 6 / 255


def variance(values: NDArray[np.uint8] | NDArray[np.int16]) -> float:
    """Variance of whole numbers of up to 16 bits; cv2.meanStdDev takes seven times as long for 16 bits."""
    mean = cv2.sumElems(values)[0] / values.size
    return float(max(cv2.norm(values, cv2.NORM_L2SQR) / values.size - mean * mean, 0.0))


@cache
def _cosines() -> NDArray[np.float64]:
    """The nine lowest rows of the orthonormal DCT-II of length 32: float64 [9, 32]."""
    frequency, position = np.mgrid[0:9, 0:HASH_SIDE]
    rows = np.cos(np.pi * frequency * (2 * position + 1) / (2 * HASH_SIDE)) * np.sqrt(2 / HASH_SIDE)
    rows[0] /= np.sqrt(2)
    return rows  # type: ignore[no-any-return]


def perceptual_hash(small: NDArray[np.uint8]) -> int:
    """64-bit hash of uint8 luma [32, 32]; the Hamming distance of two hashes grows with how different they look."""
    frequencies = _cosines() @ small.astype(np.float64) @ _cosines().T
    # 63 of the lowest 8x8 frequencies without the mean, and one more: the mean's sign is no information
    values = np.empty(64)
    values[:63] = frequencies[:8, :8].ravel()[1:]
    values[63] = frequencies[0, 8]
    middle = np.partition(values, (31, 32))
    bits = values > (middle[31] + middle[32]) / 2
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def pixel_hash(pixels: NDArray[np.uint8]) -> str:
    """128 bits, in hex, of the pixels and their shape: equal exactly where two images show the same pixels."""
    if pixels.ndim == 3 and pixels.shape[2] == 3 and _is_grey(pixels):
        pixels = pixels[:, :, 0]
    elif pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    digest = xxhash.xxh3_128(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _is_grey(pixels: NDArray[np.uint8]) -> bool:
    # most colour images tell by their first row, which spares a pass over the rest
    for part in (pixels[:1], pixels):
        if not (np.array_equal(part[..., 0], part[..., 1]) and np.array_equal(part[..., 0], part[..., 2])):
            return False
    return True
