"""DICOM whole slides: real ones against OpenSlide, and made ones for what those do not have."""

import shutil

import numpy as np
import pytest
from tests.engine.io.dicom_files import item, tiles_of, write_dicom

from tilescope.domain.geometry import Rect, Size
from tilescope.errors import CorruptSlide, SlideError, TileReadError, UnsupportedFormat
from tilescope.io.cache import TileCache
from tilescope.io.dicom_header import srgb_of_lab
from tilescope.io.dicom_source import DicomSource
from tilescope.io.openslide_source import OpenSlideSource
from tilescope.io.region import read_region
from tilescope.io.registry import open_explained, open_slide

TOLERANCE = 2
TILE = 64


def whole(source, level=0, plane=0):
    rect = Rect.of_size(source.info.levels[level].size)
    return read_region(source, TileCache(64 << 20), level, rect, plane=plane)


def picture(width=150, height=100, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write_full(path, pixels, **values):
    return write_dicom(path, tiles_of(pixels, TILE), pixels.shape[1::-1], **values)


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        # OpenSlide shifts levels whose downsample is no whole number by parts of a pixel: only
        # those that are one tile begin at its corner
        ("dicom_cmu-1-small-region/level-0-frames-0-30.dcm", (0, 3, 4, 5)),
        ("boxes_0.dcm", (0,)),
        ("boxes_1.dcm", (0,)),
        ("jpeg2000.dicom", (0,)),
    ],
)
def test_both_readers_see_the_same(shared_data, name, levels):
    path = shared_data / "slides" / name
    with open_slide(path) as ours, OpenSlideSource.open(path) as theirs:
        assert (ours.info.reader, theirs.info.reader) == ("dicom", "openslide")
        assert ours.info.size == theirs.info.size
        assert ours.info.pixel_size.um_x == pytest.approx(theirs.info.pixel_size.um_x)
        assert ours.info.pixel_size_source == "dicom.PixelSpacing"
        assert ours.info.objective_power == theirs.info.objective_power
        assert set(theirs.info.associated) <= set(ours.info.associated)
        for level in levels:
            there = np.abs(whole(ours, level).astype(int) - whole(theirs, level))
            assert there.max() <= TOLERANCE


def test_a_folder_and_each_of_its_files_are_one_slide(shared_data):
    folder = shared_data / "slides" / "dicom_cmu-1-small-region"
    with open_slide(folder) as slide:
        first = slide.info
    with open_slide(folder / "level-5-frames-0-1.dcm") as slide:
        second = slide.info
    assert (first.id, first.levels, first.size_bytes) == (
        second.id,
        second.levels,
        second.size_bytes,
    )
    assert [v.downsample_x for v in first.levels] == [1, 2, 4, 8, 16, 32]
    assert first.size == Size(2220, 2967)


def test_what_a_header_says(tmp_path):
    optic = item(
        OpticalPathIdentifier="0",
        OpticalPathDescription="brightfield",
        ObjectiveLensPower="40",
        ICCProfile=b"profile " * 16,
    )
    pixels = picture()
    write_full(tmp_path / "a.dcm", pixels, optics=[optic], um_per_px=0.2528)
    write_full(tmp_path / "l.dcm", pixels[:TILE, :TILE], flavour="LABEL", optics=[optic])
    with DicomSource.open(tmp_path / "a.dcm") as slide:
        info = slide.info
        np.testing.assert_array_equal(whole(slide), pixels)
    assert info.pixel_size.um_x == pytest.approx(0.2528)
    assert info.objective_power == 40
    assert info.icc_profile == b"profile " * 16
    assert info.associated == ("label",)
    assert info.bands == ("R", "G", "B")
    assert info.size_bytes == sum(p.stat().st_size for p in tmp_path.iterdir())


