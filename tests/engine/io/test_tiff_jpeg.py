"""Tiles that are JPEG: the short way to them, and that it gives what the long way gives."""

from contextlib import contextmanager

import imagecodecs
import numpy as np
import pytest
import tifffile

from tilescope.domain.geometry import Rect
from tilescope.errors import TileReadError
from tilescope.io.bytefile import ByteFile
from tilescope.io.cache import TileCache
from tilescope.io.jpeg_tiles import empty_tile, jpeg_tiles
from tilescope.io.region import read_region
from tilescope.io.slide_reader import SlideReader
from tilescope.io.tiff_source import TiffSource


def texture(width, height):
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 40, (height, width))
    return np.stack([x // 5 % 200 + noise, y // 3 % 200 + noise, (x + y) % 200], 2).astype(np.uint8)


@pytest.mark.parametrize("shape", [(256, 256, 3), (240, 240, 3), (1, 7, 3), (16, 16, 1)])
def test_memory_for_tiles_lies_between_vectors(shape):
    for _ in range(20):
        tile = empty_tile(shape)
        assert tile.shape == shape
        assert tile.flags.c_contiguous
        assert tile.__array_interface__["data"][0] % 32 == 16


@contextmanager
def short_way(path):
    """Yield a function that reads a tile of the first page the short way."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        places = np.asarray(page.dataoffsets), np.asarray(page.databytecounts)
        tiles, file = jpeg_tiles(page, *places), ByteFile(path)
    try:
        yield (lambda col, row: tiles.read(file, col, row)) if tiles else None
    finally:
        file.close()


@pytest.fixture(params=["4:2:0", "4:2:2", "4:4:4", "rgb", "grey", "tables"])
def path(request, tmp_path, hes_slide):
    if request.param == "tables":
        return hes_slide
    pixels = texture(330, 280)
    if request.param == "grey":
        options = {"photometric": "minisblack"}
        pixels = pixels[..., 0]
    elif request.param == "rgb":
        options = {"photometric": "rgb", "compressionargs": {"outcolorspace": "rgb"}}
    else:
        steps = {"4:2:0": (2, 2), "4:2:2": (2, 1), "4:4:4": (1, 1)}[request.param]
        options = {"photometric": "ycbcr", "subsampling": steps}
    name = tmp_path / "a.tif"
    tifffile.imwrite(name, pixels, tile=(64, 96), compression="jpeg", metadata=None, **options)
    return name


def test_both_ways_give_what_tifffile_reads(path):
    whole = np.atleast_3d(tifffile.imread(path))
    whole = whole[..., None] if whole.ndim == 2 else whole
    with TiffSource.open(path) as source, short_way(path) as short:
        level = source.info.levels[0]
        assert (short is None) == (whole.shape[2] == 1)
        for row in range(level.rows):
            for col in range(level.columns):
                y, x = row * level.tile.height, col * level.tile.width
                expected = whole[y : y + level.tile.height, x : x + level.tile.width]
                np.testing.assert_array_equal(source.read_tile(0, col, row), expected)
                the_long_way = SlideReader.read_tile(source, 0, col, row)
                np.testing.assert_array_equal(the_long_way, expected)
                found = short(col, row) if short else None
                if expected.shape[:2] != (level.tile.height, level.tile.width) or not short:
                    assert found is None
                else:
                    np.testing.assert_array_equal(found, expected)


def replace_first_tile(path, data):
    with tifffile.TiffFile(path, mode="r+") as tif:
        offset = path.stat().st_size
        offsets, counts = tif.pages[0].dataoffsets, tif.pages[0].databytecounts
        tif.pages[0].tags["TileOffsets"].overwrite([offset, *offsets[1:]])
        tif.pages[0].tags["TileByteCounts"].overwrite([len(data), *counts[1:]])
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "a.tif"
    options = {"photometric": "ycbcr", "compression": "jpeg", "metadata": None}
    tifffile.imwrite(path, texture(256, 256), tile=(128, 128), **options)
    return path


def test_a_huge_stream_is_not_decoded(plain):
    flat = np.zeros((4096, 4096, 3), np.uint8)
    replace_first_tile(plain, imagecodecs.jpeg8_encode(flat, level=5)[:40000])
    with TiffSource.open(plain) as source, pytest.raises(TileReadError, match="4096 x 4096"):
        source.read_tile(0, 0, 0)


def test_a_tile_that_is_left_out_is_background(plain):
    replace_first_tile(plain, b"")
    with TiffSource.open(plain) as source:
        assert (source.read_tile(0, 0, 0) == 255).all()


def test_tiles_outside_are_refused(plain):
    with TiffSource.open(plain) as source, short_way(plain) as short:
        assert short(0, 0) is not None
        assert [short(*place) for place in ((2, 0), (0, 2), (-1, 0), (0, -1))] == [None] * 4
        for place in ((0, 2, 0), (0, -1, 0), (1, 0, 0), (0, 0, 0, 1)):
            with pytest.raises(IndexError):
                source.read_tile(*place)


def test_twelve_bits_take_the_long_way(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (64, 64), np.uint16)
    data = imagecodecs.jpeg8_encode(values, level=99, bitspersample=12)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            iter([data]), shape=(64, 64), dtype="uint16", tile=(64, 64), compression="jpeg",
            photometric="minisblack", bitspersample=12, metadata=None,
        )  # fmt: skip
    with TiffSource.open(path) as source:
        out = read_region(source, TileCache(1 << 20), 0, Rect(0, 0, 64, 64))[..., 0]
        assert out.dtype == np.uint16
        assert np.abs(out.astype(int) - values).max() <= 16
