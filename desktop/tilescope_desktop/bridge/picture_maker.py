"""Pictures of objects, made in a thread: what an older one shows is moved, the rest is painted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from PySide6.QtGui import QImage, QRegion

from tilescope.domain.geometry import Rect
from tilescope.errors import TilescopeError
from tilescope.runtime.memory import trim
from tilescope.store.project import View
from tilescope_desktop.bridge.object_source import ObjectSource, PlaneSource
from tilescope_desktop.bridge.picture_pieces import (
    copy_pixels,
    new_image,
    paint_drawn,
    paint_far,
    paint_near,
    pieces_of,
    rect_l0,
    regions_of,
)
from tilescope_desktop.bridge.project_desk import ProjectDesk
from tilescope_desktop.model.atlas import Atlas, AtlasMaker, Chunk
from tilescope_desktop.model.live import LiveObjects
from tilescope_desktop.model.object_wish import Where

#: Up to so many objects are painted each; of more, how dense they are.
MOST_PAINTED = 40_000
#: Up to so many of a slide are counted for every picture.
_MOST_COUNTED = 2000
#: After an edit of more objects everything is looked at anew.
_MOST_CHANGED = 100_000
#: Near pieces in physical pixels: their area, and the least side.
_AREA, _SIDE = 1 << 17, 256
#: Pieces of an atlas between two pictures of it.
_STEPS_BETWEEN = 16
_Box = tuple[float, float, float, float]


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
        Objects on it, None when they are too many to be counted.
    is_final
        Whether the same question would give the same picture.
    """

    view: int
    where: Where
    image: QImage
    count: int | None
    is_final: bool = True


@dataclass(slots=True, eq=False)
class _Plane:
    """What is known of one plane of a slide."""

    source: PlaneSource
    mark: int
    revision: int
    maker: AtlasMaker | None = None


@dataclass(slots=True, eq=False)
class _Sheet:
    """The newest picture of a view.

    ``stale`` holds the boxes in level-0 pixels in which something was changed since, None when
    that may be anywhere.
    """

    where: Where
    image: QImage
    is_near: bool
    stale: list[_Box] | None
    live: tuple[int, ...]


