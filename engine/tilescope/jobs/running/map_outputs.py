"""The files of a class map, streamed from its ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.exchange.classmap import write_class_map
from tilescope.exchange.classmap_picture import draw_classes, draw_heat
from tilescope.exchange.classmap_table import ClassArea, write_areas
from tilescope.exchange.heat import write_heat_map
from tilescope.exchange.overview import write_png
from tilescope.jobs.running.map_grid import MapGrid, window
from tilescope.jobs.running.map_values import MapValues
from tilescope.jobs.running.outputs import OVERVIEW_PX
from tilescope.jobs.running.result_files import ResultFile
from tilescope.jobs.running.task_context import TaskContext
from tilescope.jobs.whole_picture import overview_picture
from tilescope.store.map_ledger import MapLedger


@dataclass(frozen=True, slots=True)
class MapFrame:
    """Everything the files need of a run."""

    context: TaskContext
    ledger: MapLedger
    grid: MapGrid
    values: MapValues

    @property
    def image_name(self) -> str:
        """The slide's file name."""
        return Path(self.context.opened.source.info.path).name

    def parts(self) -> Iterator[tuple[Rect, NDArray[Any]]]:
        """Yield every part and the pixels of the map that it covers."""
        for index in self.ledger.parts():
            part = self._part(index)
            if part is not None:
                yield part

    def _part(self, index: int) -> tuple[Rect, NDArray[Any]] | None:
        core, data = self.grid.core(index), self.ledger.part(index)
        if core is None or data is None:
            return None
        return core, self.values.unpacked(data, core)

    def read(self, rect: Rect) -> NDArray[Any] | None:
        """Return a rectangle of the map, counted from its own corner; None where it is empty."""
        wanted = rect.translated(self.grid.rect.x0, self.grid.rect.y0)
        out: NDArray[Any] | None = None
        for index in self.grid.blocks_in(wanted):
            part = self._part(index)
            common = None if part is None else part[0].intersect(wanted)
            if part is None or common is None:
                continue
            if out is None:
                out = np.zeros((wanted.height, wanted.width), self.values.dtype)
            window(out, wanted, common)[...] = window(part[1], part[0], common)
        return out

    def read_classes(self, rect: Rect) -> NDArray[Any] | None:
        """Return the numbers of the classes in a rectangle of the map."""
        values = self.read(rect)
        return None if values is None else self.values.shown(values)


def map_files(frame: MapFrame, areas: Sequence[ClassArea]) -> Iterator[ResultFile]:
    """Yield the files that a class map can be written to."""
    yield ResultFile("ome-zarr", "ome-zarr", "labels.ome.zarr", partial(_labels, frame))
    if frame.values.is_heat:
        yield ResultFile("heatmap", "ome-zarr", "heatmap.ome.zarr", partial(_heat, frame))
    yield ResultFile(
        "csv", "csv", "areas.csv", lambda path: write_areas(path, areas, image=frame.image_name)
    )
    yield ResultFile("overview", "overview", "overview.png", partial(_overview, frame))


def _labels(frame: MapFrame, path: Path) -> None:
    slide = Path(frame.context.opened.source.info.path).resolve()
    write_class_map(
        path,
        frame.read_classes,
        place=frame.grid.place(frame.context),
        class_names=frame.context.spec.classes,
        source=os.path.relpath(slide, path.resolve()),
    )


def _heat(frame: MapFrame, path: Path) -> None:
    place, name = frame.grid.place(frame.context), frame.context.spec.classes[0]
    write_heat_map(path, frame.read, place=place, class_name=name)


def _overview(frame: MapFrame, path: Path) -> None:
    opened = frame.context.opened
    plane = frame.context.plane
    picture, factor = overview_picture(opened.source, opened.cache, OVERVIEW_PX, plane)
    values = _sampled(frame, picture.shape[:2], factor)
    if frame.values.is_heat:
        write_png(path, draw_heat(picture, values))
    else:
        write_png(path, draw_classes(picture, values, frame.values.classes))


def _sampled(frame: MapFrame, shape: Sequence[int], factor: float) -> NDArray[Any]:
    """Return the map at the centres of a picture's pixels, ``factor`` level-0 pixels each."""
    rows, columns = (
        np.floor((np.arange(length) + 0.5) * factor / frame.grid.factor).astype(np.int64)
        for length in shape
    )
    sampled = np.zeros(tuple(shape), frame.values.dtype)
    for rect, values in frame.parts():
        y0, y1 = np.searchsorted(rows, [rect.y0, rect.y1])
        x0, x1 = np.searchsorted(columns, [rect.x0, rect.x1])
        sampled[y0:y1, x0:x1] = values[np.ix_(rows[y0:y1] - rect.y0, columns[x0:x1] - rect.x0)]
    return sampled