def test_missing_tiles_are_the_recommended_colour(tmp_path):
    red, white = (255, 255, 255), [65535, 32896, 32896]
    tiles = tiles_of(picture(128, 128), TILE)
    for name, values, expected in (
        ("plain", {}, red),
        ("white", {"RecommendedAbsentPixelCIELabValue": white}, (255, 255, 255)),
        ("grey", {"RecommendedAbsentPixelCIELabValue": [35000, 32896, 32896]}, (127, 127, 127)),
    ):
        folder = tmp_path / name
        folder.mkdir()
        places = [(0, 0), (64, 64)]
        path = write_dicom(
            folder / "a.dcm", [tiles[0], tiles[3]], (128, 128), positions=places, **values
        )
        with DicomSource.open(path) as slide:
            np.testing.assert_array_equal(slide.read_tile(0, 0, 0), tiles[0])
            np.testing.assert_array_equal(slide.read_tile(0, 1, 1), tiles[3])
            missing = slide.read_tile(0, 1, 0)
            assert missing.shape == (TILE, TILE, 3)
            assert slide.info.background == pytest.approx(expected, abs=2)
            assert (missing == slide.info.background).all()


def test_lab_colours():
    # sRGB primaries adapted to D50: Lab 54.29, 80.81, 69.89 and 29.57, 68.30, -112.03
    def stored(light, a, b):
        return round(light * 655.35), round((a + 128) * 257), round((b + 128) * 257)

    assert srgb_of_lab(stored(54.29, 80.81, 69.89)) == pytest.approx((255, 0, 0), abs=1)
    assert srgb_of_lab(stored(29.57, 68.30, -112.03)) == pytest.approx((0, 0, 255), abs=1)
    assert srgb_of_lab(stored(0, 0, 0)) == (0, 0, 0)


def test_optical_paths_are_bands_and_focal_planes_are_planes(tmp_path):
    rng = np.random.default_rng(1)
    stack = rng.integers(0, 65536, (2, 3, 100, 90), np.uint16)  # path, z, y, x
    optics = [
        item(OpticalPathIdentifier=str(i), OpticalPathDescription=name)
        for i, name in enumerate(("DAPI", "FITC"))
    ]
    frames = [tile for path in stack for depth in path for tile in tiles_of(depth, TILE)]
    path = write_dicom(tmp_path / "a.dcm", frames, (90, 100), depths=3, optics=optics)
    with DicomSource.open(path) as slide:
        info = slide.info
        assert (info.bands, info.dtype, info.z) == (("DAPI", "FITC"), "uint16", 3)
        assert info.background == (0, 0)
        for depth in range(3):
            np.testing.assert_array_equal(
                whole(slide, plane=depth), np.moveaxis(stack[:, depth], 0, 2)
            )


def test_only_its_own_series(tmp_path):
    ours, theirs = picture(seed=1), picture(seed=2)
    write_full(tmp_path / "a.dcm", ours, series=1)
    write_full(tmp_path / "b.dcm", theirs, series=2)
    (tmp_path / "notes.txt").write_text("not DICOM")
    for name, pixels in (("a.dcm", ours), ("b.dcm", theirs)):
        with DicomSource.open(tmp_path / name) as slide:
            np.testing.assert_array_equal(whole(slide), pixels)
    with pytest.raises(UnsupportedFormat, match=r"holds 2 slides.*a\.dcm, b\.dcm"):
        DicomSource.open(tmp_path)


def test_a_label_alone_is_no_slide(tmp_path):
    path = write_full(tmp_path / "l.dcm", picture(), flavour="LABEL")
    with pytest.raises(UnsupportedFormat, match="without its slide"):
        DicomSource.open(path)


def test_other_dicom_is_no_slide(tmp_path):
    path = write_full(tmp_path / "a.dcm", picture(), SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    with pytest.raises(UnsupportedFormat, match=r"no whole-slide image \(CT Image Storage\)"):
        DicomSource.open(path)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"TotalPixelMatrixColumns": 4_000_000_000}, r"of which \d+ tiles are there"),
        ({"TotalPixelMatrixFocalPlanes": 4_000_000_000}, "focal planes"),
        ({"NumberOfFrames": "2000000000"}, "do not fit into the file"),
        ({"Rows": 65535, "Columns": 65535}, "too large"),
        ({"Rows": 0}, "pixels in tiles of"),
    ],
)
def test_sizes_are_checked_before_anything_is_made(tmp_path, values, reason):
    path = write_full(tmp_path / "a.dcm", picture(), **values)
    with pytest.raises(SlideError, match=reason):
        DicomSource.open(path)


