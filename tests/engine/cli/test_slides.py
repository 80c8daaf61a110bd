"""``tilescope info`` and ``tilescope thumbnail``."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pypdfium2
import pytest
import tifffile
from tests.engine.cli.conftest import (
    Process,
    Tilescope,
    assert_one_line_about,
    json_objects,
    only_json,
    write_png,
)

INFO_KEYS = {
    *("path", "format", "reader", "size_bytes", "width", "height", "levels", "channels", "dtype"),
    *("z", "t", "um_per_px", "um_per_px_source", "objective_power", "associated_images"),
    *("icc_profile", "properties", "declined"),
}


def test_info_as_json_has_the_documented_keys(tilescope: Tilescope, hes_slide: Path) -> None:
    values = only_json(tilescope("info", hes_slide, "--json"))
    assert set(values) == INFO_KEYS
    assert values["path"] == str(hes_slide)
    assert values["format"] == "aperio"
    assert values["size_bytes"] == hes_slide.stat().st_size
    assert (values["width"], values["height"]) == (2220, 2967)
    assert (values["channels"], values["dtype"]) == (["R", "G", "B"], "uint8")
    assert (values["z"], values["t"]) == (1, 1)
    assert values["um_per_px"] == [0.499, 0.499]
    assert values["um_per_px_source"]
    assert values["objective_power"] == 20
    assert len(values["associated_images"]) == 3
    finest = values["levels"][0]
    assert finest == {"width": 2220, "height": 2967, "downsample": 1.0, "tile": [240, 240]}
    for level in values["levels"]:
        assert set(level) == {"width", "height", "downsample", "tile"}
    assert values["icc_profile"] is None
    assert values["properties"]["aperio.AppMag"] == "20"
    reasons = {other["reader"]: other["reason"] for other in values["declined"]}
    assert reasons["openslide"] == "not asked: tiff comes first"
    assert reasons["zarr"] == "neither a folder nor a zip file"


def test_info_of_a_picture_without_pixel_size(tilescope: Tilescope, dapi_image: Path) -> None:
    values = only_json(tilescope("info", dapi_image, "--json"))
    assert set(values) == INFO_KEYS
    assert values["um_per_px"] is None
    assert values["um_per_px_source"] is None
    assert values["objective_power"] is None
    assert values["associated_images"] == []


def test_info_for_people_says_the_same(tilescope: Tilescope, hes_slide: Path) -> None:
    result = tilescope("info", hes_slide)
    assert result.exit_code == 0
    lines = dict(line.split(": ", 1) for line in result.stdout.splitlines())
    others = {
        f"declined by {name}" for name in ("dicom", "fits", "image", "openslide", "pdf", "zarr")
    }
    spelled_out = {"levels", "declined", "properties"}
    assert set(lines) == {*(INFO_KEYS - spelled_out), "level 0", "level 1", *others}
    assert lines["declined by pdf"] == "not a PDF"
    assert lines["icc_profile"] == "none"
    assert lines["width"] == "2220"
    assert lines["level 0"] == "2220 x 2967, downsample 1, tiles 240 x 240"


def test_info_names_the_colour_profile(tilescope: Tilescope, tmp_path: Path) -> None:
    name = b"desc" + bytes(4) + struct.pack(">I", 8) + b"scanner\0"
    profile = bytes(128) + struct.pack(">I4sII", 1, b"desc", 144, len(name)) + name
    slide = tmp_path / "slide.tif"
    pixels = np.full((64, 64, 3), 200, np.uint8)
    tifffile.imwrite(slide, pixels, photometric="rgb", tile=(16, 16), iccprofile=profile)
    values = only_json(tilescope("info", slide, "--json"))
    assert values["icc_profile"] == {"name": "scanner", "size_bytes": len(profile)}
    assert f"icc_profile: scanner, {len(profile)} bytes" in tilescope("info", slide).stdout


def test_a_page_of_a_pdf(tilescope: Tilescope, tmp_path: Path) -> None:
    with pypdfium2.PdfDocument.new() as document:
        document.new_page(72, 144)
        document.new_page(144, 72)
        document.save(tmp_path / "two.pdf")
    values = only_json(tilescope("info", "two.pdf#page=2&dpi=100", "--json"))
    assert (values["format"], values["width"], values["height"]) == ("pdf", 200, 100)
    assert values["path"] == "two.pdf#page=2&dpi=100"
    assert tilescope("thumbnail", "two.pdf#page=2", "page.png").exit_code == 0
    assert imagecodecs.png_decode((tmp_path / "page.png").read_bytes()).shape == (300, 600, 3)


def test_info_imports_only_what_the_slide_needs(hes_slide: Path) -> None:
    code = "import sys; from tilescope.cli.main import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", code, "info", hes_slide],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in ended.stderr.split()}
    assert "tifffile" in loaded
    heavy = {"zarr", "shapely", "onnx", "onnxruntime", "scipy", "openslide", "wsidicom", "pydicom"}
    assert not loaded & (heavy | {"astropy", "pypdfium2", "fsspec"})
    assert "tilescope.exchange" not in ended.stderr.split()


def test_a_process_of_its_own_writes_one_object_and_nothing_else(
    process: Process, hes_slide: Path
) -> None:
    ended = process("info", hes_slide, "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    (values,) = json_objects(ended.stdout)
    assert set(values) == INFO_KEYS


@pytest.mark.parametrize("json", [[], ["--json"]], ids=["text", "json"])
def test_what_is_no_slide_is_named_in_one_line(
    tilescope: Tilescope, no_slide: Path, json: list[str]
) -> None:
    result = tilescope("info", no_slide, *json)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert_one_line_about(result.stderr, str(no_slide))


def test_what_is_no_slide_makes_no_traceback_in_a_process(process: Process, tmp_path: Path) -> None:
    ended = process("info", tmp_path / "none.svs", "--json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert_one_line_about(ended.stderr, "none.svs")


@pytest.mark.parametrize(
    ("max_side", "shape"), [(64, (64, 48)), (1024, (1024, 766))], ids=["small", "default"]
)
def test_a_thumbnail_is_a_png_of_the_right_size(
    tilescope: Tilescope, tmp_path: Path, hes_slide: Path, max_side: int, shape: tuple[int, int]
) -> None:
    out = tmp_path / "small.png"
    result = tilescope("thumbnail", hes_slide, out, "--max-side", max_side)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    data = out.read_bytes()
    assert data.startswith(b"\x89PNG\r\n")
    picture = imagecodecs.png_decode(data)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert max(picture.shape) == max_side
    assert abs(picture.shape[0] - shape[0]) <= 1
    assert abs(picture.shape[1] - shape[1]) <= 1
    assert picture.std() > 10, "a picture of tissue"
    assert [file.name for file in tmp_path.iterdir()] == ["small.png"]


def test_a_small_slide_is_not_blown_up(tilescope: Tilescope, tmp_path: Path) -> None:
    slide = write_png(tmp_path / "slide.png", np.full((30, 50, 3), 200, np.uint8))
    assert tilescope("thumbnail", slide, "out.png").exit_code == 0
    assert imagecodecs.png_decode((tmp_path / "out.png").read_bytes()).shape == (30, 50, 3)


def test_thumbnail_of_what_is_no_slide_writes_nothing(
    tilescope: Tilescope, tmp_path: Path, no_slide: Path
) -> None:
    result = tilescope("thumbnail", no_slide, "out.png")
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, no_slide.name)
    assert not (tmp_path / "out.png").exists()


def test_a_thumbnail_goes_into_a_folder_that_exists(
    tilescope: Tilescope, tmp_path: Path, dapi_image: Path
) -> None:
    result = tilescope("thumbnail", dapi_image, "none/out.png")
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, str(Path("none/out.png")))
    (tmp_path / "file").write_text("in the way")
    result = tilescope("thumbnail", dapi_image, "file/out.png")
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, str(Path("file/out.png")))
    (tmp_path / "folder").mkdir()
    result = tilescope("thumbnail", dapi_image, "folder")
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, "folder")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_without_permission_is_refused(
    tilescope: Tilescope, tmp_path: Path, dapi_image: Path
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    result = tilescope("thumbnail", dapi_image, folder / "out.png")
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, "out.png")


def test_a_thumbnail_never_replaces_its_slide(tilescope: Tilescope, spots: Path) -> None:
    before = spots.read_bytes()
    result = tilescope("thumbnail", spots, spots, "--max-side", 100)
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, spots.name)
    assert spots.read_bytes() == before
