"""FITS: our reader against astropy's samples, the stretch, and headers that lie."""

import sys

import numpy as np
import pytest
from astropy.io import fits

from tilescope.domain.geometry import Rect, Size
from tilescope.errors import CorruptSlide, SlideError, TileReadError, UnsupportedFormat
from tilescope.io.asinh import AsinhStretch
from tilescope.io.cache import TileCache
from tilescope.io.fits_source import FitsSource
from tilescope.io.region import read_region
from tilescope.io.registry import open_slide


def whole(source):
    return read_region(source, TileCache(64 << 20), 0, Rect.of_size(source.info.size))


def sky(height=600, width=700, seed=0):
    """A noisy sky with a galaxy below the middle of the array and one missing pixel."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).normal(100, 5, (height, width))
    galaxy = 3000 * np.exp(-((x - width // 2) ** 2 + (y - height // 3) ** 2) / 2000)
    image = (noise + galaxy).astype(np.float32)
    image[5, 7] = np.nan
    return image


def write(path, data, header=None, **options):
    fits.PrimaryHDU(data, header, **options).writeto(path)
    return path


def shown(source, planes):
    """What astropy's samples look like through the source's own stretch, top row first."""
    values = {k.rpartition(".")[2]: v for k, v in source.info.properties.items()}
    black = tuple(float(v) for v in values["black"].split(", "))
    stretch = AsinhStretch(black, float(values["softness"]), float(values["white"]))
    return stretch.picture(np.asarray(planes, np.float64))[::-1]


def assert_as_astropy(path, planes):
    with FitsSource.open(path) as slide:
        expected = shown(slide, planes)
        assert expected.std() > 10
        assert np.abs(whole(slide).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "f4", "f8"])
def test_samples_are_those_that_astropy_reads(tmp_path, dtype):
    data = np.nan_to_num(sky())
    data = np.clip(data, 0, 255).astype(dtype) if dtype == "uint8" else data.astype(dtype)
    path = write(tmp_path / "a.fits", data)
    assert_as_astropy(path, fits.getdata(path)[..., None])


def test_scaled_integers_and_blanks(tmp_path):
    header = fits.Header()
    header["BLANK"] = -999
    raw = (np.nan_to_num(sky()) * 4).astype(np.int16)
    raw[200:220] = -999
    hdu = fits.PrimaryHDU(raw, header)
    hdu.writeto(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits", mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header["BSCALE"], hdus[0].header["BZERO"] = 0.25, 7.0
    expected = np.where(raw == -999, np.nan, raw * 0.25 + 7)
    assert_as_astropy(tmp_path / "a.fits", expected[..., None])
    with FitsSource.open(tmp_path / "a.fits") as slide:
        assert (whole(slide)[::-1][200:220] == 0).all()


def test_the_first_row_of_the_file_is_at_the_bottom(tmp_path):
    image = np.zeros((40, 60), np.float32)
    image[:10, :20] = 100
    with open_slide(write(tmp_path / "a.fits", image)) as slide:
        picture = whole(slide)
        assert slide.info.reader == "fits"
        assert slide.info.bands == ("grey",)
    assert (picture[30:, :20] == 255).all()
    assert picture[:30].max() == 0
    assert picture[:, 20:].max() == 0


def test_three_planes_are_colours(tmp_path):
    base = np.nan_to_num(sky())
    cube = np.stack([base, base * 2, base * 0.5])
    path = write(tmp_path / "a.fits", cube)
    assert_as_astropy(path, np.moveaxis(cube, 0, 2))
    with FitsSource.open(path) as slide:
        red, green, blue = whole(slide).reshape(-1, 3).sum(axis=0)
        assert slide.info.bands == ("R", "G", "B")
    assert green > red > blue


def test_filters_say_which_plane_is_red(tmp_path):
    header = fits.Header()
    header["BANDS"] = "grz"
    planes = np.zeros((3, 30, 30), np.float32)
    planes[2, 10:20, 10:20] = 50  # z is the reddest
    with FitsSource.open(write(tmp_path / "a.fits", planes, header)) as slide:
        assert tuple(whole(slide)[15, 15]) == (255, 0, 0)


def test_colours_do_not_depend_on_brightness():
    stretch = AsinhStretch((0.0, 0.0, 0.0), 1.0, 1000.0)
    colour = np.array([1.0, 0.8, 0.4])
    picture = stretch.picture((colour * np.array([20.0, 100.0, 400.0])[:, None])[None])[0]
    ratios = picture / picture[:, :1]
    np.testing.assert_allclose(ratios, np.tile(colour, (3, 1)), atol=0.03)


def test_the_stretch_follows_the_paper():
    stretch = AsinhStretch((100.0,), 5.0, 2000.0)
    above = np.array([-50.0, 0.0, 5.0, 200.0, 2000.0, 9000.0])
    expected = np.clip(np.arcsinh(above / 5) / np.arcsinh(2000 / 5), 0, 1) * 255
    picture = stretch.picture((above + 100)[None, :, None])[0, :, 0]
    assert np.abs(picture - expected).max() <= 0.5


def test_black_is_the_sky_and_softness_its_noise():
    values = np.random.default_rng(0).normal(300, 4, (200_000, 1))
    stretch = AsinhStretch.measured(values)
    assert stretch.black[0] == pytest.approx(300, abs=0.1)
    assert stretch.softness == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_an_even_picture_is_black(tmp_path, value):
    path = write(tmp_path / "a.fits", np.full((20, 30), value, np.float32))
    with FitsSource.open(path) as slide:
        assert whole(slide).max() == 0


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e298])
def test_numbers_at_the_end_of_their_range(tmp_path, scale):
    data = np.random.default_rng(0).normal(0, 1, (3, 40, 50)) * 1e8 * scale
    data[:, 3, 3], data[:, 4, 4] = np.inf, -np.finfo(np.float64).max
    with FitsSource.open(write(tmp_path / "a.fits", data)) as slide:
        assert whole(slide).std() > 1


def test_sky_coordinates_give_a_scale_and_no_micrometres(tmp_path):
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CD1_1"], header["CD1_2"] = -0.0001, 0.00005
    header["CD2_1"], header["CD2_2"] = 0.00005, 0.0001
    header["OBJECT"] = "Arp's galaxy"
    with FitsSource.open(write(tmp_path / "a.fits", sky(), header)) as slide:
        arcsec = float(slide.info.properties["fits.arcsec_per_px"])
        assert arcsec == pytest.approx(3600 * (0.0001**2 + 0.00005**2) ** 0.5)
        assert slide.info.properties["fits.OBJECT"] == "Arp's galaxy"
        assert slide.info.pixel_size is None


def test_rotation_by_a_right_angle_keeps_the_scale(tmp_path):
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---SIN", "DEC--SIN"
    header["CDELT1"], header["CDELT2"] = -0.0002, 0.0002
    header["PC1_1"], header["PC1_2"], header["PC2_1"], header["PC2_2"] = 0.0, -1.0, 1.0, 0.0
    with FitsSource.open(write(tmp_path / "a.fits", sky(), header)) as slide:
        assert float(slide.info.properties["fits.arcsec_per_px"]) == pytest.approx(0.72)


def test_an_image_in_an_extension_and_each_by_its_number(tmp_path):
    path = tmp_path / "a.fits"
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(9))])
    fits.HDUList(
        [fits.PrimaryHDU(), table, fits.ImageHDU(sky(50, 60)), fits.ImageHDU(sky(30, 40))]
    ).writeto(path)
    with open_slide(path) as first, open_slide(f"{path}#hdu=3") as second:
        assert (first.info.size, second.info.size) == (Size(60, 50), Size(40, 30))
        assert first.info.id != second.info.id
        assert first.info.properties["fits.hdu"] == "2"
    with pytest.raises(UnsupportedFormat, match="header unit 1 is none"):
        open_slide(f"{path}#hdu=1")
    with pytest.raises(UnsupportedFormat, match="has 4 header units, no 9"):
        open_slide(f"{path}#hdu=9")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("RICE_1", {}),
        ("RICE_1", {"tile_shape": (100, 128)}),
        ("GZIP_1", {"quantize_level": 0}),
        ("GZIP_2", {}),
    ],
)
def test_images_compressed_by_tiles(tmp_path, kind, options):
    path = tmp_path / "a.fits.fz"
    packed = fits.CompImageHDU(sky(), compression_type=kind, **options)
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    assert_as_astropy(path, fits.getdata(path, 1)[..., None])


def test_a_compressed_cube(tmp_path):
    path = tmp_path / "a.fits.fz"
    base = np.nan_to_num(sky(200, 300))
    cube = np.stack([base, base * 3, base])
    packed = fits.CompImageHDU(cube, compression_type="RICE_1", tile_shape=(1, 64, 64))
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    assert_as_astropy(path, np.moveaxis(fits.getdata(path, 1), 0, 2))


def test_a_closed_image_says_so(tmp_path):
    packed = fits.CompImageHDU(sky(), compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(tmp_path / "a.fits.fz")
    write(tmp_path / "a.fits", sky())
    for path in tmp_path.iterdir():
        slide = FitsSource.open(path)
        slide.close()
        slide.close()
        with pytest.raises(TileReadError, match="closed"):
            slide.read_tile(0, 0, 0)


def test_compressions_that_are_left_to_funpack(tmp_path):
    path = tmp_path / "a.fits.fz"
    packed = fits.CompImageHDU(sky(), compression_type="HCOMPRESS_1")
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    with pytest.raises(UnsupportedFormat, match="compressed by HCOMPRESS_1; unpack it"):
        FitsSource.open(path)


def test_a_deflated_tile_that_is_longer_than_its_samples_is_refused(tmp_path):
    path = tmp_path / "a.fits.fz"
    packed = fits.CompImageHDU(sky(), compression_type="GZIP_1", quantize_level=0)
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    with fits.open(path, disable_image_compression=True) as hdus:
        at = hdus[1].fileinfo()["datLoc"] + 8 * hdus[1].columns.names.index("COMPRESSED_DATA")
    data = bytearray(path.read_bytes())
    data[at : at + 4] = (2**20).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(UnsupportedFormat, match="a deflated tile of 1048576 bytes"):
        FitsSource.open(path)


def test_a_compressed_image_that_is_no_slide_is_closed_again(tmp_path):
    path = tmp_path / "a.fits.fz"
    cube = np.random.default_rng(0).normal(0, 1, (5, 40, 50)).astype(np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(cube)]).writeto(path)
    with pytest.raises(UnsupportedFormat, match="a cube of 5 planes") as caught:
        FitsSource.open(path)
    assert caught.traceback  # holds the frames, so nothing is closed by chance


def test_without_astropy_the_remedy_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(sky())]).writeto(path)
    monkeypatch.setitem(sys.modules, "astropy", None)
    monkeypatch.setitem(sys.modules, "astropy.io", None)
    with pytest.raises(UnsupportedFormat, match=r"needs astropy: pip install 'tilescope\[fits\]'"):
        FitsSource.open(path)
    with FitsSource.open(write(tmp_path / "b.fits", sky())) as slide:
        assert slide.info.reader == "fits"


def cards(*lines):
    text = "".join(line.ljust(80) for line in (*lines, "END"))
    return text.ljust(2880).encode()


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 999999999", "NAXIS2  = 999999999"], "ends"),
        (["BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = -4", "NAXIS2  = 5"], "NAXIS1 is '-4'"),
        (["BITPIX  = 17", "NAXIS   = 2", "NAXIS1  = 4", "NAXIS2  = 5"], "BITPIX is 17"),
        (["BITPIX  = 16", "NAXIS   = 999999"], "999999 axes"),
        (["BITPIX  = 16"], "NAXIS is ''"),
        (["BITPIX  = 8", "NAXIS   = 1", "NAXIS1  = 5"], "holds an image of two axes"),
        (["BITPIX  = 8", "NAXIS   = 0"], "holds an image of two axes"),
        (
            ["BITPIX  = 8", "NAXIS   = 3", "NAXIS1  = 9", "NAXIS2  = 9", "NAXIS3  = 7"],
            "a cube of 7 planes",
        ),
    ],
)
def test_headers_that_lie(tmp_path, lines, reason):
    path = tmp_path / "a.fits"
    path.write_bytes(cards("SIMPLE  =                    T", *lines) + bytes(2880))
    with pytest.raises(SlideError, match=reason):
        open_slide(path)


def test_a_header_without_end(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(b"SIMPLE  =                    T" + b" " * (6 << 20))
    with pytest.raises(CorruptSlide, match="has no end"):
        open_slide(path)


def test_a_file_cut_while_it_is_open(tmp_path):
    path = write(tmp_path / "a.fits", sky())
    with FitsSource.open(path) as slide:
        with path.open("r+b") as file:
            file.truncate(5000)
        with pytest.raises(TileReadError, match=r"tile \(0, 0\)"):
            slide.read_tile(0, 0, 0)
