"""The only decoder and the only preprocessing of training, evaluation and serving.

The content decides a file's format, not its name. Everything Pillow can read of the formats in :data:`FORMATS`
becomes 8-bit grey or RGB: upright, first frame, transparency over white, samples of more than 8 bits scaled by the
range that the file declares, else by that of its data set (``bits``). What cannot be read in full raises
:class:`Undecodable` with a reason. This file stands alone (standard library, Pillow, NumPy), so that a model can carry
it along.

>>> import io
>>> from PIL import Image
>>> file = io.BytesIO()
>>> Image.new("RGBA", (2, 1), (255, 0, 0, 0)).save(file, "PNG")
>>> decode(file.getvalue()).pixels.tolist()
[[[255, 255, 255], [255, 255, 255]]]
>>> prepare(file.getvalue(), height=4, width=3, channels=1).shape
(4, 3, 1)
>>> decode(b"")
Traceback (most recent call last):
    ...
hallmark.images.decoding.Undecodable: empty_file: the file has no bytes
"""

from __future__ import annotations

import importlib
import io
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, ImageFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: Pillow's name of each format read, the module that reads it, and whether its signature alone proves the format.
FORMATS = {
    "PNG": ("PngImagePlugin", True),
    "JPEG": ("JpegImagePlugin", True),
    "GIF": ("GifImagePlugin", True),
    "WEBP": ("WebPImagePlugin", True),
    "TIFF": ("TiffImagePlugin", True),
    "AVIF": ("AvifImagePlugin", True),
    "JPEG2000": ("Jpeg2KImagePlugin", True),
    "QOI": ("QoiImagePlugin", True),
    "BMP": ("BmpImagePlugin", False),
    "PPM": ("PpmImagePlugin", False),
    "PCX": ("PcxImagePlugin", False),
    "SGI": ("SgiImagePlugin", False),
}

#: The reasons an image cannot be decoded: a subset of the project's closed list.
REASONS = ("empty_file", "not_an_image", "unsupported_format", "truncated", "corrupt", "decompression_bomb")

#: Pixels an image may declare: Pillow's own limit, where 8-bit RGB takes 256 MiB.
MAX_PIXELS = 89_478_485

# Formats people do have images in, which we do not read: (offset, signature, name).
_UNREAD = (
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"ftypcrx", "Canon raw"),
    (4, b"ftyp", "video (MP4)"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF-", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"DDS ", "DirectDraw surface"),
    (0, b"FUJIFILMCCD-RAW", "Fujifilm raw"),
    (0, b"\x00\x00\x01\x00", "icon"),
    (0, b"icns", "icon"),
    (128, b"DICM", "DICOM"),
)
# What is left of an image whose signature is overwritten; the last sign is the end of the file.
_REMAINS = {"JPEG": (b"\xff\xdb", b"\xff\xda", b"\xff\xd9"), "PNG": (b"IDAT", b"IEND\xaeB`\x82")}
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_GREY = ("1", "L", "LA", "La", "I", "F")
# the 16-bit layout in the other order of bytes: read so, the low bytes come where the high ones were
_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MAX_SAMPLE_VALUE = 258, 262, 281


