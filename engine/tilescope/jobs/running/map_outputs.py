"""The files of a class map, streamed from its ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from tilescope.jobs.request import RunProgress
from tilescope.jobs.running.map_grid import MapGrid, window
from tilescope.jobs.running.map_values import MapValues
from tilescope.jobs.running.outputs import OVERVIEW_PX
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


def write_map_outputs(
    frame: MapFrame,
    formats: Sequence[str],
    areas: Sequence[ClassArea],
    written: dict[str, Path],
) -> Iterator[RunProgress]:
    """Write the chosen files, yielding before each; ``written`` gets them by format.

    Raises
    ------
    OutputError
        When the folder cannot take them.
    Cancelled
        When the token is set between two files.
    """
    folder, context = frame.context.request.folder, frame.context
    if "ome-zarr" in formats:
        path = folder / "labels.ome.zarr"
        context.token.raise_if_cancelled()
        yield RunProgress(path.name)
        _labels(frame, path)
        written["ome-zarr"] = path
        if frame.values.is_heat:
            heat = folder / "heatmap.ome.zarr"
            context.token.raise_if_cancelled()
            yield RunProgress(heat.name)
            place = frame.grid.place(context)
            write_heat_map(heat, frame.read, place=place, class_name=context.spec.classes[0])
            written["heatmap"] = heat
    if "csv" in formats:
        path = folder / "areas.csv"
        yield RunProgress(path.name)
        write_areas(path, areas, image=frame.image_name)
        written["csv"] = path
    if "overview" in formats:
        path = folder / "overview.png"
        context.token.raise_if_cancelled()
        yield RunProgress(path.name)
        _overview(frame, path)
        written["overview"] = path


def _labels(frame: MapFrame, path: Path) -> None:
    slide = Path(frame.context.opened.source.info.path).resolve()
    write_class_map(
        path,
        frame.read_classes,
        place=frame.grid.place(frame.context),
        class_names=frame.context.spec.classes,
        source=os.path.relpath(slide, path.resolve()),
    )


def _overview(frame: MapFrame, path: Path) -> None:
    opened = frame.context.opened
    picture, factor = overview_picture(opened.source, opened.cache, OVERVIEW_PX)
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
