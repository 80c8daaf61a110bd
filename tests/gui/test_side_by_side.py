"""Two slides side by side: linked, apart, drawn on, closed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QAction, QMouseEvent
from PySide6.QtWidgets import QApplication, QToolButton
from tests.gui.hand import LEFT, NONE, Hand
from tests.gui.pairs import beside, wheel

from tilescope.domain.geometry import Point
from tilescope_desktop.view.comparing import compare_with_itself
from tilescope_desktop.view.side_by_side import SideBySide
from tilescope_desktop.view.slide_tab import SlideTab


@pytest.fixture
def pair(hand: Hand) -> SideBySide:
    """The slide beside itself."""
    return beside(hand, "once more")


@pytest.fixture
def scans(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    """The same field at 0.5 and at 1 µm a pixel."""
    fine = rng.integers(0, 255, (600, 800, 3), np.uint8)
    coarse = fine.reshape(300, 2, 400, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    paths = []
    for name, pixels, um in (("fine", fine, 0.5), ("coarse", coarse, 1.0)):
        path = tmp_path / f"{name}.tif"
        per_cm = (10_000 / um, 10_000 / um)
        tifffile.imwrite(
            path, pixels, tile=(128, 128), resolution=per_cm, resolutionunit="CENTIMETER"
        )
        paths.append(path)
    return paths[0], paths[1]


def action(hand: Hand, name: str) -> QAction:
    found = hand.window.findChild(QAction, name)
    assert isinstance(found, QAction)
    return found


def beside_each_other(left: SlideTab, right: SlideTab, dx: float, dy: float) -> tuple[Point, Point]:
    """Return what both views show beside their middles."""
    places = []
    for tab in (left, right):
        view = tab.view.viewport
        assert view is not None
        places.append(view.to_l0(Point(view.width / 2 + dx, view.height / 2 + dy)))
    return places[0], places[1]


def middle_of(tab: SlideTab) -> np.ndarray:
    """Return the middle of what is painted, ``float[n, n, 3]``."""
    image = tab.view.picture()
    at = image.rect().center()
    colors = [
        image.pixelColor(at.x() + x, at.y() + y) for y in range(-20, 20) for x in range(-20, 20)
    ]
    return np.array([(c.red(), c.green(), c.blue()) for c in colors], float).reshape(40, 40, 3)


def drag(hand: Hand, tab: SlideTab, *places: tuple[int, int]) -> None:
    hand.qtbot.mousePress(tab.view, LEFT, NONE, QPoint(*places[0]))
    for place in places[1:]:
        move(tab, place, LEFT)
    hand.qtbot.mouseRelease(tab.view, LEFT, NONE, QPoint(*places[-1]))
    hand.wait()


def move(
    tab: SlideTab, place: tuple[int, int], buttons: Qt.MouseButton = Qt.MouseButton.NoButton
) -> None:
    at = QPointF(*place)
    kind = QEvent.Type.MouseMove
    event = QMouseEvent(kind, at, tab.view.mapToGlobal(at), buttons, buttons, NONE)
    QApplication.sendEvent(tab.view, event)


def test_a_slide_beside_itself_follows_pan_zoom_turn_and_flip(hand: Hand, pair: SideBySide) -> None:
    left, right = pair.slides
    assert hand.window.tabs.count() == 1
    assert hand.window.all_tabs == [left, right]
    assert left.source is not right.source
    drag(hand, left, (200, 200), (170, 220), (150, 240))
    wheel(left, 3)
    for command in ("view.turn", "view.flip", "view.zoom-in"):
        hand.act(command)
    for dx, dy in ((0, 0), (90, -40)):
        here, there = beside_each_other(left, right, dx, dy)
        assert (there.x, there.y) == pytest.approx((here.x, here.y))
    wheel(right, -2)
    here, there = beside_each_other(left, right, 33, 21)
    assert (there.x, there.y) == pytest.approx((here.x, here.y))


@pytest.mark.parametrize("other", ["once more", "fine"])
def test_the_slide_in_front_stays_where_it_is(
    hand: Hand, scans: tuple[Path, Path], other: str
) -> None:
    slide = hand.window.tab
    assert slide is not None
    if other == "fine":
        hand.open(scans[0])
        hand.window.tabs.show_slide(slide)
        hand.wait()
    hand.place()
    before = slide.view.viewport
    assert before is not None
    pair = beside(hand, other)
    here, there = (tab.view.viewport for tab in (slide, pair.other(slide)))
    assert pair.slides[0] is slide
    assert here is not None
    assert there is not None
    assert here.width < before.width
    assert (here.centre_l0, here.l0_per_px) == (before.centre_l0, before.l0_per_px)
    if other == "once more":
        assert (there.centre_l0, there.l0_per_px) == (before.centre_l0, before.l0_per_px)


def test_a_slide_that_is_seen_whole_is_seen_whole_beside_another(hand: Hand) -> None:
    hand.act("view.fit")
    slide = hand.window.tab
    assert slide is not None
    beside(hand, "once more")
    size, view = slide.source.info.size, slide.view.viewport
    assert view is not None
    assert view.bounds_l0.x0 <= 0
    assert view.bounds_l0.y0 <= 0
    assert view.bounds_l0.x1 >= size.width
    assert view.bounds_l0.y1 >= size.height


def test_both_views_become_sharp(hand: Hand, pair: SideBySide) -> None:
    middle = pair.slides[0].view.rect().center()
    for notches in (4, -6):
        wheel(pair.slides[0], notches, (middle.x(), middle.y()))
        hand.qtbot.waitUntil(lambda: all(t.view.is_sharp for t in pair.slides), timeout=20_000)
        left, right = (middle_of(tab) for tab in pair.slides)
        assert np.ptp(left) > 20
        # One is a pixel wider than the other, so that they are half a pixel apart.
        assert np.abs(left.mean((0, 1)) - right.mean((0, 1))).max() < 5
        assert left.std() == pytest.approx(right.std(), rel=0.1)


def test_micrometres_are_as_long_in_both_views(hand: Hand, scans: tuple[Path, Path]) -> None:
    for path in scans:
        hand.window.open_slide(path)
        hand.qtbot.waitUntil(
            lambda path=path: hand.window.tab.path == path and not hand.window.work.jobs,
            timeout=20_000,
        )
    coarse = hand.window.tab
    pair = beside(hand, "fine")
    fine = pair.other(coarse)
    assert fine.path.name == "fine.tif"
    assert [tab.path.name for tab in hand.window.all_tabs][1:] == ["coarse.tif", "fine.tif"]
    wheel(coarse, 2)
    drag(hand, coarse, (200, 200), (187, 214))
    for dx, dy in ((0, 0), (50, 31)):
        here, there = beside_each_other(coarse, fine, dx, dy)
        assert (there.x, there.y) == pytest.approx((2 * here.x, 2 * here.y))
    wheel(fine, -3)
    here, there = beside_each_other(coarse, fine, -20, 44)
    assert (there.x, there.y) == pytest.approx((2 * here.x, 2 * here.y))
    shown = []
    for tab in (coarse, fine):
        assert tab.view.viewport is not None
        shown.append(tab.view.viewport.magnification(tab.um_per_px))
    assert shown[0] == pytest.approx(shown[1])


def test_without_calibration_pixels_are_as_long(hand: Hand, dapi_image: Path) -> None:
    hand.window.open_slide(dapi_image)
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) == 2, timeout=20_000)
    hand.wait()
    pair = beside(hand, "CMU")
    left, right = pair.slides
    assert left.um_per_px is None
    wheel(left, 3)
    assert left.view.viewport is not None
    assert right.view.viewport is not None
    assert right.view.viewport.l0_per_px == pytest.approx(left.view.viewport.l0_per_px)
    # The other slide is larger: where it is seen, this one has ended.
    right.view.move_to(replace(right.view.viewport, centre_l0=Point(100, 150)))
    here, there = beside_each_other(left, right, 0, 0)
    size = left.source.info.size
    away = right.source.info.size
    assert here.x == pytest.approx(size.width / 2 + 100 - away.width / 2)
    assert here.y == pytest.approx(size.height / 2 + 150 - away.height / 2)
    assert here.x < 0
    assert (there.x, there.y) == (100, 150)


def test_apart_each_goes_its_own_way_and_is_linked_as_it_stands(
    hand: Hand, pair: SideBySide
) -> None:
    left, right = pair.slides
    button = next(b for b in pair.findChildren(QToolButton) if b.isCheckable())
    button.click()
    assert not pair.link.is_linked
    assert not action(hand, "compare.linked").isChecked()
    held = right.view.viewport
    wheel(left, 2)
    assert right.view.viewport == held
    right.view.move_to(
        replace(right.view.viewport, centre_l0=Point(400, 700), l0_per_px=2.0, rotation_deg=40)
    )
    before = beside_each_other(left, right, 60, 45)
    stood = left.view.viewport, right.view.viewport
    hand.act("compare.as-they-stand")
    assert button.isChecked()
    assert action(hand, "compare.linked").isChecked()
    assert left.view.viewport == stood[0]
    assert right.view.viewport is not None
    assert right.view.viewport.l0_per_px == pytest.approx(2.0)
    wheel(left, 3)
    drag(hand, left, (210, 190), (160, 250))
    hand.act("view.turn")
    assert left.view.viewport is not None
    screen = left.view.viewport.to_screen(before[0])
    dx, dy = screen.x - left.view.width() / 2, screen.y - left.view.height() / 2
    here, there = beside_each_other(left, right, dx, dy)
    assert (here.x, here.y) == pytest.approx((before[0].x, before[0].y))
    assert (there.x, there.y) == pytest.approx((before[1].x, before[1].y))


def test_linked_again_the_other_comes_back(hand: Hand, pair: SideBySide) -> None:
    left, right = pair.slides
    hand.act("compare.linked")
    assert not pair.link.is_linked
    wheel(left, 4)
    assert beside_each_other(left, right, 0, 0)[0] != beside_each_other(left, right, 0, 0)[1]
    hand.act("compare.linked")
    here, there = beside_each_other(left, right, 25, 5)
    assert (there.x, there.y) == pytest.approx((here.x, here.y))


def test_each_side_has_its_own_channels(hand: Hand, dapi_image: Path) -> None:
    hand.window.open_slide(dapi_image)
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) == 2, timeout=20_000)
    hand.wait()
    pair = beside(hand, "once more")
    left, right = pair.slides
    assert right.styles == left.styles
    hand.click_on(right)
    assert hand.window.tab is right
    high = hand.window.channels._high
    high.setValue(high.value() / 2)
    hand.qtbot.waitUntil(lambda: right.styles != left.styles, timeout=5000)
    assert left.styles[0].high == 2 * right.styles[0].high
    hand.act("compare.other")
    assert hand.window.tab is left
    assert high.value() == left.styles[0].high
    assert hand.window.focusWidget() is left.view


def test_tools_draw_on_the_view_under_the_mouse_and_both_show_it(
    hand: Hand, pair: SideBySide
) -> None:
    left, right = pair.slides
    hand.act("tool.rectangle")
    drag(hand, right, (100, 100), (160, 140))
    (drawn,) = hand.shapes()
    assert right.view.viewport is not None
    corner = right.view.viewport.to_l0(Point(100, 100))
    assert drawn.bounds[:2] == pytest.approx((corner.x, corner.y), abs=1.0)
    assert hand.window.tab is right
    overlays = [hand.parts.bench.overlays[tab] for tab in (left, right)]
    hand.qtbot.waitUntil(lambda: all(overlay.is_current for overlay in overlays), timeout=20_000)
    assert [overlay.picture.count for overlay in overlays] == [1, 1]
    # It is selected; a corner of it can be dragged in the other view.
    hand.act("tool.vertices")
    assert left.view.viewport is not None
    end = drawn.bounds[2:]
    at = left.view.viewport.to_screen(Point(*end))
    drag(hand, left, (round(at.x), round(at.y)), (round(at.x) + 20, round(at.y) + 16))
    (changed,) = hand.shapes()
    assert changed.bounds[2] > end[0] + 5
    assert shapely.area(changed) > shapely.area(drawn)


def test_a_slide_that_is_new_in_the_project_is_known_on_both_sides(
    hand: Hand, dapi_image: Path
) -> None:
    hand.act("tool.rectangle")
    hand.drag((100, 100), (160, 140))
    hand.window.open_slide(dapi_image)
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) == 2, timeout=20_000)
    hand.wait()
    left, right = beside(hand, "once more").slides
    drag(hand, right, (100, 300), (160, 340))
    numbers = {hand.parts.bench.slides[tab].number for tab in (left, right)}
    assert len(numbers) == 1
    assert None not in numbers
    overlay = hand.parts.bench.overlays[left]
    hand.qtbot.waitUntil(lambda: overlay.is_current, timeout=20_000)
    assert overlay.picture.count == 1


def test_what_is_begun_on_one_side_is_not_drawn_into_by_the_other(
    hand: Hand, pair: SideBySide
) -> None:
    left, right = pair.slides
    hand.act("tool.polygon")
    for place in ((100, 100), (200, 100), (200, 220)):
        hand.qtbot.mouseClick(left.view, LEFT, NONE, QPoint(*place))
    held = left.view.viewport
    move(right, (300, 300))
    hand.qtbot.mouseClick(right.view, LEFT, NONE, QPoint(310, 310))
    assert left.view.viewport == held
    hand.qtbot.keyClick(left.view, Qt.Key.Key_Return)
    (drawn,) = hand.shapes()
    assert left.view.viewport is not None
    corners = [left.view.viewport.to_l0(Point(*p)) for p in ((100, 100), (200, 100), (200, 220))]
    expected = shapely.Polygon([(p.x, p.y) for p in corners])
    assert drawn.symmetric_difference(expected).area < 0.05 * expected.area


def test_the_brush_ring_is_where_the_mouse_is(hand: Hand, pair: SideBySide) -> None:
    left, right = pair.slides
    hand.act("tool.brush")
    previews = [hand.parts.bench.overlays[tab].preview for tab in (left, right)]
    move(left, (120, 120))
    assert [preview().ring is not None for preview in previews] == [True, False]
    move(right, (120, 120))
    assert [preview().ring is not None for preview in previews] == [False, True]


def test_closing_one_side_leaves_a_plain_tab(hand: Hand, pair: SideBySide) -> None:
    left, right = pair.slides
    hand.click_on(left)
    held = right.view.viewport
    hand.act("file.close")
    assert hand.window.all_tabs == [right]
    assert hand.window.tab is right
    assert hand.window.tabs.pair is None
    assert hand.window.tabs.tabText(0) == right.path.name
    assert right.view.viewport is not None
    assert held is not None
    assert right.view.viewport.centre_l0 == held.centre_l0
    wheel(right, 2)
    hand.wait()
    assert right.view.viewport.l0_per_px < held.l0_per_px


def test_the_cross_of_a_side_closes_it(hand: Hand, pair: SideBySide) -> None:
    left, right = pair.slides
    crosses = {button.accessibleName(): button for button in pair.findChildren(QToolButton)}
    crosses[f"Close {right.path.name}, right"].click()
    assert hand.window.all_tabs == [left]
    assert hand.window.tabs.pair is None
    assert right not in hand.parts.bench.slides


def test_each_gets_a_tab_of_its_own_again(hand: Hand, pair: SideBySide) -> None:
    left, right = pair.slides
    hand.click_on(right)
    hand.act("compare.separate")
    assert hand.window.tabs.count() == 2
    assert hand.window.tab is right
    held = left.view.viewport
    wheel(right, 3)
    assert left.view.viewport == held
    assert not hand.window.findChildren(SideBySide) or hand.window.tabs.pair is None


def test_closing_the_tab_closes_both_and_gives_the_memory_back(
    hand: Hand, pair: SideBySide
) -> None:
    hand.window.tabs.tabCloseRequested.emit(0)
    assert hand.window.all_tabs == []
    assert hand.window.tabs.count() == 0
    assert hand.window.tiles.pictures.use.size_bytes == 0
    assert pair.slides[0] not in hand.parts.bench.slides


def test_another_slide_takes_the_place_of_the_other(
    hand: Hand, pair: SideBySide, dapi_image: Path
) -> None:
    left, right = pair.slides
    hand.window.open_slide(dapi_image)
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) == 3, timeout=20_000)
    hand.wait()
    third = hand.window.tab
    hand.window.tabs.show_slide(left)
    assert hand.window.tab is left
    again = beside(hand, "fluor")
    assert again.slides == (left, third)
    assert action(hand, "compare.linked").isEnabled()
    assert hand.window.all_tabs == [left, third, right]


def test_the_other_view_marks_the_place_under_the_mouse(hand: Hand, pair: SideBySide) -> None:
    left, right = pair.slides
    hand.qtbot.waitUntil(lambda: all(t.view.is_sharp for t in pair.slides), timeout=20_000)
    move(left, (60, 60))
    hand.wait()
    before = right.view.grab().toImage()
    move(left, (150, 130))
    after = right.view.grab().toImage()
    assert after.pixelColor(145, 130) != before.pixelColor(145, 130)
    assert after.pixelColor(150, 300) == before.pixelColor(150, 300)
    QApplication.sendEvent(left.view, QEvent(QEvent.Type.Leave))
    gone = right.view.grab().toImage()
    assert gone.pixelColor(145, 130) == before.pixelColor(145, 130)


def test_the_overview_leaves_room_in_a_narrow_view(hand: Hand) -> None:
    tab = hand.window.tab
    assert tab is not None
    hand.window.resize(1600, 1000)
    hand.act("view.fit")
    hand.place()
    wide, seen = tab.map.size(), yellow_share(tab)
    assert max(wide.width(), wide.height()) == 220
    compare_with_itself(hand.window, tab)
    hand.qtbot.waitUntil(lambda: hand.window.tabs.pair is not None, timeout=20_000)
    hand.window.resize(950, 700)
    hand.act("view.fit")  # so that going elsewhere shows nothing so large that it counts as seen
    assert max(tab.map.width(), tab.map.height()) <= 0.36 * min(tab.view.width(), tab.view.height())
    middle = tab.map.rect().center()
    hand.qtbot.mouseClick(tab.map, LEFT, NONE, middle)
    assert tab.view.viewport is not None
    size = tab.source.info.size
    centre = tab.view.viewport.centre_l0
    assert abs(centre.x - size.width / 2) < size.width / tab.map.width() * 2
    assert abs(centre.y - size.height / 2) < size.height / tab.map.height() * 2
    hand.window.tabs.separate(tab)
    hand.window.resize(1600, 1000)
    hand.wait()
    assert tab.map.size() == wide
    assert yellow_share(tab) == pytest.approx(seen, rel=0.05)
    assert seen > 0.05


def yellow_share(tab: SlideTab) -> float:
    """Return how much of the map is tinted as seen: blue is taken away there."""
    image = tab.map.grab().toImage()
    places = [(x, y) for x in range(0, image.width(), 3) for y in range(0, image.height(), 3)]
    colors = [image.pixelColor(x, y) for x, y in places]
    return sum(c.red() > 200 and c.blue() < c.red() - 40 for c in colors) / len(colors)
