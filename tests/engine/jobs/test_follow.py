"""Following a run: what is told while it goes on adds up to what it writes in the end."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from onnx import TensorProto, helper, numpy_helper
from tests.engine.jobs.conftest import Bench, discs, patches, write_png
from tests.engine.jobs.task_models import blended, boxes, classes, instances, scores

from tilescope.domain.geometry import Size
from tilescope.domain.manifest import WeightsRef
from tilescope.domain.results import Detections
from tilescope.errors import UsageError
from tilescope.jobs.request import RunProgress, RunRequest
from tilescope.jobs.run_model import follow, run_model
from tilescope.jobs.running.events import MapArea, RunEvent
from tilescope.plugins.api import TileImage
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.toy_tasks import ClassAdapter, ToyGraph, task_model

Make = Callable[[Path], InstalledModel]
CENTRES = [(x, y, 6.0) for x in range(15, 500, 20) for y in range(15, 400, 20)]


@pytest.fixture
def slide(bench: Bench) -> Path:
    picture = discs((416, 520), CENTRES)
    picture[200:212, 30:480] = 220  # longer than any tile sees
    return write_png(bench.folder / "slide.png", picture)


@pytest.fixture
def patchy(bench: Bench, rng: np.random.Generator) -> Path:
    return write_png(bench.folder / "slide.png", patches(rng, 416, 520))


def events_of(request: RunRequest, token: CancellationToken | None = None) -> list[RunEvent]:
    return list(follow(request, token or CancellationToken()))


def rings_of(found: list[Detections | None]) -> list[bytes]:
    rings = [ring for part in found if part is not None for ring in part]
    return sorted(np.round(ring, 2).tobytes() for ring in rings)


def written_rings(bench: Bench, slide: Path) -> list[bytes]:
    coordinates = [f["geometry"]["coordinates"][0][:-1] for f in bench.features(slide)]
    return sorted(np.array(ring, np.float64).round(2).tobytes() for ring in coordinates)


def painted(areas: list[MapArea], shape: tuple[int, int]) -> np.ndarray:
    """Return the areas put together; each pixel may come only once."""
    whole, times = np.zeros(shape, np.uint8), np.zeros(shape, int)
    for area in areas:
        x0, y0, x1, y1 = (round(v) for v in area.rect_l0)
        height, width = area.values.shape
        assert (height, width) == (y1 - y0, x1 - x0)
        times[y0:y1, x0:x1] += 1
        whole[y0:y1, x0:x1] = area.values
    assert (times == 1).all()
    return whole


@pytest.mark.parametrize("make", [instances, boxes])
def test_the_objects_that_come_are_those_that_are_written(
    bench: Bench, slide: Path, make: Make
) -> None:
    bench = bench.using(make)
    events = events_of(bench.request(slide))
    assert rings_of([event.objects for event in events]) == written_rings(bench, slide)
    first = next(i for i, event in enumerate(events) if event.objects is not None)
    assert events[first].progress.stage == "tiles"
    assert events[first].progress.tiles_done < events[first].progress.tiles_total
    *others, last = events
    assert all(event.report is None for event in others)
    assert last.report is not None
    assert last.report.status == "complete"


def test_progress_says_how_far_how_fast_and_how_long(bench: Bench, slide: Path) -> None:
    progress = [event.progress for event in events_of(bench.using(instances).request(slide))]
    stages = list(dict.fromkeys(p.stage for p in progress))
    assert stages[:4] == ["survey", "scale", "tiles", "seams"]
    assert stages[4:] == [
        *("objects.geojson", "labels.ome.zarr", "objects.csv", "overview.png", "end"),
    ]
    tiles = [p for p in progress if p.stage == "tiles"]
    done = [p.tiles_done for p in tiles]
    assert done == sorted(done)
    assert done[-1] == tiles[-1].tiles_total
    assert tiles[0].seconds_left is None
    assert tiles[-1].seconds_left == 0
    assert all(p.tiles_per_s is not None and p.tiles_per_s > 0 for p in tiles[1:])
    assert tiles[-1].objects > tiles[1].objects


@pytest.mark.parametrize("make", [classes, blended])
def test_the_rectangles_that_come_are_the_map(bench: Bench, patchy: Path, make: Make) -> None:
    events = events_of(bench.using(make).request(patchy))
    areas = [area for event in events for area in event.areas]
    written = zarr.open_array(bench.folder / "out/slide/labels.ome.zarr/0", mode="r")[:]
    np.testing.assert_array_equal(painted(areas, written.shape), written)
    with_areas = [event.progress.tiles_done for event in events if event.areas]
    assert with_areas[0] < events[-2].progress.tiles_total or with_areas[0] < with_areas[-1]


def test_classified_tiles_come_with_their_probabilities(bench: Bench, patchy: Path) -> None:
    events = events_of(bench.using(scores).request(patchy))
    areas = [area for event in events for area in event.areas]
    heat = zarr.open_array(bench.folder / "out/slide/heatmap.ome.zarr/0", mode="r")[:]
    assert len(areas) == heat[0].size
    for area in areas:
        x0, y0, *_ = area.rect_l0
        told = heat[:, round(y0 / 64), round(x0 / 96)]
        assert area.probabilities is not None
        np.testing.assert_array_equal(area.probabilities, told)
        best = int(np.argmax(told)) + 1 if told.max() >= 0.5 else 0
        assert area.values.tolist() == [[best]]


@pytest.mark.parametrize("make", [instances, classes, blended])
def test_a_resumed_run_tells_what_was_there_already(bench: Bench, slide: Path, make: Make) -> None:
    bench = bench.using(make)
    token = CancellationToken()
    for event in follow(bench.request(slide), token):
        if event.progress.tiles_done >= 9:
            token.cancel()
    events = events_of(bench.request(slide))
    tiles = [event.progress for event in events if event.progress.stage == "tiles"]
    assert 9 <= tiles[0].tiles_done < tiles[0].tiles_total
    assert bool(tiles[0].objects) == (make is instances)
    assert tiles[-1].tiles_done == tiles[-1].tiles_total
    if make is instances:
        assert rings_of([event.objects for event in events]) == written_rings(bench, slide)
    else:
        areas = [area for event in events for area in event.areas]
        written = zarr.open_array(bench.folder / "out/slide/labels.ome.zarr/0", mode="r")[:]
        np.testing.assert_array_equal(painted(areas, written.shape), written)


def test_how_fast_and_how_long_are_of_what_is_done_now(bench: Bench, slide: Path) -> None:
    bench, token = bench.using(instances), CancellationToken()
    for event in follow(bench.request(slide), token):
        if event.progress.tiles_done >= 15:
            token.cancel()
    rated: list[RunProgress] = []
    for event in follow(bench.request(slide), CancellationToken()):
        if event.progress.tiles_per_s is not None:
            rated.append(event.progress)
            time.sleep(0.2)  # a run goes on at the pace of whoever follows it
        if len(rated) == 2:
            break
    second = rated[1]
    assert second.tiles_per_s <= 2 / 0.2
    left = second.tiles_total - second.tiles_done
    assert second.seconds_left == pytest.approx(left / second.tiles_per_s)
    assert second.tiles_done >= 17


def test_who_stops_listening_stops_the_run(bench: Bench, slide: Path) -> None:
    bench = bench.using(instances)
    events = follow(bench.request(slide), CancellationToken())
    for event in events:
        if event.progress.tiles_done >= 4:
            break
    events.close()
    folder = bench.folder / "out/slide"
    stored = json.loads((folder / "run.json").read_text())
    assert stored["status"] == "cancelled"
    assert 0 < stored["tiles"]["done"] < stored["tiles"]["total"]
    assert not [t for t in threading.enumerate() if t.name.startswith("tilescope")]
    assert bench.run(slide).status == "complete"


def test_a_worker_thread_can_follow_and_another_cancel(bench: Bench, slide: Path) -> None:
    token, seen = CancellationToken(), []
    request = bench.using(instances).request(slide)
    started = threading.Event()

    def work() -> None:
        for event in follow(request, token):
            seen.append(event)
            if event.progress.tiles_done >= 3:
                started.set()
                token_was_set.wait(30)

    token_was_set = threading.Event()
    worker = threading.Thread(target=work)
    worker.start()
    assert started.wait(30)
    token.cancel()
    token_was_set.set()
    worker.join(30)
    assert seen[-1].report is not None
    assert seen[-1].report.status == "cancelled"


def test_what_cannot_run_is_said_when_the_first_event_is_asked_for(
    bench: Bench, slide: Path
) -> None:
    request = bench.using(classes).request(slide, formats=("coco",))
    events = follow(request, CancellationToken())
    with pytest.raises(UsageError, match="coco"):
        next(events)


class ManyBandsAdapter(ClassAdapter):
    """Gives the network 32 channels to work on."""

    def encode(self, tile: TileImage, /):
        return {"image": np.repeat(super().encode(tile)["image"], 32, axis=1)}


def slow_model(folder: Path) -> InstalledModel:
    """Return a model whose one tile takes many seconds."""
    model = task_model(folder, "semantic", ManyBandsAdapter, ToyGraph(fixed=Size(1024, 1024)))
    weight = numpy_helper.from_array(np.full((32, 32, 3, 3), 1e-3, np.float32), "weight")
    nodes = [
        helper.make_node(
            "Conv", ["image" if i == 0 else f"t{i}", "weight"], [f"t{i + 1}"], pads=[1] * 4
        )
        for i in range(60)
    ]
    nodes[-1].output[0] = "blurred"
    sides = [1, 32, 1024, 1024]
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("blurred", TensorProto.FLOAT, sides)],
        [weight],
    )
    opset = helper.make_opsetid("", 17)
    data = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    return with_weights(model, data)


def with_weights(model: InstalledModel, data: bytes) -> InstalledModel:
    (model.folder / "slow.onnx").write_bytes(data)
    reference = WeightsRef("slow.onnx", hashlib.sha256(data).hexdigest(), len(data))
    return replace(model, spec=replace(model.spec, weights=reference))


def test_a_long_inference_is_broken_off_and_leaves_no_trace(bench: Bench, patchy: Path) -> None:
    token = CancellationToken()
    timer = threading.Timer(1.0, token.cancel)

    def start(progress: RunProgress) -> None:
        if progress.stage == "tiles":
            timer.start()

    # 580 thousand million multiplications: no machine is done before the timer.
    request = bench.using(slow_model).request(patchy)
    report = run_model(request, token, start)
    timer.join()
    assert report.status == "cancelled"
    assert report.tiles.done == report.tiles.failed == 0
    assert report.errors == []
    assert report.seconds.read > 0
    assert report.seconds.decode == 0
    assert (request.folder / "run.ledger").exists()
    assert not (request.folder / "labels.ome.zarr").exists()
