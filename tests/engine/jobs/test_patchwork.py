"""Networks whose tile does not fit under the cap: run patch by patch, with the same results."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from tests.engine.jobs.conftest import Bench, patches, write_png
from tests.engine.jobs.killing import ROOT
from tests.engine.jobs.wide_models import TILE_PX, fixed_boxes, fixed_classes, whole_classes

from tilescope.cli.progress import run_step
from tilescope.domain.geometry import Size
from tilescope.errors import BudgetTooSmall
from tilescope.inference.backends import provider_states
from tilescope.jobs.request import RunProgress
from tilescope.jobs.run_model import follow, run_model
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.toy_tasks import ClassAdapter, ToyGraph, task_model

MIB = 2**20
AMPLE = 4096 * MIB


@pytest.fixture
def slide(bench: Bench, rng: np.random.Generator) -> Path:
    return write_png(bench.folder / "slide.png", patches(rng, 400, 560))


def least_cap(bench: Bench, slide: Path) -> int:
    with pytest.raises(BudgetTooSmall) as caught:
        bench.run(slide, "refused", memory_bytes=32 * MIB)
    return caught.value.needed_bytes


def results(bench: Bench, out: str) -> np.ndarray:
    if bench.model.spec.task == "detect":
        rings = [
            f["geometry"]["coordinates"][0] for f in bench.features(bench.folder / "slide", out)
        ]
        return np.array(rings)
    return zarr.open_array(bench.folder / out / "slide/labels.ome.zarr/0", mode="r")[:]


@pytest.mark.parametrize("make", [fixed_boxes, fixed_classes, whole_classes])
def test_what_does_not_fit_at_once_runs_in_patches_with_the_same_results(
    bench: Bench, slide: Path, make: Callable[[Path], InstalledModel]
) -> None:
    bench = bench.using(make)
    cap = least_cap(bench, slide)
    tight = bench.run(slide, "patches", memory_bytes=cap)
    whole = bench.run(slide, "whole", memory_bytes=AMPLE)
    assert tight.status == whole.status == "complete"
    assert tight.patches is not None
    assert tight.patches["rows"] * tight.patches["columns"] > 1
    assert tight.patches["cut_at"] == ["blurred"]
    assert 0 < tight.patches["extra_multiply_adds"] < 1
    assert tight.patches["tensor_bytes"] < tight.patches["tensor_bytes_at_once"] / 4
    assert tight.provider == "cpu-lean"
    assert "does not fit under the memory cap at once" in tight.provider_why
    assert (whole.patches, whole.provider) == (None, "cpu")
    expected = results(bench, "whole")
    assert len(np.unique(expected)) > 2
    np.testing.assert_allclose(results(bench, "patches"), expected, atol=1e-5)


def test_the_report_and_the_progress_say_so(bench: Bench, slide: Path) -> None:
    bench = bench.using(fixed_classes)
    request = bench.request(slide, memory_bytes=least_cap(bench, slide))
    stages = [event.progress for event in follow(request, CancellationToken())]
    assert "in patches" in run_step(RunProgress("patches")).detail
    assert [p.stage for p in stages[:4]] == ["survey", "scale", "patches", "tiles"]
    written = json.loads((request.folder / "run.json").read_text())
    assert written["patches"]["rows"] > 1
    assert "more multiply-adds" in written["provider_why"]


def test_a_resumed_run_goes_on_with_the_same_patches(bench: Bench, slide: Path) -> None:
    bench = bench.using(fixed_boxes)
    request = bench.request(slide, memory_bytes=least_cap(bench, slide))
    with closing(follow(request, CancellationToken())) as events:
        next(event for event in events if event.progress.tiles_done == 1)
    begun = json.loads((request.folder / "run.json").read_text())
    assert begun["status"] == "cancelled"
    with pytest.raises(BudgetTooSmall):
        run_model(replace(request, memory_bytes=32 * MIB), CancellationToken())
    ended = run_model(replace(request, memory_bytes=AMPLE), CancellationToken())
    assert ended.status == "complete"
    assert ended.patches == begun["patches"]
    assert ended.tiles.done == ended.tiles.total > 1


def test_what_patches_do_not_help_is_refused_as_before(bench: Bench, slide: Path) -> None:
    graph = ToyGraph(is_global=True, fixed=Size(TILE_PX, TILE_PX))
    everything = Bench(bench.folder, task_model(bench.folder, "semantic", ClassAdapter, graph))
    cap = least_cap(everything, slide)
    assert not (bench.folder / "refused").exists()
    assert everything.run(slide, memory_bytes=cap + 64 * MIB).patches is None


def test_another_backend_that_was_asked_for_is_not_replaced(bench: Bench, slide: Path) -> None:
    if not provider_states()["openvino"].is_usable:
        pytest.skip("the openvino extra is not installed")
    bench = bench.using(fixed_classes)
    cap = least_cap(bench, slide)
    with pytest.raises(BudgetTooSmall) as caught:
        bench.run(slide, memory_bytes=cap, provider="openvino")
    assert caught.value.needed_bytes > cap


_CHILD = """
import sys
from pathlib import Path
from tests.engine.jobs.wide_models import large_classes
from tilescope.errors import BudgetTooSmall
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import run_model
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken

memory.return_memory_eagerly()
folder, slide = Path(sys.argv[1]), Path(sys.argv[2])
request = RunRequest(large_classes(folder), slide, folder / "child", 32 << 20, 1, "cpu")
try:
    run_model(request, CancellationToken())
except BudgetTooSmall as exc:
    cap = exc.needed_bytes
request = RunRequest(large_classes(folder), slide, folder / "child", cap, 1, "cpu")
report = run_model(request, CancellationToken())
assert report.status == "complete" and report.patches
print(cap, memory.peak_rss_bytes(), report.patches["tensor_bytes_at_once"])
"""


def test_resident_memory_stays_under_the_least_cap(bench: Bench, slide: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(bench.folder), str(slide)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    cap, peak, at_once = (int(word) for word in done.stdout.split()[-3:])
    assert peak <= cap
    # What the tensors take at once would not have left room for Python and its libraries.
    assert at_once > cap - 120 * MIB
