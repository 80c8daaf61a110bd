"""Objects as columns: picked, painted, listed, and a million of them seen from afar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Point, Rect
from tilescope.domain.results import Detections
from tilescope.exchange.palette import class_colour
from tilescope.store.project import Project
from tilescope_desktop.model import atlas as atlas_module
from tilescope_desktop.model.atlas import Atlas, AtlasMaker, Chunk
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


def whole_atlas(project: Project) -> Atlas:
    maker = AtlasMaker(project.dots(1))
    while maker.step():
        pass
    return maker.atlas()


def described(atlas: Atlas) -> tuple[list[tuple[float, ...]], list[str], set[str | None]]:
    """Return all dots, ids of what has outlines, and names, in an order of their own."""
    names = atlas.class_names
    dots = [
        (*centre, side, str(names[number]))
        for chunk in atlas.chunks
        for centre, side, number in zip(
            chunk.centres.tolist(), chunk.sides.tolist(), chunk.classes.tolist(), strict=True
        )
    ]
    large = atlas.large
    ids = [] if large is None else [large.id_of(i) for i in range(len(large))]
    return sorted(dots), sorted(ids), set(names.values())


@pytest.fixture
def scattered_project(tmp_path: Path, scattered: list[Annotation]) -> Iterator[Project]:
    large = shapely.box(100, 100, 3900, 3900)
    drawing = Annotation(str(UUID(int=10**6)), shapely.to_wkb(large, byte_order=1))
    with Project.create(tmp_path / "a.tilescope") as project:
        slide = project.add_slide(Path("slide.svs"), "slide")
        project.insert(slide, [scattered])
        project.insert(slide, [[drawing]])
        yield project


def test_an_atlas_has_every_object_once(scattered_project: Project) -> None:
    atlas = whole_atlas(scattered_project)
    assert atlas.is_whole
    assert len(atlas) == 3001
    assert sum(map(len, atlas.chunks)) == 3000
    assert atlas.large is not None
    assert len(atlas.large) == 1
    assert atlas.count_in(Rect(-100, -100, 5000, 5000)) == 3001
    inside = Rect(1000, 1000, 1500, 1500)
    view = scattered_project.in_view(1, inside, 10**6)
    assert atlas.count_in(inside) == pytest.approx(len(view), rel=0.1)


def test_a_patched_atlas_is_one_made_anew(scattered_project: Project) -> None:
    project = scattered_project
    maker = AtlasMaker(project.dots(1))
    mark = project.dots(1).mark()
    maker.step()
    project.delete([str(UUID(int=number)) for number in range(1, 40)])  # before it is whole
    big = Annotation(str(UUID(int=10**7)), shapely.to_wkb(shapely.box(0, 0, 900, 9), byte_order=1))
    edits: list[Callable[[], object]] = [
        lambda: project.set_class([str(UUID(int=99))], "new"),
        lambda: project.insert(1, [[big, nucleus(10**8, 5, 5)]]),
        lambda: project.delete([str(UUID(int=10**6))]),
        project.undo,
        project.undo,
        project.undo,
        project.undo,
        project.redo,
    ]
    for edit in [lambda: None, *edits]:
        edit()
        mark, leaves = project.dots(1).changed(mark, 10**6)
        assert leaves is not None
        maker.patch(leaves)
        while maker.step():
            pass
        assert described(maker.atlas()) == described(whole_atlas(project))


def test_too_many_large_objects_are_dots_but_the_largest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atlas_module, "_MOST_LARGE", 3)
    with Project.create(tmp_path / "a.tilescope") as project:
        project.add_slide(Path("slide.svs"), "slide")
        boxes = [shapely.box(0, 0, 10 * side, 10) for side in range(1, 11)]
        blobs = shapely.to_wkb(boxes, byte_order=1)
        project.insert(1, [[Annotation(str(UUID(int=i)), b) for i, b in enumerate(blobs)]])
        atlas = whole_atlas(project)
    assert len(atlas) == 10
    assert described(atlas)[1] == [str(UUID(int=i)) for i in (7, 8, 9)]


def grid_of_dots() -> tuple[Chunk, ...]:
    """Return a million nuclei, one every 32 pixels, of two classes."""
    at = np.arange(0, 32_000, 32, dtype=np.float32)
    corner = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    boxes = np.concatenate([corner + 4, corner + 28], axis=1)
    classes = 1 + (corner[:, 0] >= 16_000).astype(np.int32)
    kinds = np.ones(len(corner), np.uint8)
    parts = np.array_split(np.arange(len(corner)), 61)
    return tuple(Chunk.of(boxes[part], classes[part], kinds[part]) for part in parts)


def test_a_million_objects_are_painted_from_dots() -> None:
    dots, names = grid_of_dots(), {0: None, 1: "left", 2: "right"}
    style = ObjectStyle({"left": (255, 0, 0), "right": (0, 0, 255)}, opacity=1.0)
    far = np.array([[1 / 64, 0, 0], [0, 1 / 64, 0]])
    picture = density(dots, names, far, 500, 500, style)
    assert (picture != 0).all()
    red, blue = picture >> 16 & 255, picture & 255
    assert (red[:, :240] > 60).all()
    assert (blue[:, :240] == 0).all()
    assert (blue[:, 260:] > 60).all()
    hidden = density(dots, names, far, 500, 500, style.toggled("left"))
    assert (hidden[:, :240] == 0).all()
    np.testing.assert_array_equal(hidden[:, 260:], picture[:, 260:])


def test_a_dot_of_several_pixels_covers_them() -> None:
    box = np.array([[0.0, 0.0, 3.0, 3.0]]) + np.array([10, 20, 10, 20])
    dots = [Chunk.of(box, np.zeros(1, np.int32), np.ones(1, np.uint8))]
    picture = density(dots, {0: None}, SAME, 50, 50, ObjectStyle())
    assert np.argwhere(picture).min(axis=0).tolist() == [20, 10]
    assert np.argwhere(picture).max(axis=0).tolist() == [22, 12]
    assert (picture != 0).sum() == 9


def test_a_dot_is_seen_however_small_it_is() -> None:
    box = np.array([[4999.5, 4999.5, 5000.5, 5000.5]])
    dots = [Chunk.of(box, np.zeros(1, np.int32), np.ones(1, np.uint8))]
    picture = density(dots, {0: None}, SAME / 100, 100, 100, ObjectStyle())
    assert (picture >> 24 > 50).sum() == 1
    assert picture[50, 50]


def test_areas_are_filled_up_to_their_edges() -> None:
    annotations = [
        nucleus(0, 20, 20, class_name="a"),
        Annotation(
            str(UUID(int=9)),
            shapely.to_wkb(shapely.box(40.5, 40.5, 80.5, 60.5), byte_order=1),
            "detection",
            "b",
        ),
    ]
    style = ObjectStyle({"a": (255, 0, 0), "b": (0, 255, 0)}, opacity=1.0)
    picture = filled(view_of_annotations(annotations), SAME, 100, 100, style)
    assert picture[50, 60] >> 24 == round(0.25 * 255)
    assert picture[40, 50] >> 8 & 255 >= 250
    assert picture[20, 20] >> 16 & 255
    assert picture[90, 90] == 0
    plain = filled(
        view_of_annotations(annotations), SAME, 100, 100, style, lined=np.array([True, False])
    )
    assert plain[50, 60] == picture[50, 60]
    assert plain[40, 50] >> 24 < 100
    np.testing.assert_array_equal(plain[:35, :35], picture[:35, :35])


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
    assert [chunk.count_in(Rect(0, 0, 500, 500)) for chunk in live.dots()] == [1, 0]
    live.clear()
    assert len(live.in_view(Rect(0, 0, 5000, 5000))) == 0


def test_a_table_is_sorted_and_filtered_and_measures_what_nobody_measured() -> None:
    maker = RowsMaker("µm", 3)
    box = shapely.to_wkb(shapely.box(0, 0, 20, 10), byte_order=1)
    maker.add(
        [
            nucleus(0, 50, 50, class_name="tumour", measurements={"score": 0.5}),
            Annotation(str(UUID(int=50)), box, class_name="stroma", locked=True),
            nucleus(2, 90, 50, class_name=None, measurements={"score": 0.9}, z=4, t=3),
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
    assert rows.planes.tolist() == [[0, 0], [0, 0], [4, 3]]
    assert RowsMaker("px", 0).rows(None).planes.shape == (0, 2)
    assert RowsMaker("px", 0).rows(None, (5, 5)).filtered("z1").tolist() == []


def test_a_table_says_planes_where_there_are_several() -> None:
    maker = RowsMaker("px", 3)
    maker.add(
        [
            nucleus(0, 50, 50, class_name="T1", measurements={"Time": 9.0}, z=0, t=11),
            nucleus(1, 70, 50, class_name="b", z=2**40, t=2),
            nucleus(2, 90, 50, class_name="c", z=3, t=0),
        ]
    )
    stack, series, both = (maker.rows(None, counts) for counts in ((5, 1), (1, 12), (5, 12)))
    kinds = ("Class", "Kind", "Locked")
    assert stack.columns == (*kinds, "Focal plane", "Area px^2", "Time")
    assert series.columns == (*kinds, "Time", "Area px^2", "Time")
    assert both.columns == (*kinds, "Focal plane", "Time", "Area px^2", "Time")
    assert (stack.plane_letters, series.plane_letters) == (("z",), ("t",))
    assert [both.text(0, i) for i in (3, 4, 6)] == ["1", "12", "9"]
    assert [series.text(row, 3) for row in range(3)] == ["12", "3", "1"]
    everything = both.filtered("")
    assert both.sorted(everything, 3, descending=False).tolist() == [0, 2, 1]
    assert both.sorted(everything, 4, descending=True).tolist() == [0, 1, 2]
    assert both.sorted(everything, 6, descending=True).tolist()[0] == 0
    assert both.filtered("z4").tolist() == [2]
    assert both.filtered("z4 t1").tolist() == [2]
    assert both.filtered("t1").tolist() == [0, 2]  # one is of a class that is called so
    assert both.filtered("detection Z1").tolist() == [0]
    assert both.filtered("z").tolist() == []
    assert both.filtered("z" + "9" * 5000).tolist() == []
    assert stack.filtered("t12").tolist() == []
    assert both.table([2]).splitlines()[1].split("\t")[3:5] == ["4", "1"]


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
