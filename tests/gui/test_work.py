"""Jobs run beside the window, tell what they do, and leave nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot

from tilescope.runtime.cancel import CancellationToken
from tilescope_desktop.bridge import work as work_module
from tilescope_desktop.bridge.work import Report, Work


@pytest.fixture
def work(qtbot: QtBot) -> Iterator[Work]:
    made = Work()
    yield made
    made.close()


def fail(error: BaseException) -> None:
    raise AssertionError(error)


def test_everything_is_told_on_the_windows_thread(qtbot: QtBot, work: Work) -> None:
    told: list[object] = []
    threads: set[threading.Thread] = set()

    def note(what: object) -> None:
        threads.add(threading.current_thread())
        told.append(what)

    def run(_token: CancellationToken, report: Report) -> str:
        assert threading.current_thread() is not threading.main_thread()
        for step in range(3):
            report(step)
        return "done"

    work.start("count", run, note, fail, note)
    qtbot.waitUntil(lambda: "done" in told, timeout=5000)
    assert told == [0, 1, 2, "done"]
    assert threads == {threading.main_thread()}
    assert work.jobs == ()


def test_a_failure_is_told(qtbot: QtBot, work: Work) -> None:
    errors: list[BaseException] = []

    def run(_token: CancellationToken, _report: Report) -> None:
        raise ValueError("no")

    work.start("fail", run, lambda _result: None, errors.append)
    qtbot.waitUntil(lambda: bool(errors), timeout=5000)
    assert isinstance(errors[0], ValueError)


def test_who_fails_to_listen_keeps_nobody_from_hearing(qtbot: QtBot, work: Work) -> None:
    """All letters of one batch are told, and every job ends."""
    told: list[str] = []
    both = threading.Barrier(3)

    def run(_token: CancellationToken, _report: Report) -> str:
        both.wait(5)
        return "done"

    def deaf(_result: str) -> None:
        told.append("deaf")
        raise ValueError("not listening")

    with qtbot.captureExceptions() as raised:
        for _ in range(2):
            work.start("deaf", run, deaf, fail)
        both.wait(5)
        threads = [job.thread for job in work.jobs]
        for thread in threads:
            thread.join(5)  # so that both letters are there at once
        qtbot.waitUntil(lambda: work.jobs == (), timeout=5000)
    assert told == ["deaf", "deaf"]
    assert [kind for kind, _, _ in raised] == [ValueError, ValueError]


def test_a_cancelled_job_is_quiet_and_its_result_discarded(qtbot: QtBot, work: Work) -> None:
    discarded: list[str] = []
    told: list[object] = []

    def run(token: CancellationToken, report: Report) -> str:
        while not token.is_cancelled:
            threading.Event().wait(0.001)
        report("too late")
        return "result"

    job = work.start("wait", run, told.append, fail, told.append, discarded.append)
    job.cancel()
    qtbot.waitUntil(lambda: work.jobs == (), timeout=5000)
    assert told == []
    assert discarded == ["result"]


def test_closing_discards_what_nobody_took(qtbot: QtBot, work: Work) -> None:
    discarded: list[str] = []
    gate = threading.Event()

    def run(_token: CancellationToken, _report: Report) -> str:
        gate.set()
        return "result"

    work.start("quick", run, fail, fail, discard=discarded.append)
    assert gate.wait(5)
    work.close()
    work.close()
    assert discarded == ["result"]
    assert not [t for t in threading.enumerate() if t.name == "tilescope-quick"]


def test_closing_waits_its_time_for_what_does_not_stop_and_says_what_it_was(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_module, "STOP_S", 0.05)
    gate, discarded = threading.Event(), list[str]()

    def run(_token: CancellationToken, _report: Report) -> str:
        gate.wait(30)
        return "too late"

    made = Work()
    job = made.start("deaf", run, fail, fail, discard=discarded.append)
    made.close()
    assert made.stuck == (job,)
    assert made.jobs == ()
    assert discarded == []
    gate.set()
    job.thread.join(5)
    assert discarded == ["too late"]


def test_closing_waits_for_what_stops_within_its_time(qtbot: QtBot, work: Work) -> None:
    ended = list[str]()

    def run(token: CancellationToken, _report: Report) -> None:
        while not token.is_cancelled:
            threading.Event().wait(0.001)
        threading.Event().wait(0.4)
        ended.append("saved")

    work.start("slow", run, fail, fail)
    work.close()
    assert ended == ["saved"]
    assert work.stuck == ()
