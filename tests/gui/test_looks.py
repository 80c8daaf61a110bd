"""What can be seen: boxes and colours in both themes, all panels on a small screen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage, QKeyEvent, QWheelEvent
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QDockWidget,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QTreeWidgetItem,
    QWidget,
)
from tests.gui.hand import ALT, NONE, Hand

from tilescope.testing.synthetic import pyramid, write_tiff_pyramid
from tilescope_desktop.app import run_bench
from tilescope_desktop.view.command_palette import CommandPalette
from tilescope_desktop.view.theme import Theme, apply_theme

#: WCAG 2.2, 1.4.11: what one has to see to use a control.
_LEAST = 3.0
_SMALL_SCREEN_PX = 1366, 700


@pytest.fixture(params=[Theme.LIGHT, Theme.DARK])
def themed(request: pytest.FixtureRequest, hand: Hand) -> Iterator[Hand]:
    hand.act(f"view.theme-{request.param.value}")
    QApplication.processEvents()
    yield hand
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    apply_theme(app, Theme.LIGHT)


def is_seen(widget: QWidget) -> bool:
    return not widget.visibleRegion().isEmpty()


def luminance(color: QColor) -> float:
    parts = (
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
        for v in (color.redF(), color.greenF(), color.blueF())
    )
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def contrast(a: QColor, b: QColor) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def image_of(widget: QWidget) -> QImage:
    QApplication.processEvents()
    return widget.grab().toImage()


def box_contrast(image: QImage, y: int, start: int, end: int) -> float:
    """Return how well one sees what lies on a line, beside what the line begins with."""
    line = [image.pixelColor(x, y) for x in range(start, end)]
    return max(contrast(color, line[0]) for color in line)


def test_boxes_without_a_check_can_be_seen(themed: Hand) -> None:
    window = themed.window
    window.findChild(QDockWidget, "dock-channels").raise_()
    QApplication.processEvents()
    box = next(b for b in window.findChildren(QCheckBox) if is_seen(b) and not b.isChecked())
    at = box.mapTo(window, QPoint(0, box.height() // 2))
    assert box_contrast(image_of(window), at.y(), at.x() - 2, at.x() + 6) >= _LEAST
    classes = themed.parts.classes._list
    themed.act("panel.classes")
    row = classes.topLevelItem(2)
    row.setCheckState(0, Qt.CheckState.Unchecked)
    place = classes.visualItemRect(row)
    image = image_of(classes.viewport())
    assert box_contrast(image, place.center().y(), 1, 14) >= _LEAST
    menu = window.menu("View/Panels")
    menu.popup(QPoint(0, 0))
    action = next(a for a in menu.actions() if a.isCheckable() and not a.isChecked())
    image = image_of(menu)
    assert box_contrast(image, menu.actionGeometry(action).center().y(), 4, 20) >= _LEAST
    menu.close()


def test_outlines_of_controls_can_be_seen(themed: Hand) -> None:
    window = themed.window
    kinds = (QLineEdit, QAbstractSpinBox, QComboBox, QPushButton)
    for name in ("objects", "channels"):
        dock = window.findChild(QDockWidget, f"dock-{name}")
        dock.show()
        dock.raise_()
    QApplication.processEvents()
    shown: dict[type, QWidget] = {}
    for kind in kinds:
        for found in window.findChildren(kind):
            inside = isinstance(found.parentWidget(), (QAbstractSpinBox, QComboBox))
            flat = isinstance(found, QPushButton) and found.isFlat()
            if is_seen(found) and found.isEnabled() and not (inside or flat):
                shown[kind] = found
    assert shown.keys() == set(kinds)
    themed.view.setFocus()
    image = image_of(window)
    for found in shown.values():
        at = found.mapTo(window, QPoint(0, found.height() // 2))
        # No farther than the outline: what is written inside is no outline.
        assert box_contrast(image, at.y(), at.x() - 2, at.x() + 2) >= _LEAST, found


def color_in(item: QTreeWidgetItem) -> QColor:
    """Return the colour that is seen beside the name in a row."""
    tree = item.treeWidget()
    place = tree.visualItemRect(item)
    image = image_of(tree.viewport())
    names = [image.pixelColor(x, place.center().y()).name() for x in range(20, 40)]
    return QColor(max(set(names), key=names.count))


def test_a_marked_row_shows_its_own_colour(themed: Hand) -> None:
    themed.act("panel.classes")
    classes = themed.parts.classes._list
    item = classes.topLevelItem(1)
    expected = QColor(*themed.annotations.style.color_of(item.text(0)))
    classes.setCurrentItem(classes.topLevelItem(2))
    assert color_in(item) == expected
    classes.setCurrentItem(item)
    assert item.isSelected()
    assert color_in(item) == expected


def test_all_panels_fit_on_a_small_screen(hand: Hand) -> None:
    window, panel = hand.window, run_bench(hand.window).panel
    for dock in window.findChildren(QDockWidget):
        dock.show()
    panel.show_waiting("Looking at the slide, which takes as long as it takes…")
    QApplication.processEvents()
    window.resize(*_SMALL_SCREEN_PX)
    QApplication.processEvents()
    assert (window.width(), window.height()) == _SMALL_SCREEN_PX
    assert window.minimumSizeHint().height() <= 660
    assert hand.view.height() > 300
    for dock in window.findChildren(QDockWidget):
        dock.raise_()
        QApplication.processEvents()
        buttons = [b for b in dock.widget().findChildren(QPushButton) if b.isVisibleTo(dock)]
        for button in buttons:
            assert button.visibleRegion().boundingRect() == button.rect(), button.text()


def test_what_a_model_asks_is_said_in_words_and_can_be_scrolled_to(hand: Hand) -> None:
    panel = run_bench(hand.window).panel
    hand.window.resize(*_SMALL_SCREEN_PX)
    labels = [label.text() for label in panel.findChildren(QLabel)]
    spec = panel._spec
    assert spec.parameters
    for name, parameter in spec.parameters.items():
        assert parameter.title.casefold() in [text.casefold() for text in labels]
        assert name not in labels
    last = list(panel._boxes.values())[-1]
    assert last.visibleRegion().isEmpty()
    last.setFocus(Qt.FocusReason.TabFocusReason)
    QApplication.processEvents()
    first = panel._model
    for box in (last, first, last):
        panel._memory.setFocus(Qt.FocusReason.TabFocusReason)
        hand.qtbot.waitUntil(lambda: not panel._memory.visibleRegion().isEmpty(), timeout=2000)
        box.setFocus(Qt.FocusReason.TabFocusReason)
    assert hand.window.focusWidget() is last


def test_letters_open_menus_and_do_what_stands_there(hand: Hand) -> None:
    window = hand.window
    window.activateWindow()
    hand.qtbot.waitUntil(lambda: QApplication.activeWindow() is window, timeout=5000)
    before = hand.view.viewport
    hand.qtbot.keyClick(hand.view, Qt.Key.Key_V, ALT)
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    assert menu is window.menu("View")
    shown = [action.text() for action in menu.actions()]
    assert sum(not text for text in shown) >= 3  # lines between groups
    assert shown[0] == "&Zoom in"
    hand.qtbot.keyClick(menu, Qt.Key.Key_Z)
    assert hand.view.viewport.l0_per_px < before.l0_per_px
    assert [a.toolTip() for a in hand.parts.bar.actions() if "&" in a.toolTip()] == []


def test_the_palette_shows_the_menu_of_each_command(hand: Hand) -> None:
    hand.act("view.palette")
    palette = hand.window.findChild(CommandPalette)
    rows = palette._list
    role = Qt.ItemDataRole.AccessibleTextRole
    said = {rows.item(row).text().split("    ")[0]: rows.item(row).data(role)
            for row in range(rows.count())}  # fmt: skip
    assert said["Whole slide"] == "Whole slide, View, Ctrl+0"
    assert said["Compare beside…"].startswith("Compare beside…, View ▸ Side by side")
    line = palette.findChild(QLineEdit)
    hand.qtbot.keyClicks(line, "whole slide view")
    metrics = rows.fontMetrics()
    image = image_of(rows.viewport())

    def is_written(start: int, end: int, y: int) -> bool:
        ground = image.pixelColor(rows.viewport().width() // 2, y)
        return any(
            image.pixelColor(x, y + dy) != ground for x in range(start, end) for dy in (-3, 0, 3)
        )

    row = rows.visualItemRect(rows.item(0))
    title = metrics.horizontalAdvance("Whole slide")
    at = row.center().y()
    assert is_written(6, 6 + title, at)
    assert is_written(title + 14, title + 14 + metrics.horizontalAdvance("View"), at)
    assert is_written(row.right() - 6 - metrics.horizontalAdvance("Ctrl+0"), row.right() - 6, at)
    # A key that Qt has no name for.
    QApplication.sendEvent(line, QKeyEvent(QEvent.Type.KeyPress, 0x0416, NONE, "ж"))
    assert line.text().endswith("ж")
    assert rows.count() == 0
    palette.reject()


_AT_HALVES = """
import sys, time
import numpy as np
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication
app = QApplication(sys.argv[:1])
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope_desktop.bridge.tiles import TileService
from tilescope_desktop.model.styles import default_styles
from tilescope_desktop.view.overview_map import OverviewMap

