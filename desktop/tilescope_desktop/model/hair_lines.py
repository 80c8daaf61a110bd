"""Thin smooth lines around very many objects, painted by array operations.

A line is a row of dots at most a pixel apart, each spread over the four pixels around it by its
distance from them: the same as a line of a pixel's width seen through a tent filter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Dots that are painted together; the memory for them is bounded by it.
_AT_ONCE = 200_000
#: Dots per picture: what has more is a tangle, of which the rest is left out.
_MOST = 4_000_000
#: Dots may lie so far beside the picture; its pixels are counted with this border around it.
_BORDER = 2
_FAINT = 1 / 512

Column = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Sides:
    """Lines from one place to another, by column, and the number of the ring of each."""

    x: Column
    y: Column
    dx: Column
    dy: Column
    owners: NDArray[np.int32]

    def picked(self, keep: NDArray[np.intp]) -> _Sides:
        return _Sides(self.x[keep], self.y[keep], self.dx[keep], self.dy[keep], self.owners[keep])


def paint_outlines(
    picture: NDArray[np.uint32],
    points: NDArray[np.float64],
    offsets: NDArray[np.int64],
    colors: NDArray[np.uint32],
    opacity: float,
    width_px: int = 1,
) -> None:
    """Paint closed rings over a picture.

    Parameters
    ----------
    picture
        ``uint32[h, w]``, premultiplied ``0xAARRGGBB``; changed in place.
    points, offsets
        ``float64[m, 2]`` in pixels, the rings one after the other; ring ``i`` is
        ``points[offsets[i]:offsets[i + 1]]``.
    colors
        ``uint32[n]``: ``0xRRGGBB`` of each ring.
    opacity
        Of the lines.
    width_px
        Lines that lie beside each other.
    """
    height, width = picture.shape
    rows, columns = height + 2 * _BORDER, width + 2 * _BORDER
    cover = np.zeros(rows * columns, np.float32)
    number = np.zeros(rows * columns, np.int32)
    sides = _clipped(_sides(points, offsets), width, height)
    for x, y, weight, owner in _dots(sides, width_px):
        left, top = np.floor(x), np.floor(y)
        right, low = (x - left) * weight, y - top
        first = ((top + _BORDER) * columns + (left + _BORDER)).astype(np.int64)
        corners = (
            (first, (weight - right) * (1 - low)),
            (first + 1, right * (1 - low)),
            (first + columns, (weight - right) * low),
            (first + columns + 1, right * low),
        )
        for at, part in corners:
            np.add.at(cover, at, part.astype(np.float32))
            # A pixel has the colour of the line that came last.
            number[at] = owner
    middle = np.s_[_BORDER:-_BORDER, _BORDER:-_BORDER]
    inner = cover.reshape(rows, columns)[middle].ravel()
    there = np.flatnonzero(inner > _FAINT)
    seen = colors[number.reshape(rows, columns)[middle].ravel()[there]]
    alpha = (np.minimum(inner[there], 1.0) * (256 * opacity)).astype(np.uint32)
    flat = picture.reshape(-1)
    flat[there] = _over(flat[there], seen, alpha)


def _sides(points: NDArray[np.float64], offsets: NDArray[np.int64]) -> _Sides:
    """Return the sides of all rings; pixels are counted from the middle of the first one."""
    counts = np.diff(offsets)
    following = np.arange(1, len(points) + 1)
    following[offsets[1:][counts > 0] - 1] = offsets[:-1][counts > 0]
    x, y = points[:, 0] - 0.5, points[:, 1] - 0.5
    owners = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return _Sides(x, y, x[following] - x, y[following] - y, owners)


def _clipped(sides: _Sides, width: int, height: int) -> _Sides:
    """Return the parts of lines that lie on the picture or within a pixel of it."""
    meets = (sides.dx != 0) | (sides.dy != 0)
    crosses = np.zeros(len(meets), bool)
    for at, step, far in ((sides.x, sides.dx, width), (sides.y, sides.dy, height)):
        low = np.minimum(at, at + step)
        high = np.maximum(at, at + step)
        meets &= (high >= -1) & (low <= far)
        crosses |= (low < -1) | (high > far)
    long = np.flatnonzero(meets & crosses)
    inside = sides.picked(np.flatnonzero(meets & ~crosses))
    if not len(long):
        return inside
    cut = sides.picked(long)
    enter, leave = np.zeros(len(long)), np.ones(len(long))
    for at, step, far in ((cut.x, cut.dx, width), (cut.y, cut.dy, height)):
        # A line along an edge of the picture never meets it; it passed the test above.
        moves = step != 0
        pace = np.where(moves, step, 1.0)
        first, last = (-1 - at) / pace, (far - at) / pace
        enter = np.where(moves, np.maximum(enter, np.minimum(first, last)), enter)
        leave = np.where(moves, np.minimum(leave, np.maximum(first, last)), leave)
    keep = enter < leave
    part = _Sides(
        cut.x + cut.dx * enter,
        cut.y + cut.dy * enter,
        cut.dx * (leave - enter),
        cut.dy * (leave - enter),
        cut.owners,
    ).picked(np.flatnonzero(keep))
    return _Sides(
        np.concatenate([inside.x, part.x]),
        np.concatenate([inside.y, part.y]),
        np.concatenate([inside.dx, part.dx]),
        np.concatenate([inside.dy, part.dy]),
        np.concatenate([inside.owners, part.owners]),
    )


def _dots(
    sides: _Sides, width_px: int
) -> Iterator[tuple[Column, Column, Column, NDArray[np.int32]]]:
    """Yield x, y, weight and owner of the dots of all lines."""
    length = np.sqrt(sides.dx**2 + sides.dy**2)
    counts = np.maximum(np.ceil(length), 1).astype(np.int64)
    sums = np.cumsum(counts)
    first = 0
    while first < len(counts):
        done = int(sums[first] - counts[first])
        if done > _MOST:
            return
        last = max(first + 1, int(np.searchsorted(sums, done + _AT_ONCE, "right")))
        number = counts[first:last]
        side = np.repeat(np.arange(first, last), number)
        place = np.arange(len(side)) - np.repeat(sums[first:last] - number - done, number)
        share = (place + 0.5) / counts[side]
        dx, dy, weight = sides.dx[side], sides.dy[side], (length / counts)[side]
        x, y, owner = sides.x[side] + dx * share, sides.y[side] + dy * share, sides.owners[side]
        for line in range(width_px):
            if width_px == 1:
                yield x, y, weight, owner
                break
            # Beside each other, at right angles to the line.
            away = (line - (width_px - 1) / 2) / length[side]
            yield x - dy * away, y + dx * away, weight, owner
        first = last


def _over(
    below: NDArray[np.uint32], colors: NDArray[np.uint32], alpha: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    """Return colours, of which ``alpha`` 256ths are seen, over premultiplied pixels."""
    every_other, rest = np.uint32(0xFF00FF), 256 - alpha
    rb = ((colors & every_other) * alpha >> 8) & every_other
    ag = ((colors >> 8) & np.uint32(0xFF) | np.uint32(0xFF0000)) * alpha & ~every_other
    rb += ((below & every_other) * rest >> 8) & every_other
    ag += ((below >> 8) & every_other) * rest & ~every_other
    return (rb | ag).astype(np.uint32)
