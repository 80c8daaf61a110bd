"""Vendors' TIFFs made on the fly: their levels, channels, calibration and profiles."""

import numpy as np
import pytest
import tifffile

from tilescope.domain.geometry import Rect, Size
from tilescope.errors import UnsupportedFormat
from tilescope.io.cache import TileCache
from tilescope.io.openslide_source import OpenSlideSource
from tilescope.io.region import read_region
from tilescope.io.tiff_source import TiffSource
from tilescope.testing.synthetic import pyramid


def whole(source, level=0, plane=0):
    rect = Rect.of_size(source.info.levels[level].size)
    return read_region(source, TileCache(64 << 20), level, rect, plane=plane)


def philips_xml(levels, um):
    spacing = "".join(
        '<DataObject ObjectType="PixelDataRepresentation">'
        '<Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028" Element="0x0030"'
        f' PMSVR="IDoubleArray">&quot;{um * 2**i / 1e3:.9f}&quot; &quot;{um * 2**i / 1e3:.9f}&quot;'
        "</Attribute></DataObject>"
        for i in range(levels)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        '<Attribute Name="DICOM_MANUFACTURER" Group="0x0008" Element="0x0070" PMSVR="IString">'
        'PHILIPS</Attribute><Attribute Name="PIM_DP_SCANNED_IMAGES" Group="0x301D"'
        ' Element="0x1003" PMSVR="IDataObjectArray"><Array><DataObject ObjectType="DPScannedImage">'
        '<Attribute Name="PIM_DP_IMAGE_TYPE" Group="0x301D" Element="0x1004" PMSVR="IString">WSI'
        '</Attribute><Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE" Group="0x1001"'
        f' Element="0x8B01" PMSVR="IDataObjectArray"><Array>{spacing}</Array></Attribute>'
        "</DataObject></Array></Attribute></DataObject>"
    )


