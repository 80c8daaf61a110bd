"""The growing map of a run: ahead of what is told, equal to what is written, gone at the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import zarr
from tests.engine.jobs.conftest import Bench, patches, write_png
from tests.engine.jobs.task_models import blended, classes, heat, scores

from tilescope.domain.geometry import Rect
from tilescope.jobs.run_model import follow
from tilescope.jobs.running.map_stream import STREAM_NAME
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken

Make = Callable[[Path], InstalledModel]


@pytest.fixture
def slide(bench: Bench, rng: np.random.Generator) -> Path:
    return write_png(bench.folder / "slide.png", patches(rng, 416, 520))


def level(path: Path) -> np.ndarray:
    return np.atleast_2d(np.squeeze(zarr.open_array(path / "0", mode="r")[:]))


@pytest.mark.parametrize("make", [classes, blended, heat])
def test_a_rectangle_that_is_told_can_be_read(bench: Bench, slide: Path, make: Make) -> None:
    bench = bench.using(make)
    folder = bench.folder / "out/slide"
    seen = np.zeros((416, 520), np.uint8)
    steps = 0
    for event in follow(bench.request(slide, streams_map=True), CancellationToken()):
        for area in event.areas:
            x0, y0, x1, y1 = (round(v) for v in area.rect_l0)
            seen[y0:y1, x0:x1] = area.values
        if event.areas:
            np.testing.assert_array_equal(level(folder / STREAM_NAME), seen)
            steps += 1
    assert steps > 1
    name = "heatmap.ome.zarr" if make is heat else "labels.ome.zarr"
    np.testing.assert_array_equal(level(folder / name), seen)
    assert not (folder / STREAM_NAME).exists()


def test_a_part_of_a_slide_lies_at_its_corner(bench: Bench, slide: Path) -> None:
    bench = bench.using(classes)
    region = Rect(136, 96, 470, 400)
    request = bench.request(slide, region_l0=region, streams_map=True, formats=("csv",))
    list(follow(request, CancellationToken()))
    found = zarr.open_group(request.folder / STREAM_NAME, mode="r")
    said = found.attrs["tilescope"]
    assert said["origin_l0"] == [136.0, 96.0]
    assert said["slide_size"] == [520, 416]
    bench.run(slide, "whole")
    whole = level(bench.folder / "whole/slide/labels.ome.zarr")
    np.testing.assert_array_equal(found["0"][:], whole[96:400, 136:470])


def test_a_run_that_goes_on_writes_the_map_anew(bench: Bench, slide: Path) -> None:
    bench = bench.using(classes)
    request = bench.request(slide, streams_map=True)
    path = request.folder / STREAM_NAME
    with closing(follow(request, CancellationToken())) as events:
        next(event for event in events if event.areas)
        next(event for event in events if event.progress.tiles_done > 10)
    before = level(path)
    assert before.any()
    for file in (path / "0").rglob("*"):
        if file.is_file() and not file.name.startswith("."):
            file.write_bytes(b"torn")
    events = follow(request, CancellationToken())
    again = np.zeros_like(before)
    for event in events:
        for area in event.areas:
            x0, y0, x1, y1 = (round(v) for v in area.rect_l0)
            again[y0:y1, x0:x1] = area.values
        if event.areas:
            np.testing.assert_array_equal(level(path), again)
    np.testing.assert_array_equal(again[before > 0], before[before > 0])


def test_tiles_are_a_pixel_each(bench: Bench, slide: Path) -> None:
    bench = bench.using(scores)
    request = bench.request(slide, streams_map=True)
    path = request.folder / STREAM_NAME
    seen: dict[tuple[int, int], int] = {}
    for event in follow(request, CancellationToken()):
        for area in event.areas:
            x, y = round(area.rect_l0[0] / 96), round(area.rect_l0[1] / 64)
            seen[y, x] = int(area.values[0, 0])
        if event.areas:
            found = zarr.open_array(path / "0", mode="r")[:]
            assert {at: int(found[at]) for at in seen} == seen
            assert np.count_nonzero(found) == sum(value > 0 for value in seen.values())
    assert len(set(seen.values())) > 1


def test_nobody_who_does_not_ask_pays_for_it(bench: Bench, slide: Path) -> None:
    bench = bench.using(classes)
    request = bench.request(slide)
    for event in follow(request, CancellationToken()):
        assert event.report is not None or not (request.folder / STREAM_NAME).exists()


def test_a_map_that_cannot_be_written_does_not_end_the_run(bench: Bench, slide: Path) -> None:
    bench = bench.using(classes)
    request = bench.request(slide, streams_map=True, formats=("csv",))
    request.folder.mkdir(parents=True)
    # A file in its place: no folder can be made there.
    (request.folder / STREAM_NAME).write_text("in the way")
    report = list(follow(request, CancellationToken()))[-1].report
    assert report is not None
    assert report.status == "complete"
