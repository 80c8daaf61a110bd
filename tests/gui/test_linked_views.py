"""Linked views of slides that differ: in the size of their pixels, and in how far they reach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QApplication, QLineEdit
from tests.gui.hand import Hand
from tests.gui.pairs import beside, wheel

from tilescope.domain.geometry import Point, Rect
from tilescope_desktop.view.slide_tab import SlideTab


def um_per_screen_px(tab: SlideTab) -> float:
    assert tab.view.viewport is not None
    assert tab.um_per_px is not None
    return tab.view.viewport.l0_per_px * tab.um_per_px


def answer_pixel_size(hand: Hand, tab: SlideTab, typed: str) -> None:
    """Enter the size of a pixel as the status bar offers it."""

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        assert dialog is not None
        line = dialog.findChild(QLineEdit)
        assert isinstance(line, QLineEdit)
        line.selectAll()
        hand.qtbot.keyClicks(line, typed)
        hand.qtbot.keyPress(line, Qt.Key.Key_Return)

    QTimer.singleShot(0, answer)
    hand.window.ask_pixel_size(tab)
    hand.wait()


def test_views_are_as_large_as_each_other_when_a_pixel_size_is_entered_later(
    hand: Hand, dapi_image: Path
) -> None:
    hand.window.open_slide(dapi_image)
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) == 2, timeout=20_000)
    hand.wait()
    pair = beside(hand, "CMU")
    unknown, known = pair.slides
    assert unknown.um_per_px is None
    hand.click_on(unknown)
    stood = unknown.view.viewport
    assert stood is not None
    answer_pixel_size(hand, unknown, "0.25")
    assert unknown.um_per_px == 0.25
    assert unknown.view.viewport is not None
    assert unknown.view.viewport.centre_l0 == stood.centre_l0
    assert unknown.view.viewport.l0_per_px == stood.l0_per_px
    assert um_per_screen_px(known) == pytest.approx(um_per_screen_px(unknown))
    wheel(known, 2)
    assert um_per_screen_px(unknown) == pytest.approx(um_per_screen_px(known))
    # What somebody has aligned is left as it is.
    hand.act("compare.as-they-stand")
    before = known.view.viewport
    answer_pixel_size(hand, unknown, "0.5")
    assert known.view.viewport == before
    hand.act("compare.same-size")
    assert um_per_screen_px(known) == pytest.approx(um_per_screen_px(unknown))


def is_written_on(tab: SlideTab) -> bool:
    """Tell whether there are white letters in the middle of a view."""
    image = tab.view.grab().toImage()
    middle = image.rect().center()
    colors = [
        image.pixelColor(middle.x() + x, middle.y() + y)
        for y in range(-30, 30)
        for x in range(-80, 80)
    ]
    return sum(min(c.red(), c.green(), c.blue()) > 200 for c in colors) > 50


def test_a_view_that_followed_beyond_its_slide_says_so(hand: Hand, dapi_image: Path) -> None:
    hand.window.resize(900, 600)
    hand.window.open_slide(dapi_image)
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) == 2, timeout=20_000)
    hand.wait()
    small, large = beside(hand, "CMU").slides
    assert large.view.viewport is not None
    large.view.move_to(replace(large.view.viewport, centre_l0=Point(60, 90), l0_per_px=0.5))
    hand.wait()
    there = small.view.viewport
    assert there is not None
    assert there.bounds_l0.intersect(Rect.of_size(small.source.info.size)) is None
    assert is_written_on(small)
    # Where anything of the slide is seen nothing is said, nor of what goes its own way.
    size = large.source.info.size
    middle = Point(size.width / 2, size.height / 2)
    large.view.move_to(replace(large.view.viewport, centre_l0=middle))
    hand.wait()
    small.view.move_to(there, stays_on_slide=False)
    assert is_written_on(small)
    hand.act("compare.linked")
    assert not is_written_on(small)
