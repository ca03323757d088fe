"""Every mode, depth and orientation against arithmetic on the pixels that were stored; every way to be broken."""

from __future__ import annotations

import ast
import io
import pickle
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin

from hallmark.contracts import reasons
from hallmark.images import decoding
from hallmark.images.decoding import FORMATS, REASONS, Undecodable, decode, prepare, prepare_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

RANDOM = np.random.default_rng(3)
COLOUR = RANDOM.integers(0, 256, (9, 14, 3), dtype=np.uint8)
GREY = RANDOM.integers(0, 256, (9, 14), dtype=np.uint8)
ALPHA = RANDOM.integers(0, 256, (9, 14), dtype=np.uint8)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


SMALL: dict[str, bytes] = {form: encoded(Image.fromarray(COLOUR), form) for form in FORMATS}


def over_white(values: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    share = alpha.astype(float) / 255
    return np.floor(values * share + 255 * (1 - share) + 0.5).astype(np.uint8)


def check(data: bytes, expected: NDArray[np.uint8], mode: str, tolerance: int = 0) -> None:
    result = decode(data)
    expected = expected if expected.ndim == 3 else expected[:, :, None]
    assert result.mode == mode
    assert result.pixels.dtype == np.uint8
    assert (result.height, result.width) == expected.shape[:2]
    assert result.pixels.shape == expected.shape
    assert np.abs(result.pixels.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "PPM", "QOI", "SGI", "PCX", "JPEG2000", "WEBP", "GIF"])
def test_lossless_formats_give_the_pixels_stored(form: str) -> None:
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    if form == "GIF":
        few = COLOUR // 128 * 128
        check(encoded(Image.fromarray(few), form), few, "P")
    else:
        check(encoded(Image.fromarray(COLOUR), form, **options), COLOUR, "RGB")


def test_every_format_is_recognised_by_its_content() -> None:
    smooth = Image.fromarray(COLOUR).resize((60, 40), Image.Resampling.BICUBIC)
    for form in FORMATS:
        result = decode(encoded(smooth, form))
        assert result.format == form
        assert np.abs(result.pixels.astype(int) - np.asarray(smooth)).mean() < 12, form


def test_grey_and_one_bit() -> None:
    check(encoded(Image.fromarray(GREY)), GREY, "L")
    check(encoded(Image.fromarray(GREY), "JPEG", quality=100), GREY, "L", tolerance=3)
    bits = GREY > 127
    check(encoded(Image.fromarray(bits)), bits.astype(np.uint8) * 255, "1")
    check(encoded(Image.fromarray(bits), "TIFF"), bits.astype(np.uint8) * 255, "1")


def test_alpha_is_composited_over_white() -> None:
    check(encoded(Image.fromarray(np.dstack([COLOUR, ALPHA]))), over_white(COLOUR, ALPHA[:, :, None]), "RGBA")
    check(encoded(Image.fromarray(np.dstack([GREY, ALPHA]))), over_white(GREY, ALPHA), "LA")


def test_transparent_colours_are_white() -> None:
    image = Image.fromarray(COLOUR)
    expected = COLOUR.copy()
    expected[2, 3] = 255
    check(encoded(image, transparency=tuple(int(value) for value in COLOUR[2, 3])), expected, "RGB")
    grey = np.where(GREY == GREY[0, 0], 255, GREY)
    check(encoded(Image.fromarray(GREY), transparency=int(GREY[0, 0])), grey, "L")
    deep = GREY.astype(np.uint16) * 257
    check(encoded(Image.fromarray(deep), transparency=int(deep[0, 0])), grey, "I;16")


