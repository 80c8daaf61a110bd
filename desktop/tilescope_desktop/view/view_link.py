"""Two views of which each shows what the other shows, while they are linked."""

from __future__ import annotations

from PySide6.QtCore import QObject, QPointF, QRect, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPen

from tilescope.domain.geometry import Point, Rect
from tilescope_desktop.model.alignment import Alignment, Measured
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.slide_tab import SlideTab

_HALO, _MARK = QColor(0, 0, 0, 170), QColor(255, 210, 0)
_ARM_PX = 10.0
_GAP_PX = 3.0
#: Left and right of words.
_ROOM_PX = 24


class ViewLink(QObject):
    """Moves each of two views with the other; ``changed`` tells that the link is another one.

    A view that follows may leave its slide: what lies beside it is shown, which may be nothing, and
    is said then.
    """

    changed = Signal()

    def __init__(self, left: SlideTab, right: SlideTab, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tabs = (left, right)
        self._alignment = Alignment.at_same_size(_measured(left), _measured(right))
        self._is_by_hand = False
        self._is_linked = True
        self._is_following = False
        self._crosses = {tab: _Cross() for tab in self._tabs}
        self._edges = {tab: _Edge(tab) for tab in self._tabs}
        for tab, slots in zip(self._tabs, self._slots, strict=True):
            tab.view.viewport_changed.connect(slots[0])
            tab.view.pointed.connect(slots[1])
            tab.view.overlays += [self._edges[tab], self._crosses[tab]]

    @property
    def is_linked(self) -> bool:
        """Whether the views move together."""
        return self._is_linked

    @property
    def alignment(self) -> Alignment:
        """Where the places of the left slide are on the right one."""
        return self._alignment

    def set_linked(self, is_linked: bool) -> None:
        """Let each view go its own way, or have the right one follow again as it did before."""
        self._link(is_linked)
        self._move_crosses(None, None)
        if is_linked:
            self.pull(self._tabs[0])
        self.changed.emit()

    def link_as_they_stand(self) -> None:
        """Link the views so that what is side by side now belongs together."""
        here, there = (tab.view.viewport for tab in self._tabs)
        if here is not None and there is not None:
            self._alignment = Alignment.as_seen(here, there)
            self._is_by_hand = True
            self.set_linked(True)

    def link_at_same_size(self, leader: SlideTab) -> None:
        """Link the views middle on middle, a micrometre as long in both, else a pixel."""
        self._is_by_hand = False
        self._link(True)
        self.measure_anew(leader)
        self.changed.emit()

    def measure_anew(self, leader: SlideTab) -> None:
        """Have a micrometre as long in both views again, as far as nobody has aligned them."""
        if not self._is_by_hand:
            left, right = self._tabs
            self._alignment = Alignment.at_same_size(_measured(left), _measured(right))
            self.pull(leader)

    def pull(self, leader: SlideTab) -> None:
        """Have the other view show what this one shows, while they are linked."""
        here = leader.view.viewport
        if here is None or not self._is_linked or self._is_following:
            return
        other, alignment = self._other(leader)
        there = other.view.viewport
        if there is not None:
            self._is_following = True
            other.view.move_to(alignment.view(here, there), stays_on_slide=False)
            self._is_following = False

    def leave(self) -> None:
        """Mark nothing, as the mouse is over neither view."""
        self._move_crosses(None, None)

    def release(self) -> None:
        """Leave both views to themselves for good."""
        self._is_linked = False
        for tab, slots in zip(self._tabs, self._slots, strict=True):
            tab.view.viewport_changed.disconnect(slots[0])
            tab.view.pointed.disconnect(slots[1])
            for painted in (self._edges[tab], self._crosses[tab]):
                tab.view.overlays.remove(painted)
            tab.view.update()

    # -- inside -----------------------------------------------------------------------------------

    @property
    def _slots(self) -> tuple[tuple[object, object], tuple[object, object]]:
        return (self._left_moved, self._left_pointed), (self._right_moved, self._right_pointed)

    def _link(self, is_linked: bool) -> None:
        self._is_linked = is_linked
        for tab, edge in self._edges.items():
            edge.is_told = is_linked
            tab.view.update()

    def _other(self, tab: SlideTab) -> tuple[SlideTab, Alignment]:
        left, right = self._tabs
        return (right, self._alignment) if tab is left else (left, self._alignment.inverse)

    def _left_moved(self, _viewport: object) -> None:
        self.pull(self._tabs[0])

    def _right_moved(self, _viewport: object) -> None:
        self.pull(self._tabs[1])

    def _left_pointed(self, at_l0: Point) -> None:
        self._move_crosses(self._tabs[0], at_l0)

    def _right_pointed(self, at_l0: Point) -> None:
        self._move_crosses(self._tabs[1], at_l0)

    def _move_crosses(self, pointed: SlideTab | None, at_l0: Point | None) -> None:
        """Show on the other slide what lies under the mouse on this one."""
        places: dict[SlideTab, Point] = {}
        if pointed is not None and at_l0 is not None and self._is_linked:
            other, alignment = self._other(pointed)
            places[other] = alignment.place(at_l0)
        for tab, cross in self._crosses.items():
            if cross.at_l0 != places.get(tab):
                cross.at_l0 = places.get(tab)
                tab.view.update()


class _Cross:
    """A mark where the mouse would be."""

    def __init__(self) -> None:
        self.at_l0: Point | None = None

    def paint(self, painter: QPainter, viewport: Viewport) -> None:
        """Paint in logical pixels of the widget."""
        if self.at_l0 is None:
            return
        at = viewport.to_screen(self.at_l0)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for color, width in ((_HALO, 3.6), (_MARK, 1.6)):
            painter.setPen(QPen(color, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                painter.drawLine(
                    QPointF(at.x + _GAP_PX * dx, at.y + _GAP_PX * dy),
                    QPointF(at.x + _ARM_PX * dx, at.y + _ARM_PX * dy),
                )
        painter.restore()


class _Edge:
    """Words where a view has followed another one beyond the edge of its slide."""

    def __init__(self, tab: SlideTab) -> None:
        self.is_told = True
        self._slide = Rect.of_size(tab.source.info.size)
        self._words = (
            f"This place lies beyond the edge of {tab.path.name}.\n"
            "Press Linked to have each view go its own way."
        )

    def paint(self, painter: QPainter, viewport: Viewport) -> None:
        """Paint in logical pixels of the widget."""
        centre = viewport.centre_l0
        if self._slide.contains(centre.x, centre.y) or not self.is_told:
            return
        if viewport.bounds_l0.intersect(self._slide) is not None:
            return
        room = QRect(_ROOM_PX, 0, viewport.width - 2 * _ROOM_PX, viewport.height)
        how = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        box = painter.boundingRect(room, how, self._words)
        painter.save()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(_HALO)
        painter.drawRoundedRect(box.adjusted(-8, -6, 8, 6), 3, 3)
        painter.setPen(QColor(255, 255, 255))
        painter.drawText(room, how, self._words)
        painter.restore()


def _measured(tab: SlideTab) -> Measured:
    return Measured(tab.source.info.size, tab.um_per_px)
