"""Runs whose result is a class map: what every pixel is, and how much there is of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.errors import InferenceFailed, UsageError
from tilescope.exchange.classmap_table import ClassArea
from tilescope.inference.pipeline import Arrays
from tilescope.inference.planner import Block
from tilescope.jobs.request import THRESHOLD_PARAMETER, RunProgress
from tilescope.jobs.running.events import Found, MapArea
from tilescope.jobs.running.map_blend import MapBlend
from tilescope.jobs.running.map_grid import MapGrid, aligned, window
from tilescope.jobs.running.map_outputs import MapFrame, map_files
from tilescope.jobs.running.map_stream import LookedOn
from tilescope.jobs.running.map_values import MapValues
from tilescope.jobs.running.outputs import RectL0
from tilescope.jobs.running.project_results import ProjectResults
from tilescope.jobs.running.result_files import write_files
from tilescope.jobs.running.task_context import TaskContext
from tilescope.ops.area_cells import Lattice, centres_inside
from tilescope.plugins.api import ClassMap
from tilescope.store.map_ledger import MapLedger

_STRIDE_NOTE = "map stride"


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one block says: probabilities ``float32[classes, h, w]`` over ``rect`` of the map."""

    stride: int
    rect: Rect
    probabilities: NDArray[np.float32]


