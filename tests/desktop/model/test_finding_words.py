"""What was left out or changed, said in a line and in full."""

from __future__ import annotations

from pathlib import Path

from tilescope.exchange.findings import Finding
from tilescope_desktop.model.finding_words import in_a_line, key_of, notice_of
from tilescope_desktop.model.notices import MOST_LISTED

POINT = Finding("a point or a line", 1, "feature 3")
LOCK = Finding("the lock of an object", 1200, "feature 1")
NAME = Finding("the name of an object", 2, "feature 1")
ID = Finding("an id that is no UUID was replaced", 5, "feature 2")


def test_a_line_has_the_count_of_each_reason() -> None:
    assert in_a_line([], []) == ""
    assert in_a_line([POINT], []) == "; left out: a point or a line (1)"
    line = in_a_line([POINT, LOCK], [ID])
    assert line == (
        "; left out: a point or a line (1), the lock of an object (1,200)"
        "; changed: an id that is no UUID was replaced (5)"
    )


def test_a_line_says_how_many_reasons_it_leaves_out() -> None:
    line = in_a_line([LOCK, POINT, NAME, ID], [])
    assert line == "; left out: the lock of an object (1,200), a point or a line (1), and 2 more"


def test_a_notice_has_every_reason_and_where_it_is_first(tmp_path: Path) -> None:
    notice = notice_of(tmp_path / "a.json", "3 objects to a.json", [POINT, LOCK], [ID])
    assert notice.text.splitlines() == [
        "3 objects to a.json:",
        "• left out: a point or a line (feature 3)",
        "• left out: the lock of an object (feature 1, the first of 1,200)",
        "• changed: an id that is no UUID was replaced (feature 2, the first of 5)",
    ]
    assert notice.key == key_of(tmp_path / "a.json") != key_of(tmp_path / "b.json")
    assert not notice.is_failure


def test_a_notice_lists_so_many_reasons_only(tmp_path: Path) -> None:
    many = [Finding(f"the property {number}", 1, "feature 1") for number in range(MOST_LISTED + 7)]
    lines = notice_of(tmp_path / "a.json", "done", many, []).text.splitlines()
    assert len(lines) == MOST_LISTED + 2
    assert lines[-1] == "and 7 more"
