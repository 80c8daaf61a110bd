import numpy as np
import pytest
import tifffile

from tilescope.io.tiff_source import TiffSource


def info_of(path, **options):
    options = {"photometric": "minisblack", "tile": (64, 64), "metadata": None} | options
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), **options)
    with TiffSource.open(path) as source:
        return source.info


@pytest.mark.parametrize(
    ("resolution", "unit", "um"),
    [
        ((40000, 40000), "CENTIMETER", 0.25),
        ((20040, 20040), "CENTIMETER", 0.499),
        ((101600, 101600), "INCH", 0.25),
        ((72, 72), "INCH", None),
        ((96, 96), "INCH", None),
        ((300, 300), "INCH", None),
        ((600, 600), "INCH", None),
        ((1200, 1200), "INCH", None),
        ((28, 28), "CENTIMETER", None),
        ((1, 1), "NONE", None),
        ((40000, 40000), "NONE", None),
        ((10**9, 10**9), "CENTIMETER", None),
    ],
)
def test_only_microscope_resolutions_are_believed(tmp_path, resolution, unit, um):
    info = info_of(tmp_path / "a.tif", resolution=resolution, resolutionunit=unit)
    if um is None:
        assert info.pixel_size is None
        assert info.pixel_size_source is None
    else:
        assert info.pixel_size is not None
        assert info.pixel_size.um_x == pytest.approx(um, rel=1e-3)
        assert info.pixel_size_source == "tiff.XResolution"


APERIO = (
    "Aperio Image Library v11.2.1\r\n46000x32914 [0,100 46000x32893]|AppMag = {}|MPP = {}|Date = x"
)


@pytest.mark.parametrize(
    ("power", "mpp", "expected"),
    [
        ("20", "0.4990", 0.499),
        ("40", "0", None),
        ("40", "-1", None),
        ("x", "nan", None),
        ("", "4e9", None),
    ],
)
def test_aperio_calibration(tmp_path, power, mpp, expected):
    info = info_of(tmp_path / "a.svs", description=APERIO.format(power, mpp))
    assert info.format == "aperio"
    assert (info.pixel_size and info.pixel_size.um_x) == expected
    assert info.objective_power == (float(power) if power.isdecimal() else None)
    assert info.properties["aperio.Date"] == "x"


OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Instrument ID="Instrument:0"><Objective ID="Objective:0" NominalMagnification="63"/>'
    "</Instrument>"
    '<Image ID="Image:0" Name="cell"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8"'
    ' SizeX="64" SizeY="64" SizeC="1" SizeZ="1" SizeT="1" {}>'
    '<Channel ID="Channel:0:0" SamplesPerPixel="1" Name="DAPI"/><TiffData/></Pixels></Image></OME>'
)


@pytest.mark.parametrize(
    ("attributes", "um"),
    [
        ('PhysicalSizeX="0.25" PhysicalSizeY="0.5"', (0.25, 0.5)),
        ('PhysicalSizeX="250" PhysicalSizeXUnit="nm"', (0.25, 0.25)),
        ('PhysicalSizeX="0.001" PhysicalSizeXUnit="mm" PhysicalSizeY="1"', (1.0, 1.0)),
        ('PhysicalSizeX="0.25" PhysicalSizeXUnit="pixel"', None),
        ('PhysicalSizeX="inf"', None),
        ("", None),
    ],
)
def test_ome_calibration(tmp_path, attributes, um):
    info = info_of(tmp_path / "a.ome.tif", description=OME.format(attributes))
    assert info.format == "ome-tiff"
    assert info.bands == ("DAPI",)
    assert info.objective_power == 63
    found = info.pixel_size and (info.pixel_size.um_x, info.pixel_size.um_y)
    assert found == (um if um is None else pytest.approx(um))


@pytest.mark.parametrize(
    ("settings", "power"),
    [
        ("", None),
        ('<ObjectiveSettings ID="Objective:1"/>', 10),
        ('<ObjectiveSettings ID="x"/>', None),
    ],
)
def test_of_several_objectives_the_one_of_the_image_counts(tmp_path, settings, power):
    second = '<Objective ID="Objective:1" NominalMagnification="10"/></Instrument>'
    text = OME.format("").replace("</Instrument>", second).replace("<Pixels", f"{settings}<Pixels")
    assert info_of(tmp_path / "a.ome.tif", description=text).objective_power == power
