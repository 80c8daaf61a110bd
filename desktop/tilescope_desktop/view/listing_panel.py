"""What panels that list the objects of a slide have in common: when they read."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QWidget

from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.work import Work
from tilescope_desktop.model.project_tasks import OpenSlide
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.tool_bench import ToolBench

_LATER_MS = 250


class ListingPanel(QWidget):
    """Objects of the slide in front, read by a worker while they can be seen.

    ``due`` asks whoever extends this to list anew; ``shown`` tells that it is done. ``outdated``
    tells that what is listed is of another slide than the one in front, and must not stay.
    """

    due = Signal()
    outdated = Signal()
    shown = Signal()

    def __init__(
        self,
        bench: ToolBench,
        annotations: Annotations,
        front: Callable[[], SlideTab | None],
        work: Work,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._bench = bench
        self._annotations = annotations
        self._front = front
        self._work = work
        self._is_following = False
        self._listed_slide: OpenSlide | None = None
        self._later = QTimer(self, interval=_LATER_MS, singleShot=True)
        self._later.timeout.connect(self.due)
        annotations.changed.connect(self.reload)

    def reload(self) -> None:
        """List anew, soon: many edits in a row are one reading."""
        if not self._later.isActive():
            self._later.start()

    def turn_to_front(self) -> None:
        """List the slide that is in front now."""
        if self._listed_slide is not self._slide:
            self._listed_slide = self._slide
            self.outdated.emit()
        self.reload()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """List the objects; called by Qt."""
        self.reload()
        super().showEvent(event)

    @property
    def _slide(self) -> OpenSlide | None:
        tab = self._front()
        return None if tab is None else self._bench.slides.get(tab)
