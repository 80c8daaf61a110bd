"""``tilescope run``: refusals before anything is written, files, exit codes, Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.engine.cli.conftest import (
    Process,
    Tilescope,
    assert_one_line_about,
    command,
    json_objects,
    only_json,
    write_png,
)
from tests.engine.jobs.failing_plugins import install_faulty

from tilescope.domain.scale import AtObjectSize, AtPixelSize, Sampling

RUN_JSON = {
    *("model", "slide", "parameters", "provider", "tiles", "objects", "seconds", "peak_rss_bytes"),
    *("memory_cap_bytes", "halo_px", "halo_exact", "tilescope_version", "status", "errors"),
}


@pytest.mark.usefixtures("toy_site")
def test_a_run_prints_what_run_json_holds_and_where_the_files_are(
    tilescope: Tilescope, spots: Path, tmp_path: Path
) -> None:
    result = tilescope("run", "toy", spots, "-o", "out", "--json", "--threads", 1)
    printed = only_json(result)
    folder = tmp_path / "out" / "spots"
    outputs = printed.pop("outputs")
    assert printed == json.loads((folder / "run.json").read_text())
    assert set(printed) >= RUN_JSON
    assert printed["status"] == "complete"
    assert printed["objects"] == 35
    assert printed["errors"] == []
    assert set(printed["model"]) == {"id", "version", "sha256"}
    assert set(printed["slide"]) == {"path", "sha256_head", "width", "height"}
    assert set(printed["tiles"]) == {"total", "done", "skipped_background", "failed"}
    assert set(printed["seconds"]) == {"total", "read", "infer", "decode", "write"}
    assert outputs == {
        "geojson": str(Path("out/spots/objects.geojson")),
        "ome-zarr": str(Path("out/spots/labels.ome.zarr")),
        "csv": str(Path("out/spots/objects.csv")),
        "overview": str(Path("out/spots/overview.png")),
    }
    assert all((tmp_path / path).exists() for path in outputs.values())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("sampling", "option"),
    [
        (AtPixelSize(0.5), "does not say its pixel size; give it with --um-per-px"),
        (
            AtObjectSize(8, 8),
            "does not say; give it with --um-per-px, or the size of the objects with --param "
            "diameter_px=N",
        ),
    ],
    ids=["pixels", "objects"],
)
def test_an_unknown_pixel_size_is_said_with_the_option_that_gives_it(
    tilescope: Tilescope, site: Path, spots: Path, sampling: Sampling, option: str
) -> None:
    install_faulty(site, sampling=sampling, task="detect")
    result = tilescope("run", "faulty", spots, "-o", "out", "--json")
    assert result.exit_code == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith("tilescope: error: ")
    assert line.endswith(option)
    (printed,) = json_objects(result.stdout)
    assert printed["errors"][0].endswith(option)
    assert not Path("out").exists()


@pytest.mark.usefixtures("toy_site")
def test_a_run_for_people_names_the_files(tilescope: Tilescope, spots: Path) -> None:
    result = tilescope("run", "toy", spots, "-o", "out", "--format", "csv, geojson,csv")
    assert result.exit_code == 0
    assert "35 objects" in result.stdout
    assert str(Path("out/spots/objects.csv")) in result.stdout
    assert "overview" not in result.stdout
    assert not Path("out/spots/overview.png").exists()


@pytest.mark.usefixtures("toy_site")
def test_a_region_and_a_parameter_count(tilescope: Tilescope, spots: Path) -> None:
    part = ["--region", "0,0,240,160", "--param", "threshold=0.25", "--format", "csv"]
    values = only_json(tilescope("run", "toy", spots, "-o", "out", "--json", *part))
    assert values["objects"] == 6
    assert values["parameters"] == {"threshold": 0.25}


@pytest.mark.usefixtures("toy_site")
def test_another_setting_in_the_same_folder_needs_overwrite(
    tilescope: Tilescope, spots: Path
) -> None:
    run = ["run", "toy", spots, "-o", "out", "--format", "csv"]
    assert tilescope(*run).exit_code == 0
    again = tilescope(*run, "--param", "threshold=0.6")
    assert again.exit_code == 2
    assert "threshold was 0.5, now 0.6" in again.stderr
    assert "--overwrite" in again.stderr
    assert tilescope(*run, "--param", "threshold=0.6", "--overwrite").exit_code == 0


WRONG = {
    "model": (["--format", "csv"], "nuclei-net", "'nuclei-net'.*installed models:.*toy"),
    "region-words": (["--region", "left half"], "toy", "--region 'left half'"),
    "region-three": (["--region", "0,0,10"], "toy", "--region '0,0,10'"),
    "region-empty": (["--region", "5,5,0,10"], "toy", "--region '5,5,0,10'"),
    "region-fraction": (["--region", "0,0,1.5,9"], "toy", "--region"),
    "region-outside": (["--region", "0,0,9999,10"], "toy", "0,0,9999,10 leaves the slide"),
    "region-negative": (["--region=-5,0,10,10"], "toy", "leaves the slide"),
    "format": (["--format", "csv,xlsx"], "toy", "--format 'csv,xlsx': choose among geojson"),
    "format-none": (["--format", ","], "toy", "--format"),
    "param-name": (["--param", "treshold=0.5"], "toy", "'treshold', only threshold"),
    "param-range": (["--param", "threshold=7"], "toy", r"threshold = 7 is not in 0\.01"),
    "param-words": (["--param", "threshold=high"], "toy", "'threshold=high' is not NAME=NUMBER"),
    "param-bare": (["--param", "threshold"], "toy", "'threshold' is not NAME=NUMBER"),
    "param-nan": (["--param", "threshold=nan"], "toy", "'threshold=nan' is not NAME=NUMBER"),
    "param-infinite": (["--param", "diameter_px=inf"], "toy", "'diameter_px=inf'"),
    "memory": (["--memory", "plenty"], "toy", "'plenty' is not a size"),
    "memory-negative": (["--memory=-1GiB"], "toy", "'-1GiB' is not a size"),
    "pixel-size": (["--um-per-px", "0"], "toy", "0.*um/px"),
    "pixel-size-nan": (["--um-per-px", "nan"], "toy", "nan.*um/px"),
    "provider": (["--provider", "abacus"], "toy", "abacus"),
}


@pytest.mark.usefixtures("toy_site")
@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    tilescope: Tilescope, spots: Path, name: str
) -> None:
    options, model, message = WRONG[name]
    result = tilescope("run", model, spots, "-o", "out", "--json", *options)
    assert result.exit_code == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith("tilescope: error: ")
    assert re.search(message, line), line
    assert not Path("out").exists()


@pytest.mark.usefixtures("toy_site")
def test_slides_of_one_name_would_share_a_folder(tilescope: Tilescope, spots: Path) -> None:
    other = spots.parent / "other"
    other.mkdir()
    write_png(other / spots.name, np.zeros((40, 40), np.uint8))
    result = tilescope("run", "toy", spots, other / spots.name, "-o", "out")
    assert result.exit_code == 2
    assert_one_line_about(result.stderr, "'spots'")
    assert not Path("out").exists()


@pytest.mark.usefixtures("toy_site")
def test_a_cap_too_small_says_what_would_do(tilescope: Tilescope, spots: Path) -> None:
    run = ["run", "toy", spots, "-o", "out", "--format", "csv"]
    result = tilescope(*run, "--memory", "1MiB")
    assert result.exit_code == 3
    line = result.stderr.splitlines()[-1]
    assert line.startswith("tilescope: error: a memory cap of 1 MiB is too small")
    found = re.search(r"at least (\d+) MiB \(--memory (\d+)MiB\)", line)
    assert found is not None
    assert found[1] == found[2]
    assert int(found[1]) > 1
    assert not Path("out").exists()


def test_the_suggested_cap_does_and_is_kept(process: Process, spots: Path) -> None:
    run = ["run", "toy", spots, "-o", "out", "--format", "csv", "--json", "--threads", 1]
    refused = process(*run, "--memory", "1MiB")
    assert refused.returncode == 3
    (refusal,) = json_objects(refused.stdout)
    assert refusal["status"] == "failed"
    cap = re.search(r"--memory (\d+MiB)", refused.stderr)
    assert cap is not None
    # What a fresh process takes varies by a few pages from one start to the next.
    ended = process(*run, "--memory", f"{int(cap[1][:-3]) + 8}MiB")
    assert ended.returncode == 0, ended.stderr
    (report,) = json_objects(ended.stdout)
    assert report["peak_rss_bytes"] <= report["memory_cap_bytes"]


@pytest.mark.usefixtures("toy_site")
def test_a_bad_slide_does_not_keep_the_others_from_running(
    tilescope: Tilescope, spots: Path, no_slide: Path
) -> None:
    result = tilescope("run", "toy", no_slide, spots, "-o", "out", "--json", "--format", "csv")
    assert result.exit_code == 1
    bad, good = json_objects(result.stdout)
    assert bad["slide"]["path"] == str(no_slide)
    assert bad["status"] == "failed"
    assert str(no_slide) in bad["errors"][0]
    assert (good["slide"]["path"], good["status"]) == (str(spots), "complete")
    assert str(no_slide) in result.stderr
    assert Path("out/spots/objects.csv").exists()
    assert not Path("out", no_slide.stem).exists()


@pytest.mark.usefixtures("toy_site")
def test_only_bad_slides_are_bad_input(tilescope: Tilescope, no_slide: Path) -> None:
    result = tilescope("run", "toy", no_slide, "gone.svs", "-o", "out", "--json")
    assert result.exit_code == 2
    assert [found["status"] for found in json_objects(result.stdout)] == ["failed", "failed"]
    assert not Path("out").exists()


@pytest.mark.usefixtures("toy_site")
def test_an_output_folder_that_is_a_file(tilescope: Tilescope, spots: Path) -> None:
    Path("out").write_text("in the way")
    result = tilescope("run", "toy", spots, "-o", "out")
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    assert Path("out").read_text() == "in the way"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
def test_an_interrupted_run_ends_with_130_and_continues(
    tmp_path: Path, environment: dict[str, str], process: Process, number: signal.Signals
) -> None:
    picture = np.zeros((1600, 1600), np.uint8)
    for y in range(10, 1600, 40):
        for x in range(10, 1600, 40):
            picture[y : y + 12, x : x + 12] = 220
    slide = write_png(tmp_path / "slide.png", picture)
    run = ["run", "toy", slide, "-o", "out", "--format", "csv", "--json", "--threads", 1]
    running = subprocess.Popen(
        command(*run),
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if re.search(r"slide\.png: tile \d+ of \d+", line):
            running.send_signal(number)
            break
    stdout, stderr = running.communicate(timeout=120)
    assert running.returncode == 130, stderr
    assert "Traceback" not in stderr
    (printed,) = json_objects(stdout)
    stored = json.loads((tmp_path / "out/slide/run.json").read_text())
    assert stored["status"] == printed["status"] == "cancelled"
    assert stored["tiles"]["done"] < stored["tiles"]["total"]
    assert not (tmp_path / "out/slide/objects.csv").exists()

    ended = process(*run)
    assert ended.returncode == 0, ended.stderr
    (report,) = json_objects(ended.stdout)
    assert report["status"] == "complete"
    assert report["objects"] == 1600
    assert len((tmp_path / "out/slide/objects.csv").read_text().splitlines()) == 1601


def test_nuclei_on_the_fluorescence_sample(process: Process, dapi_image: Path) -> None:
    run = ["run", "nuclei-unet", dapi_image, "-o", "out", "--memory", "1GiB", "--json"]
    ended = process(*run)
    assert ended.returncode == 0, ended.stderr
    (report,) = json_objects(ended.stdout)
    assert report["status"] == "complete"
    assert report["contrast"]["dark_background"] is True
    assert report["scale"]["source"] in {"measured", "assumed"}
    assert report["objects"] > 10
    assert report["peak_rss_bytes"] <= report["memory_cap_bytes"] == 2**30


def test_nuclei_in_a_region_of_the_stained_slide(process: Process, hes_slide: Path) -> None:
    run = ["run", "nuclei-unet", hes_slide, "-o", "out", "--region", "1000,1400,400,400"]
    ended = process(*run, "--format", "csv,geojson", "--json")
    assert ended.returncode == 0, ended.stderr
    (report,) = json_objects(ended.stdout)
    assert report["contrast"]["dark_background"] is False
    assert report["scale"]["source"] == "object-size"
    assert report["objects"] > 5
    assert report["halo_exact"] is True
