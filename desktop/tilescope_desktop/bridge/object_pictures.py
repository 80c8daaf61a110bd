"""Pictures of what lies on a slide, made by a thread for whoever shows it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QImage, QPainter

from tilescope.domain.geometry import Rect, Size
from tilescope.errors import ProjectBusy, TilescopeError
from tilescope.store.project import Project, View
from tilescope_desktop.bridge.mailbox import Mailbox
from tilescope_desktop.bridge.object_painter import image_of, paint_objects
from tilescope_desktop.bridge.project_desk import ProjectDesk
from tilescope_desktop.model.atlas import Atlas, AtlasMaker
from tilescope_desktop.model.live import LiveObjects
from tilescope_desktop.model.object_pictures import Transform, density, filled
from tilescope_desktop.model.object_style import ObjectStyle
from tilescope_desktop.model.view_parts import selected
from tilescope_desktop.model.viewport import Viewport

T = TypeVar("T")

#: Up to so many objects or corners are painted as vectors, and up to so many filled.
MOST_VECTORS = 9000
_MOST_CORNERS = 300_000
MOST_FILLED = 40_000
#: A cell of a density picture, in pixels of the screen.
_CELL_PX = 2
#: How far around a view its picture reaches, in logical pixels: a pan shows something there.
MARGIN_PX = 160
#: Pieces of an atlas between two pictures of it.
_PIECES_BETWEEN = 12


@dataclass(frozen=True, slots=True)
class Where:
    """A slide of a project, and what is seen of it.

    Attributes
    ----------
    project
        None for a slide on which only live objects lie.
    revision
        Counts the changes of the project; what was looked at before is not looked at again.
    """

    project: Path | None
    slide: int | None
    size: Size
    plane: tuple[int, int]
    revision: int
    viewport: Viewport
    pixel_ratio: float
    style: ObjectStyle
    live: tuple[LiveObjects, ...] = ()
    live_count: int = 0

    @property
    def key(self) -> tuple[Path | None, int | None, tuple[int, int], int]:
        """What an atlas belongs to."""
        return self.project, self.slide, self.plane, self.revision


@dataclass(frozen=True, slots=True, eq=False)
class ObjectPicture:
    """A picture, and what it shows.

    Attributes
    ----------
    where
        What was asked for; its viewport is larger than the view's by a margin.
    image
        In physical pixels.
    count
        Objects on it, None when they were not counted.
    is_final
        Whether the same question would give the same picture.
    """

    view: int
    where: Where
    image: QImage
    count: int | None
    is_final: bool = True


def with_margin(viewport: Viewport) -> Viewport:
    """Return the viewport grown on all sides."""
    return viewport.resized(viewport.width + 2 * MARGIN_PX, viewport.height + 2 * MARGIN_PX)


def transform_of(viewport: Viewport, pixel_ratio: float) -> Transform:
    """Return the map from level-0 pixels to physical pixels of a viewport."""
    m11, m12, m21, m22 = (value * pixel_ratio for value in viewport.matrix)
    centre = viewport.centre_l0
    x = viewport.width * pixel_ratio / 2 - centre.x * m11 - centre.y * m21
    y = viewport.height * pixel_ratio / 2 - centre.x * m12 - centre.y * m22
    return np.array([[m11, m21, x], [m12, m22, y]])


class ObjectPictures(QObject):
    """Makes the picture that each view wants, the newest wish of each.

    ``ready`` tells pictures on the thread that made this object, ``failed`` why there is none.
    """

    ready = Signal(object)
    failed = Signal(object)

    def __init__(self, desk: ProjectDesk, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._mailbox = Mailbox(self)
        self._mailbox.arrived.connect(self._tell)
        self._changed = threading.Condition()
        self._wishes: dict[int, Where] = {}
        self._is_open = True
        self._works = False
        self._maker = _Maker(desk, self._mailbox.post)
        self._thread: threading.Thread | None = None

    @property
    def is_idle(self) -> bool:
        """Tell whether all wished pictures are made."""
        with self._changed:
            return not self._wishes and not self._works

    def want(self, view: int, where: Where) -> None:
        """Wish for a picture; an older wish of the same view is dropped."""
        with self._changed:
            self._wishes[view] = where
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name="tilescope-objects", daemon=True
            )
            self._thread.start()

    def forget(self, view: int) -> None:
        """Want nothing more."""
        with self._changed:
            self._wishes.pop(view, None)

    def close(self) -> None:
        """Stop the thread; calling it twice is fine."""
        with self._changed:
            self._is_open = False
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._mailbox.close()

    def _work(self) -> None:
        with self._maker:
            while True:
                with self._changed:
                    self._works = self._maker.has_more
                    while self._is_open and not self._wishes and not self._maker.has_more:
                        self._changed.wait()
                    if not self._is_open:
                        return
                    wish = next(iter(self._wishes.items()), None)
                    if wish is not None:
                        del self._wishes[wish[0]]
                    self._works = True
                if wish is not None:
                    self._maker.make(*wish)
                else:
                    self._maker.go_on()

    def _tell(self, letters: list[object]) -> None:
        for letter in letters:
            if isinstance(letter, ObjectPicture):
                self.ready.emit(letter)
            else:
                self.failed.emit(letter)


class _Maker:
    """Makes pictures; lives in the thread.

    From far away a view waits for an atlas, which is made between other wishes; meanwhile it gets
    pictures of what is in it so far.
    """

    def __init__(self, desk: ProjectDesk, post: Callable[[object], object]) -> None:
        self._desk = desk
        self._post = post
        self._project: Project | None = None
        self._path: Path | None = None
        self._asks_desk = False
        self._atlas = Atlas()
        self._atlas_key: object = None
        self._atlas_maker: AtlasMaker | None = None
        self._maker_key: object = None
        self._pieces = 0
        self._far: dict[int, Where] = {}

    @property
    def has_more(self) -> bool:
        """Tell whether an atlas is on its way."""
        return self._atlas_maker is not None

    def __enter__(self) -> _Maker:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def make(self, view: int, where: Where) -> None:
        """Make a picture, or say why there is none."""
        self._far.pop(view, None)
        try:
            self._make(view, where)
        except (TilescopeError, OSError) as error:
            self._leave()
            self._atlas_maker = None
            self._post(error)

    def go_on(self) -> None:
        """Look at one more piece of the slide."""
        assert self._atlas_maker is not None
        try:
            has_more = self._atlas_maker.step()
        except (TilescopeError, OSError) as error:
            self._leave()
            self._atlas_maker = None
            self._post(error)
            return
        self._pieces += 1
        if has_more and self._pieces % _PIECES_BETWEEN:
            return
        if not has_more or not self._atlas.is_whole:
            # A whole atlas of an older revision shows more than a part of the new one.
            self._atlas, self._atlas_key = self._atlas_maker.atlas(), self._maker_key
        if not has_more:
            self._atlas_maker = None
        for view, where in list(self._far.items()):
            self._post(self._far_picture(view, where))

    def _make(self, view: int, where: Where) -> None:
        rect = where.viewport.bounds_l0
        found = None
        if where.project is not None and where.slide is not None:
            if self._is_near(where, rect):
                found = self._look(where, rect, MOST_FILLED)
            if found is None or not found.is_complete:
                self._far[view] = where
                self._begin_atlas(where)
                self._post(self._far_picture(view, where))
                return
        self._post(self._near_picture(view, where, found))

    def _is_near(self, where: Where, rect: Rect) -> bool:
        """Tell whether looking at each object is worth trying."""
        atlas = self._atlas
        if atlas.is_whole and self._atlas_key == where.key:
            return atlas.count_in(rect) <= MOST_FILLED
        whole = Rect.of_size(where.size)
        seen = rect.intersect(whole)
        share = 0.0 if seen is None else seen.area / whole.area
        return self._count(where) * share <= MOST_FILLED

    def _count(self, where: Where) -> int:
        assert where.slide is not None
        number = where.slide
        counts = self._ask(where, lambda project: project.counts_by_class(number))
        return sum(counts.values())

    def _look(self, where: Where, rect: Rect, limit: int) -> View:
        assert where.slide is not None
        number, (z, t) = where.slide, where.plane
        return self._ask(where, lambda project: project.in_view(number, rect, limit, z=z, t=t))

    def _begin_atlas(self, where: Where) -> None:
        has_it = self._atlas_key == where.key and self._atlas.is_whole
        if has_it or (self._atlas_maker is not None and self._maker_key == where.key):
            return
        old = self._atlas_key
        same = isinstance(old, tuple) and old[:3] == where.key[:3]
        if not same:
            self._atlas = Atlas()
        self._maker_key, self._pieces = where.key, 0
        everything = 2**40
        self._atlas_maker = AtlasMaker(
            lambda rect: self._look(where, rect, everything), where.size, self._count(where)
        )

    # Pictures

    def _near_picture(self, view: int, where: Where, found: View | None) -> ObjectPicture:
        transform = transform_of(where.viewport, where.pixel_ratio)
        image = _blank(where)
        live = [source.in_view(where.viewport.bounds_l0) for source in where.live]
        for objects in [*([] if found is None else [found]), *live]:
            _paint(image, objects, transform, where)
        count = (0 if found is None else len(found)) + sum(map(len, live))
        return ObjectPicture(view, where, image, count)

    def _far_picture(self, view: int, where: Where) -> ObjectPicture:
        transform = transform_of(where.viewport, where.pixel_ratio)
        image = _blank(where)
        cells = transform / _CELL_PX
        width, height = -(-image.width() // _CELL_PX), -(-image.height() // _CELL_PX)
        dots = image_of(density(self._atlas, cells, width, height, where.style))
        painter = QPainter(image)
        painter.drawImage(image.rect(), dots)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._atlas.large is not None:
            paint_objects(painter, self._atlas.large, transform, where.style, where.pixel_ratio)
        painter.end()
        for source in where.live:
            _paint(image, source.in_view(where.viewport.bounds_l0), transform, where)
        is_final = self._atlas.is_whole and self._atlas_key == where.key
        # What an older atlas shows may lack what is new.
        shown = where if is_final else replace(where, revision=-1)
        return ObjectPicture(view, shown, image, None, is_final)

    # The project

    def _ask(self, where: Where, run: Callable[[Project], T]) -> T:
        self._enter(where)
        if self._asks_desk:
            return self._desk.wait(run)
        assert self._project is not None
        return run(self._project)

    def _enter(self, where: Where) -> None:
        if self._path == where.project:
            return
        self._leave()
        assert where.project is not None
        try:
            self._project = Project.open(where.project, writable=False)
        except ProjectBusy:
            # On a network drive there can be one connection only.
            self._asks_desk = True
        self._path = where.project

    def _leave(self) -> None:
        with suppress(TilescopeError):
            if self._project is not None:
                self._project.close()
        self._project, self._path, self._asks_desk = None, None, False


def _blank(where: Where) -> QImage:
    width = round(where.viewport.width * where.pixel_ratio)
    height = round(where.viewport.height * where.pixel_ratio)
    image = QImage(width, height, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    return image


def _paint(image: QImage, found: View, transform: Transform, where: Where) -> None:
    """Paint objects as thin lines over tints; where those are too many, as pixels."""
    style = where.style
    shown = selected(found, style.shown(found.classes, found.kinds, found.class_names))
    if not len(shown):
        return
    is_many = len(shown) > MOST_VECTORS or len(shown.points) > _MOST_CORNERS
    simple = (shown.dimensions == 2) & (np.diff(shown.object_offsets) == 1)
    painter = QPainter(image)
    if is_many or style.fills_annotations or style.fills_detections:
        areas = selected(shown, simple)
        size = image.width(), image.height()
        tints = filled(areas, transform, *size, style, has_edges=is_many)
        painter.drawImage(0, 0, image_of(tints))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    ratio = where.pixel_ratio
    if not is_many:
        paint_objects(painter, selected(shown, simple), transform, style, ratio, fills=False)
    paint_objects(painter, selected(shown, ~simple), transform, style, ratio)
    painter.end()
