"""How often the values of open slides occur, counted anew for the plane that is shown."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from PySide6.QtCore import QObject, QTimer, Signal

from tilescope.domain.geometry import Rect
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.source import SlideSource
from tilescope_desktop.bridge.work import Job, Work
from tilescope_desktop.model.channels import Histogram, histograms
from tilescope_desktop.view.slide_tab import SlideTab

#: A sample for histograms and first windows has at most so many pixels a side.
_SAMPLE_PX = 1024
#: Who walks through planes stays this long on one before it is counted.
_LATER_MS = 120


def sample_of(source: SlideSource, raw: TileCache, plane: int) -> NDArray[Any]:
    """Return the middle of the coarsest level of a plane, ``[height, width, bands]``.

    Raises
    ------
    SlideError
        When it cannot be read.
    """
    level = source.info.levels[-1]
    width, height = min(level.size.width, _SAMPLE_PX), min(level.size.height, _SAMPLE_PX)
    x, y = (level.size.width - width) // 2, (level.size.height - height) // 2
    return read_region(source, raw, level.index, Rect(x, y, x + width, y + height), plane=plane)


class ValueCounts(QObject):
    """Histograms of the bands of open slides, made by workers.

    ``changed`` tells a slide whose histograms are other ones, or are awaited; ``failed`` one that
    has none, and why. While another plane is counted the histograms of the last one are kept.
    """

    changed = Signal(object)
    failed = Signal(object, object)

    def __init__(self, raw: TileCache, work: Work, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._raw = raw
        self._work = work
        self._counts: dict[SlideTab, tuple[Histogram, ...]] = {}
        self._due: set[SlideTab] = set()
        self._jobs: dict[SlideTab, Job] = {}
        self._later = QTimer(self, interval=_LATER_MS, singleShot=True)
        self._later.timeout.connect(self._start_due)

    def of(self, tab: SlideTab) -> tuple[Histogram, ...]:
        """Return one histogram per band; none when nothing was counted yet."""
        return self._counts.get(tab, ())

    def is_awaited(self, tab: SlideTab) -> bool:
        """Tell whether the plane that is shown is still to be counted."""
        return tab in self._due or tab in self._jobs

    def follow(self, tab: SlideTab) -> None:
        """Count a slide now, and anew whenever another plane is shown."""
        tab.planes.moved.connect(lambda _plane: self._count_later(tab))
        self._due.add(tab)
        self._start_due()
        self.changed.emit(tab)

    def forget(self, tab: SlideTab) -> None:
        """Count a slide no longer."""
        self._counts.pop(tab, None)
        self._due.discard(tab)
        job = self._jobs.pop(tab, None)
        if job is not None:
            job.cancel()

    # -- inside -----------------------------------------------------------------------------------

    def _count_later(self, tab: SlideTab) -> None:
        self._due.add(tab)
        self._later.start()
        self.changed.emit(tab)

    def _start_due(self) -> None:
        # One at a time of a slide: on a slow disk those of every plane on the way would pile up.
        for tab in self._due - self._jobs.keys():
            self._start(tab)

    def _start(self, tab: SlideTab) -> None:
        source, raw, plane = tab.source, self._raw, tab.planes.plane

        def done(counts: tuple[Histogram, ...]) -> None:
            end()
            self._counts[tab] = counts
            self.changed.emit(tab)

        def fail(error: BaseException) -> None:
            end()
            self._counts.pop(tab, None)
            self.changed.emit(tab)
            self.failed.emit(tab, error)

        def end() -> None:
            del self._jobs[tab]
            if not self._later.isActive():
                self._start_due()

        self._due.discard(tab)
        self._jobs[tab] = self._work.start(
            "histogram",
            lambda _token, _report: histograms(sample_of(source, raw, plane)),
            done,
            fail,
        )
