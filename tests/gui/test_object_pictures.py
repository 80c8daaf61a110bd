"""Pictures of objects: exact when near, from an atlas when far, and in the project's own thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
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
from tilescope_desktop.bridge import object_pictures
from tilescope_desktop.bridge.object_pictures import ObjectPicture, ObjectPictures, Where
from tilescope_desktop.bridge.project_desk import OpenProject, ProjectDesk
from tilescope_desktop.model.live import LiveObjects
from tilescope_desktop.model.object_style import ObjectStyle
from tilescope_desktop.model.viewport import Viewport

SIDE = 6000
COUNT = 3000


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
    assert picture.count == len(view) > 10
    red = painted(picture.image) >> 16 & 255
    assert red.any()
    for left, top in view.points[view.ring_offsets[:-1]].astype(int).tolist():
        x, y = left - SIDE // 2 + 300, top - SIDE // 2 + 200
        if 0 < x < 599 and 0 < y < 399:
            assert red[y - 1 : y + 2, x - 1 : x + 2].any()


def test_far_and_near_show_objects_at_the_same_places(
    qtbot: QtBot,
    pictures: ObjectPictures,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = newest(qtbot, pictures, where(project, 8.0))
    assert near.count is not None
    monkeypatch.setattr(object_pictures, "MOST_FILLED", 500)
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
    monkeypatch.setattr(object_pictures, "MOST_FILLED", 500)
    before = newest(qtbot, pictures, where(project, 10.0))
    with Project.open(project) as opened:
        opened.delete([str(UUID(int=i)) for i in range(COUNT // 2)])
    after = newest(qtbot, pictures, where(project, 10.0, revision=2))
    assert (painted(after.image) > 0).sum() < 0.8 * (painted(before.image) > 0).sum()


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

    def add() -> int:
        with Project.open(path) as project:  # would be busy if the desk still had it
            return project.add_slide(Path("s.svs"), "s")

    numbers: list[int] = []
    thread = threading.Thread(target=lambda: numbers.append(desk.lent(path, add)))
    thread.start()
    qtbot.waitUntil(lambda: not thread.is_alive(), timeout=20_000)
    thread.join()
    slides: list[object] = []
    desk.ask(lambda p: p.slides(), slides.extend, pytest.fail)
    qtbot.waitUntil(lambda: len(slides) == 1)
    assert numbers == [1]
