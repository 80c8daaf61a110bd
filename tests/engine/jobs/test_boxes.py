"""Boxes on every kind of seam: each exactly once, as in one run over the whole image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import shape
from tests.engine.jobs.conftest import Bench, discs, write_png
from tests.engine.jobs.task_models import boxes, boxes_at_once, tile

from tilescope.domain.geometry import Rect, Size
from tilescope.jobs.report import RunReport
from tilescope.plugins.api import Boxes
from tilescope.testing.toy_tasks import BoxAdapter, ToyGraph, task_model

Found = set[tuple[str, float, float, float, float]]


def boxes_of(bench: Bench, slide: Path, out: str) -> Found:
    return {
        (f["properties"]["classification"]["name"], *shape(f["geometry"]).bounds)
        for f in bench.features(slide, out)
    }


def run_both(bench: Bench, picture: np.ndarray) -> tuple[Bench, RunReport, Found, Found]:
    slide = write_png(bench.folder / "slide.png", picture)
    whole = bench.using(boxes_at_once).run(slide, "whole")
    assert whole.tiles.total == 1
    tiled = bench.using(boxes).run(slide, "tiled")
    assert tiled.status == "complete"
    assert tiled.tiles.total > 20
    return bench, tiled, boxes_of(bench, slide, "whole"), boxes_of(bench, slide, "tiled")


def test_every_box_once_wherever_it_lies(bench: Bench) -> None:
    centres = [(x, y, 6.0) for x in range(15, 500, 20) for y in range(15, 400, 20)]
    bench, tiled, whole, found = run_both(bench, discs((416, 520), centres))
    assert found == whole
    assert tiled.objects == len(found) == len(centres)
    assert set(tiled.outputs) == {"geojson", "ome-zarr", "csv", "overview"}


def test_boxes_larger_than_what_a_tile_sees_are_joined(bench: Bench) -> None:
    picture = discs((416, 520), [(60, 60, 12.0), (440, 330, 30.0)])
    picture[150:162, 20:500] = 220
    picture[200:400, 100:110] = 220
    picture[230:330, 200:330] = 220
    _, tiled, whole, found = run_both(bench, picture)
    assert tiled.objects == len(whole) == 5
    assert found == whole


@pytest.mark.parametrize("seed", range(3))
def test_random_scenes(bench: Bench, seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = np.zeros((416, 520), np.uint8)
    for _ in range(120):
        x, y = rng.integers(0, 500), rng.integers(0, 400)
        w, h = rng.integers(4, 30, 2)
        room = picture[max(0, y - 6) : y + h + 6, max(0, x - 6) : x + w + 6]
        if not room.any():
            picture[y : y + h, x : x + w] = rng.choice([130, 240])
    _, _, whole, found = run_both(bench, picture)
    assert {name for name, *_ in whole} == {"dim", "bright"}
    assert found == whole


class JitteryAdapter(BoxAdapter):
    """Places a box a little elsewhere in every tile, and doubles it, as real detectors do."""

    def decode(self, outputs, parameters, /) -> Boxes:
        found = super().decode(outputs, parameters)
        size = float(outputs["blurred"].sum()) % 1.0
        shift = np.float32(3 * (size - 0.5))
        twice = np.concatenate([found.corners + shift, found.corners + shift / 2])
        weaker = np.concatenate([found.scores, found.scores * np.float32(0.9)])
        return Boxes(twice, weaker, np.concatenate([found.classes] * 2))


def test_a_detector_that_wavers_still_finds_each_object_once(bench: Bench) -> None:
    # Many centres lie on seams, which come every 64 pixels.
    centres = [(x, y, 8.0) for x in range(32, 500, 32) for y in range(32, 400, 32)]
    slide = write_png(bench.folder / "slide.png", discs((416, 520), centres))
    graph = ToyGraph(is_global=True)
    model = task_model(bench.folder, "detect", JitteryAdapter, graph, tile=tile(margin_px=20))
    report = Bench(bench.folder, model).run(slide)
    assert not report.halo_exact
    assert report.objects == len(centres)
    for feature in bench.features(slide):
        x0, y0, x1, y1 = shape(feature["geometry"]).bounds
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        assert min(np.hypot(middle[0] - x, middle[1] - y) for x, y, _ in centres) < 4


def test_a_detector_of_one_input_size(bench: Bench) -> None:
    centres = [(x, y, 6.0) for x in range(15, 500, 20) for y in range(15, 400, 20)]
    slide = write_png(bench.folder / "slide.png", discs((416, 520), centres))
    graph = ToyGraph(fixed=Size(96, 128))
    model = task_model(bench.folder, "detect", BoxAdapter, graph, tile=tile(margin_px=16))
    report = Bench(bench.folder, model).run(slide)
    assert report.objects == len(centres)
    part = Bench(bench.folder, model).run(slide, "part", region_l0=Rect(100, 100, 300, 260))
    inside = [c for c in centres if 100 <= c[0] + 0.5 < 300 and 100 <= c[1] + 0.5 < 260]
    assert part.objects == len(inside)


class CrowdedAdapter(BoxAdapter):
    """Has no threshold."""

    def decode(self, outputs, parameters, /) -> Boxes:
        n = 30_000
        return Boxes(np.ones((n, 4), np.float32), np.ones(n, np.float32), np.zeros(n, np.uint16))


class NanAdapter(BoxAdapter):
    """Divides by zero."""

    def decode(self, outputs, parameters, /) -> Boxes:
        corners = np.array([[0, 0, 5, np.nan]], np.float32)
        return Boxes(corners, np.ones(1, np.float32), np.zeros(1, np.uint16))


class ForeignAdapter(BoxAdapter):
    """Knows more classes than the manifest."""

    def decode(self, outputs, parameters, /) -> Boxes:
        corners = np.array([[0, 0, 5, 5]], np.float32)
        return Boxes(corners, np.ones(1, np.float32), np.full(1, 7, np.uint16))


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (CrowdedAdapter, "30000 boxes in one tile; give the model a score threshold"),
        (NanAdapter, "not finite"),
        (ForeignAdapter, "class 7 of 2"),
    ],
)
def test_boxes_that_make_no_sense_are_said_of_every_tile(
    bench: Bench, adapter: type, message: str
) -> None:
    slide = write_png(bench.folder / "slide.png", discs((200, 200), [(100, 100, 40.0)]))
    model = task_model(bench.folder, "detect", adapter, tile=tile(margin_px=20))
    report = Bench(bench.folder, model).run(slide)
    assert report.status == "failed"
    assert message in report.errors[0]
