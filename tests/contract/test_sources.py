"""Every reader through the conformance suite that reader authors get."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from tilescope.domain.geometry import Rect
from tilescope.io.cache import TileCache
from tilescope.io.image_source import ImageSource
from tilescope.io.openslide_source import OpenSlideSource
from tilescope.io.pyramid_source import WithOverviews
from tilescope.io.registry import open_slide
from tilescope.io.tiff_source import TiffSource
from tilescope.io.zarr_source import ZarrSource
from tilescope.testing.sources import SlideSourceContract
from tilescope.testing.synthetic import (
    coordinate_pixels,
    pyramid,
    write_ome_zarr,
    write_repeated_slide,
    write_tiff_pyramid,
)

PIXELS = coordinate_pixels(Rect(0, 0, 1001, 777))
SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "slides"
CODECS = sorted((SAMPLES / "tiff_codecs").glob("*.tif"))


class TestTiledTiff(SlideSourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        with TiffSource.open(write_tiff_pyramid(tmp_path / "a.tif", pyramid(PIXELS, 3))) as source:
            yield source


class TestStripedStack(SlideSourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        stack = np.random.default_rng(0).integers(0, 65535, (2, 3, 2, 90, 110), np.uint16)
        path = tmp_path / "a.ome.tif"
        tifffile.imwrite(path, stack, metadata={"axes": "TZCYX"}, photometric="minisblack")
        with TiffSource.open(path) as source:
            yield source


class TestZarr(SlideSourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        levels = [np.moveaxis(v, 2, 0)[None, :, None] for v in pyramid(PIXELS, 3)]
        with ZarrSource.open(write_ome_zarr(tmp_path / "a.zarr", levels, axes="tczyx")) as source:
            yield source


class TestImage(SlideSourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        path = tmp_path / "a.png"
        path.write_bytes(imagecodecs.png_encode(PIXELS))
        with ImageSource.open(path) as source:
            yield source


class TestOpenSlide(SlideSourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        path = write_repeated_slide(tmp_path / "a.tif", PIXELS, 3001, 2100, levels=3)
        with OpenSlideSource.open(path) as source:
            yield source


class TestOverviews(SlideSourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        wide = coordinate_pixels(Rect(0, 0, 4500, 130), dtype="uint16")
        path = write_tiff_pyramid(tmp_path / "a.tif", [wide])
        with WithOverviews(TiffSource.open(path), TileCache(16 << 20)) as source:
            yield source


@pytest.mark.skipif(not CODECS, reason="no sample slides beside the checkout")
@pytest.mark.parametrize("path", CODECS or [SAMPLES], ids=lambda p: p.stem)
class TestTiffCodecs(SlideSourceContract):
    @pytest.fixture
    def source(self, path):
        with open_slide(path) as source:
            assert source.info.reader == "tiff"
            yield source
