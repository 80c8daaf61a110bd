"""Pictures of objects: exact when near, from an atlas when far, and in the project's own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Point, Size
from tilescope.domain.results import Detections
from tilescope.errors import ProjectError, UsageError
from tilescope.store.project import Project
from tilescope_desktop.bridge import picture_maker
from tilescope_desktop.bridge.object_pictures import ObjectPictures
from tilescope_desktop.bridge.picture_maker import ObjectPicture
from tilescope_desktop.bridge.project_desk import OpenProject, ProjectDesk
from tilescope_desktop.model.live import LiveObjects
from tilescope_desktop.model.object_style import ObjectStyle
from tilescope_desktop.model.object_wish import Where
from tilescope_desktop.model.viewport import Viewport

SIDE = 6000
COUNT = 1800
#: Of 255: corners of outlines are left out on another grid where a picture begins elsewhere.
ALIKE = 32


@pytest.fixture
def desk(qtbot: QtBot) -> Iterator[ProjectDesk]:
    made = ProjectDesk()
    yield made
    made.close()


@pytest.fixture
def pictures(desk: ProjectDesk) -> Iterator[ObjectPictures]:
    made = ObjectPictures(desk)
    yield made
    made.close()


@pytest.fixture
def project(tmp_path: Path, rng: np.random.Generator) -> Path:
    path = tmp_path / "many.tilescope"
    shapes = shapely.buffer(shapely.points(rng.uniform(0, SIDE, (COUNT, 2))), 8, quad_segs=2)
    blobs = shapely.to_wkb(shapes, byte_order=1)
    with Project.create(path) as made:
        slide = made.add_slide(Path("slide.svs"), "slide")
        made.insert(
            slide,
            [[Annotation(str(UUID(int=i)), b, "detection", "a") for i, b in enumerate(blobs)]],
        )
    return path


def where(project: Path | None, l0_per_px: float, **changes: object) -> Where:
    viewport = Viewport(600, 400, Point(SIDE / 2, SIDE / 2), l0_per_px)
    values: dict[str, object] = {
        "project": project,
        "slide": None if project is None else 1,
        "size": Size(SIDE, SIDE),
        "plane": (0, 0),
        "revision": 1,
        "viewport": viewport,
        "pixel_ratio": 1.0,
        "style": ObjectStyle({"a": (255, 0, 0)}, opacity=1.0),
    }
    return Where(**{**values, **changes})


def newest(qtbot: QtBot, pictures: ObjectPictures, wish: Where) -> ObjectPicture:
    found: list[ObjectPicture] = []
    pictures.ready.connect(found.append)
    pictures.want(7, wish)
    qtbot.waitUntil(lambda: bool(found) and found[-1].is_final, timeout=20_000)
    pictures.ready.disconnect(found.append)
    return found[-1]


def moved(wish: Where, dx: float, dy: float) -> Where:
    """Return the wish after the slide was dragged by pixels."""
    return replace(wish, viewport=wish.viewport.panned(dx, dy))


def assert_as_if_new(qtbot: QtBot, pictures: ObjectPictures, picture: ObjectPicture) -> None:
    """Assert that a picture looks as one that takes over nothing from an older one."""
    pictures.forget(7)
    again = newest(qtbot, pictures, picture.where)
    assert painted(again.image).any()
    assert difference(picture, again) < ALIKE


def difference(one: ObjectPicture, other: ObjectPicture) -> int:
    """Return by how much the channels of two pictures differ at most."""
    both = [painted(each.image).view(np.uint8).astype(int) for each in (one, other)]
    return int(np.abs(both[0] - both[1]).max())


def painted(image: QImage) -> np.ndarray:
    rows = np.frombuffer(image.constBits(), np.uint32).reshape(image.height(), image.width())
    return rows.copy()


def spread(mask: np.ndarray, pixels: int = 4) -> np.ndarray:
    """Return a mask grown on all sides."""
    wide = np.pad(mask, pixels)
    height, width = mask.shape
    shifts = range(2 * pixels + 1)
    return np.any([wide[y : y + height, x : x + width] for y in shifts for x in shifts], axis=0)


def test_near_every_object_is_painted(
    qtbot: QtBot, pictures: ObjectPictures, project: Path
) -> None:
    picture = newest(qtbot, pictures, where(project, 1.0))
    with Project.open(project, writable=False) as opened:
        view = opened.in_view(1, picture.where.viewport.bounds_l0, 10**6)
    assert picture.count == len(view) > 5
    red = painted(picture.image) >> 16 & 255
    assert red.any()
    for left, top in view.points[view.ring_offsets[:-1]].astype(int).tolist():
        x, y = left - SIDE // 2 + 300, top - SIDE // 2 + 200
        if 0 < x < 599 and 0 < y < 399:
            assert red[y - 1 : y + 2, x - 1 : x + 2].any()


@pytest.mark.parametrize("is_filled", [False, True])
def test_an_annotation_over_detections_leaves_them_their_tint(
    qtbot: QtBot, pictures: ObjectPictures, tmp_path: Path, is_filled: bool
) -> None:
    path, half = tmp_path / "both.tilescope", SIDE // 2
    drawn = shapely.to_wkb(shapely.box(half - 200, half - 150, half + 200, half + 150))
    # Far more than one page of a project holds, so that some of them come before the annotation.
    dots = shapely.buffer(shapely.points(np.mgrid[0:60, 0:60].reshape(2, -1).T * 100.0), 20)
    with Project.create(path) as made:
        slide = made.add_slide(Path("slide.svs"), "slide")
        made.insert(slide, [[Annotation(str(UUID(int=0)), drawn, class_name="b")]])
        blobs = enumerate(shapely.to_wkb(dots), 1)
        made.insert(
            slide, [[Annotation(str(UUID(int=i)), blob, "detection", "a") for i, blob in blobs]]
        )
    style = ObjectStyle({"a": (255, 0, 0), "b": (0, 0, 255)}, fills_annotations=is_filled)
    alone = replace(style, shows_annotations=False)
    before = newest(qtbot, pictures, where(path, 1.0, style=alone))
    after = newest(qtbot, pictures, where(path, 1.0, style=style))
    inside = (slice(60, 340), slice(110, 490))
    bare, covered = painted(before.image)[inside], painted(after.image)[inside]
    colors, counts = np.unique(bare[bare != 0], return_counts=True)
    tint = colors[counts.argmax()]  # lines are of many shades, and of this one by chance only
    assert counts.max() > 500
    assert np.mean(covered[bare == tint] == tint) > 0.99
    beside = covered[bare == 0] & 255
    assert np.all(beside > 0) if is_filled else not beside.any()


def test_far_and_near_show_objects_at_the_same_places(
    qtbot: QtBot,
    pictures: ObjectPictures,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = newest(qtbot, pictures, where(project, 8.0))
    assert near.count is not None
    monkeypatch.setattr(picture_maker, "MOST_PAINTED", 500)
    far = newest(qtbot, pictures, where(project, 8.0, revision=2))
    assert far.count is None
    exact, dots = painted(near.image) > 0, painted(far.image) > 0
    assert exact.any()
    assert (dots & ~spread(exact)).sum() == 0
    inner = (slice(8, -8), slice(8, -8))  # a dot beside the picture is not on it
    assert (exact & ~spread(dots))[inner].sum() == 0


def test_an_edit_shows_in_the_next_picture(
    qtbot: QtBot,
    pictures: ObjectPictures,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(picture_maker, "MOST_PAINTED", 500)
    before = newest(qtbot, pictures, where(project, 10.0))
    with Project.open(project) as opened:
        opened.delete([str(UUID(int=i)) for i in range(COUNT // 2)])
    after = newest(qtbot, pictures, where(project, 10.0, revision=2))
    assert (painted(after.image) > 0).sum() < 0.8 * (painted(before.image) > 0).sum()


@pytest.mark.parametrize("l0_per_px", [0.5, 4.0])
def test_what_a_pan_brings_into_sight_is_painted_and_the_rest_is_moved(
    qtbot: QtBot, pictures: ObjectPictures, project: Path, l0_per_px: float
) -> None:
    wish = where(project, l0_per_px)
    newest(qtbot, pictures, wish)
    for dx, dy in ((37, -21), (-80, 0), (300, 250), (-130, 0)):
        wish = moved(wish, dx, dy)
        picture = newest(qtbot, pictures, wish)
        assert picture.where == wish
    assert_as_if_new(qtbot, pictures, picture)


@pytest.mark.parametrize("most", [10**6, 500])
def test_edits_are_painted_where_they_are_and_undone_too(
    qtbot: QtBot,
    pictures: ObjectPictures,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
) -> None:
    monkeypatch.setattr(picture_maker, "MOST_PAINTED", most)
    wish = where(project, 8.0)
    before = newest(qtbot, pictures, wish)
    box = shapely.to_wkb(shapely.box(2000, 2000, 4000, 3500), byte_order=1)
    edits: list[Callable[[Project], object]] = [
        lambda p: p.delete([str(UUID(int=i)) for i in range(0, COUNT, 60)]),
        lambda p: p.set_class([str(UUID(int=7))], "b"),
        lambda p: p.insert(1, [[Annotation(str(UUID(int=COUNT)), box)]]),
        lambda p: p.undo(),
        lambda p: p.undo(),
        lambda p: p.undo(),
    ]
    shown = []
    for number, edit in enumerate(edits):
        with Project.open(project) as opened:
            edit(opened)
        wish = replace(wish, revision=number + 2)
        shown.append(newest(qtbot, pictures, wish))
        assert_as_if_new(qtbot, pictures, shown[-1])
    for one, other in pairwise([before, *shown]):
        assert difference(one, other) > 2 * ALIKE
    for one, other in zip([before, *shown[:2]], shown[:2:-1], strict=True):
        assert difference(one, other) < ALIKE


def test_an_edit_of_a_few_among_many_reads_few(
    qtbot: QtBot,
    pictures: ObjectPictures,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(picture_maker, "MOST_PAINTED", 500)
    newest(qtbot, pictures, where(project, 8.0))
    with Project.open(project) as opened:
        opened.delete([str(UUID(int=3))])
    found: list[ObjectPicture] = []
    pictures.ready.connect(found.append)
    pictures.want(7, where(project, 8.0, revision=2))
    qtbot.waitUntil(lambda: bool(found) and pictures.is_idle)
    # Whoever had to read everything again would show an older picture first.
    assert [one.is_final for one in found] == [True]


def test_a_style_changes_the_whole_picture(
    qtbot: QtBot, pictures: ObjectPictures, project: Path
) -> None:
    newest(qtbot, pictures, where(project, 4.0))
    wish = where(project, 4.0, style=ObjectStyle({"a": (0, 0, 255)}, opacity=1.0))
    blue = painted(newest(qtbot, pictures, wish).image)
    assert (blue & 255).any()
    assert not (blue >> 16 & 255).any()


def test_more_live_objects_are_painted_over_the_old_ones(
    qtbot: QtBot, pictures: ObjectPictures
) -> None:
    live = LiveObjects()
    for count, x in enumerate((-100, 100)):
        ring = np.array([[-20, -20], [20, -20], [20, 20], [-20, 20]]) + SIDE / 2 + (x, 0)
        live.add(Detections.of([ring], np.ones(1, np.float32), np.zeros(1, np.uint16), ("a",)))
        picture = newest(qtbot, pictures, where(None, 1.0, live=(live,), live_count=count + 1))
    assert painted(picture.image)[200, 200]
    assert painted(picture.image)[200, 400]
    assert_as_if_new(qtbot, pictures, picture)
    live.clear()
    picture = newest(qtbot, pictures, where(None, 1.0, live=(live,), live_count=0))
    assert not painted(picture.image).any()


def test_only_the_newest_wish_of_a_view_is_fulfilled(
    qtbot: QtBot, pictures: ObjectPictures, project: Path
) -> None:
    found: list[ObjectPicture] = []
    pictures.ready.connect(found.append)
    for number in range(200):
        pictures.want(7, where(project, 1.0 + number / 100))
    qtbot.waitUntil(lambda: pictures.is_idle and bool(found), timeout=20_000)
    qtbot.wait(1)
    assert found[-1].where.viewport.l0_per_px == 2.99
    assert len(found) < 100


def test_live_objects_need_no_project(qtbot: QtBot, pictures: ObjectPictures) -> None:
    live = LiveObjects()
    middle = SIDE / 2
    ring = np.array([[-50, -50], [50, -50], [50, 50], [-50, 50]]) + middle
    live.add(Detections.of([ring], np.ones(1, np.float32), np.zeros(1, np.uint16), ("a",)))
    picture = newest(qtbot, pictures, where(None, 1.0, live=(live,), live_count=1))
    assert picture.count == 1
    shown = painted(picture.image)
    assert shown[200, 300]
    assert shown[150, 300] >> 16 & 255
    assert not shown[20, 300]


def test_a_project_that_vanished_is_told_once(
    qtbot: QtBot, pictures: ObjectPictures, tmp_path: Path
) -> None:
    with qtbot.waitSignal(pictures.failed, timeout=20_000) as told:
        pictures.want(7, where(tmp_path / "gone.tilescope", 1.0))
    assert isinstance(told.args[0], ProjectError)
    qtbot.waitUntil(lambda: pictures.is_idle)


def test_the_desk_does_things_in_order_and_in_one_thread(
    qtbot: QtBot, desk: ProjectDesk, tmp_path: Path
) -> None:
    done: list[object] = []
    path = tmp_path / "p.tilescope"
    desk.open(path, done.append, done.append, is_new=True)
    for _ in range(20):
        desk.ask(lambda _project: threading.get_ident(), done.append, done.append)
    qtbot.waitUntil(lambda: len(done) == 21)
    assert isinstance(done[0], OpenProject)
    assert done[0].writable
    assert len(set(done[1:])) == 1
    assert done[1] != threading.get_ident()


def test_the_desk_finishes_what_was_asked_before_it_closes(qtbot: QtBot, tmp_path: Path) -> None:
    desk = ProjectDesk()
    path = tmp_path / "p.tilescope"
    desk.open(path, lambda _p: None, pytest.fail, is_new=True)
    desk.ask(lambda p: p.add_slide(Path("s.svs"), "s"), lambda _n: None, pytest.fail)
    blob = shapely.to_wkb(shapely.Point(1, 2), byte_order=1)
    for number in range(30):
        one = Annotation(str(UUID(int=number)), blob)
        desk.ask(lambda p, one=one: p.insert(1, [[one]]), lambda _n: None, pytest.fail)
    desk.close()
    with Project.open(path) as project:
        assert sum(project.counts_by_class().values()) == 30


def test_a_project_that_cannot_be_made_is_told_and_so_is_what_needed_it(
    qtbot: QtBot, desk: ProjectDesk, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    told: list[BaseException] = []
    desk.open(tmp_path / "file" / "p.tilescope", pytest.fail, told.append, is_new=True)
    desk.ask(lambda p: p.slides(), pytest.fail, told.append)
    qtbot.waitUntil(lambda: len(told) == 2)
    assert told[0] is told[1]
    desk.shut()
    desk.ask(lambda p: p.slides(), pytest.fail, told.append)
    qtbot.waitUntil(lambda: len(told) == 3)
    assert isinstance(told[2], UsageError)


def test_a_lent_project_is_closed_meanwhile_and_open_afterwards(
    qtbot: QtBot, desk: ProjectDesk, tmp_path: Path
) -> None:
    path = tmp_path / "p.tilescope"
    seen: list[object] = []
    desk.open(path, seen.append, pytest.fail, is_new=True)
    qtbot.waitUntil(lambda: bool(seen))

    def add(at: Path) -> int:
        with Project.open(at) as project:  # would be busy if the desk still had it
            return project.add_slide(Path("s.svs"), "s")

    numbers: list[int] = []
    thread = threading.Thread(target=lambda: numbers.append(desk.lent(add)))
    thread.start()
    qtbot.waitUntil(lambda: not thread.is_alive(), timeout=20_000)
    thread.join()
    slides: list[object] = []
    desk.ask(lambda p: p.slides(), slides.extend, pytest.fail)
    qtbot.waitUntil(lambda: len(slides) == 1)
    assert numbers == [1]