def test_palettes_with_and_without_transparency() -> None:
    places = RANDOM.integers(0, 4, (9, 14), dtype=np.uint8)
    colours = RANDOM.integers(0, 256, (4, 3), dtype=np.uint8)
    image = Image.fromarray(places).convert("L")
    image.putpalette(colours.tobytes())
    check(encoded(image), colours[places], "P")
    alphas = np.array([255, 0, 100, 255], dtype=np.uint8)
    check(
        encoded(image, transparency=alphas.tobytes()),
        over_white(colours[places], alphas[places][:, :, None]),
        "P",
    )


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    deep = np.linspace(0, 65535, 9 * 14).reshape(9, 14).astype(np.uint16)
    expected = np.floor(deep / 257 + 0.5).astype(np.uint8)
    check(encoded(Image.fromarray(deep)), expected, "I;16")
    check(encoded(Image.fromarray(deep), "TIFF"), expected, "I;16")
    check(encoded(Image.fromarray(deep), "PPM"), expected, "I")
    check(encoded(Image.fromarray(deep), "JPEG2000"), expected, "I;16")
    big_endian = deep.astype(">u2")
    check(b"MM" + tiff(">", big_endian.tobytes(), 14, 9, bits=16), expected, "I;16B")


def tiff(order: str, strip: bytes, width: int, height: int, *, bits: int, photometric: int = 1) -> bytes:
    """A minimal TIFF after its byte order mark."""
    entries = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1)]
    entries += [(278, height), (279, len(strip))]
    directory = struct.pack(f"{order}H", len(entries))
    for tag, value in entries:
        kind, pattern = (4, "I") if tag in (273, 279) else (3, "Hxx")
        directory += struct.pack(f"{order}HHI{pattern}", tag, kind, 1, value)
    return struct.pack(f"{order}HI", 42, 8 + len(strip)) + strip + directory + bytes(4)


def test_the_depth_and_polarity_a_tiff_declares() -> None:
    deep = np.linspace(0, 65535, 9 * 14).reshape(9, 14).astype("<u2")
    inverted = 255 - np.floor(deep / 257 + 0.5).astype(np.uint8)
    check(b"II" + tiff("<", deep.tobytes(), 14, 9, bits=16, photometric=0), inverted, "I;16")
    # two pixels of 12 bits in three bytes: 0xFFF and 0x800
    assert decode(b"II" + tiff("<", bytes([0xFF, 0xF8, 0x00]), 2, 1, bits=12)).pixels.ravel().tolist() == [255, 128]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_floats_and_long_integers() -> None:
    shares = np.linspace(0, 1, 9 * 14, dtype=np.float32).reshape(9, 14)
    expected = np.floor(shares * 255.0 + 0.5).astype(np.uint8)
    check(encoded(Image.fromarray(shares), "TIFF"), expected, "F")
    check(encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"), GREY, "F")
    check(encoded(Image.fromarray(shares * 2000 - 1000), "TIFF"), expected, "F", tolerance=1)
    holes = shares.copy()
    holes[0, 5], holes[1, 1] = np.nan, np.inf
    expected[0, 5] = expected[1, 1] = 0
    check(encoded(Image.fromarray(holes), "TIFF"), expected, "F")
    check(encoded(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "TIFF"), np.zeros((2, 2), np.uint8), "F")
    long = GREY.astype(np.int32) * 257
    check(encoded(Image.fromarray(long), "TIFF"), GREY, "I")
    stretched = np.linspace(-70000, 70000, 9 * 14).reshape(9, 14).astype(np.int32)
    result = decode(encoded(Image.fromarray(stretched), "TIFF")).pixels
    assert (result.min(), result.max()) == (0, 255)
    assert (np.diff(result.ravel().astype(int)) >= 0).all()


def test_cmyk_ycbcr_and_lab() -> None:
    cmyk = RANDOM.integers(0, 256, (9, 14, 4), dtype=np.uint8)
    ink, black = cmyk[:, :, :3].astype(float), cmyk[:, :, 3:].astype(float)
    expected = ((255 - ink) * (255 - black) / 255).round().astype(np.uint8)
    check(encoded(Image.frombytes("CMYK", (14, 9), cmyk.tobytes()), "TIFF"), expected, "CMYK", tolerance=1)
    smooth = Image.new("CMYK", (14, 9), (40, 80, 120, 20))
    check(encoded(smooth, "JPEG", quality=100), np.asarray(smooth.convert("RGB")), "CMYK", tolerance=3)
    colours = Image.fromarray(np.full((9, 14, 3), (200, 40, 90), np.uint8))
    check(encoded(colours.convert("YCbCr"), "TIFF"), np.asarray(colours), "YCbCr", tolerance=2)
    lab = ImageCms.profileToProfile(
        colours, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    check(encoded(lab, "TIFF"), np.asarray(colours), "LAB", tolerance=4)


TURNED = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, 1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, 3),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_orientation_is_undone(form: str, orientation: int) -> None:
    """What a camera held at that orientation stores of COLOUR, decoded, is COLOUR."""
    stored = np.ascontiguousarray(TURNED[orientation](COLOUR))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    check(encoded(Image.fromarray(stored), form, exif=exif, **options), COLOUR, "RGB")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "I;16", "1"])
