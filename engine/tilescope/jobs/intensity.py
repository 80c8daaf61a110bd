"""Pixel values inside objects, block by block, with one block of the slide in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.results import Detections
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.source import SlideSource
from tilescope.ops import raster
from tilescope.runtime.cancel import CancellationToken

#: Side of a block, pixels of the level.
BLOCK = 1024


@dataclass(slots=True, eq=False)
class Intensities:
    """What is known of the pixels inside ``n`` objects, band by band.

    Attributes
    ----------
    counts
        ``int64[n]``: pixels whose centre lies in the object.
    means, squares, lows, highs
        ``float64[bands, n]``: mean, sum of squared distances from it, least and largest value;
        of no meaning where there are no pixels.
    """

    counts: NDArray[np.int64]
    means: NDArray[np.float64]
    squares: NDArray[np.float64]
    lows: NDArray[np.float64]
    highs: NDArray[np.float64]

    @classmethod
    def none(cls, n: int, bands: int) -> Intensities:
        """Return no pixels for ``n`` objects."""
        shape = (bands, n)
        return cls(
            np.zeros(n, np.int64),
            np.zeros(shape),
            np.zeros(shape),
            np.full(shape, np.inf),
            np.full(shape, -np.inf),
        )

    def add(self, owners: NDArray[np.int64], pixels: NDArray[Any]) -> None:
        """Take pixels into account.

        Means and squares of parts are joined (Chan, Golub, LeVeque 1979), so that values far from
        zero lose no digits.

        Parameters
        ----------
        owners
            ``int64[m]``: the object that each pixel lies in.
        pixels
            ``[m, bands]``, finite.
        """
        if not len(owners):
            return
        # Small numbers are sorted in linear time.
        small = owners.astype(np.uint16) if len(self.counts) < 1 << 16 else owners
        order = np.argsort(small, kind="stable")
        owners, pixels = owners[order], pixels[order]
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        who, sizes = owners[starts], np.diff(starts, append=len(owners))
        before, total = self.counts[who], self.counts[who] + sizes
        for band in range(len(self.means)):
            values = pixels[:, band].astype(np.float64)
            means = np.add.reduceat(values, starts) / sizes
            spread = np.add.reduceat((values - np.repeat(means, sizes)) ** 2, starts)
            apart = means - self.means[band, who]
            self.squares[band, who] += spread + apart**2 * before * sizes / total
            self.means[band, who] += apart * sizes / total
            low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
            self.lows[band, who] = np.minimum(self.lows[band, who], low)
            self.highs[band, who] = np.maximum(self.highs[band, who], high)
        self.counts[who] = total

    def named(self, bands: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Return the columns by the names that QuPath gives them, NaN without pixels.

        The standard deviation is that of the pixels themselves, all of which are known.
        """
        empty = self.counts == 0
        columns: dict[str, NDArray[np.float64]] = {}
        for i, band in enumerate(bands):
            deviation = np.sqrt(self.squares[i] / np.maximum(self.counts, 1))
            for name, column in (
                ("Mean", self.means[i]),
                ("Std.Dev.", deviation),
                ("Min", self.lows[i]),
                ("Max", self.highs[i]),
            ):
                columns[f"{band}: {name}"] = np.where(empty, np.nan, column)
        return columns


class Probe:
    """Measures objects on one level and plane of an open slide.

    Parameters
    ----------
    source, cache
        The slide and where its tiles are kept.
    level
        Index of the level.
    token
        Asked before every block.
    """

    def __init__(
        self, source: SlideSource, cache: TileCache, level: int, token: CancellationToken
    ) -> None:
        self._source = source
        self._cache = cache
        self._level = source.info.levels[level]
        self._token = token

    def measure(self, rings: Sequence[NDArray[np.float64]], plane: int) -> Intensities:
        """Return what lies inside areas, each counted by itself where they overlap.

        Parameters
        ----------
        rings
            One ``float64[k, 2]`` per object in level-0 pixels, filled by the even-odd rule.
        plane
            Index of the plane, ``t * z_count + z``.

        Raises
        ------
        TileReadError
            When a tile cannot be read.
        Cancelled
            When the token is set.
        """
        found = Intensities.none(len(rings), len(self._source.info.bands))
        if not rings:
            return found
        scale = np.array([self._level.downsample_x, self._level.downsample_y])
        objects = _Areas.of([ring / scale for ring in rings])
        for block, members in objects.blocks(Rect.of_size(self._level.size)):
            self._token.raise_if_cancelled()
            self._add_block(found, objects, block, members, plane)
        return found

    def _add_block(
        self,
        found: Intensities,
        objects: _Areas,
        block: Rect,
        members: NDArray[np.intp],
        plane: int,
    ) -> None:
        level = self._level.index
        pixels = read_region(self._source, self._cache, level, block, plane=plane)
        layers = objects.layers[members]
        for layer in np.unique(layers).tolist():
            chosen = members[layers == layer]
            labels, part = objects.painted(chosen, block)
            inside = np.flatnonzero(labels > 0)
            window = pixels[part.y0 - block.y0 : part.y1 - block.y0]
            window = window[:, part.x0 - block.x0 : part.x1 - block.x0]
            values = np.take(window.reshape(labels.size, -1), inside, axis=0)
            owners = chosen[labels.ravel()[inside] - 1]
            if values.dtype.kind == "f":
                whole = np.isfinite(values).all(axis=1)
                owners, values = owners[whole], values[whole]
            found.add(owners, values)


