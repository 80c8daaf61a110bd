"""The slide under the mouse: what is painted, and how one moves over it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from PySide6.QtCore import QEvent, QPointF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFocusEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QNativeGestureEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QApplication, QWidget

from tilescope.domain.geometry import Point
from tilescope.domain.tiles import TileKey
from tilescope_desktop.bridge.tiles import PictureTiles, TileService
from tilescope_desktop.model.frame import Frame
from tilescope_desktop.model.pointer import Pointer, PointerKind
from tilescope_desktop.model.resolve import wanted
from tilescope_desktop.model.viewport import Viewport
from tilescope_desktop.view.canvas import Canvas
from tilescope_desktop.view.glide import Glide
from tilescope_desktop.view.trackpad import is_by_fingers, meant_turn

#: One notch of a mouse wheel.
_NOTCH = 120
_ZOOM_PER_NOTCH = 1.25
#: Nearer than this to where a button went down, in pixels, letting it go is a click and no drag.
_CLICK_PX = 5.0
_LEAST_PINCH = 0.2
#: When the repair of a frame ends, counted from the move that the frame shows: what is left until
#: the next one is for what lies over the slide, for Qt and for the workers. It ends earlier when
#: what lies over the slide takes long, for the painting to be over in time.
_REPAIR_UNTIL_S = 0.007
_PAINTED_UNTIL_S = 0.011
_LEAST_REPAIR_S = 0.002
#: A frame of a view at rest keeps nobody waiting, but the next click.
_REPAIR_AT_REST_S = 0.010
#: A view at rest is painted this long after the last time; one that moves is painted before that.
_AT_REST_MS = 20
#: Workers rest while a frame is made, and at most so long.
_WORKERS_REST_S = 0.02


class Overlay(Protocol):
    """Something painted over the slide."""

    def paint(self, painter: QPainter, viewport: Viewport) -> None:
        """Paint in logical pixels of the widget."""
        ...


class SlideView(QWidget):
    """One slide, panned and zoomed.

    ``on_pointer`` gets what the mouse does; when it returns False, or while space or the middle
    button is held, the mouse moves the slide; flung, it glides on until it is moved otherwise. One
    button acts at a time: what others do before it is let go is nothing. ``menu_wanted`` tells
    where the right button was clicked, None for the key. ``on_alt_wheel`` gets the notches of the
    wheel while Alt is held; when it returns False, the wheel zooms. ``zooms_at`` is where it is
    zoomed without a mouse, None for the middle.
    """

    viewport_changed = Signal(object)
    pointed = Signal(object)
    menu_wanted = Signal(object)

    def __init__(self, tiles: TileService, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAccessibleName("Slide")
        self.overlays: list[Overlay] = []
        self.on_pointer: Callable[[Pointer], bool] = lambda _pointer: False
        self.on_alt_wheel: Callable[[float], bool] = lambda _notches: False
        self.zooms_at: Point | None = None
        self._service = tiles
        self._slide: PictureTiles | None = None
        self._plane = 0
        self._viewport: Viewport | None = None
        self._is_fitted = True
        self._canvas = Canvas()
        self._cursor: QPointF | None = None
        self._drag: QPointF | None = None
        self._left = QPointF()
        self._held: Qt.MouseButton | None = None
        self._clicked_at: QPointF | None = None
        self._is_hand = False
        self._tool_cursor = self.cursor()
        self._has_space = False
        self._twist_deg = 0.0
        self._glide = Glide(self._drag_by, self)
        self._moved_at: float | None = None
        self._painted_at = 0.0
        self._rest_s = 0.0
        self._later = QTimer(self, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._later.timeout.connect(self.update)
        tiles.ready.connect(self._take_tiles)
        self.destroyed.connect(lambda: tiles.loader.want(id(self), ()))

    # -- what is shown ----------------------------------------------------------------------------

    @property
    def slide(self) -> PictureTiles | None:
        """The slide that is shown."""
        return self._slide

    @property
    def viewport(self) -> Viewport | None:
        """What is shown of it; None without a slide."""
        return self._viewport

    @property
    def is_sharp(self) -> bool:
        """Tell whether every visible tile is painted."""
        if self._slide is None or self._viewport is None:
            return True
        is_painted = self._canvas.is_sharp_at(self._viewport, self.devicePixelRatioF())
        return is_painted and self._service.is_idle

    @property
    def cursor_at(self) -> QPointF | None:
        """Where the mouse is, in logical pixels; None while it is not over the view."""
        return self._cursor

    def picture(self) -> QImage:
        """Return what is painted of the slide alone, in physical pixels."""
        return self._canvas.image.copy()

    def show_slide(self, slide: PictureTiles | None) -> None:
        """Show a slide; one with other styles of the same slide keeps the view."""
        keeps = slide is not None and self._slide is not None and slide.info == self._slide.info
        self._slide = slide
        if keeps:
            self._canvas.soil()
        else:
            self._canvas.clear()
        if slide is None:
            self._glide.stop()
            self._viewport = None
            self._service.loader.want(id(self), ())
            self.update()
        elif keeps and self._viewport is not None:
            self._set_viewport(self._viewport)
        else:
            self._plane = 0
            self.fit()

    def show_plane(self, plane: int) -> None:
        """Show another focal plane or time point, ``t * z_count + z``."""
        self._plane = plane
        self._canvas.soil()
        self._want()
        self.update()

    def fit(self) -> None:
        """Show the whole slide."""
        self._glide.stop()
        if self._slide is not None:
            self._set_viewport(
                Viewport.fitted(self._slide.info.size, max(1, self.width()), max(1, self.height()))
            )
            self._is_fitted = True

    def move_to(self, viewport: Viewport, *, stays_on_slide: bool = True) -> None:
        """Show another part; the size of the widget stays what it is.

        The middle stays on the slide, unless a view follows another one that goes farther.
        """
        self._glide.stop()
        self._go_to(viewport, stays_on_slide=stays_on_slide)

    def zoom(self, factor: float, at: Point | None = None) -> None:
        """Enlarge by a factor, the slide staying where ``at`` is on the widget."""
        at = at or self.zooms_at
        if self._viewport is not None and self._slide is not None:
            self.move_to(self._viewport.zoomed(factor, at, slide=self._slide.info.size))

    def pan(self, dx: float, dy: float) -> None:
        """Drag the slide by logical pixels, whole physical ones: those are quick to paint.

        What is no whole one yet is left for the next time.
        """
        self._glide.stop()
        self._drag_by(dx, dy)

    def _drag_by(self, dx: float, dy: float) -> None:
        ratio = self.devicePixelRatioF()
        self._left += QPointF(dx, dy)
        step = QPointF(round(self._left.x() * ratio), round(self._left.y() * ratio)) / ratio
        self._left -= step
        if self._viewport is not None and not step.isNull():
            self._go_to(self._viewport.panned(step.x(), step.y()))

    def _go_to(self, viewport: Viewport, *, stays_on_slide: bool = True) -> None:
        if self._slide is not None:
            moved = viewport.resized(self.width(), self.height())
            size = self._slide.info.size
            self._set_viewport(moved.kept_on(size) if stays_on_slide else moved)

    def _set_viewport(self, viewport: Viewport) -> None:
        if self._moved_at is None:
            self._moved_at = time.perf_counter()
            # Decoding and painting would otherwise take turns, and the frame would come late.
            self._service.loader.rest(_WORKERS_REST_S)
        self._viewport = viewport
        self._is_fitted = False
        self._want()
        self.update()
        self.viewport_changed.emit(viewport)

    def _want(self) -> None:
        if self._slide is None or self._viewport is None:
            return
        cursor = None
        if self._cursor is not None:
            cursor = self._viewport.to_l0(Point(self._cursor.x(), self._cursor.y()))
        keys = wanted(
            self._slide.info,
            self._slide.id,
            self._viewport,
            plane=self._plane,
            cursor_l0=cursor,
            pixel_ratio=self.devicePixelRatioF(),
        )
        self._service.loader.want(id(self), keys)

    def _take_tiles(self, keys: Sequence[TileKey]) -> None:
        if self._slide is None:
            return
        mine = [k for k in keys if k.slide == self._slide.id and k.plane == self._plane]
        for key in mine:
            self._canvas.soil_tile(self._slide.info, key, self._service.pictures.peek)
        if not self._canvas.is_sharp and not self._later.isActive():
            since_ms = (time.perf_counter() - self._painted_at) * 1e3
            self._later.start(max(0, round(_AT_REST_MS - since_ms)))

    # -- painting ---------------------------------------------------------------------------------

    def set_background(self, color: QColor) -> None:
        """Set the colour around the slide."""
        self._canvas.background = color
        self._canvas.soil()
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Paint the slide and what lies over it; called by Qt."""
        painter = QPainter(self)
        try:
            self._paint(painter)
        finally:
            painter.end()  # one that outlives this call ends the program

    def _paint(self, painter: QPainter) -> None:
        if self._slide is None or self._viewport is None:
            painter.fillRect(self.rect(), self._canvas.background)
            return
        self._repair(self._slide, self._viewport)
        repaired_at = time.perf_counter()
        image = self._canvas.image
        image.setDevicePixelRatio(self.devicePixelRatioF())
        painter.drawImage(0, 0, image)
        image.setDevicePixelRatio(1.0)
        for overlay in self.overlays:
            overlay.paint(painter, self._viewport)
        self._rest_s = (self._rest_s + time.perf_counter() - repaired_at) / 2
        self._moved_at = None
        self._service.loader.go_on()

    def _repair(self, slide: PictureTiles, viewport: Viewport) -> None:
        """Bring the picture up to date, as far as the time of a frame allows."""
        self._painted_at = time.perf_counter()
        self._later.stop()
        self._canvas.follow(viewport, self.devicePixelRatioF())
        seconds = _REPAIR_AT_REST_S
        if self._moved_at is not None:
            spent = time.perf_counter() - self._moved_at
            until = min(_REPAIR_UNTIL_S, _PAINTED_UNTIL_S - self._rest_s)
            seconds = max(_LEAST_REPAIR_S, until - spent)
        name = TileKey(slide.id, 0, 0, 0, self._plane)
        if not self._canvas.repair(slide.info, name, self._service.pictures.peek, seconds):
            self._later.start(_AT_REST_MS)

    def resizeEvent(self, _event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Keep the centre, or the whole slide in view; called by Qt."""
        if self._viewport is None:
            return
        if self._is_fitted:
            self.fit()
        else:
            self.move_to(self._viewport)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return a comfortable size; called by Qt."""
        return QSize(1000, 700)

    # -- the mouse --------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Begin what the tool does, or a pan; called by Qt."""
        self._press(PointerKind.PRESS, event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Begin what the tool does with a second press, or a pan; called by Qt."""
        self._press(PointerKind.DOUBLE, event)

    def _press(self, kind: PointerKind, event: QMouseEvent) -> None:
        held, button = self._held, event.button()
        if held is not None and held != button and event.buttons() & held:
            return
        if self._drag is not None:  # its button was let go where no one saw it
            self._end_drag()
        # A click that stops the slide is for nothing else.
        self._clicked_at = None if self._glide.is_on else event.position()
        self._glide.begin_drag()
        self._left = QPointF()
        self._cursor = event.position()
        self._held = button
        if self._moves_slide(event):
            self._clicked_at = None
        elif self._tell(kind, event):
            return
        self._drag = event.position()
        self._show_hand(Qt.CursorShape.ClosedHandCursor)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Pan, or go on with what the tool does; called by Qt."""
        self._cursor = event.position()
        start = self._clicked_at
        if start is not None and (self._cursor - start).manhattanLength() >= _CLICK_PX:
            self._clicked_at = None
        if self._drag is not None and not event.buttons():
            self._end_drag()
        if self._drag is not None:
            step = event.position() - self._drag
            self._drag = event.position()
            self._glide.drag(step)
            self.pan(step.x(), step.y())
        else:
            self._tell(PointerKind.MOVE, event)
        if self._viewport is not None:
            self.pointed.emit(self._viewport.to_l0(Point(self._cursor.x(), self._cursor.y())))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """End a pan, which may glide on, what the tool does, or a click; called by Qt."""
        button = event.button()
        if self._held != button:
            return
        is_click, is_pan = self._clicked_at is not None, self._drag is not None
        self._held = self._clicked_at = None
        if is_pan:
            self._end_drag()
            if not is_click:
                self._glide.let_go()
        else:
            self._tell(PointerKind.RELEASE, event)
        if is_click and button == Qt.MouseButton.RightButton:
            self.menu_wanted.emit(event.position())
        elif is_click and is_pan:
            self._tell(PointerKind.CLICK, event)

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Show no longer what is around the mouse; called by Qt."""
        self._cursor = None
        self.update()
        super().leaveEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802 - Qt's name
        """Want a menu by the key; the mouse wants it when the button goes up; called by Qt."""
        if event.reason() == QContextMenuEvent.Reason.Keyboard:
            self.menu_wanted.emit(None)
        event.accept()

    def event(self, event: QEvent) -> bool:
        """Zoom and turn by two fingers; called by Qt."""
        if event.type() == QEvent.Type.NativeGesture and isinstance(event, QNativeGestureEvent):
            self._take_gesture(event)
            return True
        return super().event(event)

    def _take_gesture(self, event: QNativeGestureEvent) -> None:
        at = Point(event.position().x(), event.position().y())
        match event.gestureType():
            case Qt.NativeGestureType.ZoomNativeGesture:
                self.zoom(max(_LEAST_PINCH, 1 + event.value()), at)
            case Qt.NativeGestureType.RotateNativeGesture:
                before = meant_turn(self._twist_deg)
                self._twist_deg += event.value()
                turn = meant_turn(self._twist_deg) - before
                if self._viewport is not None and turn:
                    angle = self._viewport.rotation_deg + turn
                    self.move_to(self._viewport.rotated(angle, at))
            case Qt.NativeGestureType.BeginNativeGesture | Qt.NativeGestureType.EndNativeGesture:
                self._twist_deg = 0.0

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802 - Qt's name
        """Forget a space bar that will be let go elsewhere; called by Qt."""
        self._hold_space(False)
        super().focusOutEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 - Qt's name
        """Zoom at the cursor; a trackpad's two fingers pan; called by Qt."""
        self._glide.stop()
        event.accept()
        angle, modifiers = event.angleDelta(), event.modifiers()
        has_alt = bool(modifiers & Qt.KeyboardModifier.AltModifier)
        # With Alt held some systems say that the wheel was turned sideways.
        notches = ((angle.y() or angle.x()) if has_alt else angle.y()) / _NOTCH
        if has_alt and self.on_alt_wheel(notches):
            # Else Alt let go would open the menus: Qt takes a wheel for nothing done with it.
            at, none = event.position(), Qt.MouseButton.NoButton
            moved = QMouseEvent(
                QEvent.Type.MouseMove, at, event.globalPosition(), none, event.buttons(), modifiers
            )
            QApplication.sendEvent(self, moved)
            return
        if is_by_fingers(event) and not modifiers & Qt.KeyboardModifier.ControlModifier:
            self.pan(event.pixelDelta().x(), event.pixelDelta().y())
        else:
            at = event.position()
            self.zoom(_ZOOM_PER_NOTCH**notches, Point(at.x(), at.y()))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Space makes any tool pan; called by Qt."""
        if event.key() == Qt.Key.Key_Space:
            self._hold_space(True)
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """End panning by space; called by Qt."""
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._hold_space(False)
        else:
            super().keyReleaseEvent(event)

    def _hold_space(self, is_held: bool) -> None:
        self._has_space = is_held
        if self._drag is None and is_held != self._is_hand:
            self._show_hand(Qt.CursorShape.OpenHandCursor if is_held else None)

    def _end_drag(self) -> None:
        self._drag = None
        self._show_hand(Qt.CursorShape.OpenHandCursor if self._has_space else None)

    def _show_hand(self, shape: Qt.CursorShape | None) -> None:
        """Show a hand, or with None the tool's cursor again."""
        if not self._is_hand:
            self._tool_cursor = self.cursor()
        self._is_hand = shape is not None
        self.setCursor(self._tool_cursor if shape is None else shape)

    def _moves_slide(self, event: QMouseEvent) -> bool:
        return self._has_space or event.button() == Qt.MouseButton.MiddleButton

    def _tell(self, kind: PointerKind, event: QMouseEvent) -> bool:
        if self._viewport is None:
            return False
        place = Point(event.position().x(), event.position().y())
        modifiers = event.modifiers()
        button = event.button() if self._held is None else self._held
        return self.on_pointer(
            Pointer(
                kind,
                self._viewport.to_l0(place),
                l0_per_px=self._viewport.l0_per_px,
                is_primary=button == Qt.MouseButton.LeftButton,
                is_secondary=button == Qt.MouseButton.RightButton,
                has_shift=bool(modifiers & Qt.KeyboardModifier.ShiftModifier),
                has_alt=bool(modifiers & Qt.KeyboardModifier.AltModifier),
                has_control=bool(modifiers & Qt.KeyboardModifier.ControlModifier),
                frame=Frame.turned(self._viewport.slant_deg),
            )
        )