def test_orientation_of_other_modes(mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    bits = ((GREY > 127) * 255).astype(np.uint8)
    upright = (bits if mode == "1" else GREY)[:, :, None]
    turned = np.rot90(upright[:, :, 0]).copy()
    stored = Image.fromarray(turned.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(turned)
    data = encoded(stored if mode == "I;16" else stored.convert(mode), exif=exif)
    assert (decode(data).pixels == upright).all()


def test_broken_metadata_does_not_cost_the_picture() -> None:
    data = encoded(Image.fromarray(COLOUR))
    broken = data[:33] + chunk(b"eXIf", b"II*\x00\xff\xff\xff\xff") + data[33:]
    check(broken, COLOUR, "RGB")


def test_first_frame_and_number_of_frames() -> None:
    frames = [Image.fromarray(np.full((6, 5), shade, np.uint8)) for shade in (10, 120, 250)]
    for form in ("GIF", "TIFF", "PNG", "WEBP"):
        options = {"lossless": True} if form == "WEBP" else {}
        result = decode(encoded(frames[0], form, save_all=True, append_images=frames[1:], **options))
        assert result.frames == 3, form
        assert (result.pixels == 10).all(), form
    assert decode(encoded(frames[0])).frames == 1


def test_a_phone_s_jpeg_with_a_second_picture_is_one_image() -> None:
    first, second = Image.new("RGB", (16, 8), (250, 10, 10)), Image.new("RGB", (16, 8))
    result = decode(encoded(first, "MPO", save_all=True, append_images=[second]))
    assert (result.format, result.frames) == ("MPO", 1)
    assert abs(int(result.pixels[4, 8, 0]) - 250) < 4


def test_a_broken_later_page_does_not_cost_the_first() -> None:
    pages = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    with TiffImagePlugin.TiffImageFile(io.BytesIO(data)) as image:
        image.seek(1)
    result = decode(data[: len(data) - 40])
    assert (result.pixels[:, :, 0] == GREY).all()
    assert result.frames == 2


def reason_of(data: bytes, **options: int) -> str:
    with pytest.raises(Undecodable) as caught:
        decode(data, **options)
    assert caught.value.detail
    return caught.value.reason


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_truncated_files_are_reported(form: str) -> None:
    data = encoded(Image.fromarray(COLOUR).resize((64, 48)), form)
    for share in (0.3, 0.6, 0.9):
        assert reason_of(data[: int(len(data) * share)]) == "truncated"


def test_corrupt_files_are_reported() -> None:
    png = encoded(Image.fromarray(COLOUR))
    assert reason_of(png[:60] + RANDOM.bytes(len(png) - 90) + png[-30:]) == "corrupt"
    assert reason_of(png[:20] + b"\x00" * 4 + png[24:]) == "corrupt"
    jpeg = encoded(Image.fromarray(COLOUR).resize((64, 48)), "JPEG")
    start = jpeg.index(b"\xff\xda")
    assert reason_of(b"\xff\xd8\xff\xe0" + RANDOM.bytes(start).replace(b"\xff", b"") + jpeg[-2:]) == "corrupt"
    assert reason_of(RANDOM.bytes(24) + jpeg[24:]) == "corrupt"
    assert reason_of(RANDOM.bytes(24) + png[24:]) == "corrupt"


@pytest.mark.parametrize(
    "data",
    [
        b"not an image at all",
        b"<!DOCTYPE html><html>404</html>",
        b"BMW is a car",
        b"P5 is a format",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        bytes(100),
        b"\xff\xd8",
        b"PK\x03\x04" + bytes(50),
    ],
)
def test_what_is_no_image(data: bytes) -> None:
    assert reason_of(data) == "not_an_image"


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
        b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic",
        b"\x00\x00\x00\x18ftypmp42" + bytes(20),
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"></svg>',
        b"8BPS\x00\x01" + bytes(40),
        b"%PDF-1.7\n",
        b"\xff\x0a\x00\x00",
        bytes(128) + b"DICM",
    ],
)
def test_formats_we_do_not_read(data: bytes) -> None:
    assert reason_of(data) == "unsupported_format"


