"""Several small tiles in one inference: only where that is quicker, with the same results."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.engine.jobs.conftest import Bench, patches, write_png
from tests.engine.jobs.wide_models import WideGraph, small_scores, wide_model

from tilescope.domain.geometry import Size
from tilescope.errors import BudgetTooSmall
from tilescope.inference.choice import quickest_batch
from tilescope.inference.measurements import BatchCost, Measurement, MeasurementStore
from tilescope.inference.measuring import measure
from tilescope.jobs.run_model import follow, run_model
from tilescope.jobs.running.providers import choose_provider, samples_of, wish_of
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.toy_tasks import ScoreAdapter

SIDE = 64


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILESCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def slide(bench: Bench, rng: np.random.Generator) -> Path:
    # 7 x 5 tiles: no whole number of fours.
    return write_png(bench.folder / "slide.png", patches(rng, 5 * SIDE - 10, 7 * SIDE - 20))


def remember(model: InstalledModel, *batches: BatchCost) -> None:
    """Pretend that these batches were measured before."""
    store = MeasurementStore.of(model.verified_weights(), threads=1, precision="fp32")
    store.save({"cpu": Measurement("cpu", SIDE, 1.0, 1, 500.0, 0.0, batches=batches)})


def scores(bench: Bench, out: str) -> np.ndarray:
    with (bench.folder / out / "slide/tiles.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return np.array([[float(v) for k, v in row.items() if "Prob" in k] for row in rows])


def test_tiles_of_a_batch_have_the_scores_that_each_has_alone(bench: Bench, slide: Path) -> None:
    bench = bench.using(small_scores)
    remember(bench.model)
    assert bench.run(slide, "alone").batch == 1
    remember(bench.model, BatchCost(2, 0.9, 900.0), BatchCost(4, 0.5, 1500.0))
    report = bench.run(slide, "batches")
    assert report.status == "complete"
    assert report.batch == 4
    assert report.tiles.done == 35
    assert json.loads((bench.folder / "batches/slide/run.json").read_text())["batch"] == 4
    expected = scores(bench, "alone")
    assert len(np.unique(expected)) > 30
    np.testing.assert_allclose(scores(bench, "batches"), expected, atol=1e-5)


def test_a_batch_has_to_be_worth_its_memory_and_to_fit(bench: Bench, slide: Path) -> None:
    bench = bench.using(small_scores)
    remember(bench.model, BatchCost(2, 0.99, 900.0), BatchCost(4, 0.95, 1500.0))
    assert bench.run(slide, "slow").batch == 1
    with pytest.raises(BudgetTooSmall) as caught:
        bench.run(slide, "least", memory_bytes=2**20)
    tight = caught.value.needed_bytes + 2**26
    remember(bench.model, BatchCost(2, 0.8, 900.0), BatchCost(4, 0.1, 1e6))
    assert bench.run(slide, "tight", memory_bytes=tight).batch == 2


def test_a_resumed_run_goes_on_with_its_batches(bench: Bench, slide: Path) -> None:
    bench = bench.using(small_scores)
    remember(bench.model, BatchCost(2, 0.5, 900.0), BatchCost(4, 0.4, 1500.0))
    assert bench.run(slide, "through").batch == 4
    request = bench.request(slide)
    with closing(follow(request, CancellationToken())) as events:
        next(event for event in events if event.progress.tiles_done == 6)
    report = run_model(replace(request, memory_bytes=2**33), CancellationToken())
    assert (report.status, report.batch, report.tiles.done) == ("complete", 4, 35)
    np.testing.assert_array_equal(scores(bench, "out"), scores(bench, "through"))


def test_what_batches_take_is_measured_and_remembered(bench: Bench) -> None:
    model = bench.using(small_scores).model
    wish = wish_of(bench.using(small_scores).request(bench.folder / "slide.png"))
    weights, adapter = model.verified_weights(), model.load_adapter()
    choice = choose_provider(model, weights, adapter, wish, CancellationToken())
    assert choice.measurement is not None
    assert [cost.tiles for cost in choice.measurement.batches] == [2, 4, 8]
    stored = MeasurementStore.of(weights, threads=1, precision="fp32").load()
    assert stored.measurements["cpu"] == choice.measurement


def test_a_graph_that_takes_one_tile_is_never_given_more(bench: Bench, slide: Path) -> None:
    graph = WideGraph(Size(SIDE, SIDE), batch=1)
    model = wide_model(bench.folder, "classification", ScoreAdapter, graph)
    report = Bench(bench.folder, model).run(slide)
    assert (report.status, report.batch) == ("complete", 1)
    store = MeasurementStore.of(model.verified_weights(), threads=1, precision="fp32")
    assert store.load().measurements["cpu"].batches == ()


def mixed_graph() -> bytes:
    """Return a graph in which every tile is compared with the others of its batch."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[0]),
        helper.make_node("Sub", ["image", "mean"], ["blurred"]),
    ]
    sides: list[str | int] = ["n", 1, SIDE, SIDE]
    ports = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, sides) for n in ("image", "blurred")
    ]
    graph = helper.make_graph(nodes, "mixed", ports[:1], ports[1:])
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def test_tiles_that_have_to_do_with_each_other_are_run_alone(bench: Bench) -> None:
    model = bench.using(small_scores).model
    samples = samples_of(model, model.load_adapter())
    for weights, tiles in ((mixed_graph(), []), (model.verified_weights(), [2, 4])):
        found = measure(weights, samples, ["cpu"], CancellationToken(), threads=1, most_tiles=4)
        assert found["cpu"].problem == ""
        assert [cost.tiles for cost in found["cpu"].batches] == tiles


def test_the_quickest_batch_is_the_smallest_of_those_that_are_about_as_quick() -> None:
    alone = Measurement("cpu", SIDE, 1.0, 1, 500.0, 0.0)
    costs = [BatchCost(8, 0.49, 1.0), BatchCost(2, 0.8, 1.0), BatchCost(4, 0.5, 1.0)]
    found = quickest_batch(alone, costs)
    assert found is not None
    assert found.tiles == 4
    assert quickest_batch(alone, []) is None
