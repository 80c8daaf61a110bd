"""NDPI pages made on the fly: one JPEG with restart markers, and the list of where they are."""

import imagecodecs
import numpy as np
import pytest

from tilescope.domain.geometry import Rect, Size
from tilescope.errors import CorruptSlide, TileReadError, UnsupportedFormat
from tilescope.io.cache import TileCache
from tilescope.io.ndpi_tiles import gathered
from tilescope.io.openslide_source import OpenSlideSource
from tilescope.io.region import read_region
from tilescope.io.tiff_directories import has_wide_offsets
from tilescope.io.tiff_source import TiffSource
from tilescope.testing.ndpi import jpeg_with_restarts, write_ndpi
from tilescope.testing.sources import SlideSourceContract


def texture(width, height, seed=0):
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).integers(0, 40, (height, width))
    return np.stack([x // 5 % 200 + noise, y // 3 % 200 + noise, (x + y) % 200], 2).astype(np.uint8)


def whole(source, level=0, plane=0):
    rect = Rect.of_size(source.info.levels[level].size)
    return read_region(source, TileCache(64 << 20), level, rect, plane=plane)


def decoded(pixels, interval, **options):
    return imagecodecs.jpeg8_decode(jpeg_with_restarts(pixels, interval, **options)[0])


@pytest.mark.parametrize(
    ("width", "interval", "tile"),
    [
        (1296, 162, Size(1296, 200)),
        (1280, 20, Size(480, 512)),
        (2044, 64, Size(512, 512)),
        (1000, 5, Size(480, 512)),
    ],
    ids=["a row", "an eighth", "wider than the page", "many to a tile"],
)
def test_tiles_are_what_the_whole_jpeg_holds(tmp_path, width, interval, tile):
    pixels = texture(width, 601)
    path = write_ndpi(tmp_path / "a.tif", [pixels], interval)
    with TiffSource.open(path) as source:
        info = source.info
        assert (info.format, info.levels[0].tile, info.is_rgb) == ("hamamatsu", tile, True)
        np.testing.assert_array_equal(whole(source), decoded(pixels, interval))


@pytest.mark.parametrize("subsampling", ["4:2:2", "4:2:0"])
def test_coarse_colour_differs_only_along_the_seams_of_tiles(tmp_path, subsampling):
    pixels = texture(1024, 640)
    path = write_ndpi(tmp_path / "a.tif", [pixels], 32, subsampling=subsampling)
    with TiffSource.open(path) as source:
        tile = source.info.levels[0].tile
        found = whole(source).astype(int)
    apart = np.abs(found - decoded(pixels, 32, subsampling=subsampling)).max(axis=2) > 0
    rows, columns = np.nonzero(apart)
    seam_x = np.minimum(columns % tile.width, -(columns + 1) % tile.width)
    seam_y = np.minimum(rows % tile.height, -(rows + 1) % tile.height)
    assert (np.minimum(seam_x, seam_y) <= 1).all()


def test_levels_calibration_and_objective(tmp_path):
    pages = [texture(1024, 512), texture(512, 256)]
    with TiffSource.open(write_ndpi(tmp_path / "a.tif", pages, 32)) as source:
        info = source.info
        assert [v.downsample_x for v in info.levels] == [1, 2]
        assert info.pixel_size is not None
        assert info.pixel_size.um_x == pytest.approx(0.23, rel=1e-4)
        assert info.objective_power == 20
        assert info.properties["hamamatsu.SourceLens"] == "20.0"
        np.testing.assert_array_equal(whole(source, 1), decoded(pages[1], 32))


def test_focal_planes_come_in_the_order_of_their_height(tmp_path):
    planes = {1500: texture(512, 256, 1), -1500: texture(512, 256, 2), 0: texture(512, 256, 3)}
    path = write_ndpi(tmp_path / "a.tif", planes.values(), 32, focus=list(planes))
    with TiffSource.open(path) as source:
        assert source.info.z == 3
        for plane, offset in enumerate((-1500, 0, 1500)):
            np.testing.assert_array_equal(whole(source, plane=plane), decoded(planes[offset], 32))


def test_intervals_that_run_over_the_end_of_a_row_are_left_to_others(tmp_path):
    path = write_ndpi(tmp_path / "a.tif", [texture(1024, 256)], 48)
    with pytest.raises(UnsupportedFormat, match="48 units in rows of 128"):
        TiffSource.open(path)


@pytest.mark.parametrize(
    "lie",
    [
        lambda starts: starts[::-1].copy(),
        lambda starts: np.full_like(starts, 700),
        lambda starts: starts + np.uint32(2**31),
        lambda starts: starts * np.arange(len(starts), dtype=np.uint32) ** 2,
    ],
    ids=["backwards", "all the same", "beyond the file", "growing"],
)
def test_a_list_of_intervals_that_lies_is_an_error(tmp_path, lie):
    def kept(starts):
        # the first one tells where the header ends
        changed = lie(starts)
        changed[0] = starts[0]
        return changed

    path = write_ndpi(tmp_path / "a.tif", [texture(1024, 512)], 32, starts=kept)
    with TiffSource.open(path) as source:
        level = source.info.levels[0]
        with pytest.raises(TileReadError):
            source.read_tile(0, level.columns - 1, level.rows - 1)


def test_too_short_a_list_is_damage(tmp_path):
    path = write_ndpi(
        tmp_path / "a.tif", [texture(1024, 512)], 32, starts=lambda found: found[: 2000 // 32]
    )
    with pytest.raises(CorruptSlide, match="needs 256 tiles"):
        TiffSource.open(path)


def test_wide_intervals_make_tiles_of_a_few_rows():
    assert gathered(Size(40000, 8), 40000) == Size(40000, 64)
    assert gathered(Size(64, 16), 40000) == Size(512, 512)
    assert gathered(Size(64, 16), 100) == Size(128, 512)


@pytest.mark.parametrize("suffix", [".ndpi", ".tif", ""])
def test_the_name_of_the_file_does_not_matter(tmp_path, suffix):
    pixels = texture(512, 256)
    path = write_ndpi(tmp_path / "a", [pixels], 32).rename(tmp_path / f"b{suffix}")
    assert not has_wide_offsets(path)
    with TiffSource.open(path) as source:
        assert source.info.format == "hamamatsu"
        np.testing.assert_array_equal(whole(source), decoded(pixels, 32))


def test_offsets_of_64_bits_are_known_by_the_tags(tmp_path, shared_data):
    path = tmp_path / "a.tif"
    path.write_bytes((shared_data / "slides" / "test3-DAPI-2-(387).ndpi").read_bytes())
    assert has_wide_offsets(path)
    with TiffSource.open(path) as source:
        assert [v.size.width for v in source.info.levels] == [3968, 1984, 992, 496]


@pytest.mark.parametrize("data", [b"", b"II*\0", b"II*\0" + b"\xff" * 8, b"II*\0" + b"\0" * 9])
def test_short_and_absurd_heads_have_no_wide_offsets(tmp_path, data):
    path = tmp_path / "a.ndpi"
    path.write_bytes(data)
    assert not has_wide_offsets(path)


def test_both_read_a_real_one_alike(shared_data):
    path = shared_data / "slides" / "test3-DAPI-2-(387).ndpi"
    with TiffSource.open(path) as ours, OpenSlideSource.open(path) as theirs:
        assert ours.info.pixel_size == theirs.info.pixel_size
        assert ours.info.objective_power == theirs.info.objective_power
        for level in range(len(ours.info.levels)):
            assert ours.info.levels[level].size == theirs.info.levels[level].size
            rect = Rect(100, 100, min(900, ours.info.levels[level].size.width), 600)
            one, other = (read_region(s, TileCache(1 << 24), level, rect) for s in (ours, theirs))
            np.testing.assert_array_equal(one, other)


class TestNdpiContract(SlideSourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        pages = [texture(1280, 640), texture(640, 320)]
        with TiffSource.open(write_ndpi(tmp_path / "a.tif", pages, 20)) as source:
            yield source