class PictureMaker:
    """Makes pictures; lives in one thread.

    From far away a view waits for an atlas, which is made between other wishes; meanwhile it gets
    pictures of what is in it so far.
    """

    def __init__(self, desk: ProjectDesk, post: Callable[[object], object]) -> None:
        self._post = post
        self._source = ObjectSource(desk)
        self._planes: dict[object, _Plane] = {}
        self._sheets: dict[int, _Sheet] = {}
        self._far: dict[int, Where] = {}
        self._steps = 0

    @property
    def has_more(self) -> bool:
        """Tell whether an atlas is on its way."""
        return self._unfinished() is not None

    def __enter__(self) -> PictureMaker:
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
            self._post(error)

    def go_on(self) -> None:
        """Look at some more objects of an atlas."""
        plane = self._unfinished()
        assert plane is not None
        assert plane.maker is not None
        try:
            has_more = plane.maker.step()
            self._steps += 1
            if has_more and self._steps % _STEPS_BETWEEN:
                return
            for view, where in list(self._far.items()):
                self._paint(view, where, is_near=False)
            if not has_more:
                trim()  # what a million objects leave in pieces, some tens of megabytes
        except (TilescopeError, OSError) as error:
            self._leave()
            self._post(error)

    def forget(self, view: int) -> None:
        """Forget the picture of a view."""
        self._sheets.pop(view, None)
        self._far.pop(view, None)

    def _unfinished(self) -> _Plane | None:
        planes = self._planes.values()
        return next((p for p in planes if p.maker is not None and not p.maker.is_whole), None)

    def _leave(self) -> None:
        self._source.leave()
        self._planes.clear()
        self._sheets.clear()
        self._far.clear()

    def _make(self, view: int, where: Where) -> None:
        if where.project is None or where.slide is None:
            count = where.live_count
            self._paint(view, where, is_near=count <= MOST_PAINTED)
            return
        plane = self._caught_up(where)
        is_near = self._is_near(where, plane)
        if not is_near or not self._paint(view, where, is_near=True):
            self._far[view] = where
            if plane.maker is None:
                plane.maker = AtlasMaker(plane.source)
            self._paint(view, where, is_near=False)

    # What has changed

    def _caught_up(self, where: Where) -> _Plane:
        """Return the plane of a wish as it is now; pictures of it know where they are stale."""
        assert where.project is not None
        assert where.slide is not None
        if self._source.path != where.project:
            self._leave()
        self._source.enter(where.project)
        plane = self._planes.get(where.key)
        if plane is None:
            source = PlaneSource(self._source, where.slide, where.plane)
            plane = self._planes[where.key] = _Plane(source, source.mark(), where.revision)
        if plane.revision < where.revision:
            plane.revision = where.revision
            self._catch_up(where, plane)
        return plane

    def _catch_up(self, where: Where, plane: _Plane) -> None:
        plane.mark, leaves = plane.source.changed(plane.mark, _MOST_CHANGED)
        boxes: list[_Box] | None = None
        if leaves is None:
            if plane.maker is not None:
                plane.maker = AtlasMaker(plane.source)
        elif len(leaves):
            boxes = plane.source.of(leaves).leaf_boxes()
            if plane.maker is not None:
                plane.maker.patch(leaves)
        else:
            boxes = []
        for sheet in self._sheets.values():
            if sheet.where.key == where.key:
                known = sheet.stale
                sheet.stale = None if known is None or boxes is None else [*known, *boxes]

    def _is_near(self, where: Where, plane: _Plane) -> bool:
        """Tell whether looking at each object is worth trying."""
        rect = where.viewport.bounds_l0
        live = sum(chunk.count_in(rect) for one in where.live for chunk in one.dots())
        if live > MOST_PAINTED:
            return False
        if plane.maker is not None and plane.maker.is_whole:
            return plane.maker.atlas().count_in(rect) + live <= MOST_PAINTED
        whole = Rect.of_size(where.size)
        seen = rect.intersect(whole)
        share = 0.0 if seen is None else seen.area / whole.area
        assert where.slide is not None
        return self._source.count(where.slide) * share + live <= MOST_PAINTED

    # Pictures

    def _paint(self, view: int, where: Where, *, is_near: bool) -> bool:
        """Paint and post a picture; False when a near one has too many objects."""
        plane = self._planes.get(where.key)
        atlas = Atlas(is_whole=True)
        if plane is not None and plane.maker is not None:
            atlas = plane.maker.atlas()
        is_final = is_near or atlas.is_whole
        old = self._sheets.get(view)
        if old is not None and (old.is_near != is_near or not is_final):
            old = None
        image = new_image(where)
        todo = _moved(image, where, old)
        if is_near:
            painted = self._paint_near(image, todo, where, plane)
        else:
            paint_far(image, todo, where, atlas)
            painted = True
        if not painted:
            return False
        image.setDevicePixelRatio(where.pixel_ratio)
        if is_final:
            live = tuple(len(one.dots()) for one in where.live)
            self._sheets[view] = _Sheet(where, image, is_near, [], live)
        # What an older atlas shows may lack what is new.
        shown = where if is_final else replace(where, revision=-1)
        count = self._count(where, plane) if is_near else None
        self._post(ObjectPicture(view, shown, image, count, is_final))
        return True

    def _paint_near(self, image: QImage, todo: QRegion, where: Where, plane: _Plane | None) -> bool:
        # An atlas knows how many there are; else one sees when there are too many.
        knows = plane is None or (plane.maker is not None and plane.maker.is_whole)
        room = 2**40 if knows else MOST_PAINTED
        drawn: list[View] = []
        for piece in pieces_of(todo, _AREA, _SIDE):
            rect = rect_l0(where, piece)
            found = [one.in_view(rect) for one in where.live]
            if plane is not None:
                found.insert(0, plane.source.look(rect, room))
                room -= len(found[0])
                if not found[0].is_complete:
                    return False
            drawn += paint_near(image, piece, found, where)
        paint_drawn(image, todo, drawn, where)
        return True

    def _count(self, where: Where, plane: _Plane | None) -> int | None:
        rect = where.viewport.bounds_l0
        live = sum(len(one.in_view(rect)) for one in where.live) if where.live_count else 0
        if plane is None:
            return live if where.live_count <= _MOST_COUNTED else None
        assert where.slide is not None
        total = self._source.count(where.slide)
        if total + where.live_count > _MOST_COUNTED:
            return None
        return live + len(plane.source.look(rect, total))


def _moved(image: QImage, where: Where, old: _Sheet | None) -> QRegion:
    """Take over what an older picture shows, and return what is left to be painted."""
    whole = QRegion(image.rect())
    shift = None if old is None else where.shift_from(old.where)
    if old is None or shift is None or old.stale is None:
        return whole
    fresh = [chunks[n:] for chunks, n in zip(map(_dots, where.live), old.live, strict=True)]
    if any(len(_dots(one)) < n for one, n in zip(where.live, old.live, strict=True)):
        return whole
    boxes = [*old.stale, *(chunk.bounds for chunks in fresh for chunk in chunks)]
    target = old.image.rect().translated(*shift) & image.rect()
    copy_pixels(old.image, image, target, shift)
    return (whole - QRegion(target)) + (regions_of(where, boxes) & image.rect())


def _dots(live: LiveObjects) -> Sequence[Chunk]:
    return live.dots()
