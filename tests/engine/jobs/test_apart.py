"""Runs in a process of their own: the same results, and nothing of a model reaches this one."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.conftest import ROOT
from tests.engine.jobs.conftest import Bench, discs, patches, write_png
from tests.engine.jobs.faulty_models import (
    Chatty,
    Crashing,
    Hanging,
    Leaving,
    Raising,
    faulty,
)
from tests.engine.jobs.task_models import classes

from tilescope.errors import (
    BudgetTooSmall,
    Cancelled,
    ManifestInvalid,
    ModelProcessEnded,
    PluginBroken,
    SlideNotFound,
    TilescopeError,
)
from tilescope.jobs.apart import follow_apart
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import follow
from tilescope.jobs.running.events import RunEvent
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.child import Fault
from tilescope.testing.toy_tasks import ClassAdapter

CENTRES = [(x, y, 6.0) for x in range(15, 500, 40) for y in range(15, 400, 40)]


@pytest.fixture(autouse=True)
def _models_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


@pytest.fixture
def slide(bench: Bench, rng: np.random.Generator) -> Path:
    return write_png(bench.folder / "slide.png", patches(rng, 416, 520))


def request_of(bench: Bench, slide: Path, adapter: type[ClassAdapter]) -> RunRequest:
    return bench.using(lambda folder: faulty(folder, adapter)).request(slide)


def ended(request: RunRequest, token: CancellationToken | None = None, **options: float) -> str:
    """Return why a run ended."""
    with pytest.raises(ModelProcessEnded) as caught:
        list(follow_apart(request, token or CancellationToken(), **options))
    return str(caught.value)


def models_running() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "tilescope.jobs.apart" in child.cmdline()
    ]


def told(events: list[RunEvent]) -> list[tuple[object, ...]]:
    return [(e.progress.stage, e.progress.tiles_done, len(e.areas)) for e in events]


def test_tells_and_writes_what_a_run_in_this_process_does(bench: Bench) -> None:
    slide = write_png(bench.folder / "slide.png", discs((416, 520), CENTRES))
    here = list(follow(bench.request(slide, "here"), CancellationToken()))
    apart = list(follow_apart(bench.request(slide, "apart"), CancellationToken()))
    assert told(apart) == told(here)
    for mine, its in zip(here, apart, strict=True):
        assert (mine.objects is None) == (its.objects is None)
        if mine.objects is not None and its.objects is not None:
            np.testing.assert_array_equal(its.objects.rings, mine.objects.rings)
    assert apart[-1].report is not None
    assert apart[-1].report.status == "complete"
    assert apart[-1].report.objects == len(CENTRES)
    assert bench.features(slide, "apart") == bench.features(slide, "here")


def test_a_map_is_told_as_it_grows(bench: Bench, slide: Path) -> None:
    request = replace(bench.using(classes).request(slide), streams_map=True)
    events = list(follow_apart(request, CancellationToken()))
    assert sum(len(event.areas) for event in events) > 4


def test_what_a_plugin_prints_is_not_taken_for_what_the_run_tells(
    bench: Bench, slide: Path
) -> None:
    events = list(follow_apart(request_of(bench, slide, Chatty), CancellationToken()))
    assert events[-1].report is not None
    assert events[-1].report.status == "complete"


@pytest.mark.parametrize(
    ("adapter", "said"),
    [(Crashing, "ended by itself (SIGSEGV"), (Leaving, "ended by itself (exit code 7")],
)
def test_a_model_that_takes_its_process_down_takes_no_other(
    bench: Bench, slide: Path, adapter: type[ClassAdapter], said: str
) -> None:
    message = ended(request_of(bench, slide, adapter))
    assert said in message
    assert "run it again to go on" in message
    assert not models_running()


def test_a_model_that_never_comes_back_is_stopped_when_that_is_asked(
    bench: Bench, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = bench.folder / "hangs"
    monkeypatch.setenv(Hanging.MARK, str(mark))
    token = CancellationToken()

    def cancel() -> None:
        while not mark.exists():
            time.sleep(0.01)
        token.cancel()

    watcher = threading.Thread(target=cancel)
    watcher.start()
    message = ended(request_of(bench, slide, Hanging), token, patience_s=0.5)
    watcher.join()
    assert "did not stop within 0.5 s" in message
    assert not models_running()


def test_what_the_run_raises_is_raised_here(bench: Bench, slide: Path) -> None:
    with pytest.raises(SlideNotFound) as caught:
        list(follow_apart(bench.request(bench.folder / "none.svs"), CancellationToken()))
    assert caught.value.path.endswith("none.svs")
    assert isinstance(caught.value, FileNotFoundError)
    token = CancellationToken()
    token.cancel()
    with pytest.raises(Cancelled):
        list(follow_apart(bench.request(slide), token))


def test_a_fault_of_a_plugin_is_told_without_its_classes(bench: Bench, slide: Path) -> None:
    *_, last = follow_apart(request_of(bench, slide, Raising), CancellationToken())
    assert last.report is not None
    assert last.report.tiles.failed == last.report.tiles.total
    assert "no such class" in last.report.errors[0]


def test_a_cancelled_run_is_gone_on_with(bench: Bench, slide: Path) -> None:
    token, request = CancellationToken(), bench.using(classes).request(slide)
    done = 0
    for event in follow_apart(request, token):
        done = max(done, event.progress.tiles_done)
        if done == 2:
            token.cancel()
        last = event
    assert last.report is not None
    assert last.report.status == "cancelled"
    again = list(follow_apart(request, CancellationToken()))
    counts = [event.progress.tiles_done for event in again if event.progress.stage == "tiles"]
    assert min(count for count in counts if count) >= done
    assert again[-1].report is not None
    assert again[-1].report.status == "complete"


def test_closing_the_events_ends_the_process(bench: Bench, slide: Path) -> None:
    events = follow_apart(bench.using(classes).request(slide), CancellationToken())
    next(events)
    (process,) = models_running()
    events.close()
    assert not process.is_running()


_OWNER = """
import sys, pickle
from pathlib import Path
from tilescope.jobs.apart import follow_apart
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.child import Fault
request = pickle.loads(Path(sys.argv[1]).read_bytes())
for event in follow_apart(request, CancellationToken()):
    print(event.progress.stage, flush=True)
