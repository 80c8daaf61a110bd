import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageOps

from tilescope.domain.geometry import Rect
from tilescope.errors import CorruptSlide, SlideError, TileReadError, UnsupportedFormat
from tilescope.io.bmp import decode_bmp
from tilescope.io.image_chunks import icc_profile, image_orientation
from tilescope.io.image_header import check_declared_size, read_header
from tilescope.io.image_source import ImageSource
from tilescope.io.region import read_region

RNG = np.random.default_rng(0)


def opened(tmp_path, data):
    path = tmp_path / "image"
    path.write_bytes(data)
    return ImageSource.open(path)


def whole(source, cache):
    return read_region(source, cache, 0, Rect.of_size(source.info.size))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("bands", [1, 3])
def test_png_keeps_depth_and_bands(tmp_path, cache, dtype, bands):
    pixels = RNG.integers(0, np.iinfo(dtype).max, (530, 610, bands), dtype)
    with opened(tmp_path, imagecodecs.png_encode(pixels.squeeze())) as source:
        assert source.info.dtype == dtype
        assert source.info.bands == (("R", "G", "B") if bands == 3 else ("grey",))
        np.testing.assert_array_equal(whole(source, cache), pixels)


@pytest.mark.parametrize("bands", [2, 4])
def test_alpha_lies_over_white(tmp_path, cache, bands):
    pixels = np.zeros((8, 8, bands), np.uint8)
    pixels[:4, :, -1] = 255
    with opened(tmp_path, imagecodecs.png_encode(pixels)) as source:
        out = whole(source, cache)
        assert out.shape[2] == bands - 1
        assert (out[:4] == 0).all()
        assert (out[4:] == 255).all()


@pytest.mark.parametrize(
    ("kind", "encode", "tolerance"),
    [
        ("jpeg", lambda p: imagecodecs.jpeg8_encode(p, level=98, subsampling="444"), 6),
        ("webp", lambda p: imagecodecs.webp_encode(p, lossless=True), 0),
        ("bmp", imagecodecs.bmp_encode, 0),
        ("jpeg2000", lambda p: imagecodecs.jpeg2k_encode(p, level=0, codecformat="j2k"), 0),
        ("jpeg2000", lambda p: imagecodecs.jpeg2k_encode(p, level=0, codecformat="jp2"), 0),
    ],
    ids=["jpeg", "webp", "bmp", "codestream", "jp2"],
)
def test_other_kinds(tmp_path, cache, kind, encode, tolerance):
    y, x = np.mgrid[:90, :110]
    pixels = np.stack([x * 2, y * 2, x + y], axis=2).astype(np.uint8)
    with opened(tmp_path, encode(pixels)) as source:
        assert source.info.format == kind
        assert np.abs(whole(source, cache).astype(int) - pixels).max() <= tolerance


def test_a_grey_jpeg_has_one_band(tmp_path):
    with opened(tmp_path, imagecodecs.jpeg8_encode(np.zeros((20, 30), np.uint8))) as source:
        assert source.info.bands == ("grey",)


def png_of_size(width, height):
    data = bytearray(imagecodecs.png_encode(np.zeros((8, 8, 3), np.uint8)))
    data[16:24] = struct.pack(">II", width, height)
    return bytes(data)


def test_a_closed_image_says_so(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(np.zeros((70, 50), np.uint8)))
    source = ImageSource.open(path)
    source.close()
    source.close()
    with pytest.raises(TileReadError, match=r"tile \(0, 0\) of level 0 .*closed"):
        source.read_tile(0, 0, 0)


