import os

import imagecodecs
import numpy as np
import pytest
import tifffile

from tilescope.domain.geometry import Rect, Size
from tilescope.errors import (
    CorruptSlide,
    SlideError,
    SlideNotFound,
    UnsupportedFormat,
    UsageError,
)
from tilescope.io.address import parse_address
from tilescope.io.region import read_region
from tilescope.io.registry import open_explained, open_slide
from tilescope.testing.synthetic import write_ome_zarr, write_repeated_slide, write_tiff_pyramid


def refused(path, kind=UnsupportedFormat):
    with pytest.raises(kind) as caught:
        open_slide(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_there(tmp_path):
    assert "no such file" in refused(tmp_path / "absent.svs", SlideNotFound)


def test_an_empty_file(tmp_path):
    path = tmp_path / "empty.svs"
    path.touch()
    assert "empty" in refused(path)


@pytest.mark.parametrize("name", ["notes.svs", "notes.tif", "notes.png", "notes.dcm"])
def test_text_named_like_a_slide(tmp_path, name):
    path = tmp_path / name
    path.write_text("not a slide at all\n" * 100)
    text = refused(path)
    assert "no reader takes it" in text
    assert text.endswith("; copy it again, or convert it to OME-TIFF or OME-Zarr")


def test_a_compression_that_nobody_reads_is_no_damage(tmp_path, coordinates):
    path = tmp_path / "odd.tif"
    tifffile.imwrite(path, coordinates, tile=(64, 64), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(52479)
    text = refused(path)
    assert "not supported (tiff: TIFF compression 52479 is not known; openslide: " in text
    assert "damaged" not in text
    assert text.endswith("; convert it to OME-TIFF or OME-Zarr")


def test_a_reason_that_says_what_to_do_stands_alone(tmp_path):
    (tmp_path / "page.txt").touch()
    text = refused(tmp_path)
    assert "open one of the files in it" in text
    assert "convert" not in text


def test_a_folder_without_zarr(tmp_path):
    (tmp_path / "page.txt").touch()
    assert "zarr.json" in refused(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="needs file permissions")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "secret.tif"
    path.write_bytes(b"II*\0")
    path.chmod(0)
    assert "cannot be read" in refused(path)


@pytest.mark.skipif(os.name == "nt", reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "neither a file nor a folder" in refused(tmp_path / "pipe")


def test_a_path_with_a_zero_byte():
    with pytest.raises(SlideError):
        open_slide("a\0b")


def test_a_tiff_header_and_nothing_more(tmp_path):
    path = tmp_path / "head.tif"
    path.write_bytes(b"II*\0\x08\0\0\0")
    assert "tiff:" in refused(path, SlideError)


def test_all_reasons_are_listed(tmp_path):
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, np.zeros((4, 4), np.uint64), photometric="minisblack", metadata=None)
    text = refused(path, SlideError)
    assert "tiff: " in text
    assert "openslide: " in text


@pytest.mark.parametrize("name", ["slide.tif", "slide.bin", "slide.png", "slide"])
def test_content_counts_and_not_the_name(tmp_path, coordinates, cache, name):
    write_tiff_pyramid(tmp_path / name, [coordinates])
    with open_slide(tmp_path / name, cache=cache) as slide:
        assert slide.info.reader == "tiff"
        out = read_region(slide, cache, 0, Rect.of_size(slide.info.size))
        np.testing.assert_array_equal(out, coordinates)


def test_an_image_named_tif(tmp_path, coordinates):
    path = tmp_path / "page.tif"
    path.write_bytes(imagecodecs.png_encode(coordinates))
    with open_slide(path) as slide:
        assert (slide.info.reader, slide.info.format) == ("image", "png")


def test_a_zarr_and_its_zip(tmp_path, coordinates, cache):
    import shutil

    folder = write_ome_zarr(tmp_path / "a.zarr", [np.moveaxis(coordinates, 2, 0)])
    shutil.make_archive(str(tmp_path / "a"), "zip", folder)
    for path in (folder, tmp_path / "a.zip"):
        with open_slide(path) as slide:
            assert slide.info.reader == "zarr"
            out = read_region(slide, cache, 0, Rect.of_size(slide.info.size))
            np.testing.assert_array_equal(out, coordinates)


def test_a_slide_without_overviews_gets_them(tmp_path, cache):
    path = tmp_path / "flat.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (4100, 100, 3), np.uint8)
    write_tiff_pyramid(path, [pixels], compression=None)
    with open_slide(path, cache=cache) as slide:
        assert [v.size for v in slide.info.levels] == [
            Size(100, 4100), Size(50, 2050), Size(25, 1025),
        ]  # fmt: skip
        slide.read_tile(2, 0, 0)


def test_a_huge_slide_of_few_bytes(tmp_path, cache):
    texture = np.random.default_rng(0).integers(0, 255, (512, 512, 3), np.uint8)
    path = write_repeated_slide(tmp_path / "huge.tif", texture, 40_000, 40_000, um_per_px=0.25)
    assert path.stat().st_size < 8 << 20
    with open_slide(path, cache=cache) as slide:
        assert slide.info.size == Size(40_000, 40_000)
        assert [v.downsample_x for v in slide.info.levels] == [1, 2, 4, 8, 16, 32]
        assert slide.info.pixel_size is not None
        assert slide.info.pixel_size.um_x == 0.25
        first = slide.read_tile(0, 0, 0)
        np.testing.assert_array_equal(slide.read_tile(0, 150, 100), first)


def test_an_endless_slide_without_overviews_is_refused(tmp_path):
    import zarr

    group = zarr.open_group(str(tmp_path / "endless.zarr"), mode="w")
    side = 2**31
    group.create_array("0", shape=(side, side), chunks=(1024, 1024), dtype="uint8")
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0"}]}],
    }
    assert "no smaller level" in refused(tmp_path / "endless.zarr")


def test_a_damaged_png(tmp_path, coordinates):
    path = tmp_path / "cut.png"
    path.write_bytes(imagecodecs.png_encode(coordinates)[:400])
    text = refused(path, CorruptSlide)
    assert "the file is damaged (image: decoding the png image failed" in text
    assert text.endswith("; copy it again, or convert it to OME-TIFF or OME-Zarr")


READERS = {"tiff", "dicom", "zarr", "image", "fits", "pdf", "openslide"}


def declined(path):
    opened = open_explained(path)
    with opened.source as slide:
        reasons = {d.reader: d.reason for d in opened.declined}
        assert len(reasons) == len(opened.declined)
        assert set(reasons) == READERS - {slide.info.reader}
        return slide.info.reader, reasons


def test_every_other_reader_says_why_it_did_not_open(tmp_path, coordinates):
    path = write_tiff_pyramid(tmp_path / "a.png", [coordinates])
    reader, reasons = declined(path)
    assert reader == "tiff"
    assert reasons["openslide"] == "not asked: tiff comes first"
    assert reasons["image"] == "not a PNG, JPEG, WebP, BMP or JPEG 2000 image"
    assert reasons["pdf"] == "not a PDF"


def test_a_reader_that_was_asked_gives_its_own_reason(shared_data):
    reader, reasons = declined(shared_data / "slides" / "jpeg2000.dicom")
    assert (reader, reasons["fits"]) == ("dicom", "not a FITS file")
    text = refused(shared_data / "slides" / "unopenable.tiff", SlideError)
    assert "tiff: " in text
    assert "dicom: " not in text


def test_a_folder_of_other_things_names_what_was_looked_for(tmp_path):
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + b"no more of it")
    text = refused(tmp_path, SlideError)
    assert "dicom: " in text
    assert "zarr: " in text


