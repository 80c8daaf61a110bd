"""A run from slide to files: resumed, cancelled, killed, refused, out of room."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from tests.engine.jobs.conftest import Bench, discs, write_png
from tests.engine.jobs.killing import files_of, killed_run
from tests.engine.jobs.task_models import instances

from tilescope.domain.geometry import Rect
from tilescope.domain.scale import AtObjectSize, AtPixelSize
from tilescope.errors import (
    BudgetTooSmall,
    Cancelled,
    OutputError,
    PixelSizeUnknown,
    RunMismatch,
    SlideError,
    UsageError,
    WeightsError,
)
from tilescope.jobs.request import FORMATS, RunProgress
from tilescope.jobs.run_model import run_model
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.toy import toy_model

CENTRES = [(x, y, 6.0) for x in range(15, 500, 20) for y in range(15, 400, 20)]


@pytest.fixture
def slide(bench: Bench) -> Path:
    return write_png(bench.folder / "slide.png", discs((416, 520), CENTRES))


def test_all_files_agree_with_each_other(bench: Bench, slide: Path) -> None:
    report = bench.run(slide, formats=FORMATS)
    folder = bench.folder / "out" / "slide"
    written = {path.name for path in folder.iterdir()}
    assert written == {
        *("objects.geojson", "objects.csv", "objects.coco.json", "labels.ome.zarr"),
        *("overview.png", "run.json", "run.ledger"),
    }
    assert report.status == "complete"
    assert report.objects == len(CENTRES) == len(bench.features(slide))
    assert len((folder / "objects.csv").read_text().splitlines()) == len(CENTRES) + 1
    labels = zarr.open_array(folder / "labels.ome.zarr" / "0", mode="r")[:]
    assert labels.shape == (416, 520)
    assert set(np.unique(labels)) == set(range(len(CENTRES) + 1))
    coco = json.loads((folder / "objects.coco.json").read_text())
    assert len(coco["annotations"]) == len(CENTRES)
    stored = json.loads((folder / "run.json").read_text())
    assert stored["objects"] == len(CENTRES)
    assert stored["tiles"]["done"] + stored["tiles"]["skipped_background"] == report.tiles.total
    assert stored["halo_px"] == 2
    assert stored["halo_exact"] is True
    assert stored["peak_rss_bytes"] > 0
    assert stored["memory_cap_bytes"] == 2**31


def test_outlines_lie_on_the_discs_they_come_from(bench: Bench, slide: Path) -> None:
    bench.run(slide)
    for feature in bench.features(slide):
        ring = np.array(feature["geometry"]["coordinates"][0])[:-1]
        centre = ring.mean(axis=0) - 0.5  # a pixel's centre is half a pixel into it
        assert min(np.hypot(*(centre - c[:2])) for c in CENTRES) < 0.5


def test_the_result_of_a_repeated_run_is_the_same_and_costs_no_inference(
    bench: Bench, slide: Path
) -> None:
    bench.run(slide)
    first = (bench.folder / "out/slide/objects.geojson").read_bytes()
    again = bench.run(slide)
    assert again.seconds.infer == 0
    assert (bench.folder / "out/slide/objects.geojson").read_bytes() == first


def test_another_parameter_in_the_same_folder_is_refused_by_name(bench: Bench, slide: Path) -> None:
    bench.run(slide)
    with pytest.raises(RunMismatch, match=r"threshold was 0\.5, now 0\.7"):
        bench.run(slide, parameters={"threshold": 0.7})
    assert bench.run(slide, parameters={"threshold": 0.7}, overwrite=True).status == "complete"


def test_a_changed_slide_in_the_same_folder_is_refused(bench: Bench, slide: Path) -> None:
    bench.run(slide)
    write_png(slide, discs((416, 520), CENTRES[:5]))
    with pytest.raises(RunMismatch, match="slide"):
        bench.run(slide)


def test_a_cancelled_run_is_valid_and_continues(bench: Bench, slide: Path) -> None:
    bench = bench.with_tiles(128)
    token = CancellationToken()

    def stop_after_five(progress: RunProgress) -> None:
        if progress.tiles_done >= 5:
            token.cancel()

    report = run_model(bench.request(slide), token, stop_after_five)
    assert report.status == "cancelled"
    folder = bench.folder / "out/slide"
    assert json.loads((folder / "run.json").read_text())["status"] == "cancelled"
    assert not (folder / "objects.geojson").exists()
    resumed = bench.run(slide)
    assert resumed.status == "complete"
    bench.run(slide, "fresh")
    fresh = (bench.folder / "fresh/slide/objects.geojson").read_bytes()
    assert (folder / "objects.geojson").read_bytes() == fresh


def test_cancelling_before_the_first_tile_writes_nothing(bench: Bench, slide: Path) -> None:
    token = CancellationToken()
    token.cancel()
    with pytest.raises(Cancelled):
        run_model(bench.request(slide), token)
    assert not (bench.folder / "out").exists()


def test_killed_thirty_times_it_ends_in_the_same_bytes(bench: Bench) -> None:
    centres = [(x, y, 6.0) for x in range(15, 660, 25) for y in range(15, 660, 25)]
    slide = write_png(bench.folder / "slide.png", discs((660, 660), centres))
    stages = killed_run(bench.folder, slide, "tests.engine.jobs.task_models:instances", kills=30)
    assert stages.count(".") >= 30
    assert "w" in stages
    bench.using(instances).run(slide, "fresh")
    folder = bench.folder / "killed/slide"
    assert files_of(folder) == files_of(bench.folder / "fresh/slide")
    assert (folder / "objects.csv").stat().st_size > 1000


def test_a_blank_slide_is_all_background(bench: Bench) -> None:
    blank = write_png(bench.folder / "blank.png", np.full((300, 300, 3), 244, np.uint8))
    report = bench.with_tiles(128).run(blank)
    assert report.status == "complete"
    assert report.objects == 0
    assert report.tiles.skipped_background == report.tiles.total
    assert bench.features(blank) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 3), (17, 31)])
def test_slides_smaller_than_anything_run(bench: Bench, shape: tuple[int, int]) -> None:
    tiny = write_png(bench.folder / "tiny.png", np.full((*shape, 3), 90, np.uint8))
    report = bench.run(tiny)
    assert report.status == "complete"
    assert (report.slide["width"], report.slide["height"]) == shape[::-1]


def test_a_cap_that_is_too_small_writes_nothing_and_says_what_would_do(
    bench: Bench, slide: Path
) -> None:
    with pytest.raises(BudgetTooSmall) as caught:
        bench.run(slide, memory_bytes=2**20)
    assert caught.value.needed_bytes > 2**20
    assert not (bench.folder / "out").exists()
    assert bench.run(slide, memory_bytes=caught.value.needed_bytes + 2**26).status == "complete"


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {"treshold": 0.4}},
        {"parameters": {"threshold": 7.0}},
        {"parameters": {"diameter_px": 20.0}},
        {"um_per_px": 1000.0},
        {"region_l0": Rect(0, 0, 10_000, 10)},
        {"provider": "cuda"},
    ],
    ids=["unknown", "range", "useless", "pixel-size", "region", "provider"],
)
def test_wrong_requests_are_refused_before_anything_is_written(
    bench: Bench, slide: Path, changes: dict
) -> None:
    with pytest.raises(UsageError):
        bench.run(slide, **changes)
    assert not (bench.folder / "out").exists()


def test_a_model_in_micrometres_needs_a_calibrated_slide(bench: Bench, slide: Path) -> None:
    model = toy_model(bench.folder, sampling=AtPixelSize(0.5))
    bench = Bench(bench.folder, model)
    with pytest.raises(PixelSizeUnknown, match="the slide does not say its pixel size"):
        bench.run(slide)
    assert bench.run(slide, um_per_px=0.25).scale["factor"] == 2.0


def test_objects_of_unknown_size_are_measured(bench: Bench) -> None:
    # Discs 30 px across for a model that wants them 12 px across.
    picture = discs(
        (600, 600), [(x, y, 15.0) for x in range(40, 600, 70) for y in range(40, 600, 70)]
    )
    slide = write_png(bench.folder / "slide.png", picture)
    model = toy_model(bench.folder, sampling=AtObjectSize(12.0, 8.0))
    report = Bench(bench.folder, model).run(slide)
    assert report.scale["source"] == "measured"
    assert report.scale["diameter_px"] == pytest.approx(30, rel=0.15)
    assert report.objects == 64


def test_a_float_slide_with_holes_in_its_numbers_runs(bench: Bench) -> None:
    picture = discs((416, 520), CENTRES).astype(np.float32) / 220
    picture[188:203, :] = np.nan  # one row of 25 discs
    picture[0, 0] = np.inf
    slide = bench.folder / "slide.tif"
    tifffile.imwrite(slide, picture, tile=(128, 128))
    report = bench.run(slide)
    assert report.status == "complete"
    assert report.objects == len(CENTRES) - 25


def test_a_damaged_weights_file_is_refused(bench: Bench, slide: Path) -> None:
    bench.model.weights_path.write_bytes(b"x" * bench.model.spec.weights.size_bytes)
    with pytest.raises(WeightsError, match="sha256"):
        bench.run(slide)
    bench.model.weights_path.unlink()
    with pytest.raises(WeightsError, match="install"):
        bench.run(slide)


def test_a_slide_that_is_not_one_is_refused(bench: Bench) -> None:
    text = bench.folder / "text.svs"
    text.write_text("not a slide")
    with pytest.raises(SlideError, match=r"text\.svs"):
        bench.run(text)
    assert not (bench.folder / "out").exists()


def test_an_output_folder_that_is_a_file_is_refused(bench: Bench, slide: Path) -> None:
    (bench.folder / "out").write_text("in the way")
    with pytest.raises(OutputError, match="out"):
        bench.run(slide)


def test_a_damaged_ledger_is_named_not_overwritten(bench: Bench, slide: Path) -> None:
    bench.run(slide)
    ledger = bench.folder / "out/slide/run.ledger"
    ledger.write_bytes(b"rubbish" * 1000)
    with pytest.raises(OutputError, match=r"run\.ledger"):
        bench.run(slide)
    assert ledger.read_bytes().startswith(b"rubbish")


def test_a_ledger_of_another_program_is_refused(bench: Bench, slide: Path) -> None:
    folder = bench.folder / "out/slide"
    folder.mkdir(parents=True)
    foreign = sqlite3.connect(folder / "run.ledger")
    foreign.execute("PRAGMA user_version = 9")
    foreign.execute("CREATE TABLE precious (x)")
    foreign.close()
    with pytest.raises(RunMismatch, match="not a run ledger"):
        bench.run(slide)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_stops_cleanly_and_the_run_resumes_when_there_is_room(
    bench: Bench, slide: Path
) -> None:
    disk = bench.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine does not allow mounting a small disk")
    try:
        report = bench.with_tiles(128).run(slide, "disk/out")
        assert report.status == "failed"
        assert "room" in report.errors[0]
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert bench.with_tiles(128).run(slide, "disk/out").objects == len(CENTRES)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