paints = 0
class Counted(OverviewMap):
    def paintEvent(self, event):
        global paints
        paints += 1
        super().paintEvent(event)

raw = TileCache(1 << 26)
service = TileService(TileCache(1 << 27), raw, threads=2)
with open_slide(sys.argv[1], cache=raw) as source:
    overview = Counted(service)
    pictures = service.show(source, default_styles(source.info))
    overview.show_slide(pictures)
    overview.show()
    def work(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            app.processEvents()
    limit, before = time.monotonic() + 20, -1
    while before != paints and time.monotonic() < limit:
        before = paints
        work(0.3)
    late = paints - before
    image = overview.grab().toImage().convertToFormat(QImage.Format.Format_Grayscale8)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
    inside = rows[20:image.height() - 20, 20:image.width() - 20].astype(float)
    print(image.width(), late, np.abs(np.diff(inside, axis=1)).mean())
    overview.show_slide(None)
service.close()
"""


def test_the_overview_is_sharp_where_screen_pixels_are_small(tmp_path: Path) -> None:
    # At 330 pixels a side it is painted from a level whose pixels are as small as its own.
    pixels = np.random.default_rng(5).integers(0, 256, (1501, 2048, 1), np.uint8)
    slide = write_tiff_pyramid(tmp_path / "slide.tif", pyramid(pixels.repeat(3, axis=2), 4))
    env = {**os.environ, "QT_SCALE_FACTOR": "1.5", "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", _AT_HALVES, str(slide)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    width, paints, grain = done.stdout.split()
    assert (int(width), int(paints)) == (330, 0)
    # Painted from the next coarser level it is 5, from its own 14.
    assert float(grain) > 10


@pytest.mark.parametrize("has_focus", [False, True])
def test_the_wheel_changes_a_number_only_where_one_is(hand: Hand, has_focus: bool) -> None:
    panel = run_bench(hand.window).panel
    hand.window.activateWindow()
    hand.qtbot.waitUntil(lambda: QApplication.activeWindow() is hand.window, timeout=5000)
    (panel._memory if has_focus else hand.view).setFocus()
    for box in (panel._memory, panel._extent):
        at = QPointF(box.rect().center())
        turn = QWheelEvent(
            at, box.mapToGlobal(at), QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton, NONE,
            Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        value = panel._memory.value(), panel._extent.currentIndex()
        QApplication.sendEvent(box, turn)
        after = panel._memory.value(), panel._extent.currentIndex()
        assert (after != value) == (has_focus and box is panel._memory)


def widths(hand: Hand) -> dict[str, int]:
    """Return how wide the slide and the panels beside it are."""
    docks = [one for one in hand.window.findChildren(QDockWidget) if is_seen(one)]
    return {"": hand.view.width(), **{one.objectName(): one.width() for one in docks}}


def test_panels_keep_their_widths_under_another_theme(hand: Hand) -> None:
    seen = [widths(hand)]
    assert len(seen[0]) > 1
    for theme in (Theme.DARK, Theme.LIGHT):
        hand.act(f"view.theme-{theme.value}")
        hand.qtbot.wait(50)  # what is laid out anew is so after a while
        seen.append(widths(hand))
    assert seen == seen[:1] * 3
