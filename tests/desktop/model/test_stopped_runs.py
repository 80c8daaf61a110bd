"""Runs that stopped are kept from one start to the next, and nothing else is believed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tilescope.domain.geometry import Rect
from tilescope_desktop.model.stopped_runs import StoppedRun, StoppedRuns

RUN = StoppedRun(
    "toy-1", "a b", "toy", "Toy", Rect(1, 2, 30, 40), 0.25, {"t": 0.5}, 1 << 30, "cpu", 2, 9
)
WHOLE = replace(RUN, name="toy-2", region_l0=None, um_per_px=None, parameters={}, done=3)

INSIDE = replace(RUN, name="toy-4", region_l0=None, areas_sha256="ab12", area_count=3)


def test_what_is_kept_comes_back_newest_first_and_once(tmp_path: Path) -> None:
    runs = StoppedRuns(tmp_path)
    for run in (RUN, WHOLE, replace(RUN, identity="other", name="toy-3"), replace(RUN, done=4)):
        runs.keep(run)
    assert StoppedRuns(tmp_path).of("a b") == [replace(RUN, done=4), WHOLE]
    runs.forget("toy-1")
    runs.forget("toy-1")
    assert StoppedRuns(tmp_path).of("a b") == [WHOLE]


def test_words(tmp_path: Path) -> None:
    assert RUN.text("a.svs") == "A run of Toy over a part of a.svs stopped at 2 of 9 tiles."
    assert WHOLE.text("a.svs") == "A run of Toy over a.svs stopped at 3 of 9 tiles."
    assert INSIDE.text("a.svs") == "A run of Toy inside 3 areas of a.svs stopped at 2 of 9 tiles."


def test_the_areas_come_back_and_what_was_kept_before_there_were_any(tmp_path: Path) -> None:
    runs = StoppedRuns(tmp_path)
    runs.keep(WHOLE)
    path = tmp_path / "stopped-runs.json"
    (kept,) = json.loads(path.read_text("utf-8"))["runs"]
    older = {key: value for key, value in kept.items() if "area" not in key}
    path.write_text(json.dumps({"runs": [older]}), "utf-8")
    runs.keep(INSIDE)
    assert StoppedRuns(tmp_path).of("a b") == [INSIDE, WHOLE]
    assert (INSIDE.is_partial, WHOLE.is_partial, RUN.is_partial) == (True, False, True)


@pytest.mark.parametrize(
    "said",
    [
        {"region_l0": [1, 2, 1, 2]},
        {"region_l0": [1, 2]},
        {"region_l0": 5},
        {"name": 5},
        {"name": "x" * 5000},
        {"um_per_px": "wide"},
        {"parameters": [1]},
        {"parameters": {"t": "high"}},
        {"done": 1e400},
        {"total": None},
        {"areas_sha256": 5},
        {"areas_sha256": "ab", "area_count": None},
    ],
)
def test_what_makes_no_sense_is_left_out(tmp_path: Path, said: dict[str, object]) -> None:
    runs = StoppedRuns(tmp_path)
    runs.keep(RUN)
    runs.keep(WHOLE)
    path = tmp_path / "stopped-runs.json"
    kept = json.loads(path.read_text("utf-8"))["runs"]
    path.write_text(json.dumps({"runs": [{**kept[0], **said}, 7, kept[1]]}), "utf-8")
    assert runs.of("a b") == [RUN]
    path.write_text(json.dumps({"runs": said}), "utf-8")
    assert runs.of("a b") == []