@dataclass(frozen=True, slots=True, eq=False)
class _Areas:
    """Areas in pixels of a level.

    Attributes
    ----------
    rings
        One ``float64[k, 2]`` each.
    boxes
        ``int64[n, 4]``: x0, y0, x1, y1 of the pixels that each may own.
    layers
        ``int64[n]``: areas whose boxes overlap are in different layers.
    """

    rings: Sequence[NDArray[np.float64]]
    boxes: NDArray[np.int64]
    layers: NDArray[np.int64]

    @classmethod
    def of(cls, rings: Sequence[NDArray[np.float64]]) -> _Areas:
        """Return at least one area with its box and its layer."""
        low = np.floor([ring.min(axis=0) for ring in rings])
        high = np.ceil([ring.max(axis=0) for ring in rings])
        boxes = np.concatenate([low, np.maximum(high, low + 1)], axis=1).astype(np.int64)
        return cls(rings, boxes, _layers(boxes))

    def blocks(self, bounds: Rect) -> Iterator[tuple[Rect, NDArray[np.intp]]]:
        """Yield every block that a box meets, and whose boxes they are."""
        low = np.maximum(self.boxes[:, :2], 0) // BLOCK
        high = (np.minimum(self.boxes[:, 2:], (bounds.x1, bounds.y1)) - 1) // BLOCK
        is_there = (self.boxes[:, 2:] > 0).all(axis=1) & (low <= high).all(axis=1)
        for row in _span(low[is_there, 1], high[is_there, 1]):
            here = np.flatnonzero(is_there & (low[:, 1] <= row) & (row <= high[:, 1]))
            for column in _span(low[here, 0], high[here, 0]):
                members = here[(low[here, 0] <= column) & (column <= high[here, 0])]
                x, y = column * BLOCK, row * BLOCK
                block = Rect(x, y, x + BLOCK, y + BLOCK).intersect(bounds)
                if len(members) and block is not None:
                    yield block, members

    def painted(self, members: NDArray[np.intp], block: Rect) -> tuple[NDArray[np.uint32], Rect]:
        """Return the part of a block that areas of one layer meet, each with its place from 1."""
        boxes = self.boxes[members]
        x0, y0 = boxes[:, :2].min(axis=0).tolist()
        x1, y1 = boxes[:, 2:].max(axis=0).tolist()
        part = Rect(x0, y0, x1, y1).intersect(block)
        assert part is not None
        n = len(members)
        areas = Detections.of(
            [self.rings[i] for i in members.tolist()],
            np.zeros(n, np.float32),
            np.zeros(n, np.uint16),
            ("",),
        )
        return raster.fill(areas, np.arange(1, n + 1, dtype=np.uint32), part), part


def _span(low: NDArray[np.int64], high: NDArray[np.int64]) -> range:
    return range(int(low.min()), int(high.max()) + 1) if len(low) else range(0)


def _layers(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first layer of each box in which no earlier box meets it."""
    shapes = shapely.box(*boxes.T)
    later, earlier = shapely.STRtree(shapes).query(shapes)
    order = np.argsort(later, kind="stable")
    order = order[earlier[order] < later[order]]
    later, earlier = later[order], earlier[order]
    starts = np.searchsorted(later, np.arange(len(boxes) + 1))
    layers = np.zeros(len(boxes), np.int64)
    for i in np.unique(later).tolist():
        used = set(layers[earlier[starts[i] : starts[i + 1]]].tolist())
        layers[i] = next(layer for layer in range(len(used) + 1) if layer not in used)
    return layers