def test_no_bytes() -> None:
    assert reason_of(b"") == "empty_file"


def test_bombs_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    assert reason_of(bomb) == "decompression_bomb"
    assert reason_of(SMALL["PNG"], max_pixels=9 * 14 - 1) == "decompression_bomb"


def test_the_limit_itself_is_allowed() -> None:
    assert decode(SMALL["PNG"], max_pixels=9 * 14).width == 14


@settings(max_examples=150)
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda form, place, noise: (
                (whole := SMALL[form])[: place % len(whole)] + noise + whole[place % len(whole) + len(noise) :]
            ),
            st.sampled_from(sorted(FORMATS)),
            st.integers(0, 10_000),
            st.binary(min_size=1, max_size=30),
        ),
    )
)
def test_anything_decodes_or_is_undecodable(data: bytes) -> None:
    reason = ""
    try:
        result = decode(data, max_pixels=1_000_000)
    except Undecodable as refused:
        reason = refused.reason
    else:
        assert result.pixels.shape[:2] == (result.height, result.width)
    assert reason in ("", *REASONS)


def test_reasons_are_in_the_closed_list_and_errors_cross_processes() -> None:
    assert set(REASONS) <= set(reasons.REASONS)
    again = pickle.loads(pickle.dumps(Undecodable("corrupt", "why")))
    assert (again.reason, again.detail, str(again)) == ("corrupt", "why", "corrupt: why")


def test_the_file_stands_alone() -> None:
    tree = ast.parse(Path(decoding.__file__).read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"PIL", "numpy"}


def test_threads_decode_alike() -> None:
    files = [SMALL[form] for form in sorted(FORMATS)] * 8
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda data: decode(data).pixels, files))
    for data, pixels in zip(files, results, strict=True):
        assert (decode(data).pixels == pixels).all()


def test_prepare_is_decode_convert_resize() -> None:
    data = encoded(Image.fromarray(COLOUR))
    assert (prepare(data, 9, 14, 3) == COLOUR).all()
    reference = Image.fromarray(COLOUR).resize((5, 4), Image.Resampling.BILINEAR)
    assert (prepare(data, 4, 5, 3) == np.asarray(reference)).all()
    luma = Image.fromarray(COLOUR).convert("L").resize((5, 4), Image.Resampling.BILINEAR)
    assert (prepare(data, 4, 5, 1)[:, :, 0] == np.asarray(luma)).all()
    grey = prepare(encoded(Image.fromarray(GREY)), 9, 14, 3)
    assert (grey == GREY[:, :, None]).all()
    with pytest.raises(Undecodable):
        prepare(b"", 4, 4, 1)


def test_shrinking_averages() -> None:
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[:, :, None]
    assert np.abs(prepare_pixels(checks, 8, 8, 1).astype(int) - 127).max() <= 2


@settings(max_examples=40)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    channels=st.sampled_from([1, 3]),
    stored=st.sampled_from([1, 3]),
)
def test_prepared_pixels_have_the_shape_asked_for(height: int, width: int, channels: int, stored: int) -> None:
    pixels = np.full((7, 11, stored), 77, np.uint8)
    result = prepare_pixels(pixels, height, width, channels)
    assert result.shape == (height, width, channels)
    assert result.dtype == np.uint8
    assert (result == 77).all()