def test_a_slide_of_which_hardly_anything_is_there_is_shown_to_nobody(tmp_path):
    path = write_full(tmp_path / "a.dcm", picture(), TotalPixelMatrixColumns=400_000_000)
    with pytest.raises(SlideError, match="tiles are there") as caught:
        open_slide(path)
    assert "openslide" not in str(caught.value)


def test_more_tiles_than_tables_may_have(tmp_path):
    path = write_full(
        tmp_path / "a.dcm", picture(), TotalPixelMatrixColumns=1_000_000_000, NumberOfFrames="50000"
    )
    with path.open("ab") as file:
        file.write(bytes(8 * 50000))
    with pytest.raises(UnsupportedFormat, match="tiles in 1 planes are too many"):
        DicomSource.open(path)


def test_a_deflated_header_is_not_inflated(tmp_path):
    path = write_full(tmp_path / "a.dcm", picture())
    deflated = b"1.2.840.10008.1.2.1.99"
    data = path.read_bytes()
    stored = b"1.2.840.10008.1.2.1\0"
    assert data.count(b"UI\x14\0" + stored) == 1
    data = data.replace(b"UI\x14\0" + stored, b"UI\x16\0" + deflated)
    path.write_bytes(data)
    with pytest.raises(UnsupportedFormat, match=r"transfer syntax 1\.2\.840\.10008\.1\.2\.1\.99"):
        DicomSource.open(path)


@pytest.mark.parametrize("length", [140, 400, 900])
def test_a_cut_header_is_refused(tmp_path, length):
    path = write_full(tmp_path / "a.dcm", picture())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SlideError, match=r"a\.dcm"):
        DicomSource.open(path)


def test_cut_pixels_are_refused_or_named(tmp_path):
    path = write_full(tmp_path / "a.dcm", picture())
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(SlideError, match=r"a\.dcm"):  # noqa: SIM117 - either of the two raises
        with DicomSource.open(path) as slide:
            whole(slide)


def test_a_closed_slide_says_so(tmp_path):
    slide = DicomSource.open(write_full(tmp_path / "a.dcm", picture()))
    slide.close()
    slide.close()
    with pytest.raises(TileReadError, match="closed"):
        slide.read_tile(0, 0, 0)


def test_a_frame_that_declares_another_size_is_not_decoded(shared_data, tmp_path):
    folder = shared_data / "slides" / "dicom_cmu-1-small-region"
    path = tmp_path / "a.dcm"
    shutil.copyfile(folder / "level-3-frames-0-1.dcm", path)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    frame = data.index(b"\xff\xc0\x00\x11\x08")
    data[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    with DicomSource.open(path) as slide, pytest.raises(TileReadError, match="65535 x 65535"):
        slide.read_tile(0, 0, 0)


def test_without_wsidicom_openslide_reads_it_and_the_remedy_is_named(shared_data, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wsidicom", None)
    opened = open_explained(shared_data / "slides" / "boxes_0.dcm")
    with opened.source as slide:
        assert slide.info.reader == "openslide"
    reasons = {d.reader: d.reason for d in opened.declined}
    assert reasons["dicom"] == "reading it needs wsidicom: pip install 'tilescope[dicom]'"


@pytest.mark.parametrize(
    "values", [{"SharedFunctionalGroupsSequence": []}, {"NumberOfFrames": 10**8}]
)
def test_damage_is_not_left_to_openslide(tmp_path, values):
    path = tmp_path / "a.dcm"
    write_full(path, picture(), **values)
    with pytest.raises(CorruptSlide) as caught:
        open_slide(path)
    assert "openslide" not in str(caught.value)
