"""What the panel says of runs over the slide in front: before one, and what came of the last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject

from tilescope_desktop.model.run_settings import plane_text
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.run_panel import RunPanel
from tilescope_desktop.view.slide_tab import SlideTab

#: What came of a run over a slide that is not in front is said for so long.
_SAID_MS = 10_000
_FAR = (
    "This slide is on the network, and a project holds slides on a disk: objects that a model "
    "finds are kept in files only."
)


class RunWords(QObject):
    """Keeps what came of runs by slide, and has the panel say what concerns the one in front.

    Parameters
    ----------
    is_busy
        Tells whether something goes on, which the panel speaks of then.
    """

    def __init__(self, window: MainWindow, panel: RunPanel, is_busy: Callable[[], bool]) -> None:
        super().__init__(panel)
        self._window = window
        self._panel = panel
        self._is_busy = is_busy
        self._said: dict[Path, str] = {}
        self._planes: dict[Path, tuple[int, int]] = {}
        panel.plane_due.connect(self._show_plane)
        window.tab_opened.connect(self._follow_planes)
        window.tab_changed.connect(lambda _tab: self.show())

    def begin(self, slide: Path, plane: tuple[int, int]) -> None:
        """Note that a run over a plane, z and t, of a slide begins."""
        self._planes[slide] = plane

    def say(self, text: str, slide: Path | None = None) -> None:
        """Say what came of a run, by default over the slide in front.

        Of another slide it passes; the panel says it when that is in front.
        """
        front = None if self._window.tab is None else self._window.tab.path
        slide = slide or front
        if slide is not None:
            self._said[slide] = text
        if slide is not None and slide != front:
            self._window.status.showMessage(f"{slide.name}: {text}", _SAID_MS)
        self.show()

    def show(self) -> None:
        """Have the panel say what holds of the slide in front."""
        tab = self._window.tab
        self._panel.show_remark("" if tab is None else _remark_on(tab))
        if self._is_busy():
            return
        text = "" if tab is None else self._said.get(tab.path, "")
        plane = None if tab is None else self._planes.get(tab.path)
        if tab is None or plane is None or plane == tab.planes.place:
            self._panel.show_idle(text)
        else:
            info = tab.source.info
            analysed, shown = plane_text(info, plane), plane_text(info, tab.planes.place)
            text = f"{text}; analysed: {analysed}; shown: {shown}"
            self._panel.show_idle(text, is_on_other_plane=True)

    def _follow_planes(self, tab: SlideTab) -> None:
        tab.planes.moved.connect(lambda _plane: self.show())

    def _show_plane(self) -> None:
        """Show the plane that was analysed."""
        tab = self._window.tab
        if tab is not None and tab.path in self._planes:
            tab.planes.go_to(*self._planes[tab.path])


def _remark_on(tab: SlideTab) -> str:
    """Return what has to be known before a model runs over a slide."""
    info, remarks = tab.source.info, []
    if info.z * info.t > 1:
        remarks.append(f"Models look at what is shown: {plane_text(info, tab.planes.place)}.")
    if tab.identity is None:
        remarks.append(_FAR)
    return " ".join(remarks)
