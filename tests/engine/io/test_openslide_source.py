"""OpenSlide against our own TIFF reader, and what happens to its handle on errors."""

import struct

import numpy as np
import pytest
import tifffile

from tilescope.domain.geometry import Rect
from tilescope.errors import CorruptSlide, TileReadError, UnsupportedFormat
from tilescope.io.cache import TileCache
from tilescope.io.openslide_source import OpenSlideSource
from tilescope.io.region import read_region
from tilescope.io.registry import open_slide
from tilescope.io.tiff_directories import check_directories
from tilescope.io.tiff_source import TiffSource
from tilescope.testing.synthetic import write_repeated_slide

#: libjpeg and OpenJPEG builds differ by this much.
TOLERANCE = 2


@pytest.fixture
def texture():
    y, x = np.mgrid[:512, :512]
    return np.stack([x // 2, y // 2, (x + y) // 4], axis=2).astype(np.uint8)


def whole(source, level=0):
    rect = Rect.of_size(source.info.levels[level].size)
    return read_region(source, TileCache(64 << 20), level, rect).astype(int)


def test_both_read_a_generic_tiled_slide_alike(tmp_path, texture):
    path = write_repeated_slide(tmp_path / "a.tif", texture, 1300, 900, levels=3, um_per_px=0.25)
    with TiffSource.open(path) as ours, OpenSlideSource.open(path) as theirs:
        assert theirs.info.format == "generic-tiff"
        assert ours.info.pixel_size == theirs.info.pixel_size
        assert [v.size for v in ours.info.levels] == [v.size for v in theirs.info.levels]
        for level in range(3):
            assert np.abs(whole(ours, level) - whole(theirs, level)).max() <= TOLERANCE


@pytest.mark.parametrize(
    "name", ["CMU-1-Small-Region.svs", "tcga-cr-7395-01a-01-ts1.svs", "small.svs"]
)
def test_both_read_aperio_alike(shared_data, name):
    path = shared_data / "slides" / name
    with TiffSource.open(path) as ours, OpenSlideSource.open(path) as theirs:
        size = ours.info.size
        for x0, y0 in ((0, 0), (max(0, size.width - 500), max(0, size.height - 400))):
            rect = Rect(x0, y0, x0 + 600, y0 + 600)
            parts = [read_region(s, TileCache(1 << 24), 0, rect) for s in (ours, theirs)]
            assert np.abs(parts[0].astype(int) - parts[1]).max() <= TOLERANCE
        assert ours.info.pixel_size == theirs.info.pixel_size
        assert ours.info.objective_power == theirs.info.objective_power
        assert ours.info.icc_profile == theirs.info.icc_profile


def test_both_read_aperio_ycbcr_in_jpeg2000_alike(shared_data, tmp_path):
    import tifffile

    path = tmp_path / "ycbcr.svs"
    path.write_bytes((shared_data / "slides" / "tcga-cr-7395-01a-01-ts1.svs").read_bytes())
    with tifffile.TiffFile(path, mode="r+") as tif:
        for page in tif.pages:
            if page.compression == 33005:
                page.tags["Compression"].overwrite(33003)
    rect = Rect(1000, 1000, 1400, 1300)
    with TiffSource.open(path) as ours, OpenSlideSource.open(path) as theirs:
        parts = [read_region(s, TileCache(1 << 24), 0, rect).astype(int) for s in (ours, theirs)]
        assert np.abs(parts[0] - parts[1]).max() <= TOLERANCE


def test_dicom_opens_from_any_of_its_files(shared_data):
    folder = shared_data / "slides" / "dicom_cmu-1-small-region"
    with open_slide(folder / "level-3-frames-0-1.dcm") as slide:
        assert slide.info.format == "dicom"
        assert slide.info.size.width == 2220
        assert slide.info.pixel_size is not None


def test_a_failed_read_does_not_spoil_the_next(tmp_path, texture):
    path = write_repeated_slide(tmp_path / "a.tif", texture, 1024, 1024, levels=1)
    import tifffile

    with tifffile.TiffFile(path) as tif:
        first, second = tif.pages[0].dataoffsets[:2]
        count = tif.pages[0].databytecounts[0]
    with OpenSlideSource.open(path) as source:
        good = source.read_tile(0, 1, 0)
    with path.open("r+b") as file:
        file.seek(first)
        file.write(b"\0" * count)
    assert first != second
    with OpenSlideSource.open(path) as source:
        for _ in range(3):
            with pytest.raises(TileReadError, match="tile \\(0, 0\\)"):
                source.read_tile(0, 0, 0)
            np.testing.assert_array_equal(source.read_tile(0, 1, 0), good)


def test_a_closed_slide_says_so(tmp_path, texture):
    path = write_repeated_slide(tmp_path / "a.tif", texture, 1024, 1024, levels=1)
    source = OpenSlideSource.open(path)
    source.close()
    source.close()
    with pytest.raises(TileReadError, match="closed"):
        source.read_tile(0, 0, 0)


def test_what_it_does_not_know(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    with pytest.raises(UnsupportedFormat, match="OpenSlide"):
        OpenSlideSource.open(path)


def test_a_recognised_file_that_cannot_be_opened(shared_data):
    with pytest.raises((CorruptSlide, UnsupportedFormat), match="52479"):
        OpenSlideSource.open(shared_data / "slides" / "unopenable.tiff")


def ndpi_of(path, *, length=8, **values):
    """Write a page of JPEG without tiles, as Hamamatsu does."""
    options = {"compression": "jpeg", "photometric": "rgb", "metadata": None}
    extra = [(65420, "H", 1, 1, True)]
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.zeros((length, 256, 3), np.uint8), extratags=extra, **options)
    with tifffile.TiffFile(path, mode="r+") as tif:
        for name, value in values.items():
            tif.pages[0].tags[name].overwrite(value, dtype="I")
    return path


def test_a_page_longer_than_its_file_is_not_shown_to_openslide(tmp_path):
    path = ndpi_of(tmp_path / "long.tif", ImageLength=2**31 - 1)
    with pytest.raises(CorruptSlide, match=r"too few for 256 x 2147483647"):
        OpenSlideSource.open(path)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_tag_longer_than_its_file_is_not_shown_to_openslide(
    tmp_path, texture, bigtiff, byteorder
):
    path = tmp_path / "tags.tif"
    options = {"tile": (256, 256), "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as writer:
        writer.write(texture, **options)
        writer.write(texture[:256, :256], **options)
    check_directories(path)
    with tifffile.TiffFile(path) as tif:
        entry = tif.pages[1].tags["TileOffsets"].offset
    with path.open("r+b") as file:
        file.seek(entry + 4)
        file.write(struct.pack(byteorder + ("Q" if bigtiff else "I"), 2**31))
    with pytest.raises(CorruptSlide, match="tag 324 claims"):
        OpenSlideSource.open(path)


def test_directories_in_a_ring_are_read_once(tmp_path, texture):
    path = tmp_path / "ring.tif"
    tifffile.imwrite(path, texture, tile=(256, 256), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as tif:
        start, tags = tif.pages[0].offset, len(tif.pages[0].tags)
    with path.open("r+b") as file:
        file.seek(start + 2 + 12 * tags)
        file.write(struct.pack("<I", start))
    check_directories(path)


def test_a_page_that_lists_too_few_tiles_is_not_shown_to_openslide(tmp_path, texture):
    path = tmp_path / "few.tif"
    tifffile.imwrite(path, texture, tile=(256, 256), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["ImageWidth"].overwrite(2**23, dtype="I")
    with pytest.raises(CorruptSlide, match="needs 65536 tiles and lists 4"):
        OpenSlideSource.open(path)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ([(65426, "I", 2, (2**31, 2**31), True)], "restart intervals from byte 2147483648"),
        ([(65426, "I", 1, 2**31, True)], "restart intervals from byte 2147483648"),
        ([(65426, "Q", 2, (2**41, 2**41), True)], "restart intervals as numbers of type 16"),
        ([(65426, "d", 2, (1e12, 1e12), True)], "restart intervals as numbers of type 12"),
        (
            [(65426, "I", 2, (8, 9), True), (65432, "I", 2, (3, 3), True)],
            f"restart intervals from byte {3 * 2**32 + 8}",
        ),
    ],
)
def test_restart_intervals_outside_the_file(tmp_path, tags, reason):
    path = tmp_path / "intervals.tif"
    extra = [(65420, "H", 1, 1, True), *tags]
    pixels = np.zeros((8, 16, 3), np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", extratags=extra, metadata=None)
    with pytest.raises(CorruptSlide, match=reason):
        check_directories(path)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_tile_longer_than_its_file_is_not_shown_to_openslide(
    tmp_path, texture, bigtiff, byteorder, count
):
    """With one or two the lengths stand in the tag itself, with more elsewhere."""
    path = tmp_path / "tiles.tif"
    height, width = {1: (256, 256), 2: (512, 256), 4: (512, 512)}[count]
    options = {"tile": (256, 256), "photometric": "rgb", "metadata": None}
    pixels = np.resize(texture, (height, width, 3))
    with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as writer:
        writer.write(pixels, **options)
    check_directories(path)
    with tifffile.TiffFile(path, mode="r+") as tif:
        lengths = [*tif.pages[0].tags["TileByteCounts"].value[:-1], 2**32 - 2**24]
        tif.pages[0].tags["TileByteCounts"].overwrite(lengths, dtype="I")
    with pytest.raises(CorruptSlide, match=f"claims {2**32 - 2**24} bytes of a file of"):
        OpenSlideSource.open(path)


def test_lengths_that_lie_outside_the_file_are_left_to_the_reader(tmp_path, texture):
    path = tmp_path / "outside.tif"
    options = {"tile": (256, 256), "photometric": "rgb", "metadata": None}
    tifffile.imwrite(path, np.resize(texture, (512, 512, 3)), bigtiff=True, **options)
    with tifffile.TiffFile(path) as tif:
        entry = tif.pages[0].tags["TileByteCounts"].offset
    with path.open("r+b") as file:
        file.seek(entry + 12)
        file.write(struct.pack("<Q", 2**63))
    check_directories(path)
