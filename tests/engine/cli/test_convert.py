"""``tilescope convert``: what is printed, exit codes, Ctrl-C, and options that make no sense."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tifffile
import zarr
from tests.engine.cli.conftest import (
    Process,
    Tilescope,
    assert_one_line_about,
    command,
    json_objects,
    only_json,
)

from tilescope.domain.geometry import Rect
from tilescope.testing.synthetic import coordinate_pixels, write_repeated_slide, write_tiff_pyramid


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    pixels = coordinate_pixels(Rect(0, 0, 1101, 203))
    return write_tiff_pyramid(tmp_path / "slide.tif", [pixels], tile=64, um_per_px=0.5)


def test_the_json(tilescope: Tilescope, slide: Path) -> None:
    report = only_json(tilescope("convert", slide, "out.ome.zarr", "--json", "--memory", "2GiB"))
    assert report["status"] == "complete"
    assert report["output"] == "out.ome.zarr"
    assert report["form"] == {
        "version": "0.5",
        "chunk_px": 512,
        "shard_px": None,
        "compressor": "blosc",
    }
    assert report["levels"][0] == {"width": 1101, "height": 203}
    assert report["peak_rss_bytes"] > 0
    assert report["memory_cap_bytes"] == 2**31
    info = only_json(tilescope("info", "out.ome.zarr", "--json"))
    assert (info["width"], info["height"]) == (1101, 203)
    assert info["channels"] == ["R", "G", "B"]
    assert info["um_per_px"] == pytest.approx([0.5, 0.5])
    assert len(info["levels"]) == 3


def test_the_sentence(tilescope: Tilescope, slide: Path) -> None:
    result = tilescope("convert", slide, "out.ome.zarr")
    assert result.exit_code == 0
    assert "out.ome.zarr: complete; 1101 x 203 pixels in 3 levels" in result.stdout
    assert "slide.tif: block 0 of 1" in result.stderr


def test_every_option(tilescope: Tilescope, slide: Path) -> None:
    old = tilescope(
        *("convert", slide, "a.zarr", "--format", "0.4", "--tile", 128, "--compressor", "none"),
        *("--threads", 1),
    )
    assert old.exit_code == 0, old.stderr
    array = zarr.open_group("a.zarr", mode="r")["0"]
    assert array.metadata.zarr_format == 2
    assert (array.chunks, array.compressors) == ((1, 3, 1, 128, 128), ())
    new = tilescope("convert", slide, "b.zarr", "--shard", "--tile", 64, "--compressor", "zstd")
    assert new.exit_code == 0, new.stderr
    array = zarr.open_group("b.zarr", mode="r")["0"]
    assert (array.chunks, array.shards) == ((1, 3, 1, 64, 64), (1, 3, 1, 256, 1152))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--format", "0.3"], "--format"),
        (["--compressor", "jpeg"], "--compressor"),
        (["--tile", "100"], "--tile"),
        (["--format", "0.4", "--shard"], "--shard"),
        (["--memory", "lots"], "lots"),
    ],
    ids=["format", "compressor", "tile", "shard", "memory"],
)
def test_options_that_make_no_sense(
    tilescope: Tilescope, slide: Path, options: list[str], named: str
) -> None:
    result = tilescope("convert", slide, "out.ome.zarr", *options)
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, named)
    assert [path.name for path in slide.parent.iterdir()] == ["slide.tif"]


def test_what_is_no_slide(tilescope: Tilescope, no_slide: Path) -> None:
    result = tilescope("convert", no_slide, "out.ome.zarr", "--json")
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, no_slide.name)
    (printed,) = json_objects(result.stdout)
    assert printed["status"] == "failed"
    assert no_slide.name in printed["errors"][0]
    assert not Path("out.ome.zarr.part").exists()


def test_too_little_memory_is_3_and_says_how_much_would_do(
    tilescope: Tilescope, slide: Path
) -> None:
    result = tilescope("convert", slide, "out.ome.zarr", "--memory", "20MiB")
    assert result.exit_code == 3
    assert_one_line_about(result.stderr, "converting this slide: it needs at least")
    assert not Path("out.ome.zarr.part").exists()


def test_an_image_that_is_there(tilescope: Tilescope, slide: Path) -> None:
    assert tilescope("convert", slide, "out.ome.zarr").exit_code == 0
    result = tilescope("convert", slide, "out.ome.zarr")
    assert result.exit_code == 2
    assert "--overwrite" in result.stderr
    assert tilescope("convert", slide, "out.ome.zarr", "--overwrite").exit_code == 0


def test_a_damaged_tile_is_1(tilescope: Tilescope, slide: Path) -> None:
    with tifffile.TiffFile(slide) as tiff:
        page = tiff.pages[0]
        offset, size = page.dataoffsets[7], page.databytecounts[7]
    with slide.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * size)
    result = tilescope("convert", slide, "out.ome.zarr", "--json")
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    assert "tilescope: error: " in result.stderr
    (printed,) = json_objects(result.stdout)
    assert printed["status"] == "failed"
    assert "slide.tif" in printed["errors"][0]
    assert not Path("out.ome.zarr").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
def test_interrupted_it_ends_with_130_and_continues(
    tmp_path: Path, process: Process, number: signal.Signals
) -> None:
    texture = coordinate_pixels(Rect(0, 0, 256, 256))
    slide = write_repeated_slide(tmp_path / "large.tif", texture, 6000, 3000)
    convert = ["convert", slide, "out.ome.zarr", "--json", "--threads", 1]
    running = subprocess.Popen(
        command(*convert), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    assert running.stderr.readline().startswith("large.tif: block 0 of ")
    running.send_signal(number)
    stdout, stderr = running.communicate(timeout=120)
    assert running.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "run the same command again to continue" in stderr
    (printed,) = json_objects(stdout)
    assert printed["status"] == "cancelled"
    assert printed["units"]["done"] < printed["units"]["total"]
    assert not (tmp_path / "out.ome.zarr").exists()

    ended = process(*convert)
    assert ended.returncode == 0, ended.stderr
    (report,) = json_objects(ended.stdout)
    assert report["status"] == "complete"
    assert report["units"]["earlier"] == printed["units"]["done"]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tilescope.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'zarr', 'numpy', 'imagecodecs'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "convert", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "[]"
    assert "--shard" in ended.stdout


def test_converting_imports_no_zarr(tmp_path: Path, slide: Path) -> None:
    """zarr-python would take a tenth of a small memory cap."""
    code = (
        "import sys; from tilescope.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, 'zarr' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "convert", str(slide), str(tmp_path / "out.zarr"), "--shard"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "0 False"
