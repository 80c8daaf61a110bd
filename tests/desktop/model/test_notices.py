"""What is told and asked, and for how long, without a window."""

from __future__ import annotations

import errno
from pathlib import Path

from tilescope.errors import PixelSizeUnknown, ProjectError, UsageError
from tilescope_desktop.model.notices import (
    MOST_LISTED,
    Notice,
    Notices,
    subject,
    subject_of,
    words_of,
)


def test_failures_of_a_kind_are_one_list_and_hide_no_question() -> None:
    board = Notices()
    board.put(Notice("last", "Continue?", (("Yes", board.clear),)))
    for name in "abc":
        board.fail(f"{name}.svs is broken", name, "open")
    board.fail("the disk is full", "edit")
    edit, opened, asked = board.shown
    assert edit.text == "the disk is full"
    assert opened.text.splitlines() == [
        "3 files could not be opened:",
        "• a.svs is broken",
        "• b.svs is broken",
        "• c.svs is broken",
    ]
    assert asked.choices[0][0] == "Yes"
    assert [notice.is_failure for notice in (edit, opened, asked)] == [True, True, False]


def test_the_newest_is_first_and_a_known_one_keeps_its_place() -> None:
    board = Notices()
    board.put(Notice("first", "one"))
    board.put(Notice("second", "two"))
    board.put(Notice("first", "one more"))
    assert [notice.text for notice in board.shown] == ["two", "one more"]


def test_what_works_again_is_told_no_longer() -> None:
    board = Notices()
    board.fail("a is broken", "a", "open")
    board.fail("b is broken", "b", "open")
    board.settle("a")
    assert [notice.text for notice in board.shown] == ["b is broken"]
    board.settle("b")
    assert board.shown == ()


def test_the_same_failure_is_told_once() -> None:
    board = Notices()
    for _ in range(5):
        board.fail("the disk is full", "edit")
    assert [notice.text for notice in board.shown] == ["the disk is full"]


def test_two_failures_in_the_same_words_are_one() -> None:
    board = Notices()
    board.fail("the disk is full", "edit")
    board.fail("the disk is full", "file")
    assert [notice.text for notice in board.shown] == ["the disk is full"]
    board.fail("b is broken", "b")
    assert board.shown[0].text.splitlines() == [
        "2 things went wrong:",
        "• the disk is full",
        "• b is broken",
    ]
    board.settle("edit")
    board.settle("b")
    assert [notice.text for notice in board.shown] == ["the disk is full"]


def test_of_very_many_it_is_said_how_many() -> None:
    board = Notices()
    for number in range(MOST_LISTED + 40):
        board.fail(f"{number} is broken", number, "open")
    lines = board.shown[0].text.splitlines()
    assert lines[0].startswith(f"{MOST_LISTED + 40} files")
    assert lines[-1] == "and 40 more"
    assert len(lines) == MOST_LISTED + 2


def test_errors_are_words_with_a_remedy() -> None:
    gone = OSError(errno.EIO, "Input/output error", "/mnt/x.svs")
    assert words_of(gone).startswith("/mnt/x.svs: Input/output error; check the disk")
    assert words_of(UsageError("choose one")) == "choose one"
    assert words_of(KeyError("x")) == "Something failed: KeyError('x')"
    assert "memory" in words_of(MemoryError())
    unknown = PixelSizeUnknown("x.svs: how large are its pixels", takes_diameter=True)
    assert words_of(unknown) == "x.svs: how large are its pixels; set it with View ▸ Pixel size…"


def test_what_an_error_is_about_is_its_file() -> None:
    path = Path("/tmp/p.tilescope")
    assert subject_of(ProjectError(path, "busy")) == subject(path)
    assert subject_of(OSError(errno.EIO, "x", str(path))) == subject(path)
    assert subject_of(UsageError("choose one")) == "choose one"