"""


def test_no_run_outlives_who_asked_for_it(bench: Bench, slide: Path) -> None:
    asked = bench.folder / "request"
    asked.write_bytes(pickle.dumps(bench.using(classes).request(slide)))
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(asked)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert owner.stdout is not None
    with owner, owner.stdout:
        assert owner.stdout.readline()
        (run,) = psutil.Process(owner.pid).children()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        run.wait(20)
    assert not run.is_running()


def test_errors_arrive_as_they_were() -> None:
    sent: list[TilescopeError] = [
        BudgetTooSmall(2**30, 2**29),
        ManifestInvalid("plugin.toml", ["model.id: missing"]),
        PluginBroken("a.b", "decode", KeyError("x")),
    ]
    for error in sent:
        made = pickle.loads(pickle.dumps(Fault.of(error))).error()
        assert type(made) is type(error)
        assert str(made) == str(error)
        assert vars(made) == vars(error)


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "No such file", "a.svs"), OSError(28, "Full")]
)
def test_what_the_system_says_of_files_arrives_as_it_was(error: OSError) -> None:
    made = pickle.loads(pickle.dumps(Fault.of(error))).error()
    assert type(made) is type(error)
    assert isinstance(made, OSError)
    assert (made.errno, made.strerror, made.filename) == (
        error.errno,
        error.strerror,
        error.filename,
    )
    assert str(made) == str(error)


def test_what_a_plugin_makes_of_an_error_of_the_system_is_not_imported_here() -> None:
    class Odd(FileNotFoundError):
        pass

    made = pickle.loads(pickle.dumps(Fault.of(Odd(2, "No such file", "a.svs")))).error()
    assert type(made) is FileNotFoundError
    assert type(Fault.of(OSError("only words")).error()) is RuntimeError