def test_the_index_of_a_mirax_slide_is_not_shown_as_a_picture(tmp_path, coordinates):
    path = tmp_path / "slide.mrxs"
    path.write_bytes(imagecodecs.jpeg8_encode(coordinates))
    with open_slide(path) as slide:
        assert slide.info.reader == "image"
    (tmp_path / "slide").mkdir()
    (tmp_path / "slide" / "Slidedat.ini").write_text("[GENERAL]\n")
    assert "image: " not in refused(path, SlideError)


def test_a_stated_pixel_size_replaces_the_files_own(tmp_path, coordinates):
    path = write_tiff_pyramid(tmp_path / "a.tif", [coordinates])
    with open_slide(path, um_per_px=0.75) as slide:
        assert (slide.info.pixel_size.um_x, slide.info.pixel_size.um_y) == (0.75, 0.75)
        assert slide.info.pixel_size_source == "user"
        assert slide.read_tile(0, 0, 0).shape[2] == 3
    for wrong in (0, -1, 1000, float("nan")):
        with pytest.raises(UsageError, match="plausible"):
            open_slide(path, um_per_px=wrong)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://host/a.zarr", "https://host/a.zarr"),
        ("https:/host/a.zarr", "https://host/a.zarr"),  # as a path object holds it
        ("S3://bucket/a.zarr", "s3://bucket/a.zarr"),
        ("http://host:80/a#b", "http://host:80/a#b"),
        ("https.tif", None),
        ("a/https:/b", None),
        ("c:/slides/a.svs", None),
    ],
)
def test_what_is_an_address_on_the_network(text, url):
    assert parse_address(text).url == url


@pytest.mark.parametrize("text", ["http://", "s3://", "#page=2", "#", "a#page=1"])
def test_names_that_lead_nowhere(text):
    with pytest.raises(SlideError):
        open_slide(text)


def test_a_part_of_what_has_no_parts(tmp_path, coordinates):
    path = write_tiff_pyramid(tmp_path / "a.tif", [coordinates])
    assert "tiff: knows no part called page" in refused(f"{path}#page=2")
