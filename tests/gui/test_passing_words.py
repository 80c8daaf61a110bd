"""Words that pass are gone at once when they no longer hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog
from tests.gui.hand import Hand

from tilescope.store.project import Project

CORNERS = [(100, 100), (220, 100), (220, 200)]


def said(hand: Hand) -> str:
    return hand.window.status.currentMessage()


def choose(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))


@pytest.mark.parametrize("command", ["project.new", "project.close"])
def test_a_project_that_was_left_is_not_the_one_now(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    hand.rectangle()
    choose(monkeypatch, tmp_path / "a.tilescope")
    hand.act("project.save-as")
    assert said(hand) == "The project is now a.tilescope"
    choose(monkeypatch, tmp_path / "b.tilescope")
    hand.act(command)
    assert said(hand) == ""


def test_what_was_said_of_something_else_stays(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.rectangle()
    hand.window.status.showMessage("Saved view.png", 8000)
    choose(monkeypatch, tmp_path / "b.tilescope")
    hand.act("project.new")
    assert said(hand) == "Saved view.png"


def test_a_project_that_can_be_changed_again_is_not_called_read_only(hand: Hand) -> None:
    hand.rectangle()
    path = hand.project_path()
    hand.act("project.close")
    with Project.open(path):
        hand.drop(path)
        assert said(hand).startswith("Opened read-only")
    hand.drop(path)
    hand.qtbot.waitUntil(lambda: "read-only" not in hand.window.windowTitle(), timeout=5000)
    assert "read-only" not in said(hand)


def begin_beside(hand: Hand, other: Path) -> None:
    """Begin a polygon in one of two views and press in the other."""
    left = hand.window.tab
    hand.open(other)
    right = hand.window.tab
    assert left is not None
    assert right is not None
    hand.window.tabs.put_beside(left, right)
    hand.wait()
    hand.act("tool.polygon")
    for place in CORNERS:
        hand.click(*place)
    begun = hand.window.tab
    beside = right if begun is left else left
    hand.qtbot.mouseClick(beside.view, Qt.MouseButton.LeftButton, pos=beside.view.rect().center())
    assert begun is not None
    assert said(hand).startswith(f"A shape is begun on {begun.path.name}, in another view")


@pytest.mark.parametrize("way", ["escape", "finish", "tool", "close"])
def test_a_shape_that_is_begun_no_longer_is_not_spoken_of(
    hand: Hand, dapi_image: Path, way: str
) -> None:
    begin_beside(hand, dapi_image)
    begun = hand.parts.bench.tab
    assert begun is not None
    if way == "close":
        for _ in CORNERS[1:]:
            hand.parts.bench.take_back()
        assert said(hand)
        hand.window.close_tab(begun)
    elif way == "tool":
        hand.act("tool.move")
    else:
        key = Qt.Key.Key_Escape if way == "escape" else Qt.Key.Key_Return
        hand.qtbot.keyClick(begun.view, key)
    hand.wait()
    assert said(hand) == ""
