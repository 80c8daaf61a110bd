import numpy as np
import pytest
import tifffile

from tilescope.domain.geometry import Rect
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.tiff_orientation import orientation_of
from tilescope.io.tiff_source import TiffSource
from tilescope.testing.sources import SlideSourceContract

#: By value of the tag: the stored pixels of an upright image, after TIFF 6.0, page 36.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: upright.swapaxes(0, 1)[::-1],
    7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],
    8: lambda upright: upright.swapaxes(0, 1)[:, ::-1],
}
UPRIGHT = np.random.default_rng(0).integers(0, 255, (150, 230, 3), np.uint8)


def write(path, value, pages=(UPRIGHT,), kind=3, **options):
    with tifffile.TiffWriter(path) as writer:
        for index, pixels in enumerate(pages):
            writer.write(
                np.ascontiguousarray(STORED.get(value, STORED[1])(pixels)),
                photometric="rgb",
                metadata=None,
                subfiletype=1 if index else 0,
                # only the first page says so, as many writers of pyramids have it
                extratags=[] if index else [(274, kind, 1, value, True)],
                **options,
            )
    return path


@pytest.mark.parametrize("value", [0, *STORED, 9])
@pytest.mark.parametrize(
    "options",
    [{"tile": (64, 48)}, {"rowsperstrip": 7}, {"rowsperstrip": 40, "compression": "zlib"}],
    ids=["tiles", "rows", "strips"],
)
def test_pixels_are_handed_out_upright(tmp_path, value, options):
    path = write(tmp_path / "a.tif", value, **options)
    with TiffSource.open(path) as source:
        out = read_region(source, TileCache(1 << 24), 0, Rect.of_size(source.info.size))
        np.testing.assert_array_equal(out, UPRIGHT)


def test_levels_and_pixel_size_turn_too(tmp_path):
    options = {"tile": (64, 64), "resolution": (20000, 40000), "resolutionunit": "CENTIMETER"}
    pages = (UPRIGHT, UPRIGHT[::2, ::2])
    with TiffSource.open(write(tmp_path / "a.tif", 6, pages, **options)) as source:
        assert source.info.pixel_size is not None
        assert (source.info.pixel_size.um_x, source.info.pixel_size.um_y) == (0.25, 0.5)
        assert [v.downsample_x for v in source.info.levels] == [1, 2]
        size = source.info.levels[1].size
        out = read_region(source, TileCache(1 << 24), 1, Rect.of_size(size))
        np.testing.assert_array_equal(out, pages[1])


def test_scanners_files_are_left_as_their_software_shows_them(tmp_path):
    path = tmp_path / "a.svs"
    options = {"description": "Aperio Image Library|MPP = 0.5", "tile": (64, 64)}
    with TiffSource.open(write(path, 3, **options)) as source:
        out = read_region(source, TileCache(1 << 24), 0, Rect.of_size(source.info.size))
        np.testing.assert_array_equal(out, UPRIGHT[::-1, ::-1])


@pytest.mark.parametrize("value", [None, "3", (3,), 1, 0, 9, -1, 2.0])
def test_other_values_of_the_tag_turn_nothing(value):
    assert orientation_of(value) is None


class TestTurnedContract(SlideSourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        with TiffSource.open(write(tmp_path / "a.tif", 5, tile=(64, 48))) as source:
            yield source
