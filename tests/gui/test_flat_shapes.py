"""What cannot be painted: boxes of no height, which are no shapes yet, and what is broken."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtGui import QPainter
from tests.gui.hand import LEFT, NONE, Hand

from tilescope_desktop.model.viewport import Viewport


@pytest.mark.parametrize("tool", ["rectangle", "ellipse"])
@pytest.mark.parametrize("to", [(360, 200), (200, 320)], ids=["across", "down"])
def test_a_box_may_be_flat_for_a_while(hand: Hand, tool: str, to: tuple[int, int]) -> None:
    hand.act(f"tool.{tool}")
    hand.qtbot.mousePress(hand.view, LEFT, NONE, QPoint(200, 200))
    hand.move(to)
    hand.pixels()
    hand.move((360, 320))
    hand.qtbot.mouseRelease(hand.view, LEFT, NONE, QPoint(360, 320))
    (shape,) = hand.shapes()
    start, end = hand.l0(200, 200), hand.l0(360, 320)
    assert shape.bounds == pytest.approx((start.x, start.y, end.x, end.y))


def test_a_box_that_stays_flat_is_nothing(hand: Hand) -> None:
    hand.act("tool.rectangle")
    hand.drag((200, 200), (360, 200))
    assert hand.pixels().any()
    assert hand.objects() == []


def test_what_cannot_be_painted_over_a_slide_does_not_end_the_program(
    hand: Hand, qtlog: Any
) -> None:
    class Broken:
        def paint(self, painter: QPainter, viewport: Viewport) -> None:
            raise ZeroDivisionError

    hand.view.overlays.append(Broken())
    with pytest.raises(ZeroDivisionError) as kept:
        hand.view.repaint()
    hand.view.overlays.pop()
    hand.view.repaint()
    # A painter that was left open, which the fault still holds, lets nobody else paint.
    assert not [one.message for one in qtlog.records if "QPainter" in one.message]
    assert kept.tb is not None
