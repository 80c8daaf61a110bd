import numpy as np
import pytest

from tilescope.domain.geometry import Rect
from tilescope.io.thumbnail import as_rgb, thumbnail
from tilescope.io.tiff_source import TiffSource
from tilescope.testing.synthetic import coordinate_pixels, pyramid, write_tiff_pyramid


@pytest.mark.parametrize("bands", [1, 2, 3, 9])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_anything_becomes_rgb(bands, dtype):
    pixels = np.random.default_rng(0).integers(0, 200, (20, 30, bands)).astype(dtype)
    for is_rgb in {False, bands == 3}:
        out = as_rgb(pixels, is_rgb=is_rgb)
        assert out.shape == (20, 30, 3)
        assert out.dtype == np.uint8


def test_photographs_are_left_alone():
    pixels = np.random.default_rng(0).integers(40, 60, (20, 30, 3), np.uint8)
    np.testing.assert_array_equal(as_rgb(pixels, is_rgb=True), pixels)


def test_deep_pixels_fill_the_range():
    ramp = np.linspace(1000, 1400, 500, dtype=np.float32).reshape(20, 25, 1).astype(np.uint16)
    out = as_rgb(ramp, is_rgb=False)
    assert out.min() == 0
    assert out.max() == 255


def test_bands_add_up_in_their_colours():
    pixels = np.zeros((10, 10, 2), np.uint16)
    pixels[:5, :, 0] = 500
    pixels[:, :5, 1] = 900
    out = as_rgb(pixels, is_rgb=False)
    assert out[0, 9].tolist() == [0, 0, 255]
    assert out[9, 0].tolist() == [0, 255, 0]
    assert out[0, 0].tolist() == [0, 255, 255]


def test_flat_and_unnumbered_pixels_do_no_harm():
    assert (
        as_rgb(np.full((4, 4, 1), np.nan, np.float32), is_rgb=False).tolist() == [[[0] * 3] * 4] * 4
    )
    assert as_rgb(np.full((4, 4, 2), 7, np.uint16), is_rgb=False).max() == 0


@pytest.mark.parametrize(("side", "shape"), [(100, (78, 100, 3)), (5000, (777, 1001, 3))])
def test_a_thumbnail_fits_and_never_enlarges(tmp_path, cache, side, shape):
    levels = pyramid(coordinate_pixels(Rect(0, 0, 1001, 777)), 3)
    with TiffSource.open(write_tiff_pyramid(tmp_path / "a.tif", levels)) as source:
        assert thumbnail(source, cache, side).shape == shape
