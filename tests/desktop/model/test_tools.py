"""Tools turn what the mouse does into wishes, and show what they are about to do."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import shapely

from tilescope.domain.geometry import Point
from tilescope.domain.scale import PixelSize
from tilescope_desktop.model.pointer import Pointer, PointerKind
from tilescope_desktop.model.tools.brush import BrushTool
from tilescope_desktop.model.tools.polygon import FreehandTool, PolygonTool, PolylineTool
from tilescope_desktop.model.tools.selection import SelectionTool
from tilescope_desktop.model.tools.shapes import (
    EllipseTool,
    LineTool,
    PointTool,
    RectangleTool,
    RulerTool,
)
from tilescope_desktop.model.tools.tool import (
    LOCKED,
    Draw,
    MoveTool,
    Pick,
    PickBox,
    Pixels,
    Reshape,
    Say,
    Selected,
    Tool,
    Wish,
)
from tilescope_desktop.model.tools.vertices import VertexTool
from tilescope_desktop.model.tools.wand import WandTool

HALF_UM = PixelSize(0.5, 0.5)


@dataclass
class Desk:
    """A scene that is what a test says."""

    selected: tuple[Selected, ...] = ()
    pixel_size: PixelSize | None = HALF_UM
    shown: Pixels | None = None

    def pixels(self) -> Pixels | None:
        return self.shown


def at(x: float, y: float, l0_per_px: float = 1.0, **keys: bool) -> Pointer:
    return Pointer(PointerKind.MOVE, Point(x, y), l0_per_px, is_primary=True, **keys)


def drag(tool: Tool, *places: Pointer) -> list[Wish]:
    wishes = [*tool.press(places[0])]
    for place in places[1:]:
        wishes += tool.move(place)
    return [*wishes, *tool.release(places[-1])]


def drawn(wishes: list[Wish]) -> shapely.Geometry:
    (wish,) = wishes
    assert isinstance(wish, Draw)
    assert wish.geometry.is_valid
    return wish.geometry


def test_move_leaves_the_mouse_to_the_view() -> None:
    assert not MoveTool(Desk(), "move", "Move").takes(at(1, 1))


def test_a_click_in_move_picks_what_is_there() -> None:
    tool = MoveTool(Desk(), "move", "Move")
    assert list(tool.click(at(5, 6, 2.0))) == [Pick(Point(5, 6), 8.0)]
    for key in ("has_shift", "has_control"):
        assert list(tool.click(at(5, 6, **{key: True}))) == [Pick(Point(5, 6), 4.0, toggles=True)]


def test_a_press_is_a_point() -> None:
    shape = drawn(list(PointTool(Desk(), "p", "P").press(at(3, 4))))
    assert shape.equals(shapely.Point(3, 4))
    assert list(PointTool(Desk(), "p", "P").double(at(3, 4))) == []


def test_a_rectangle_is_between_two_corners_whichever_comes_first() -> None:
    tool = RectangleTool(Desk(), "r", "R")
    assert drawn(drag(tool, at(50, 60), at(20, 30), at(10, 20))).bounds == (10, 20, 50, 60)
    assert tool.preview.shape is None
    square = drawn(drag(tool, at(0, 0), at(-30, 10, has_shift=True)))
    assert square.bounds == (-30, 0, 0, 30)


def test_what_is_about_to_be_drawn_is_shown_with_its_size() -> None:
    tool = RectangleTool(Desk(pixel_size=HALF_UM), "r", "R")
    tool.press(at(0, 0))
    tool.move(at(100, 40))
    assert tool.is_busy
    assert tool.preview.shape is not None
    assert tool.preview.shape.bounds == (0, 0, 100, 40)
    assert tool.preview.text == "50.0 µm x 20.0 µm"


def test_a_click_draws_no_shape_however_far_one_is_zoomed_out() -> None:
    tool = EllipseTool(Desk(), "o", "O")
    assert drag(tool, at(0, 0, 20.0), at(40, 20, 20.0)) == []
    assert drag(tool, at(0, 0), at(40, 20)) != []


def test_an_ellipse_fills_its_box() -> None:
    shape = drawn(drag(EllipseTool(Desk(), "o", "O"), at(0, 0), at(200, 100)))
    assert shape.area == pytest.approx(math.pi * 100 * 50, rel=0.002)
    assert shape.bounds == pytest.approx((0, 0, 200, 100), abs=0.1)


def test_a_line_tells_its_length_and_snaps_to_eighths_of_a_turn() -> None:
    tool = LineTool(Desk(pixel_size=HALF_UM), "l", "L")
    tool.press(at(0, 0))
    tool.move(at(30, 40))
    assert tool.preview.text == "25.0 µm"
    assert drawn(list(tool.release(at(30, 40)))).length == 50
    snapped = drawn(drag(tool, at(0, 0), at(100, 4, has_shift=True)))
    assert shapely.get_coordinates(snapped)[1].tolist() == pytest.approx([100, 0])


def test_lengths_without_a_pixel_size_are_pixels() -> None:
    tool = LineTool(Desk(pixel_size=None), "l", "L")
    tool.press(at(0, 0))
    tool.move(at(30, 40))
    assert tool.preview.text == "50 px"


def test_a_ruler_measures_and_draws_nothing() -> None:
    tool = RulerTool(Desk(pixel_size=PixelSize(2, 2)), "x", "Ruler")
    assert drag(tool, at(0, 0), at(0, 1000)) == []
    assert tool.preview.text == "2.000 mm"


def test_a_ruler_tells_what_it_measured_by_the_pixel_size_of_now() -> None:
    scene = Desk(pixel_size=None)
    tool = RulerTool(scene, "x", "Ruler")
    drag(tool, at(0, 0), at(30, 40))
    line = tool.preview.shape
    assert tool.preview.text == "50 px"
    scene.pixel_size = PixelSize(2, 2)
    assert tool.preview.text == "100.0 µm"
    assert tool.preview.shape is line
    tool.cancel()
    assert tool.preview.text == ""


def click(tool: Tool, x: float, y: float) -> list[Wish]:
    return [*tool.press(at(x, y)), *tool.release(at(x, y))]


def test_a_polygon_is_closed_at_its_first_corner() -> None:
    tool = PolygonTool(Desk(), "p", "P")
    for x, y in ((0, 0), (100, 0), (100, 100)):
        assert click(tool, x, y) == []
        assert tool.is_busy
    shape = drawn(click(tool, 3, 3))
    assert shape.area == 5000
    assert not tool.is_busy


@pytest.mark.parametrize("end", ["double", "enter"])
def test_a_polygon_ends_by_a_double_click_or_enter(end: str) -> None:
    tool = PolygonTool(Desk(), "p", "P")
    for x, y in ((0, 0), (100, 0), (100, 100)):
        click(tool, x, y)
    wishes = list(tool.double(at(100, 100)) if end == "double" else tool.finish())
    assert drawn(wishes).area == 5000
    assert list(tool.release(at(100, 100))) == []


def test_backspace_takes_the_last_corner_back_and_escape_all() -> None:
    tool = PolygonTool(Desk(), "p", "P")
    for x, y in ((0, 0), (100, 0), (100, 100), (-500, 7)):
        click(tool, x, y)
    assert tool.step_back()
    assert drawn(list(tool.finish())).area == 5000
    assert not tool.step_back()
    click(tool, 1, 1)
    tool.cancel()
    assert not tool.is_busy
    assert list(tool.finish()) == []


def test_what_is_begun_is_taken_back_step_by_step_or_as_a_whole() -> None:
    polygon = PolygonTool(Desk(), "p", "P")
    for x, y in ((0, 0), (100, 0)):
        click(polygon, x, y)
    assert [polygon.take_back() for _ in range(3)] == [True, True, False]
    brush = BrushTool(Desk(), "b", "B")
    assert not brush.take_back()
    brush.press(at(5, 5))
    assert brush.take_back()
    assert list(brush.release(at(50, 5))) == []
    assert not MoveTool(Desk(), "move", "Move").take_back()


def test_what_a_drag_adds_to_a_polygon_is_one_step() -> None:
    tool = PolygonTool(Desk(), "p", "P")
    for x, y in ((0, 0), (100, 0), (100, 100)):
        click(tool, x, y)
    tool.press(at(300, 100))
    for y in range(100, 300, 20):
        tool.move(at(300, y))
    assert tool.take_back()
    tool.move(at(300, 400))
    tool.release(at(300, 400))
    assert drawn(list(tool.finish())).area == 5000


def test_two_corners_enclose_nothing() -> None:
    tool = PolygonTool(Desk(), "p", "P")
    click(tool, 0, 0)
    click(tool, 50, 50)
    assert list(tool.finish()) == []


@pytest.mark.parametrize("far", [100, 140])
def test_an_outline_that_crosses_itself_is_its_lobes(far: int) -> None:
    tool = PolygonTool(Desk(), "p", "P")
    for x, y in ((0, 0), (100, 100), (100, 0), (0, far)):
        click(tool, x, y)
    shape = drawn(list(tool.finish()))
    lobes = shapely.polygonize(shapely.node(shapely.boundary(shape)).geoms)
    assert shape.is_valid
    assert len(lobes.geoms) == len(shapely.get_parts(shape)) == 2
    assert shape.area == pytest.approx(sum(one.area for one in lobes.geoms))


@pytest.mark.parametrize(
    "corners", [[(0, 0), (30, 10), (90, 30)], [(0.1, 0.3), (0.4, 0.6), (0.8, 1.0)]]
)
def test_an_outline_that_encloses_nothing_is_told_of(corners: list[tuple[float, float]]) -> None:
    tool = PolygonTool(Desk(), "p", "P")
    for x, y in corners:
        tool.press(at(x, y, 0.001))
        tool.release(at(x, y, 0.001))
    assert list(tool.finish()) == [Say("Nothing was drawn: the outline encloses nothing")]
    assert not tool.is_busy


def test_a_polygon_can_be_drawn_by_hand_in_one_drag() -> None:
    angle = np.linspace(0, 2 * math.pi, 120)
    circle = [at(100 * math.cos(a), 100 * math.sin(a)) for a in angle]
    for tool in (PolygonTool(Desk(), "p", "P"), FreehandTool(Desk(), "f", "F")):
        shape = drawn(drag(tool, *circle))
        assert shape.area == pytest.approx(math.pi * 100**2, rel=0.02)
        assert len(shape.exterior.coords) < 100


def test_a_polyline_stays_open() -> None:
    tool = PolylineTool(Desk(pixel_size=PixelSize(1, 1)), "v", "V")
    click(tool, 0, 0)
    click(tool, 100, 0)
    tool.move(at(100, 50))
    assert tool.preview.text == "150.0 µm"
    click(tool, 100, 50)
    assert drawn(list(tool.finish())).length == 150


def square(size: float = 100.0, **changes: object) -> Selected:
    return replace(Selected("one", shapely.box(0, 0, size, size)), **changes)


def test_a_brush_paints_a_stroke_as_wide_as_its_ring() -> None:
    tool = BrushTool(Desk(), "b", "B")
    tool.move(at(5, 5, 3.0))
    assert tool.preview.ring == tool.radius_px
    shape = drawn(drag(tool, at(0, 0, 3.0), at(300, 0, 3.0), at(600, 0, 3.0)))
    assert tool.preview.ring is not None
    radius = 3.0 * tool.preview.ring
    assert shape.area == pytest.approx(math.pi * radius**2 + 2 * radius * 600, rel=0.02)
    tool.resize(2)
    assert tool.preview.ring == tool.radius_px > radius / 3.0


def test_brush_strokes_add_to_the_selected_area_inside_it_or_with_shift() -> None:
    tool = BrushTool(Desk((square(),)), "b", "B")
    (wish,) = drag(tool, at(90, 50), at(150, 50))
    assert isinstance(wish, Reshape)
    assert wish.object_id == "one"
    assert wish.geometry.bounds[2] == pytest.approx(150 + tool.radius_px, rel=0.01)
    (wish,) = drag(tool, at(300, 50, has_shift=True), at(320, 50, has_shift=True))
    assert isinstance(wish, Reshape)
    assert wish.geometry.geom_type == "MultiPolygon"
    assert isinstance(drag(tool, at(300, 50), at(320, 50))[0], Draw)


def test_alt_cuts_away_until_nothing_is_left() -> None:
    tool = BrushTool(Desk((square(),)), "b", "B")
    (wish,) = drag(tool, at(-50, 50, has_alt=True), at(150, 50, has_alt=True))
    assert isinstance(wish, Reshape)
    assert wish.geometry.geom_type == "MultiPolygon"
    assert wish.geometry.area == pytest.approx(100 * 100 - 2 * tool.radius_px * 100, rel=0.01)
    tool.press(at(10, 10, has_alt=True))
    assert tool.preview.is_removal
    tool.cancel()
    tiny = BrushTool(Desk((square(4.0),)), "b", "B")
    assert drag(tiny, at(2, 2, has_alt=True), at(3, 2, has_alt=True)) == [Reshape("one", None)]
    assert drag(BrushTool(Desk(), "b", "B"), at(0, 0, has_alt=True), at(9, 0)) == []


def test_a_brush_leaves_locked_objects_and_lines_alone() -> None:
    for one in (square(is_locked=True), square(geometry=shapely.LineString([(0, 0), (9, 9)]))):
        tool = BrushTool(Desk((one,)), "b", "B")
        assert isinstance(drag(tool, at(5, 5), at(20, 20))[0], Draw)
        assert drag(tool, at(5, 5, has_alt=True), at(20, 20, has_alt=True)) == []


def test_a_brush_says_why_it_changes_nothing() -> None:
    line = square(geometry=shapely.LineString([(0, 0), (9, 9)]))
    free, locked = square(), square(is_locked=True)
    nothing = "Select an area to cut away from it"
    for selected, alt, shift in (
        ((), nothing, ""),
        ((line,), nothing, ""),
        ((locked,), LOCKED, LOCKED),
        ((line, locked), LOCKED, LOCKED),
        ((free,), "", ""),
        ((locked, replace(free, id="other")), "", ""),
    ):
        tool = BrushTool(Desk(selected), "b", "B")
        for key, reason in (("has_alt", alt), ("has_shift", shift)):
            place = at(300, 300, **{key: True})
            assert tool.refusal(place) == reason
            tool.press(place)
            assert tool.is_busy == (not reason)
            tool.cancel()
        assert tool.refusal(at(5, 5)) == ""


def test_a_brush_has_limits() -> None:
    tool = BrushTool(Desk(), "b", "B")
    tool.resize(100)
    assert tool.radius_px == 200
    tool.resize(-100)
    assert tool.radius_px == 2


def test_a_wand_takes_what_has_the_colour_under_the_cursor() -> None:
    colors = np.full((200, 200, 3), 230, np.uint8)
    rows, columns = np.mgrid[:200, :200]
    colors[(rows - 100) ** 2 + (columns - 90) ** 2 < 30**2] = (120, 60, 140)
    to_l0 = np.array([[2.0, 0.0, 1000.0], [0.0, 2.0, 500.0]])
    tool = WandTool(Desk(shown=Pixels(colors, to_l0)), "w", "W")
    shape = drawn(drag(tool, at(1180, 700, 2.0)))
    assert shape.area == pytest.approx(math.pi * 60**2, rel=0.05)
    assert shape.centroid.distance(shapely.Point(1181, 701)) < 2
    assert drag(tool, at(0, 0, 2.0)) == []


@pytest.mark.parametrize("ratio", [1, 2])
def test_a_wand_reaches_to_its_ring_however_small_pixels_are(ratio: int) -> None:
    colors = np.full((200 * ratio, 200 * ratio, 3), 200, np.uint8)
    to_l0 = np.array([[0.0, 3.0 / ratio, 0.0], [-3.0 / ratio, 0.0, 0.0]])
    tool = WandTool(Desk(shown=Pixels(colors, to_l0)), "w", "W")
    shape = drawn(drag(tool, at(300, -300, 3.0)))
    assert tool.preview.ring is not None
    assert shape.area == pytest.approx(math.pi * (3.0 * tool.preview.ring) ** 2, rel=0.03)


def test_a_click_picks_and_a_drag_picks_a_box() -> None:
    tool = SelectionTool(Desk(), "s", "S")
    assert click(tool, 5, 6) == [Pick(Point(5, 6), 4.0)]
    wishes = drag(tool, at(9, 9, has_shift=True), at(1, 2, has_shift=True))
    assert wishes == [PickBox((1, 2, 9, 9), adds=True)]


def test_a_drag_on_the_one_selected_object_moves_it() -> None:
    tool = SelectionTool(Desk((square(),)), "s", "S")
    (wish,) = drag(tool, at(50, 50), at(60, 70))
    assert isinstance(wish, Reshape)
    assert wish.geometry.bounds == (10, 20, 110, 120)
    locked = SelectionTool(Desk((square(is_locked=True),)), "s", "S")
    assert isinstance(drag(locked, at(50, 50), at(60, 70))[0], PickBox)


def test_a_corner_is_dragged_and_the_ring_stays_closed() -> None:
    tool = VertexTool(Desk((square(),)), "e", "E")
    assert tool.preview.handles is not None
    for corner in ((0, 0), (100, 0), (0, 100)):
        x, y = (1.4 * value - 20 for value in corner)
        (wish,) = drag(tool, at(corner[0] + 2, corner[1]), at(x, y))
        assert isinstance(wish, Reshape)
        assert wish.geometry.is_valid
        assert shapely.Point(x, y).distance(wish.geometry) == 0
        assert wish.geometry.area > 100 * 100
        assert len(wish.geometry.exterior.coords) == 5


def test_corners_are_put_on_sides_and_taken_away() -> None:
    hole = shapely.box(0, 0, 100, 100).difference(shapely.box(20, 20, 40, 40))
    tool = VertexTool(Desk((square(geometry=hole),)), "e", "E")
    assert list(tool.press(at(30, 21))) == []
    (wish,) = tool.double(at(30, 21))
    assert isinstance(wish, Reshape)
    assert len(wish.geometry.interiors[0].coords) == 6
    (wish,) = tool.press(at(100, 99, has_alt=True))
    assert isinstance(wish, Reshape)
    assert len(wish.geometry.exterior.coords) == 4
    triangle = VertexTool(
        Desk((square(geometry=shapely.Polygon([(0, 0), (9, 0), (0, 9)])),)), "e", "E"
    )
    assert list(triangle.press(at(0, 0, 0.1, has_alt=True))) == []


def test_a_locked_outline_says_why_it_is_not_changed() -> None:
    tool = VertexTool(Desk((square(is_locked=True),)), "e", "E")
    assert [tool.refusal(at(*place)) for place in ((2, 0), (50, 3), (50, 50), (300, 300))] == [
        *(LOCKED, LOCKED, "", "")
    ]
    assert VertexTool(Desk((square(),)), "e", "E").refusal(at(2, 0)) == ""


def test_a_click_beside_the_outline_selects_another_object() -> None:
    tool = VertexTool(Desk((square(),)), "e", "E")
    assert list(tool.press(at(300, 300))) == [Pick(Point(300, 300), 7.0)]
    assert list(VertexTool(Desk(), "e", "E").press(at(1, 1))) == [Pick(Point(1, 1), 7.0)]


def ellipse(x0: float, y0: float, x1: float, y1: float) -> shapely.Geometry:
    return drawn(drag(EllipseTool(Desk(), "o", "O"), at(x0, y0), at(x1, y1)))


@pytest.mark.parametrize(
    ("grip", "to", "bounds"),
    [
        ((200, 50), (260, 10), (0, 0, 260, 100)),
        ((0, 50), (-40, 90), (-40, 0, 200, 100)),
        ((100, 0), (150, 30), (0, 30, 200, 100)),
        ((100, 100), (10, 400), (0, 0, 200, 400)),
        ((200, 50), (-60, 50), (-60, 0, 0, 100)),
    ],
)
def test_an_end_of_an_ellipse_is_dragged_and_it_stays_one(
    grip: tuple[float, float], to: tuple[float, float], bounds: tuple[float, ...]
) -> None:
    shape = ellipse(200, 100, 0, 0)
    # As it comes back from a file: turned the other way, and rounded.
    stored = shapely.set_precision(shapely.reverse(shape), 0.01, mode="pointwise")
    tool = VertexTool(Desk((square(geometry=stored),)), "e", "E")
    assert tool.preview.handles is not None
    assert sorted(map(tuple, tool.preview.handles.tolist())) == [
        *((0, 50), (100, 0), (100, 100), (200, 50))
    ]
    (wish,) = drag(tool, at(*grip), at(*to))
    assert isinstance(wish, Reshape)
    assert wish.geometry.bounds == pytest.approx(bounds)
    width, height = bounds[2] - bounds[0], bounds[3] - bounds[1]
    assert wish.geometry.area == pytest.approx(math.pi * width * height / 4, rel=0.002)


def test_an_ellipse_keeps_its_ends() -> None:
    tool = VertexTool(Desk((square(geometry=ellipse(0, 0, 200, 100)),)), "e", "E")
    assert list(tool.press(at(200, 50, has_alt=True))) == []
    assert drag(tool, at(200, 50), at(0, 50)) == []  # nothing would be left of it


def test_what_is_hardly_an_ellipse_has_all_its_corners() -> None:
    dented = shapely.get_coordinates(ellipse(0, 0, 200, 100))[:-1]
    dented[7] += 3
    star = shapely.get_coordinates(ellipse(0, 0, 200, 100))[:-1]
    star[::2] = (star[::2] - (100, 50)) * 0.9 + (100, 50)
    for corners in (dented, star):
        tool = VertexTool(Desk((square(geometry=shapely.Polygon(corners)),)), "e", "E")
        assert tool.preview.handles is not None
        assert len(tool.preview.handles) == 97
