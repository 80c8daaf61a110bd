"""The map of a run as a Zarr that grows, for whoever looks on.

The files of a run are written at its end, whole. Whoever wants to see the map before says so in the
request; then it lies in the run's folder meanwhile, and a rectangle is told of after it was
written, some together. It is made anew by a run that goes on, and goes when the files are there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from typing import Any

from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.errors import OutputError
from tilescope.exchange.classmap_pyramid import MapPlace
from tilescope.exchange.classmap_stream import MapStream
from tilescope.jobs.request import RunRequest
from tilescope.jobs.running.events import MapArea

#: In the folder of the run.
STREAM_NAME = "map.partial.ome.zarr"
#: Rectangles that come faster are written, and told of, together.
_EVERY_S = 0.15


class LookedOn:
    """The growing map of one run; where nobody asked for it, rectangles are told of as they come.

    What keeps it from being written does not end the run: the map is safe in the ledger.

    Parameters
    ----------
    place
        Tells where the map lies; asked when there is something to be written.
    """

    def __init__(self, request: RunRequest, place: Callable[[], MapPlace]) -> None:
        self._path = request.folder / STREAM_NAME
        self._class_names = request.model.spec.classes
        self._place = place
        self._is_wanted = request.streams_map
        self._stream: MapStream | None = None
        self._untold: list[MapArea] = []
        self._wrote_at = -_EVERY_S

    def add(self, rect: Rect, values: NDArray[Any]) -> None:
        """Take a rectangle, counted from the map's own corner."""
        if not self._is_wanted:
            return
        try:
            if self._stream is None:
                self._stream = MapStream(
                    self._path, place=self._place(), class_names=self._class_names
                )
            self._stream.add(rect, values)
        except OutputError:
            self._give_up()

    def told(self, areas: Iterable[MapArea]) -> tuple[MapArea, ...]:
        """Return which areas can be told of now: these, too, or none as yet."""
        self._untold += areas
        if self._is_wanted and time.monotonic() - self._wrote_at < _EVERY_S:
            return ()
        return self.rest()

    def rest(self) -> tuple[MapArea, ...]:
        """Write what is left, and return what was not told of."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except OutputError:
                self._give_up()
            self._wrote_at = time.monotonic()
        areas, self._untold = tuple(self._untold), []
        return areas

    def remove(self) -> None:
        """Remove it: the files of the run show the same, and more."""
        self._stream = None
        shutil.rmtree(self._path, ignore_errors=True)

    def _give_up(self) -> None:
        self._is_wanted, self._stream = False, None