def test_philips_levels_lose_their_padding_as_in_openslide(tmp_path):
    y, x = np.mgrid[:768, :1280]
    levels = pyramid(np.stack([x // 6, y // 4, (x + y) // 16], 2).astype(np.uint8), 3)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for index, pixels in enumerate(levels):
            height, width = pixels.shape[:2]
            writer.write(
                np.pad(pixels, ((0, -height % 256), (0, -width % 256), (0, 0)), mode="edge"),
                tile=(256, 256),
                photometric="ycbcr",
                compression="jpeg",
                subfiletype=1 if index else 0,
                metadata=None,
                software="Philips DP v1.0",
                description=philips_xml(3, 0.25) if index == 0 else f"level={index}",
            )
    with TiffSource.open(path) as ours, OpenSlideSource.open(path) as theirs:
        assert ours.info.format == theirs.info.format == "philips"
        assert ours.info.pixel_size is not None
        assert ours.info.pixel_size.um_x == pytest.approx(0.25)
        assert ours.info.pixel_size_source == "philips.DICOM_PIXEL_SPACING"
        assert [v.size for v in ours.info.levels] == [v.size for v in theirs.info.levels]
        assert ours.info.levels[2].size == Size(320, 192)
        for level in range(3):
            np.testing.assert_array_equal(whole(ours, level), whole(theirs, level))


def qptiff_xml(kind, name="", objective="20x", label="Biomarker"):
    channel = f"<{label}>{name}</{label}><Color>0,0,255</Color>" if name else ""
    return (
        '<?xml version="1.0" encoding="utf-8"?><PerkinElmer-QPI-ImageDescription>'
        f"<DescriptionVersion>2</DescriptionVersion><ImageType>{kind}</ImageType>"
        f"<Objective>{objective}</Objective><ScanProfile><root/></ScanProfile>{channel}"
        "</PerkinElmer-QPI-ImageDescription>"
    )


def write_qptiff(path, pages, um=0.5):
    """Write ``(kind, channel name, pixels)``, one after the other."""
    with tifffile.TiffWriter(path) as writer:
        for kind, name, pixels in pages:
            writer.write(
                pixels,
                tile=(64, 64) if kind in {"FullResolution", "ReducedResolution"} else None,
                photometric="rgb" if pixels.ndim == 3 else "minisblack",
                compression="zlib",
                metadata=None,
                software="PerkinElmer-QPI",
                description=qptiff_xml(kind, name),
                resolution=(1e4 / um, 1e4 / um),
                resolutionunit="CENTIMETER",
            )
    return path


@pytest.mark.parametrize("size", [(200, 260), (201, 263)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_qptiff_channels_and_levels(tmp_path, size, dtype):
    rng = np.random.default_rng(0)
    full = [rng.integers(0, 200, size).astype(dtype) for _ in range(3)]
    half = [rng.integers(0, 200, (-(-size[0] // 2), -(-size[1] // 2))).astype(dtype) for _ in full]
    colour = np.zeros((40, 50, 3), np.uint8)
    names = ["DAPI", "Opal 520", "Opal 690"]
    pages = [
        *(("FullResolution", n, p) for n, p in zip(names, full, strict=True)),
        ("Thumbnail", "", colour),
        *(("ReducedResolution", n, p) for n, p in zip(names, half, strict=True)),
        ("Overview", "", colour),
        ("Label", "", colour),
    ]
    with TiffSource.open(write_qptiff(tmp_path / "a.qptiff", pages)) as source:
        info = source.info
        assert (info.format, info.bands) == ("perkin-elmer-qptiff", tuple(names))
        assert [v.downsample_x for v in info.levels] == [1, 2]
        assert info.associated == ("Thumbnail", "Overview", "Label")
        assert (info.objective_power, info.dtype) == (20, dtype)
        assert info.pixel_size is not None
        assert info.pixel_size.um_x == pytest.approx(0.5)
        assert info.properties["qptiff.Objective"] == "20x"
        np.testing.assert_array_equal(whole(source), np.stack(full, 2))
        np.testing.assert_array_equal(whole(source, 1), np.stack(half, 2))


def test_qptiff_in_colour(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (130, 150, 3), np.uint8)
    pages = [("FullResolution", "", pixels), ("Label", "", pixels[:20, :30])]
    with TiffSource.open(write_qptiff(tmp_path / "a.qptiff", pages)) as source:
        assert source.info.is_rgb
        np.testing.assert_array_equal(whole(source), pixels)


def test_qptiff_without_words_is_read_by_its_shapes(tmp_path):
    pages = [np.random.default_rng(i).integers(0, 255, (90, 80), np.uint8) for i in range(2)]
    path = tmp_path / "a.qptiff"
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            writer.write(page, metadata=None, software="PerkinElmer-QPI", description="<broken")
    with TiffSource.open(path) as source:
        assert len(set(source.info.bands)) == 2
        np.testing.assert_array_equal(whole(source), np.stack(pages, 2))


@pytest.mark.parametrize("software", ["MedScan", "ScanOutputManager 1.0"])
def test_geometry_that_only_openslide_knows_is_left_to_it(tmp_path, software):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        np.zeros((64, 64, 3), np.uint8),
        photometric="rgb",
        tile=(64, 64),
        software=software,
        metadata=None,
        extratags=[(700, 1, 8, b"<iScan/>", True)],
    )
    with pytest.raises(UnsupportedFormat, match="left to OpenSlide"):
        TiffSource.open(path)


@pytest.mark.parametrize("place", [None, b"profile of a scanner" * 40])
def test_the_colour_profile_is_handed_on(tmp_path, place):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((64, 64, 3), np.uint8), photometric="rgb", metadata=None, iccprofile=place
    )
    with TiffSource.open(path) as source:
        assert source.info.icc_profile == place


def test_an_absurd_colour_profile_is_ignored(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint8), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as tif:
        entry = tif.pages[0].tags["Software"].offset
    with path.open("r+b") as file:
        file.seek(entry)
        file.write((34675).to_bytes(2, "little") + (7).to_bytes(2, "little"))
        file.write((2**31).to_bytes(4, "little") + (8).to_bytes(4, "little"))
    with TiffSource.open(path) as source:
        assert source.info.icc_profile is None
