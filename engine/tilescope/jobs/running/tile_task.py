"""Runs whose result is a judgement of every tile as a whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.errors import UsageError
from tilescope.exchange.classmap_pyramid import MapPlace
from tilescope.exchange.classmap_table import ClassArea, ScoredTile
from tilescope.inference.pipeline import Arrays
from tilescope.inference.planner import Block
from tilescope.jobs.request import THRESHOLD_PARAMETER, RunProgress
from tilescope.jobs.running.events import Found, MapArea
from tilescope.jobs.running.map_stream import LookedOn
from tilescope.jobs.running.map_values import MapValues
from tilescope.jobs.running.outputs import RectL0
from tilescope.jobs.running.project_results import ProjectResults
from tilescope.jobs.running.result_files import write_files
from tilescope.jobs.running.task_context import TaskContext
from tilescope.jobs.running.tile_outputs import TileFrame, tile_files
from tilescope.plugins.api import TileScores
from tilescope.store.map_ledger import MapLedger, Part


class TileTask:
    """Classifies tiles that lie side by side."""

    def __init__(self, context: TaskContext, ledger: MapLedger, formats: tuple[str, ...]) -> None:
        self._context = context
        self._ledger = ledger
        self._formats = formats
        threshold = context.prepared.settings.parameters[THRESHOLD_PARAMETER]
        self._values = MapValues(len(context.spec.classes), threshold)
        self._looked_on = LookedOn(context.request, self._place)
        self._outputs: dict[str, Path] = {}

    @property
    def outputs(self) -> dict[str, Path]:
        """Written files by format."""
        return self._outputs

    def decode(self, block: Block, outputs: Arrays) -> NDArray[np.float32]:
        """Return the probability of every class, ``float32[classes]``."""
        count = self._values.classes
        return self._context.decoded(
            outputs,
            TileScores,
            lambda value: self._values.checked(value.probabilities).reshape(count),
        )

    def store(self, block: Block, value: NDArray[np.float32]) -> Found:
        """Put a tile into the ledger."""
        data = value.astype("<f4").tobytes()
        self._ledger.finish_part(block.index, Part(data, np.zeros(0, np.int64)))
        area = self._area(block.index, value)
        row, column = divmod(block.index, self._context.plan.columns)
        self._looked_on.add(Rect(column, row, column + 1, row + 1), area.values)
        return Found(areas=self._looked_on.told((area,)))

    def _area(self, index: int, probabilities: NDArray[np.float32]) -> MapArea:
        values = self._values.of(probabilities[:, None, None])
        return MapArea(self._rect_l0(index), values, probabilities)

    def _rect_l0(self, index: int) -> tuple[float, float, float, float]:
        """Return what a tile covers of the region."""
        x0, y0, x1, y1 = self._context.rect_l0(self._context.plan.blocks[index].core)
        region = self._context.prepared.settings.region_l0
        return max(x0, region.x0), max(y0, region.y0), min(x1, region.x1), min(y1, region.y1)

    def begin(self) -> Iterator[Found]:
        """Yield the tiles of an interrupted run."""
        scores = self._scores()
        before = np.where(np.isnan(scores[0]), 0, self._values.of(np.nan_to_num(scores)))
        self._looked_on.add(Rect(0, 0, before.shape[1], before.shape[0]), before)
        for index, probabilities in self._scored():
            yield Found(areas=self._looked_on.told((self._area(index, probabilities),)))

    def lacking(self, known: Collection[int]) -> set[int]:
        """Return nothing: every block that the areas need came near them."""
        return set()

    def settle(self) -> Iterator[Found]:
        """Yield what was not told of yet: tiles do not depend on each other."""
        yield Found(areas=self._looked_on.rest())

    def _scored(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for index in self._ledger.parts():
            data = self._ledger.part(index)
            if data is not None:
                yield index, np.frombuffer(data, "<f4")

    def tiles(self) -> Iterator[ScoredTile]:
        """Yield every tile that was looked at, row by row."""
        for index, probabilities in self._scored():
            number = int(self._values.shown(self._values.of(probabilities[:, None, None]))[0, 0])
            yield ScoredTile(self._rect_l0(index), number - 1 if number else None, probabilities)

    def write(self) -> Iterator[RunProgress]:
        """Write the files that were asked for."""
        frame = TileFrame(self._context, self.tiles, self._scores(), self._place(), self._values)
        files, folder = tile_files(frame, self.areas()), self._context.request.folder
        yield from write_files(files, folder, self._formats, self._context.token, self._outputs)
        if "ome-zarr" in self._outputs:
            self._looked_on.remove()

    def _scores(self) -> NDArray[np.float32]:
        """Return ``float32[classes, rows, columns]``, not a number for skipped tiles."""
        plan = self._context.plan
        shape = (self._values.classes, len(plan.blocks) // plan.columns, plan.columns)
        scores = np.full(shape, np.nan, np.float32)
        for index, probabilities in self._scored():
            scores[:, *divmod(index, plan.columns)] = probabilities
        return scores

    def _place(self) -> MapPlace:
        plan = self._context.plan
        outer, factor = plan.blocks[0].outer, plan.grid.factor
        rows = len(plan.blocks) // plan.columns
        return MapPlace(
            Size(plan.columns, rows),
            (outer.width * factor, outer.height * factor),
            (plan.region.x0 * factor, plan.region.y0 * factor),
            self._context.prepared.settings.pixel_size,
            self._context.opened.source.info.size,
            self._context.request.plane,
        )

    def areas(self) -> list[ClassArea]:
        """Return the area of every class."""
        areas = np.zeros(self._values.classes + 1)
        for tile in self.tiles():
            areas[0 if tile.class_index is None else tile.class_index + 1] += tile.area_px
        return self._context.class_areas(areas[1:])

    def summary(self) -> dict[str, Any]:
        """Return the areas for the report."""
        return {"areas": [asdict(area) for area in self.areas()]}

    def deliver(self, results: ProjectResults, failed_l0: tuple[RectL0, ...]) -> None:
        """Refuse: a project holds objects."""
        raise UsageError(f"{results.project} takes objects, and classified tiles are none")
