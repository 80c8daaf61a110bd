"""What a task works with, and the plugin call that every task makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.manifest import ModelSpec
from tilescope.exchange.classmap_table import ClassArea, class_areas
from tilescope.inference.cutting import Arrays, cut_outputs
from tilescope.inference.planner import Block, Plan
from tilescope.jobs.request import RunRequest
from tilescope.jobs.running.preparation import Opened, Prepared
from tilescope.plugins.api import TileResult
from tilescope.runtime.cancel import CancellationToken

R = TypeVar("R", bound=TileResult)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class TaskContext:
    """A prepared run, without its ledger."""

    request: RunRequest
    opened: Opened
    prepared: Prepared
    token: CancellationToken

    @property
    def spec(self) -> ModelSpec:
        """The model."""
        return self.request.model.spec

    @property
    def plane(self) -> int:
        """The index of the plane that is looked at."""
        return self.opened.source.info.plane_index(*self.request.plane)

    @property
    def plan(self) -> Plan:
        """The blocks."""
        return self.prepared.plan

    def rect_l0(self, rect: Rect) -> tuple[float, float, float, float]:
        """Return working pixels in level-0 pixels."""
        f = self.plan.grid.factor
        return rect.x0 * f, rect.y0 * f, rect.x1 * f, rect.y1 * f

    def class_areas(self, areas_px: NDArray[np.float64]) -> list[ClassArea]:
        """Return the area of every class of the model, given in square level-0 pixels."""
        return class_areas(self.spec.classes, areas_px, self.prepared.settings.pixel_size)

    def cut(self, block: Block, outputs: Arrays, part: Rect) -> Arrays:
        """Return the graph's outputs over a part of a block, in working pixels."""
        reaches = self.opened.network.halo.outputs
        return cut_outputs(outputs, self.spec.outputs, reaches, block.outer, part)

    def decoded(self, outputs: Arrays, kind: type[R], use: Callable[[R], V]) -> V:
        """Return what ``use`` makes of what the adapter says of a graph's outputs.

        Raises
        ------
        PluginBroken
            When the adapter raises, gives another kind of result, or one that ``use`` refuses.
        """
        with self.request.model.calling("decode"):
            found = self.opened.adapter.decode(outputs, self.prepared.settings.parameters)
            if not isinstance(found, kind):
                msg = f"{type(found).__name__} instead of {kind.__name__}"
                raise TypeError(msg)
            return use(found)