def png16(samples: NDArray[np.uint16], colour_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits a sample, which Pillow does not write for colours."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in parts)


def levels(samples: NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    top = 2**bits - 1
    scaled: NDArray[np.uint8] = np.floor(np.minimum(samples, top) * 255.0 / top + 0.5).astype(np.uint8)
    return scaled


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_samples_are_scaled_by_the_bits_their_set_uses(bits: int) -> None:
    grey = RANDOM.integers(0, 2**bits, (9, 14, 1), dtype=np.uint16)
    colour = RANDOM.integers(0, 2**bits, (9, 14, 3), dtype=np.uint16)
    alpha = np.full((9, 14, 1), 65535, np.uint16)
    order: dict[Any, str] = {"<": "II", ">": "MM"}
    files = {
        "grey": (png16(grey, 0), grey),
        "grey with alpha": (png16(np.concatenate([grey, alpha], axis=2), 4), grey),
        "colour": (png16(colour, 2), colour),
        "colour with alpha": (png16(np.concatenate([colour, alpha], axis=2), 6), colour),
        "PGM": (b"P5 14 9 65535\n" + grey.astype(">u2").tobytes(), grey),
        **{
            f"TIFF {mark}": (mark.encode() + tiff(sign, grey.astype(f"{sign}u2").tobytes(), 14, 9, bits=16), grey)
            for sign, mark in order.items()
        },
    }
    for name, (data, samples) in files.items():
        decoded = decode(data, bits=bits)
        assert (decoded.pixels == levels(samples, bits)).all(), name
        assert decoded.peak == samples.max(), name


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("shape", [(9, 14), (9, 14, 3)])
def test_16_bit_tiffs_however_packed(shape: tuple[int, ...], compression: str | None) -> None:
    import cv2

    samples = RANDOM.integers(0, 4096, shape, dtype=np.uint16)
    codes = {None: 1, "tiff_lzw": 5, "tiff_adobe_deflate": 8, "packbits": 32773}
    _, data = cv2.imencode(".tif", samples[..., ::-1] if len(shape) == 3 else samples, [259, codes[compression]])
    decoded = decode(data.tobytes(), bits=12)
    assert (decoded.pixels == levels(samples.reshape(9, 14, -1), 12)).all()
    assert decoded.peak == samples.max()


def test_alpha_fills_its_16_bits_whatever_the_colours_use() -> None:
    colour = np.full((2, 2, 3), 4095, np.uint16)
    clear = np.array([[0, 65535], [65535, 0]], np.uint16)[..., None]
    pixels = decode(png16(np.concatenate([colour // 2, clear], axis=2), 6), bits=12).pixels
    assert pixels[..., 0].tolist() == [[255, 127], [127, 255]]


def test_a_transparent_colour_is_compared_with_16_bits() -> None:
    samples = np.array([[[300, 300, 300], [301, 300, 300]]], np.uint16)
    data = png16(samples, 2, (b"tRNS", struct.pack(">HHH", 300, 300, 300)))
    assert decode(data, bits=12).pixels.tolist() == [[[255, 255, 255], [19, 19, 19]]]


def test_a_range_that_the_file_declares_beats_the_sets() -> None:
    samples = RANDOM.integers(0, 1024, (9, 14), dtype=np.uint16)
    expected = levels(samples, 10)[..., None]
    pgm = decode(b"P5 14 9 1023\n" + samples.astype(">u2").tobytes(), bits=16)
    assert np.abs(pgm.pixels.astype(int) - expected).max() <= 1  # Pillow rounds once before us
    file = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[281] = 1023
    Image.fromarray(samples).save(file, "TIFF", tiffinfo=tags)
    decoded = decode(file.getvalue(), bits=16)
    assert (decoded.pixels == expected).all()
    assert (pgm.peak, decoded.peak) == (0, 0)


@pytest.mark.parametrize("form", list(FORMATS))
def test_8_bit_files_have_no_peak_and_no_use_for_bits(form: str) -> None:
    assert decode(SMALL[form]).peak == 0
    assert (decode(SMALL[form], bits=9).pixels == decode(SMALL[form]).pixels).all()
