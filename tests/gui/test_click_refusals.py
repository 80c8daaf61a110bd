"""A click that gives no object is answered: where it was, and where words stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication
from tests.gui.hand import ALT, LEFT, NONE, SHIFT, Hand
from tests.gui.test_clicking import LABELS

from tilescope.domain.geometry import Point
from tilescope_desktop.app import clicking

NO_BUTTON = Qt.MouseButton.NoButton
REFUSAL = "there is no nucleus where you clicked"


@pytest.fixture
def slide_in_hand(dapi_image: Path) -> Path:
    return dapi_image


def settle(hand: Hand) -> None:
    QApplication.processEvents()
    hand.qtbot.waitUntil(lambda: clicking(hand.window).desk.is_idle, timeout=30_000)
    hand.wait()


def begin(hand: Hand, at: Point) -> np.ndarray:
    """Look at a place, take the click tool, and return what the view shows."""
    assert hand.view.viewport is not None
    hand.view.move_to(replace(hand.view.viewport, centre_l0=at, l0_per_px=0.5))
    hand.key(Qt.Key.Key_K)
    settle(hand)
    return hand.pixels()


def middle_of(hand: Hand) -> QPoint:
    return hand.view.rect().center()


def click(hand: Hand, place: QPoint, keys: Qt.KeyboardModifier = NONE) -> None:
    hand.qtbot.mouseClick(hand.view, LEFT, keys, place)
    settle(hand)


def rest(hand: Hand, place: QPoint) -> None:
    """Move the mouse with no button down."""
    at = QPointF(place)
    where = hand.view.mapToGlobal(at)
    move = QMouseEvent(QEvent.Type.MouseMove, at, where, NO_BUTTON, NO_BUTTON, NONE)
    QApplication.sendEvent(hand.view, move)
    settle(hand)


def empty_place() -> Point:
    """Return a place around which no nucleus is annotated."""
    labels = imagecodecs.png_decode(LABELS.read_bytes())
    return next(
        Point(x + 0.5, y + 0.5)
        for y in range(60, 300, 4)
        for x in range(60, 300, 4)
        if not labels[y - 22 : y + 23, x - 22 : x + 23].any()
    )


def words(before: np.ndarray, after: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the only thing that is new: light words on dark."""
    rows, columns = np.nonzero(np.abs(after - before).sum(axis=2) > 20)
    assert len(rows), "nothing is written"
    assert (after[rows, columns].min(axis=1) > 200).sum() > 100
    assert columns.max() - columns.min() > 120
    assert 10 < rows.max() - rows.min() < 40
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


def test_a_click_on_nothing_is_answered_where_it_was_and_in_the_status_bar(hand: Hand) -> None:
    before = begin(hand, empty_place())
    place = middle_of(hand)
    click(hand, place)
    assert hand.objects() == []
    assert hand.parts.bench.tool.preview.text == REFUSAL
    left, top, _, _ = words(before, hand.pixels())
    assert 4 <= left - place.x() < 20
    assert 4 <= top - place.y() < 20
    assert hand.window.status.currentMessage() == REFUSAL.capitalize()


def test_a_refusal_outlasts_a_hand_that_shakes(hand: Hand) -> None:
    before = begin(hand, empty_place())
    place = middle_of(hand)
    click(hand, place)
    written = words(before, hand.pixels())
    rest(hand, place + QPoint(2, -1))
    assert words(before, hand.pixels()) == written
    rest(hand, place + QPoint(12, 3))
    assert hand.parts.bench.tool.preview.text == ""
    assert (hand.pixels() == before).all()
    assert hand.window.status.currentMessage() == REFUSAL.capitalize()


@pytest.mark.parametrize("keys", [SHIFT, ALT])
def test_what_has_to_be_selected_first_is_said(hand: Hand, keys: Qt.KeyboardModifier) -> None:
    before = begin(hand, Point(180, 180))
    click(hand, middle_of(hand), keys)
    words(before, hand.pixels())
    said = "elect one object to add to it or to take away from it"
    assert hand.parts.bench.tool.preview.text == "s" + said
    assert hand.window.status.currentMessage() == "S" + said


def test_a_click_beside_the_slide_is_answered_within_the_view(hand: Hand) -> None:
    before = begin(hand, Point(360, 0))  # right of the slide and above it there is nothing
    width, height = hand.view.width(), hand.view.height()
    for x, y in ((20, 3), (width - 3, 40), (width - 3, height - 3)):
        click(hand, QPoint(x, y))
        assert hand.parts.bench.tool.preview.text == "the point lies outside the slide"
        left, top, right, bottom = words(before, hand.pixels())
        assert min(left, top) > 0
        assert right < width - 1
        assert bottom < height - 1
    assert hand.objects() == []
