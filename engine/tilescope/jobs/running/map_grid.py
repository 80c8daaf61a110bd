"""The grid of a class map: the working grid, or a coarser one when the network's output is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.exchange.classmap_pyramid import MapPlace
from tilescope.inference.planner import Block, Plan
from tilescope.jobs.running.task_context import TaskContext

V = TypeVar("V", bound=np.generic)


@dataclass(frozen=True, slots=True)
class MapGrid:
    """How blocks lie on a map.

    Pixel ``i`` of the map covers working pixels ``[i * stride, (i + 1) * stride)``.

    Attributes
    ----------
    plan
        The blocks.
    blend_px
        Working pixels beyond its core on which a block is blended with its neighbours.
    stride
        Working pixels per pixel of the map.
    rect
        The pixels of the map that the run is about.
    """

    plan: Plan
    blend_px: int
    stride: int
    rect: Rect

    @classmethod
    def over(cls, context: TaskContext, stride: int) -> MapGrid:
        """Return the grid over what was asked for."""
        covered = context.plan.grid.rect_of(context.prepared.settings.covered_l0)
        return cls(context.plan, context.prepared.cut.blend_px, stride, _coarser(covered, stride))

    @property
    def factor(self) -> float:
        """Level-0 pixels per pixel of the map."""
        return self.plan.grid.factor * self.stride

    def place(self, context: TaskContext) -> MapPlace:
        """Return where the map lies on the slide."""
        factor, rect = self.factor, self.rect
        return MapPlace(
            Size(rect.width, rect.height),
            (factor, factor),
            (rect.x0 * factor, rect.y0 * factor),
            context.prepared.settings.pixel_size,
            context.opened.source.info.size,
            context.request.plane,
        )

    def map_rect(self, rect: Rect) -> Rect:
        """Return the pixels of the map that working pixels touch."""
        return _coarser(rect, self.stride)

    def core(self, index: int) -> Rect | None:
        """Return the pixels of the map that a block gives, None when it lies beyond the region."""
        return _coarser(self.plan.blocks[index].core, self.stride).intersect(self.rect)

    def reach(self, index: int) -> Rect:
        """Return the pixels of the map on which a block is blended with its neighbours."""
        block = self.plan.blocks[index]
        wide = block.core.expanded(self.blend_px).intersect(self.plan.grid.canvas)
        assert wide is not None
        seen = aligned(wide, block, self.plan.grid.multiple_of)
        return _coarser(seen, self.stride)

    def neighbours(self, index: int) -> list[int]:
        """Return a block and those around it, ascending."""
        columns, count = self.plan.columns, len(self.plan.blocks)
        row, column = divmod(index, columns)
        return [
            r * columns + c
            for r in range(max(0, row - 1), min(row + 2, count // columns))
            for c in range(max(0, column - 1), min(column + 2, columns))
        ]

    def blocks_in(self, rect: Rect) -> Iterator[int]:
        """Yield the blocks whose cores meet a rectangle of the map, ascending."""
        first, region = self.plan.blocks[0].core, self.plan.region
        rows = range(
            max(0, (rect.y0 * self.stride - region.y0) // first.height),
            min(
                len(self.plan.blocks) // self.plan.columns,
                -(-(rect.y1 * self.stride - region.y0) // first.height),
            ),
        )
        columns = range(
            max(0, (rect.x0 * self.stride - region.x0) // first.width),
            min(self.plan.columns, -(-(rect.x1 * self.stride - region.x0) // first.width)),
        )
        for row in rows:
            for column in columns:
                yield row * self.plan.columns + column

    def rect_l0(self, rect: Rect) -> tuple[float, float, float, float]:
        """Return pixels of the map in level-0 pixels."""
        f = self.factor
        return rect.x0 * f, rect.y0 * f, rect.x1 * f, rect.y1 * f


def _coarser(rect: Rect, stride: int) -> Rect:
    return Rect(rect.x0 // stride, rect.y0 // stride, -(-rect.x1 // stride), -(-rect.y1 // stride))


def aligned(rect: Rect, block: Block, step: int) -> Rect:
    """Return working pixels grown to multiples of ``step``, as far as the block sees."""
    grown = Rect(
        rect.x0 // step * step,
        rect.y0 // step * step,
        -(-rect.x1 // step) * step,
        -(-rect.y1 // step) * step,
    ).intersect(block.outer)
    assert grown is not None
    return grown


def window(array: NDArray[V], frame: Rect, part: Rect) -> NDArray[V]:
    """Return ``part`` of an array ``[..., h, w]`` that covers ``frame``."""
    return array[
        ..., part.y0 - frame.y0 : part.y1 - frame.y0, part.x0 - frame.x0 : part.x1 - frame.x0
    ]
