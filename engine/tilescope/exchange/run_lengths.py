"""Areas as run lengths down the columns of an image: COCO's RLE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.results import Detections
from tilescope.exchange.vertices import NoShape
from tilescope.ops import raster

#: Of an image; the reference implementation counts pixels in 32 bits.
MOST_PIXELS = 2**32 - 1
_MOST_RUNS = 200_000
_STRIP_PIXELS = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The pixels of one object.

    Attributes
    ----------
    starts, ends
        ``int64[n]``: each run is ``[start, end)``, pixels counted down the columns.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int((self.ends - self.starts).sum())

    def counts(self, size: Size) -> list[int]:
        """Return the lengths of gaps and runs in turn, beginning with a gap."""
        edges = np.empty(2 * len(self.starts), np.int64)
        edges[0::2], edges[1::2] = self.starts, self.ends
        counts: list[int] = np.diff(edges, prepend=0, append=size.area).tolist()
        return counts


def runs_of(geometry: shapely.Geometry, size: Size) -> Runs:
    """Return the pixels whose centre lies in a polygon, holes left out."""
    points = even_odd_ring(geometry)
    x0, y0 = np.maximum(np.floor(points.min(axis=0)), 0).astype(int).tolist()
    x1, y1 = np.minimum(np.ceil(points.max(axis=0)), (size.width, size.height)).astype(int).tolist()
    if x0 >= x1 or y0 >= y1:
        return Runs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    # With x and y exchanged the rows of a block are the columns of the image.
    one = Detections.of([points[:, ::-1]], np.ones(1, np.float32), np.zeros(1, np.uint16), ("",))
    ids = np.ones(1, np.uint32)
    step = max(1, _STRIP_PIXELS // (y1 - y0))
    starts: list[NDArray[np.int64]] = []
    ends: list[NDArray[np.int64]] = []
    for first in range(x0, x1, step):
        strip = raster.fill(one, ids, Rect(y0, first, y1, min(first + step, x1)))
        edges = np.diff(strip.astype(np.int8), axis=1, prepend=0, append=0)
        for sign, found in ((1, starts), (-1, ends)):
            column, row = np.nonzero(edges == sign)
            found.append((column + first) * size.height + row + y0)
    return _joined(np.concatenate(starts), np.concatenate(ends))


def even_odd_ring(geometry: shapely.Geometry) -> NDArray[np.float64]:
    """Return all rings of an area as one that an even-odd fill fills alike, ``float64[k, 2]``.

    The way from ring to ring and back is gone along twice and so changes nothing.
    """
    rings = [
        shapely.get_coordinates(ring)
        for part in shapely.get_parts(geometry)
        for ring in shapely.get_rings(part)
    ]
    start = rings[0][:1]
    pieces = [rings[0]]
    for ring in rings[1:]:
        pieces += [ring, start]
    points: NDArray[np.float64] = np.concatenate(pieces)
    return points


def _joined(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Runs:
    """Return runs without those that touch: a column filled to the bottom goes on in the next."""
    apart = starts[1:] != ends[:-1]
    return Runs(
        starts[np.concatenate([[True], apart])] if len(starts) else starts,
        ends[np.concatenate([apart, [True]])] if len(ends) else ends,
    )


def polygons_of(runs: Runs, size: Size) -> shapely.Geometry:
    """Return the area of the pixels of ``runs``, corners at the corners of pixels.

    Raises
    ------
    NoShape
        When there are too many runs to be an outline of anything.
    """
    boxes: list[NDArray[np.int64]] = []
    first, last = runs.starts // size.height, (runs.ends - 1) // size.height
    top, bottom = runs.starts % size.height, (runs.ends - 1) % size.height + 1
    long = last > first
    boxes.append(np.stack([first, top, first + 1, bottom], axis=1)[~long])
    # A run over several columns is a piece of the first, whole columns, a piece of the last.
    whole = np.zeros_like(first)
    boxes.append(np.stack([first, top, first + 1, whole + size.height], axis=1)[long])
    boxes.append(np.stack([first + 1, whole, last, whole + size.height], axis=1)[long])
    boxes.append(np.stack([last, whole, last + 1, bottom], axis=1)[long])
    together = np.concatenate(boxes)
    together = together[(together[:, 0] < together[:, 2]) & (together[:, 1] < together[:, 3])]
    if not len(together):
        raise NoShape("encloses nothing")
    if len(together) > _MOST_RUNS:
        raise NoShape(f"has more than {_MOST_RUNS:,} runs of pixels")
    return shapely.union_all(shapely.box(*together.T.astype(np.float64)))


def runs_of_counts(counts: Sequence[int], size: Size) -> Runs:
    """Return the runs of gaps and runs in turn.

    Raises
    ------
    NoShape
        When they do not fit the image.
    """
    if len(counts) > 2 * _MOST_RUNS:
        raise NoShape(f"has more than {_MOST_RUNS:,} runs of pixels")
    if not all(type(c) is int and 0 <= c <= size.area for c in counts):
        raise NoShape("has run lengths that are no numbers of pixels")
    edges = np.cumsum(np.array(counts, np.int64))
    if len(edges) and edges[-1] > size.area:
        raise NoShape("has more pixels than its image")
    starts, ends = edges[0 : len(edges) - 1 : 2], edges[1::2]
    filled = starts < ends
    return Runs(starts[filled], ends[filled])


def packed_counts(counts: Sequence[int]) -> str:
    """Return counts as the text of COCO's compressed RLE: five bits a character, least first."""
    characters = bytearray()
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        while True:
            bits = value & 31
            value >>= 5
            # The last character's highest bit is the sign of all.
            more = value != -1 if bits & 16 else value != 0
            characters.append(48 + bits + 32 * more)
            if not more:
                break
    return characters.decode("ascii")


def unpacked_counts(text: str) -> list[int]:
    """Return the counts of COCO's compressed RLE.

    Raises
    ------
    NoShape
        When the text is none.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40:
            raise NoShape("has a compressed outline that cannot be unpacked")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
            if len(counts) > 2 * _MOST_RUNS:
                break
    return counts
