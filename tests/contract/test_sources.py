"""Every reader through the conformance suite that reader authors get."""

from pathlib import Path

import imagecodecs
import numpy as np
import pypdfium2
import pytest
import tifffile
from tests.engine.io.dicom_files import item, tiles_of, write_dicom

from tilescope.domain.geometry import Rect
from tilescope.domain.scale import PixelSize
from tilescope.io.cache import TileCache
from tilescope.io.calibrated_source import CalibratedSource
from tilescope.io.dicom_source import DicomSource
from tilescope.io.fits_source import FitsSource
from tilescope.io.image_source import ImageSource
from tilescope.io.openslide_source import OpenSlideSource
from tilescope.io.pdf_source import PdfSource
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


class TestDicom(SlideSourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        optics = [item(OpticalPathIdentifier=name) for name in ("1", "2")]
        stack = np.random.default_rng(0).integers(0, 65535, (4, 130, 190), np.uint16)
        frames = [tile for plane in stack for tile in tiles_of(plane, 64)]
        path = write_dicom(tmp_path / "a.dcm", frames, (190, 130), depths=2, optics=optics)
        write_dicom(
            tmp_path / "b.dcm",
            [tile for plane in stack[:, ::2, ::2] for tile in tiles_of(plane, 64)],
            (95, 65),
            depths=2,
            optics=optics,
            um_per_px=0.5,
        )
        with DicomSource.open(path) as source:
            assert len(source.info.levels) == 2
            yield source


class TestFits(SlideSourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        cube = np.random.default_rng(0).normal(100, 20, (3, 600, 1100)).astype(">f4")
        header = ["SIMPLE  =                    T", "BITPIX  = -32", "NAXIS   = 3"]
        header += [f"NAXIS{i + 1}  = {n}" for i, n in enumerate(reversed(cube.shape))]
        text = "".join(line.ljust(80) for line in [*header, "END"]).ljust(2880)
        path = tmp_path / "a.fits"
        path.write_bytes(text.encode() + cube.tobytes())
        with FitsSource.open(path) as source:
            yield source


class TestPdf(SlideSourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        path = tmp_path / "a.pdf"
        with pypdfium2.PdfDocument.new() as document:
            document.new_page(300, 400)
            document.save(path)
        with PdfSource.open(path) as source:
            yield source


class TestStatedPixelSize(SlideSourceContract):
    @pytest.fixture
    def source(self, tmp_path):
        path = write_tiff_pyramid(tmp_path / "a.tif", pyramid(PIXELS, 3))
        with CalibratedSource(TiffSource.open(path), PixelSize(0.5, 0.5)) as source:
            yield source
