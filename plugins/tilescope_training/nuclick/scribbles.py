"""Scribbles as people draw them over an object: short, long, branching, incomplete.

A line follows a cheapest way through the object, where the way near the border is dearer by chance:
some people keep to the middle, others do not. It is then smoothed, and shaken as a hand shakes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter1d
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

Style = Literal["long", "short", "branching", "incomplete"]
STYLES: tuple[Style, ...] = ("long", "short", "branching", "incomplete")
STYLE_SHARES = (0.3, 0.25, 0.2, 0.25)

GRID_CELLS = 40
"""Ways are looked for on a grid of at most so many cells a side."""

MOST_POINTS = 24
SHAKE = 0.015
"""How far a hand strays, in object diameters."""


@dataclass(frozen=True, slots=True)
class Ways:
    """The cells of an object and what it costs to go from one to the next.

    Attributes
    ----------
    places
        ``float64[n, 2]``, x and y of the cells' middles in pixels of the mask.
    costs
        Sparse, of the eight neighbours.
    """

    places: Points
    costs: coo_array

    @classmethod
    def through(cls, mask: NDArray[np.bool_], random: Generator) -> Ways:
        """Return the ways through a mask that is not empty."""
        step = -(-max(mask.shape) // GRID_CELLS)
        offset = step // 2
        coarse = mask[offset::step, offset::step]
        if not coarse.any():
            step, offset, coarse = 1, 0, mask
        rows, columns = np.nonzero(coarse)
        places = np.stack([columns, rows], axis=1) * float(step) + offset + 0.5
        depth = distance_transform_edt(np.pad(coarse, 1))[1:-1, 1:-1]
        price = np.maximum(depth, 1.0) ** -random.uniform(0.0, 2.0)
        numbers = np.full(coarse.shape, -1)
        numbers[coarse] = np.arange(rows.size)
        return cls(places, _neighbour_costs(numbers, price))

    def from_one(self, start: int) -> tuple[Points, NDArray[np.int32]]:
        """Return the cost of every cell from ``start``, and the cell before it; negative: none."""
        costs, before = dijkstra(self.costs, False, start, return_predecessors=True)
        return costs, before

    def farthest(self, start: int) -> int:
        """Return the dearest cell that can be reached from ``start``."""
        costs, _ = self.from_one(start)
        return int(np.where(np.isfinite(costs), costs, -1.0).argmax())


def _neighbour_costs(numbers: NDArray[np.intp], price: NDArray[np.float64]) -> coo_array:
    count = int(numbers.max()) + 1
    ends, values = [], []
    height, width = numbers.shape
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = np.s_[: height - down, max(0, -right) : width - max(0, right)]
        there = np.s_[down:, max(0, right) : width - max(0, -right)]
        both = (numbers[here] >= 0) & (numbers[there] >= 0)
        ends.append(np.stack([numbers[here][both], numbers[there][both]]))
        values.append((price[here] + price[there])[both] / 2.0 * np.hypot(down, right))
    pairs = np.concatenate(ends, axis=1)
    return coo_array((np.concatenate(values), (pairs[0], pairs[1])), shape=(count, count))


def draw_scribble(
    mask: NDArray[np.bool_], random: Generator, style: Style | None = None
) -> tuple[Points, ...]:
    """Return the strokes of one scribble, ``float64[k, 2]`` each, x and y in pixels of the mask.

    Parameters
    ----------
    mask
        The object, ``bool[h, w]``, not empty.
    style
        How it is drawn; None leaves it to chance.
    """
    style = style or STYLES[int(random.choice(len(STYLES), p=STYLE_SHARES))]
    ways = Ways.through(mask, random)
    end = ways.farthest(int(random.integers(len(ways.places))))
    line = _walk(ways.from_one(end)[1], ways.farthest(end))
    shares = {"long": (0.75, 1.0), "short": (0.1, 0.3), "branching": (0.6, 1.0)}
    line = _piece(line, random.uniform(*shares.get(style, (0.3, 0.6))), random)
    lines = [line]
    if style == "branching":
        _, before = ways.from_one(int(random.choice(line)))
        tips = random.integers(len(ways.places), size=int(random.integers(1, 3)))
        lines += [_walk(before, int(tip)) for tip in tips if before[tip] >= 0]
    shake = SHAKE * float(np.sqrt(mask.sum()))
    return tuple(_drawn(ways.places[cells], shake, random) for cells in lines)


def _walk(before: NDArray[np.int32], end: int) -> NDArray[np.intp]:
    cells = [end]
    while before[cells[-1]] >= 0:
        cells.append(int(before[cells[-1]]))
    return np.array(cells)


def _piece(line: NDArray[np.intp], share: float, random: Generator) -> NDArray[np.intp]:
    count = max(1, round(share * line.size))
    first = int(random.integers(line.size - count + 1))
    return line[first : first + count]


def _drawn(points: Points, shake: float, random: Generator) -> Points:
    """Return the line as a hand draws it: smooth, a little off, of few points."""
    smooth = gaussian_filter1d(points, 1.2, axis=0, mode="nearest")
    strayed = gaussian_filter1d(random.normal(0.0, 2.0, points.shape), 2.0, axis=0, mode="nearest")
    line = smooth + shake * strayed
    kept = np.unique(np.linspace(0, len(line) - 1, MOST_POINTS).round().astype(np.intp))
    return np.asarray(line[kept], np.float64)