class Undecodable(Exception):
    """The bytes are no image that can be read in full; ``reason`` is one of :data:`REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        assert reason in REASONS, reason
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """A decoded image, ready to display.

    ``pixels`` is uint8 [height, width, 3] (RGB) or [height, width, 1] (grey); ``format`` and ``mode`` are Pillow's
    names of what was stored; ``frames`` counts frames or pages, of which the first is taken; sizes are in pixels,
    upright. ``peak`` is the largest sample of a file that holds 16 bits a sample and declares no smaller range, else 0.
    """

    pixels: NDArray[np.uint8]
    format: str
    mode: str
    frames: int
    width: int
    height: int
    peak: int


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS, bits: int = 16) -> Decoded:
    """The image in the bytes of a file. Raises Undecodable.

    An image that declares more than ``max_pixels`` pixels is refused before any of it is decoded. ``bits`` in [8, 16]
    says which part of 16-bit samples its data set uses: 12 takes 4095 for white, and clips what lies above.
    """
    assert 8 <= bits <= 16, bits
    _silence()
    image = _open(data)
    stored = image.format or ""
    width, height = image.size
    if width * height > max_pixels:
        raise Undecodable("decompression_bomb", f"it declares {width} x {height} pixels, the limit is {max_pixels}")
    mode = image.mode
    try:
        # the pixels before the frames: counting moves the file, and a broken later frame must not cost the first
        deep = _deep(image, data)
        image.load()
        pixels = _upright(_pixels(image) if deep is None else deep.pixels(bits), image)
    except Exception as error:  # Pillow's decoders raise nearly every exception there is
        raise _undecodable(stored, data, error) from error
    height, width = pixels.shape[:2]
    return Decoded(
        pixels=pixels,
        format=stored,
        mode=mode,
        frames=_frames(image),
        width=width,
        height=height,
        peak=0 if deep is None else deep.peak(),
    )


def prepare(
    data: bytes, height: int, width: int, channels: int, *, max_pixels: int = MAX_PIXELS, bits: int = 16
) -> NDArray[np.uint8]:
    """Decodes, converts and resizes: uint8 [height, width, channels]; see :func:`decode`. Raises Undecodable."""
    return prepare_pixels(decode(data, max_pixels=max_pixels, bits=bits).pixels, height, width, channels)


def prepare_pixels(pixels: NDArray[np.uint8], height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Pixels uint8 [h, w, 1 or 3] as uint8 [height, width, channels], channels 1 (ITU-R 601 luma) or 3.

    The whole image is resized, whatever its aspect, by Pillow's bilinear filter, which averages when it shrinks; it
    computes in fixed point, so that every machine gets the same bytes.
    """
    assert channels in (1, 3), channels
    assert pixels.dtype == np.uint8, pixels.dtype
    assert pixels.ndim == 3, pixels.shape
    if pixels.shape[:2] == (height, width) and pixels.shape[2] == channels:
        return pixels
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    if channels == 1:
        image = image.convert("L")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    grey_or_colour = _array(image)
    return np.repeat(grey_or_colour, channels // grey_or_colour.shape[2], axis=2)


def _silence() -> None:
    """Silences Pillow's warnings of broken metadata and large images, which are reported as reasons or are harmless.

    The filter covers Pillow's modules only; ``catch_warnings`` would swap the filters of all threads.
    """
    if not any(action == "ignore" and module and module.match("PIL.") for action, _, _, module, _ in _filters()):
        warnings.filterwarnings("ignore", module=r"PIL\.")


def _filters() -> list[tuple[Any, ...]]:
    return list(warnings.filters)


def _open(data: bytes) -> ImageFile.ImageFile:
    """The image with its header read, by the one format whose signature it carries."""
    if not data:
        raise Undecodable("empty_file", "the file has no bytes")
    for name, (module, proof) in FORMATS.items():
        importlib.import_module(f"PIL.{module}")
        factory, accept = Image.OPEN[name]
        if accept is None or not (accepted := accept(data[:16])):
            continue
        if isinstance(accepted, str):  # Pillow was built without the library: its own words
            raise Undecodable("unsupported_format", accepted)
        try:
            return factory(io.BytesIO(data), "")
        except Exception as error:
            if not proof:
                continue
            if name == "AVIF" and b"avi" not in data[8 : int.from_bytes(data[:4], "big")]:
                continue  # a sibling in the same container, HEIC most often
            raise _undecodable(name, data, error) from error
    for offset, signature, name in _UNREAD:
        if data[offset : offset + len(signature)] == signature:
            raise Undecodable("unsupported_format", f"{name} is not read; convert it to PNG or JPEG")
    if b"<svg" in data[:1024].lower():
        raise Undecodable("unsupported_format", "SVG is not read; convert it to PNG or JPEG")
    for name, signs in _REMAINS.items():
        if data.endswith(signs[-1]) and all(sign in data for sign in signs):
            raise Undecodable("corrupt", f"{name}: the header is overwritten")
    raise Undecodable("not_an_image", "it carries the signature of no image format")


def _frames(image: ImageFile.ImageFile) -> int:
    """Frames or pages. The further pictures of an MPO are previews, gain maps or the other eye of the same shot: 1."""
    if image.format == "MPO":
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a broken later frame: there is more than one
        return 2


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """A loaded image as uint8 [h, w, 1 or 3], as it is stored."""
    if image.mode in ("I", "F"):
        return _unbounded(np.asarray(image))
    if image.mode == "LAB":
        return _array(_from_lab(image))
    if image.has_transparency_data or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        straight = image.convert("LA" if image.mode in _GREY else "RGBA")
        return _over_white(np.asarray(straight))
    wanted = "L" if image.mode in _GREY else "RGB"
    # convert copies an image that is in the wanted mode already
    return _array(image if image.mode == wanted else image.convert(wanted))


def _upright(pixels: NDArray[np.uint8], image: Image.Image) -> NDArray[np.uint8]:
    turn = _TURNS.get(_orientation(image))
    if turn is None:
        return pixels
    whole = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    return _array(whole.transpose(turn))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken metadata is no reason to lose the picture: upright is the default of the standard
        return 1


def _array(image: Image.Image) -> NDArray[np.uint8]:
    array = np.asarray(image, dtype=np.uint8)
    return array[:, :, None] if array.ndim == 2 else array


@dataclass(frozen=True, kw_only=True, eq=False)
class _Deep:
    """Samples of up to 16 bits, uint16 [h, w, channels] in the order of Pillow's ``mode``.

    ``top`` is the sample that the file declares to be white, None if it declares only that it holds 16 bits;
    ``transparent`` is the colour that stands for nothing.
    """

    samples: NDArray[np.uint16]
    mode: str
    top: int | None
    inverted: bool = False
    transparent: tuple[int, ...] | None = None

    def peak(self) -> int:
        """The largest colour sample if the file declares no range, else 0."""
        return int(self._colours().max(initial=0)) if self.top is None else 0

    def pixels(self, bits: int) -> NDArray[np.uint8]:
        """uint8 [h, w, 1 or 3]."""
        colours = self._colours()
        levels = _scaled(colours, self.top or (1 << bits) - 1)
        if self.inverted:
            levels = 255 - levels
        if self.transparent is not None:
            levels[(colours == np.array(self.transparent, np.uint16)).all(axis=2)] = 255
        if colours.shape[2] < self.samples.shape[2]:  # alpha fills its 16 bits, whatever the colours do
            levels = np.concatenate([levels, _scaled(self.samples[:, :, -1:], 65535)], axis=2)
        whole = Image.frombytes(self.mode, levels.shape[1::-1], np.ascontiguousarray(levels).tobytes())
        return _pixels(whole)

    def _colours(self) -> NDArray[np.uint16]:
        return self.samples[:, :, :-1] if self.mode in ("LA", "RGBA", "RGBa") else self.samples


def _scaled(samples: NDArray[np.uint16], top: int) -> NDArray[np.uint8]:
    """Samples in [0, top] as levels in [0, 255], rounded to the nearest; what lies above ``top`` is 255."""
    exact = (np.minimum(samples, top).astype(np.uint32) * 255 + top // 2) // top
    return exact.astype(np.uint8)


def _deep(image: ImageFile.ImageFile, data: bytes) -> _Deep | None:
    """The samples of an image with more than 8 bits each, of which Pillow's modes keep the high byte of colours alone.

    None for any other image, and for whole numbers outside 16 bits. Loads grey images, and leaves others as they are.
    """
    tags: Any = getattr(image, "tag_v2", None) or {}
    declared = _declared(image, tags)
    transparent = image.info.get("transparency")
    if image.mode.startswith("I;16"):
        image.load()
        samples = np.asarray(image).astype(np.uint16)[:, :, None]
        # white is zero, which Pillow turns for 8 bits alone
        inverted = tags.get(_PHOTOMETRIC) == 0
        nothing = (transparent,) if isinstance(transparent, int) else None
        return _Deep(samples=samples, mode="L", top=declared, inverted=inverted, transparent=nothing)
    if image.mode == "I":
        image.load()
        values = np.asarray(image)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            return None
        return _Deep(samples=values.astype(np.uint16)[:, :, None], mode="L", top=declared)
    layouts = {_layout(tile) for tile in image.tile}
    if image.mode not in ("RGB", "RGBA", "CMYK") or not layouts or not all(";16" in each for each in layouts):
        return None
    if layouts == {"LA;16B"}:
        # its two bytes of grey and two of alpha, as if they were four channels
        pairs = _bytes_of(data, "RGBA", {"LA;16B": "RGBA"})
        return _Deep(samples=_joined(pairs[:, :, 0::2], pairs[:, :, 1::2]), mode="LA", top=declared)
    if not all(each[-1] in _SWAPPED for each in layouts):
        return None
    high = _bytes_of(data, image.mode, {each: each for each in layouts})
    low = _bytes_of(data, image.mode, {each: each[:-1] + _SWAPPED[each[-1]] for each in layouts})
    nothing = transparent if isinstance(transparent, tuple) and image.mode == "RGB" else None
    return _Deep(samples=_joined(high, low), mode=image.mode, top=declared, transparent=nothing)


def _joined(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    samples: NDArray[np.uint16] = high.astype(np.uint16) << np.uint16(8) | low
    return samples


def _declared(image: ImageFile.ImageFile, tags: Any) -> int | None:
    """The sample that the file declares to be white, None if it declares only 16 bits."""
    depth = int(tags[_BITS_PER_SAMPLE][0]) if _BITS_PER_SAMPLE in tags else 16
    greatest = tags.get(_MAX_SAMPLE_VALUE)
    greatest = max(greatest) if isinstance(greatest, tuple) else greatest
    if isinstance(greatest, int) and 0 < greatest < 65535:
        return greatest
    if image.format == "PPM" and image.tile[0].codec_name != "raw":  # Pillow scales by the range that it declares
        return 65535
    return (1 << depth) - 1 if depth < 16 else None


def _layout(tile: Any) -> str:
    """Pillow's name of how the samples lie in the file."""
    return str(tile.args if isinstance(tile.args, str) else tile.args[0]) if tile.args else ""


def _bytes_of(data: bytes, mode: str, layouts: dict[str, str]) -> NDArray[np.uint8]:
    """One byte of each sample, uint8 [h, w, channels]: the file read again, by other layouts than its own."""
    image = _open(data)
    image._mode = mode
    image.tile = [tile._replace(args=_relaid(tile.args, layouts[_layout(tile)])) for tile in image.tile]
    image.load()
    return np.asarray(image, dtype=np.uint8)


def _relaid(arguments: Any, layout: str) -> Any:
    return layout if isinstance(arguments, str) else (layout, *arguments[1:])


def _unbounded(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Floats, or whole numbers outside 16 bits, with no declared range.

    Floats within [0, 1] are scaled by 255; floats within [0, 255] are taken as they are; all else is stretched from its
    least to its greatest value. What is not finite is black.
    """
    finite = np.isfinite(values)
    exact = np.where(finite, values, 0).astype(np.float64)
    low, high = (float(exact[finite].min()), float(exact[finite].max())) if finite.any() else (0.0, 0.0)
    if values.dtype.kind == "f" and low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    scaled = (exact - low) * (255.0 / (high - low)) if high > low else np.zeros_like(exact)
    scaled[~finite] = 0
    return np.floor(np.clip(scaled, 0, 255) + 0.5).astype(np.uint8)[:, :, None]


def _over_white(straight: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Straight alpha uint8 [h, w, 2 or 4] composited over white, rounded to the nearest."""
    alpha = straight[:, :, -1:].astype(np.uint16)
    return ((straight[:, :, :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    turned = ImageCms.profileToProfile(
        image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert turned is not None  # it is None only where the image is changed in place
    return turned


def _undecodable(name: str, data: bytes, error: Exception) -> Undecodable:
    detail = f"{name}: {error}" if str(error) else f"{name}: {type(error).__name__}"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning | MemoryError):
        return Undecodable("decompression_bomb", detail)
    if isinstance(error, ValueError) and "too large" in str(error).lower():
        return Undecodable("decompression_bomb", detail)
    complete = _complete(name, data)
    if complete is None:
        words = ("truncated", "unexpected end", "eof", "not enough")
        complete = not isinstance(error, EOFError) and not any(word in str(error).lower() for word in words)
    return Undecodable("corrupt" if complete else "truncated", detail)


def _complete(name: str, data: bytes) -> bool | None:
    """Whether the file has the length its structure declares; None for formats that do not declare one reliably."""
    match name:
        case "JPEG" | "MPO":  # the end marker of a thumbnail comes before the start of the picture's scan
            return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
        case "PNG":
            return any(kind == b"IEND" for kind in _png_chunks(data))
        case "GIF":
            return data.endswith(b"\x3b")
        case "WEBP":
            return len(data) >= 12 and len(data) >= int.from_bytes(data[4:8], "little") + 8
        case "AVIF":
            return not _boxes_run_over(data)
        case "JPEG2000":
            return not _boxes_run_over(data) if data[4:8] == b"jP  " else data.endswith(b"\xff\xd9")
        case "BMP" if len(data) < int.from_bytes(data[2:6], "little"):
            return False
        case "TIFF":
            order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
            return False if len(data) <= max(8, int.from_bytes(data[4:8], order)) else None
        case _:
            return None


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """The kinds of the complete chunks."""
    offset = 8
    while offset + 12 <= len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        if offset + 12 + length > len(data):
            return
        yield data[offset + 4 : offset + 8]
        offset += 12 + length


def _boxes_run_over(data: bytes) -> bool:
    """Whether an ISO base media file's top-level boxes need more bytes than the file has."""
    offset = 0
    while offset + 8 <= len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        if length == 1 and offset + 16 <= len(data):
            length = int.from_bytes(data[offset + 8 : offset + 16], "big")
        if length == 0:  # to the end of the file
            return False
        if length < 8 or offset + length > len(data):
            return offset + length > len(data)
        offset += length
    return offset != len(data)