@pytest.mark.parametrize("size", [(100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_a_declared_size_above_the_bound_is_not_decoded(tmp_path, size):
    with pytest.raises(UnsupportedFormat, match="tiled format"):
        opened(tmp_path, png_of_size(*size))


@pytest.mark.parametrize("size", [(0, 8), (8, 0)])
def test_an_image_of_no_pixels_is_damage(tmp_path, size):
    with pytest.raises(SlideError, match="png image of"):
        opened(tmp_path, png_of_size(*size))


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF", b"II*"]
)
def test_headers_cut_short_are_no_images(data):
    assert read_header(data) is None


def test_jpeg_headers_are_found_behind_long_segments():
    data = imagecodecs.jpeg8_encode(np.zeros((21, 34, 3), np.uint8))
    padded = data[:2] + b"\xff\xfe" + struct.pack(">H", 60000) + b"x" * 59998 + data[2:]
    header = read_header(padded)
    assert header is not None
    assert (header.width, header.height) == (34, 21)


def test_tiles_may_be_padded_but_not_huge():
    data = imagecodecs.jpeg8_encode(np.zeros((300, 300, 3), np.uint8))
    check_declared_size(data, 256 * 256)
    with pytest.raises(ValueError, match="300 x 300"):
        check_declared_size(data, 64)


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("bits", [8, 24, 32])
def test_bitmaps_of_every_depth(bits, top_down):
    pixels = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    table = b""
    rows = np.zeros((5, -(-7 * bits // 32) * 4), np.uint8)
    if bits == 8:
        greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 4, axis=1)
        table, pixels = greys.tobytes(), np.repeat(pixels[..., :1], 3, axis=2)
        rows[:, :7] = pixels[..., 0]
    else:
        rows[:, : 7 * bits // 8].reshape(5, 7, bits // 8)[..., :3] = pixels[..., ::-1]
    start = 54 + len(table)
    head = struct.pack("<2sIIIIiiHHIIiiII", b"BM", 0, 0, start, 40, 7, -5 if top_down else 5,
                       1, bits, 0, 0, 0, 0, 0, 0)  # fmt: skip
    data = head + table + (rows if top_down else rows[::-1]).tobytes()
    np.testing.assert_array_equal(decode_bmp(data), pixels)
    with pytest.raises(ValueError, match="do not hold"):
        decode_bmp(data[:-1])


@pytest.mark.parametrize("adobe", [False, True])
def test_a_cmyk_jpeg_becomes_colour(tmp_path, cache, adobe):
    cyan = np.zeros((16, 16, 4), np.uint8)
    cyan[..., 0] = 255
    stored = 255 - cyan if adobe else cyan
    data = imagecodecs.jpeg8_encode(stored, level=98, colorspace="CMYK", outcolorspace="CMYK")
    at = data.find(b"Adobe")
    if not adobe and at >= 0:
        data = data[:at] + b"Other" + data[at + 5 :]
    with opened(tmp_path, data) as source:
        assert np.abs(whole(source, cache)[0, 0].astype(int) - (0, 255, 255)).max() <= 3


#: Longer than one JPEG segment can be.
PROFILE = RNG.integers(0, 256, 150_000, np.uint8).tobytes()


def saved(kind, pixels=None, orientation=None, **options):
    exif = Image.Exif()
    if orientation is not None:
        exif[274] = orientation
        exif[271] = "Maker"
    memory = io.BytesIO()
    image = Image.fromarray(np.zeros((9, 7, 3), np.uint8) if pixels is None else pixels)
    image.save(memory, kind, exif=exif, **options)
    return memory.getvalue()


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("profile", [None, b"short", PROFILE], ids=["none", "short", "long"])
def test_the_colour_profile_is_handed_on(tmp_path, kind, profile):
    data = saved(kind, icc_profile=profile)
    with opened(tmp_path, data) as source:
        assert source.info.icc_profile == profile


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("value", [None, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_images_are_handed_out_upright(tmp_path, cache, kind, value):
    y, x = np.mgrid[:30, :50]
    pixels = np.stack([x * 4, y * 6, x + y], axis=2).astype(np.uint8)
    data = saved(kind, pixels, value, **({"lossless": True} if kind == "webp" else {}))
    with opened(tmp_path, data) as source:
        expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
        assert np.abs(whole(source, cache).astype(int) - expected).max() <= 3


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_what_is_cut_off_or_flipped_raises_nothing(kind):
    good = saved(kind, orientation=6, icc_profile=PROFILE)
    for cut in (*range(60), len(good) // 2):
        icc_profile(kind, good[:cut])
        image_orientation(kind, good[:cut])
    for place in RNG.integers(0, 200, 200).tolist():
        bad = bytearray(good)
        bad[place] = RNG.integers(0, 256)
        icc_profile(kind, bytes(bad))
        image_orientation(kind, bytes(bad))


def test_a_profile_that_inflates_without_end_is_ignored():
    stream = zlib.compress(bytes(40 << 20))
    chunk = b"name\0\0" + stream
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(chunk)) + b"iCCP" + chunk + b"\0" * 4
    assert icc_profile("png", data) is None


def jpeg2000_of_size(width, height):
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((8, 8, 3), np.uint16), codecformat="j2k"))
    data[8:16] = data[24:32] = struct.pack(">II", width, height)
    return bytes(data)


def test_what_jpeg2000_takes_while_it_is_decoded_is_bounded(tmp_path):
    with pytest.raises(UnsupportedFormat, match="take 720 MiB"):
        opened(tmp_path, jpeg2000_of_size(524_384, 80))


@pytest.mark.parametrize("data", [png_of_size(8000, 8000), jpeg2000_of_size(5000, 4000)])
def test_a_file_too_short_for_its_pixels_is_not_decoded(tmp_path, data):
    with pytest.raises(CorruptSlide, match="bytes are too few"):
        opened(tmp_path, data)


def test_the_densest_png_opens(tmp_path):
    pixels = np.zeros((3000, 3000), np.uint8)
    with opened(tmp_path, imagecodecs.png_encode(pixels, level=9)) as source:
        assert source.info.size.area == 9_000_000
