"""Objects as columns: picked, painted, listed, and a million of them seen from afar."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Point, Rect, Size
from tilescope.domain.results import Detections
from tilescope.exchange.palette import class_colour
from tilescope.store.project import Project, View
from tilescope_desktop.model.atlas import Atlas, AtlasMaker
from tilescope_desktop.model.live import LiveObjects
from tilescope_desktop.model.object_pictures import density, filled
from tilescope_desktop.model.object_rows import RowsMaker
from tilescope_desktop.model.object_style import UNCLASSIFIED, ObjectStyle, color_table
from tilescope_desktop.model.picking import inside_box, object_at
from tilescope_desktop.model.view_parts import (
    boxes_of,
    joined,
    selected,
    view_of_annotations,
    view_of_detections,
    view_of_geometries,
)

SAME = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def nucleus(number: int, x: float, y: float, **changes: object) -> Annotation:
    shape = shapely.Point(x, y).buffer(6, quad_segs=3)
    values: dict[str, object] = {"kind": "detection", "class_name": f"class {number % 3}"}
    values.update(changes)
    return Annotation(str(UUID(int=number + 1)), shapely.to_wkb(shape, byte_order=1), **values)


@pytest.fixture
def scattered(rng: np.random.Generator) -> list[Annotation]:
    places = rng.uniform(-50, 4050, (3000, 2))
    return [nucleus(i, x, y) for i, (x, y) in enumerate(places.tolist())]


def test_the_object_that_was_meant_is_the_smallest_around_the_place() -> None:
    shapes = [
        shapely.box(0, 0, 100, 100),
        shapely.box(40, 40, 60, 60),
        shapely.box(0, 0, 90, 90).difference(shapely.box(10, 10, 80, 80)),
        shapely.LineString([(0, 50), (100, 50)]),
        shapely.Point(20, 20),
    ]
    view = view_of_geometries(shapes)
    assert object_at(view, Point(50, 45), 2) == 1
    assert object_at(view, Point(30, 70), 2) == 0
    assert object_at(view, Point(5, 5), 2) == 2
    assert object_at(view, Point(50, 51), 2) == 3
    assert object_at(view, Point(21, 20), 2) == 4
    assert object_at(view, Point(101, 99), 2) == 0
    assert object_at(view, Point(150, 150), 2) is None
    assert object_at(view_of_geometries([]), Point(0, 0), 2) is None


def test_a_place_is_inside_what_shapely_says(rng: np.random.Generator) -> None:
    shapes = [
        shapely.concave_hull(shapely.MultiPoint(rng.uniform(0, 100, (12, 2))), 0.4)
        for _ in range(30)
    ]
    view = view_of_geometries(shapes)
    for x, y in rng.uniform(0, 100, (60, 2)).tolist():
        holding = [i for i, one in enumerate(shapes) if one.contains(shapely.Point(x, y))]
        found = object_at(view, Point(x, y), 0.0)
        assert (found in holding) if holding else found is None


def test_a_box_selects_what_lies_wholly_in_it() -> None:
    view = view_of_geometries([shapely.box(0, 0, 10, 10), shapely.box(5, 5, 15, 15)])
    assert inside_box(view, (-1, -1, 12, 12)).tolist() == [0]
    assert inside_box(view, (-1, -1, 16, 16)).tolist() == [0, 1]


def test_columns_are_selected_and_joined_without_losing_any(scattered: list[Annotation]) -> None:
    view = view_of_annotations(scattered[:50])
    even = selected(view, np.arange(50) % 2 == 0)
    odd = selected(view, np.arange(50) % 2 == 1)
    both = joined([even, odd], view.class_names)
    assert len(both) == 50
    np.testing.assert_array_equal(boxes_of(both)[:25], boxes_of(view)[::2])
    assert both.classes.tolist() == [*view.classes[::2].tolist(), *view.classes[1::2].tolist()]


def test_an_atlas_has_every_object_once_however_it_is_cut(
    tmp_path: Path, scattered: list[Annotation]
) -> None:
    large = shapely.box(100, 100, 3900, 3900)
    drawing = Annotation(str(UUID(int=10**6)), shapely.to_wkb(large, byte_order=1))
    with Project.create(tmp_path / "a.tilescope") as project:
        slide = project.add_slide(Path("slide.svs"), "slide")
        project.insert(slide, [[*scattered, drawing]])
        sums = []
        for count in (3001, 500_000):
            maker = AtlasMaker(
                lambda rect: project.in_view(slide, rect, 10**9), Size(4000, 4000), count
            )
            steps = 0
            while maker.step():
                steps += 1
            atlas = maker.atlas()
            assert atlas.is_whole
            assert len(atlas.centres) == 3000
            assert atlas.large is not None
            assert len(atlas.large) == 1
            assert atlas.count_in(Rect(-100, -100, 5000, 5000)) == 3001
            sums.append((steps, atlas.centres.astype(float).sum(), np.bincount(atlas.classes)))
    assert sums[0][0] == 1
    assert sums[1][0] > 30
    assert sums[0][1] == pytest.approx(sums[1][1], rel=1e-6)
    np.testing.assert_array_equal(sums[0][2], sums[1][2])


def test_a_million_objects_are_looked_at_in_bounded_pieces_and_painted_from_dots() -> None:
    side, step = 32_000, 32
    looked: list[int] = []

    def look(rect: Rect) -> View:
        """A nucleus every 32 pixels, of two classes."""
        x = np.arange(max(0, rect.x0 - step), min(side, rect.x1 + step), step) // step * step
        y = np.arange(max(0, rect.y0 - step), min(side, rect.y1 + step), step) // step * step
        corner = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 1, 2)
        ring = corner + np.array([[4, 4], [28, 4], [28, 28], [4, 28]])
        n = len(ring)
        looked.append(n)
        found = Detections(
            ring.reshape(-1, 2).astype(float),
            np.arange(n + 1) * 4,
            np.ones(n, np.float32),
            (corner[:, 0, 0] >= side // 2).astype(np.uint16),
            ("left", "right"),
        )
        return view_of_detections(found, np.arange(n))

    maker = AtlasMaker(look, Size(side, side), 1_000_000)
    while maker.step():
        pass
    atlas = maker.atlas()
    assert len(atlas.centres) == 1_000_000
    assert max(looked) < 20_000
    style = ObjectStyle({"left": (255, 0, 0), "right": (0, 0, 255)}, opacity=1.0)
    far = np.array([[1 / 64, 0, 0], [0, 1 / 64, 0]])
    picture = density(atlas, far, 500, 500, style)
    assert (picture != 0).all()
    red, blue = picture >> 16 & 255, picture & 255
    assert (red[:, :240] > 60).all()
    assert (blue[:, :240] == 0).all()
    assert (blue[:, 260:] > 60).all()
    hidden = density(atlas, far, 500, 500, style.toggled("left"))
    assert (hidden[:, :240] == 0).all()
    np.testing.assert_array_equal(hidden[:, 260:], picture[:, 260:])


def test_a_dot_is_seen_however_small_it_is() -> None:
    atlas = Atlas(
        np.array([[5000.0, 5000.0]], np.float32),
        np.array([1.0], np.float32),
        np.zeros(1, np.int32),
        np.ones(1, np.uint8),
    )
    picture = density(atlas, SAME / 100, 100, 100, ObjectStyle())
    assert (picture >> 24 > 50).sum() == 1
    assert picture[50, 50]


def test_areas_are_filled_up_to_their_edges() -> None:
    annotations = [
        nucleus(0, 20, 20, class_name="a"),
        Annotation(
            str(UUID(int=9)),
            shapely.to_wkb(shapely.box(40, 40, 80, 60), byte_order=1),
            "detection",
            "b",
        ),
    ]
    style = ObjectStyle({"a": (255, 0, 0), "b": (0, 255, 0)}, opacity=1.0)
    picture = filled(view_of_annotations(annotations), SAME, 100, 100, style)
    assert picture[50, 60] >> 24 == round(0.25 * 255)
    assert picture[40, 50] == 0xFF00FF00
    assert picture[20, 20] >> 16 & 255
    assert picture[90, 90] == 0
    plain = filled(view_of_annotations(annotations), SAME, 100, 100, style, has_edges=False)
    assert plain[40, 50] == plain[50, 60]


def test_a_style_hides_classes_and_kinds() -> None:
    classes, kinds = np.array([0, 1, 2], np.int32), np.array([0, 1, 1], np.uint8)
    names = {0: None, 1: "a", 2: "b"}
    style = ObjectStyle()
    assert style.shown(classes, kinds, names).all()
    assert style.toggled("a").shown(classes, kinds, names).tolist() == [True, False, True]
    assert style.toggled("a").toggled("a") == style
    off = style.switched("shows_detections", False)
    assert off.shown(classes, kinds, names).tolist() == [True, False, False]
    with pytest.raises(ValueError, match="opacity"):
        ObjectStyle(opacity=1.5)


def test_live_objects_are_those_in_the_rectangle() -> None:
    live = LiveObjects()
    for x in (0.0, 1000.0):
        ring = np.array([[x, 0], [x + 10, 0], [x + 10, 10]])
        live.add(
            Detections.of([ring], np.ones(1, np.float32), np.zeros(1, np.uint16), ("nucleus",))
        )
    assert len(live) == 2
    found = live.in_view(Rect(990, -5, 1100, 50))
    assert len(found) == 1
    assert found.class_names[int(found.classes[0])] == "nucleus"
    live.clear()
    assert len(live.in_view(Rect(0, 0, 5000, 5000))) == 0


def test_a_table_is_sorted_and_filtered_and_measures_what_nobody_measured() -> None:
    maker = RowsMaker("µm", 3)
    box = shapely.to_wkb(shapely.box(0, 0, 20, 10), byte_order=1)
    maker.add(
        [
            nucleus(0, 50, 50, class_name="tumour", measurements={"score": 0.5}),
            Annotation(str(UUID(int=50)), box, class_name="stroma", locked=True),
            nucleus(2, 90, 50, class_name=None, measurements={"score": 0.9}),
        ]
    )
    rows = maker.rows(0.5)
    assert rows.columns == ("Class", "Kind", "Locked", "Area µm^2", "score")
    assert rows.text(1, 3) == "50"
    assert rows.text(1, 4) == ""
    assert rows.filtered("detection").tolist() == [0, 2]
    assert rows.filtered("annotation stro").tolist() == [1]
    assert rows.filtered("locked").tolist() == [1]
    everything = rows.filtered("")
    assert rows.sorted(everything, 4, descending=True).tolist() == [2, 0, 1]
    assert rows.sorted(everything, 4, descending=False).tolist() == [0, 2, 1]
    assert rows.sorted(everything, 0, descending=False).tolist() == [2, 1, 0]
    assert rows.boxes[1].tolist() == [0, 0, 20, 10]


def test_classes_of_a_running_model_are_seen_in_the_colours_they_will_keep() -> None:
    style = ObjectStyle({"Tumor": class_colour(0)})
    names = {0: None, 1: "nucleus", 2: "Tumor", 3: "plasma cell"}
    table = color_table(style, names)
    assert [tuple(row) for row in table.tolist()] == [
        UNCLASSIFIED,
        class_colour(1),
        class_colour(0),
        class_colour(2),
    ]
