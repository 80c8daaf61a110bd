"""The tools, the one in hand, and what the mouse over a slide does with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import shapely
from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QImage, QKeyEvent

from tilescope.domain.geometry import Point
from tilescope.domain.scale import PixelSize
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.object_pictures import ObjectPictures
from tilescope_desktop.model.pointer import Pointer, PointerKind
from tilescope_desktop.model.project_tasks import OpenSlide
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
    NOTHING,
    Draw,
    MoveTool,
    Pixels,
    Preview,
    Say,
    Scene,
    Selected,
    Tool,
    Wishes,
)
from tilescope_desktop.model.tools.vertices import VertexTool
from tilescope_desktop.model.tools.wand import WandTool
from tilescope_desktop.view.object_overlay import ObjectOverlay
from tilescope_desktop.view.slide_tab import SlideTab


def standard_tools(scene: Scene) -> list[Tool]:
    """Return the tools that every window has, in the order of the tool bar."""
    return [
        MoveTool(scene, "move", "Move"),
        SelectionTool(scene, "select", "Select"),
        PointTool(scene, "point", "Points"),
        LineTool(scene, "line", "Line"),
        PolylineTool(scene, "polyline", "Polyline"),
        RectangleTool(scene, "rectangle", "Rectangle"),
        EllipseTool(scene, "ellipse", "Ellipse"),
        PolygonTool(scene, "polygon", "Polygon"),
        FreehandTool(scene, "freehand", "Freehand"),
        BrushTool(scene, "brush", "Brush"),
        WandTool(scene, "wand", "Wand"),
        VertexTool(scene, "vertices", "Edit outline"),
        RulerTool(scene, "ruler", "Ruler"),
    ]


class ToolBench(QObject):
    """Gives the mouse to the tool in hand, and its wishes to the annotations.

    It is also the scene that tools look at: the slide under the mouse. ``on_key`` hears of keys
    over a slide before they are shortcuts and when they are let go; ``press_count`` is how often
    the mouse was pressed over one. ``ended`` gives words that were said of a shape that is begun,
    once it no longer is.
    """

    tool_changed = Signal(object)
    pending_changed = Signal()
    ended = Signal(str)

    def __init__(
        self,
        front: Callable[[], SlideTab | None],
        annotations: Annotations,
        pictures: ObjectPictures,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.annotations = annotations
        self.overlays: dict[SlideTab, ObjectOverlay] = {}
        self.slides: dict[SlideTab, OpenSlide] = {}
        self._front = front
        self._under: SlideTab | None = None
        self._pictures = pictures
        self._tools: dict[str, Tool] = {}
        for tool in standard_tools(self):
            self.add_tool(tool)
        self.tool = self._tools["move"]
        self.on_key: Callable[[QKeyEvent], None] = lambda _event: None
        self.press_count = 0
        self._was_pending = False
        self._said_begun = ""
        annotations.selection_changed.connect(self.repaint)

    # -- tools ------------------------------------------------------------------------------------

    @property
    def tools(self) -> Sequence[Tool]:
        """All tools, in the order they were added."""
        return tuple(self._tools.values())

    def add_tool(self, tool: Tool) -> None:
        """Offer one more tool."""
        self._tools[tool.id] = tool

    def take_tool(self, tool_id: str) -> None:
        """Take a tool into the hand; what the one before had begun is forgotten."""
        self.tool.cancel()
        self.tool = self._tools[tool_id]
        for tab in self.slides:
            self._show_cursor(tab)
        self.repaint()
        self.tool_changed.emit(self.tool)

    def cancel(self) -> None:
        """Escape: forget what is begun, else what was done last, else selection and tool."""
        if self.tool.is_busy:
            self.tool.cancel()
            self.repaint()
        elif self.tool.retract():
            self.repaint()
        elif self.annotations.selected_ids:
            self.annotations.select_nothing()
        else:
            self.take_tool("move")

    def finish(self) -> None:
        """Enter: complete what is begun, on the slide where it was begun."""
        tab = self.tab  # a tool that has finished is on no slide any more
        self.fulfil(self.tool.finish(), tab)

    @property
    def is_pending(self) -> bool:
        """Tell whether something is begun that keys take back before anything else."""
        return self.tool.is_pending

    def take_back(self) -> bool:
        """Backspace, Delete and Undo: take back the last step of what is begun."""
        took = self.tool.take_back()
        self.repaint()
        return took

    def resize_brush(self, steps: float) -> bool:
        """Make the brush larger or smaller; tell whether it is in the hand."""
        if not isinstance(self.tool, BrushTool):
            return False
        self.tool.resize(steps)
        self.repaint()
        return True

    def fulfil(self, wishes: Wishes, tab: SlideTab | None = None) -> None:
        """Do what a tool wants on a slide, that it works on by default; it may come late."""
        tab = tab or self.tab
        if tab is not None and wishes:
            self._hand_over(tab, wishes)
        self.repaint()

    def forget(self) -> None:
        """Show no longer what was measured on another slide."""
        if not self.tool.is_busy:
            self.tool.cancel()
            self.repaint()

    def repaint(self) -> None:
        """Show what the tool has to show now."""
        tab = self.tab
        if tab is not None:
            tab.view.update()
        self._tell_pending()

    # -- slides -----------------------------------------------------------------------------------

    def adopt(self, tab: SlideTab) -> None:
        """Give a new tab its objects and its tools."""
        slide = OpenSlide(tab.path, tab.source.info, tab.identity)
        slide.plane = tab.planes.place
        self.slides[tab] = slide
        overlay = ObjectOverlay(tab.view, slide, self.annotations, self._pictures, self)
        overlay.preview = lambda: self._preview(tab)
        self.overlays[tab] = overlay
        tab.view.overlays.insert(0, overlay)
        tab.view.on_pointer = lambda pointer: self._take_pointer(tab, pointer)
        tab.view.on_alt_wheel = self.resize_brush
        tab.planes.moved.connect(lambda _plane_index: self._show_plane(tab))
        tab.view.installEventFilter(self)
        self.annotations.attach(slide)
        self._show_cursor(tab)

    def release(self, tab: SlideTab) -> None:
        """Forget a tab that is closed; a shape that is begun on it is finished if it can be."""
        if self._under is tab:
            self._finish_on(tab)
            self._under = None
        overlay, slide = self.overlays.pop(tab, None), self.slides.pop(tab, None)
        if overlay is not None:
            overlay.close()
            overlay.deleteLater()
        if slide is not None:
            self.annotations.detach(slide)

    @property
    def tab(self) -> SlideTab | None:
        """The slide that the tool in hand works on: under the mouse last, else that in front.

        What is begun on a slide is finished there.
        """
        under = self._under
        if under in self.slides and (self.tool.is_busy or under.view.isVisible()):
            return under
        return self._front()

    @property
    def front_slide(self) -> OpenSlide | None:
        """The slide in front."""
        tab = self._front()
        return None if tab is None or tab not in self.slides else self._slide_of(tab)

    def selected_box(self, tab: SlideTab) -> tuple[float, float, float, float] | None:
        """Return left, top, right, bottom of what is selected on a slide, in level-0 pixels."""
        slide, chosen = self.annotations.selected_slide, self.annotations.selected
        if not chosen or slide is None or not slide.is_same(self.slides.get(tab)):
            return None
        left, top, right, bottom = shapely.total_bounds([one.geometry for one in chosen])
        return float(left), float(top), float(right), float(bottom)

    # -- the scene --------------------------------------------------------------------------------

    @property
    def selected(self) -> Sequence[Selected]:
        """The selected objects of the slide that the tool works on."""
        tab, slide = self.tab, self.annotations.selected_slide
        if tab is None or slide is None or not slide.is_same(self.slides.get(tab)):
            return ()
        here = tab.planes.place
        return tuple(one for one in self.annotations.selected if one.plane == here)

    @property
    def pixel_size(self) -> PixelSize | None:
        """Size of a level-0 pixel of the slide that the tool works on."""
        tab = self.tab
        return None if tab is None else tab.pixel_size

    def pixels(self) -> Pixels | None:
        """Return what the view that the tool works on shows of its slide."""
        tab = self.tab
        if tab is None or tab.view.viewport is None:
            return None
        image = tab.view.picture().convertToFormat(QImage.Format.Format_RGB888)
        if image.isNull():
            return None
        rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
        colors = rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()
        ratio = image.width() / max(1, tab.view.width())
        viewport = tab.view.viewport
        zero = viewport.to_l0(Point(0, 0))
        right, down = viewport.to_l0(Point(1 / ratio, 0)), viewport.to_l0(Point(0, 1 / ratio))
        to_l0 = np.array(
            [
                [right.x - zero.x, down.x - zero.x, zero.x],
                [right.y - zero.y, down.y - zero.y, zero.y],
            ]
        )
        return Pixels(colors, to_l0)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Finish shapes by Enter, take corners back by Backspace; called by Qt."""
        if isinstance(event, QKeyEvent) and event.type() != QEvent.Type.KeyPress:
            self.on_key(event)
        elif isinstance(event, QKeyEvent):
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self.finish()
                return True
            if event.key() == Qt.Key.Key_Backspace:
                if not self.take_back():
                    self.annotations.delete_selected()
                return True
        return super().eventFilter(watched, event)

    # -- inside -----------------------------------------------------------------------------------

    def _take_pointer(self, tab: SlideTab, pointer: Pointer) -> bool:
        tool = self.tool
        is_press = pointer.kind in (PointerKind.PRESS, PointerKind.DOUBLE)
        if tool.is_busy and tab is not self.tab:
            if is_press and tool.takes(pointer):
                self._say_begun()
            return False
        self._go_under(tab)
        self.press_count += is_press
        if is_press and not tool.takes(pointer):
            return False
        act = {
            PointerKind.PRESS: tool.press,
            PointerKind.MOVE: tool.move,
            PointerKind.RELEASE: tool.release,
            PointerKind.DOUBLE: tool.double,
            PointerKind.CLICK: tool.click,
        }[pointer.kind]
        if is_press and (reason := tool.refusal(pointer)):
            self.annotations.said.emit(reason)
        before = tool.preview
        wishes = act(pointer)
        if wishes:
            self._hand_over(tab, wishes)
        if wishes or tool.preview is not before:
            tab.view.update()
        self._tell_pending()
        return True

    def _finish_on(self, tab: SlideTab) -> None:
        """Keep the shape that is begun on a slide, and say so; what is none yet is dropped."""
        wishes = self.tool.finish() if self.tool.is_busy and tab in self.slides else ()
        self.tool.cancel()
        self._tell_pending()
        if wishes:
            self._hand_over(tab, wishes)
        if any(not isinstance(wish, Say) for wish in wishes):
            self.annotations.said.emit(f"The shape begun on {tab.path.name} was finished")

    def _hand_over(self, tab: SlideTab, wishes: Wishes) -> None:
        """Have wishes fulfilled, and say when nothing will be seen of them."""
        notes = self.annotations
        if any(isinstance(wish, Draw) and wish.kind == "annotation" for wish in wishes):
            if not notes.style.shows_annotations:
                notes.said.emit("What you draw is not seen: annotations are hidden")
            elif notes.active_class in notes.style.hidden:
                name = notes.active_class or "Unclassified"
                notes.said.emit(f"What you draw is not seen: the class {name} is hidden")
        notes.fulfil(self._slide_of(tab), wishes)

    def _say_begun(self) -> None:
        """Say why nothing is drawn: what is begun in another view is finished there."""
        if self._under is not None:
            self._said_begun = (
                f"A shape is begun on {self._under.path.name}, in another view: "
                "Enter finishes it, Escape drops it"
            )
            self.annotations.said.emit(self._said_begun)

    def _tell_pending(self) -> None:
        if self._said_begun and not self.tool.is_busy:
            self.ended.emit(self._said_begun)
            self._said_begun = ""
        if self.tool.is_pending != self._was_pending:
            self._was_pending = self.tool.is_pending
            self.pending_changed.emit()

    def _go_under(self, tab: SlideTab) -> None:
        before, self._under = self._under, tab
        if before is not tab and before in self.slides:
            if not self.tool.is_busy:
                self.tool.cancel()  # what it shows was measured on the other slide
            before.view.update()

    def _slide_of(self, tab: SlideTab) -> OpenSlide:
        slide = self.slides[tab]
        slide.plane = tab.planes.place
        slide.pixel_size = tab.pixel_size
        return slide

    def _preview(self, tab: SlideTab) -> Preview:
        return self.tool.preview if self.tab is tab else NOTHING

    def _show_plane(self, tab: SlideTab) -> None:
        self.slides[tab].plane = tab.planes.place
        self.annotations.refreshed.emit()

    def _show_cursor(self, tab: SlideTab) -> None:
        moves = isinstance(self.tool, MoveTool)
        shape = Qt.CursorShape.ArrowCursor if moves else Qt.CursorShape.CrossCursor
        tab.view.setCursor(shape)