class MapTask:
    """Makes a class map block by block, blended where the network's halo is not exact."""

    def __init__(self, context: TaskContext, ledger: MapLedger, formats: tuple[str, ...]) -> None:
        self._context = context
        self._ledger = ledger
        self._formats = formats
        settings = context.prepared.settings
        threshold = settings.parameters[THRESHOLD_PARAMETER]
        self._values = MapValues(len(context.spec.classes), threshold)
        stride = ledger.note(_STRIDE_NOTE)
        self._grid = MapGrid.over(context, stride or 1)
        self._is_known = stride is not None
        self._blend: MapBlend | None = None
        self._looked_on = LookedOn(context.request, lambda: self._grid.place(context))
        self._outputs: dict[str, Path] = {}

    @property
    def outputs(self) -> dict[str, Path]:
        """Written files by format."""
        return self._outputs

    def decode(self, block: Block, outputs: Arrays) -> Seen:
        """Return the probabilities over the part of a block that goes into the map."""
        context, cut = self._context, self._context.prepared.cut
        step, canvas = context.plan.grid.multiple_of, context.plan.grid.canvas
        reach_px = cut.blend_px + context.plan.margins.decode_px
        wanted = block.core.expanded(reach_px).intersect(canvas)
        assert wanted is not None
        part = aligned(wanted, block, step)
        arrays = context.cut(block, outputs, part)
        found = context.decoded(arrays, ClassMap, self._probabilities)
        grid = self._grid_for(_stride_of(found, part))
        frame = grid.map_rect(part)
        rect = grid.reach(block.index) if cut.blend_px else grid.core(block.index)
        kept = frame if rect is None else rect
        return Seen(grid.stride, kept, np.ascontiguousarray(window(found, frame, kept)))

    def _probabilities(self, found: ClassMap) -> NDArray[np.float32]:
        values = self._values.checked(found.probabilities)
        if values.ndim != 3:
            msg = f"probabilities of the shape {values.shape}, not [classes, height, width]"
            raise ValueError(msg)
        return values

    def _grid_for(self, stride: int) -> MapGrid:
        if self._is_known and stride != self._grid.stride:
            raise InferenceFailed(
                f"its class map is {stride} times coarser than the input here and "
                f"{self._grid.stride} times elsewhere"
            )
        if stride == self._grid.stride:
            return self._grid
        return MapGrid.over(self._context, stride)

    def _know(self, stride: int) -> None:
        if not self._is_known:
            self._ledger.remember(_STRIDE_NOTE, stride)
            self._grid, self._is_known = MapGrid.over(self._context, stride), True

    def store(self, block: Block, value: Seen) -> Found:
        """Put a block into the ledger; without blending its core is final."""
        self._know(value.stride)
        if self._context.prepared.cut.blend_px:
            if self._blend is None:
                self._blend = self._blending()
            maps = self._blend.add(block.index, self._values.raw(value.probabilities))
            return self._found((index, maps[index]) for index in sorted(maps))
        if self._grid.core(block.index) is None:
            self._ledger.finish_parts(block.index, None, {}, ())
            return Found()
        values = self._finished(value.probabilities, value.rect)
        self._ledger.finish_part(block.index, self._values.part(values))
        return self._found([(block.index, values)])

    def _blending(self) -> MapBlend:
        plan, prepared = self._context.plan, self._context.prepared
        left_out = {block.index for block in plan.blocks if not prepared.is_within(block)}
        return MapBlend(self._grid, self._values, self._ledger, self._finished, left_out)

    def _finished(self, probabilities: NDArray[np.float32], rect: Rect) -> NDArray[Any]:
        """Return the map of a rectangle: background where no tissue is, and outside the areas.

        Blocks without any tissue or area are left out, and which these are depends on their size;
        the map must not.
        """
        values = self._values.of(probabilities)
        prepared, factor = self._context.prepared, self._grid.factor
        areas = prepared.settings.areas
        if areas is not None:
            x0, y0 = rect.x0 * factor, rect.y0 * factor
            pixels = Lattice(x0, y0, factor, factor, rect.width, rect.height)
            values[~centres_inside(areas, pixels)] = 0
        if prepared.spares_background:
            x = factor * (np.arange(rect.x0, rect.x1, dtype=np.float64) + 0.5)
            y = factor * (np.arange(rect.y0, rect.y1, dtype=np.float64) + 0.5)
            values[~prepared.survey.mask_at(x, y)] = 0
        return values

    def _found(self, parts: Iterable[tuple[int, NDArray[Any]]]) -> Found:
        """Return what is told of parts; whoever looks on finds it written then."""
        whole, areas = self._grid.rect, []
        for index, values in parts:
            core = self._grid.core(index)
            assert core is not None
            self._looked_on.add(core.translated(-whole.x0, -whole.y0), values)
            areas.append(MapArea(self._grid.rect_l0(core), values))
        return Found(areas=self._looked_on.told(areas))

    def begin(self) -> Iterator[Found]:
        """Yield the parts that an interrupted run had made final."""
        self._ledger.drop_provisional()
        for index in self._ledger.parts():
            core, data = self._grid.core(index), self._ledger.part(index)
            if core is not None and data is not None:
                yield self._found([(index, self._values.unpacked(data, core))])

    def lacking(self, known: Collection[int]) -> set[int]:
        """Return nothing: every block that the areas need came near them."""
        return set()

    def settle(self) -> Iterator[Found]:
        """Make the best of cores whose neighbours failed; the next run makes them anew."""
        if self._context.prepared.cut.blend_px and self._is_known:
            blend = self._blend or self._blending()
            blend.add_incomplete()
        yield Found(areas=self._looked_on.rest())

    def write(self) -> Iterator[RunProgress]:
        """Write the files that were asked for."""
        frame = MapFrame(self._context, self._ledger, self._grid, self._values)
        files, folder = map_files(frame, self.areas()), self._context.request.folder
        yield from write_files(files, folder, self._formats, self._context.token, self._outputs)
        if "ome-zarr" in self._outputs:
            self._looked_on.remove()

    def areas(self) -> list[ClassArea]:
        """Return the area of every class found so far."""
        counts = self._ledger.total_counts(self._values.classes + 1)
        areas = counts.astype(np.float64) * self._grid.factor**2
        return self._context.class_areas(areas[1:])

    def summary(self) -> dict[str, Any]:
        """Return the areas for the report."""
        return {"areas": [asdict(area) for area in self.areas()]}

    def deliver(self, results: ProjectResults, failed_l0: tuple[RectL0, ...]) -> None:
        """Refuse: a project holds objects."""
        raise UsageError(f"{results.project} takes objects, and a class map has none")


def _stride_of(found: NDArray[np.float32], part: Rect) -> int:
    height, width = found.shape[1:]
    stride = part.width // width if width else 0
    if not stride or (width * stride, height * stride) != (part.width, part.height):
        raise InferenceFailed(
            f"a class map of {width} x {height} pixels for {part.width} x {part.height} pixels of "
            "input: it has to be as large or smaller by a whole number"
        )
    return stride
