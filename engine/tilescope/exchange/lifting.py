"""Features of GeoJSON, many at a time: their outlines as columns, and all else as JSON.

As JSON lists the vertices of outlines would cost more in garbage collection than in parsing; here
they never become Python objects.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tilescope._native import _geojson
from tilescope.exchange.json_stream import JsonStream

#: Numbers stand for what was lifted out of a text. Files cannot guess them, so none can make an
#: object take the outline of another.
FIRST_MARK = 2**62 + secrets.randbits(61)
ID_MARK = FIRST_MARK - 1
NUMBER_MARK = FIRST_MARK + 2**32
#: Features at a time: of those whose parsed JSON is held few, since dicts that live long cost the
#: garbage collector as much as all the rest.
_MOST_PARSED = 1024
_MOST_STRIPPED = 4096
_MOST_RINGS = 1 << 16
#: How much longer a text may get, since marks of 19 digits stand even for ``1``.
_GROWTH = 5
#: ``[1,2],`` and ``"":1,``
_LEAST_VERTEX_BYTES = 6
_LEAST_NUMBER_BYTES = 5
#: What the C loop tells of every object.
_TOLD = 10


@dataclass(frozen=True, slots=True, eq=False)
class Lifted:
    """Lists of rings of vertices that were lifted out of features.

    Attributes
    ----------
    points
        ``float64[m, 2]``: x, y of all rings exactly as the text says, closed or not.
    rings
        ``int64[r + 1]``: ring ``i`` is ``points[rings[i]:rings[i + 1]]``, never empty.
    shapes
        ``int64[n + 1]``: shape ``i`` has rings ``shapes[i]`` to ``shapes[i + 1]``, at least one.
    """

    points: NDArray[np.float64]
    rings: NDArray[np.int64]
    shapes: NDArray[np.int64]

    @classmethod
    def nothing(cls) -> Lifted:
        """Return no shapes."""
        return cls(np.zeros((0, 2)), np.zeros(1, np.int64), np.zeros(1, np.int64))

    def __len__(self) -> int:
        return len(self.shapes) - 1

    def index_of(self, coordinates: object) -> int:
        """Return the shape that stood where ``coordinates`` do; -1 where none did."""
        if type(coordinates) is not int:
            return -1
        index = coordinates - FIRST_MARK
        return index if 0 <= index < len(self.shapes) - 1 else -1

    def lists(self, index: int) -> list[Any]:
        """Return one shape as the lists that the text has."""
        bounds = self.rings[self.shapes[index] : self.shapes[index + 1] + 1]
        return [self.points[a:b].tolist() for a, b in pairwise(bounds.tolist())]


@dataclass(frozen=True, slots=True, eq=False)
class Stripped:
    """Objects without their ids, measurements and shapes, so that many of them are the same text.

    Attributes
    ----------
    texts
        JSON of objects that differ; the marks of what was left out count from the beginning of
        every object.
    text_of
        ``int64[n]``: index into ``texts``.
    ids
        ``uint8[n, 16]``: the id of each, zeros where it is no UUID.
    is_uuid
        ``bool[n]``: whether it is one.
    other_ids
        Ids that are text but no UUID, by object.
    numbers
        ``float64[k]``: the measurements of all.
    number_ends
        ``int64[n]``: where in ``numbers`` those of each end.
    shape_ends
        ``int64[n]``: where in ``shapes`` those of each end.
    shapes
        What was lifted out of all.
    """

    texts: list[bytes]
    text_of: NDArray[np.int64]
    ids: NDArray[np.uint8]
    is_uuid: NDArray[np.bool_]
    other_ids: dict[int, str]
    numbers: NDArray[np.float64]
    number_ends: NDArray[np.int64]
    shape_ends: NDArray[np.int64]
    shapes: Lifted

    def __len__(self) -> int:
        return len(self.text_of)


def lift(text: JsonStream) -> tuple[list[Any], Lifted, int]:
    """Move past the next objects of a list, as many as are buffered whole, and return them.

    Returns
    -------
    tuple
        The objects; the shapes in them; and how many objects may be broken. If any, or when the
        next value is no whole object, there are none and the cursor is where it was.
    """
    run = _Run.of(text, strips=False)
    if run is None:
        return [], Lifted.nothing(), 0
    values = _parsed(run.rest)
    if values is None or len(values) != run.found:
        return [], Lifted.nothing(), run.found
    text.skip(run.end)
    return values, run.shapes, 0


def strip(text: JsonStream) -> tuple[Stripped, int] | None:
    """Return the next objects of a list, and where they end; None when there is none whole.

    The cursor stays where it is.
    """
    run = _Run.of(text, strips=True)
    if run is None:
        return None
    starts, ends, shape_ends, number_ends, id_starts, id_ends, like, is_uuid = run.objects.T[:8]
    first = np.flatnonzero(like == np.arange(run.found))
    texts = [run.rest[a:b].tobytes() for a, b in zip(starts[first], ends[first], strict=True)]
    others = np.flatnonzero((id_starts > 0) & (is_uuid == 0)).tolist()
    return Stripped(
        texts,
        np.searchsorted(first, like),
        np.ascontiguousarray(run.objects[:, 8:]).view(np.uint8),
        is_uuid > 0,
        {i: run.data[id_starts[i] : id_ends[i]].decode() for i in others},
        run.numbers[: number_ends[-1]].copy(),
        number_ends,
        shape_ends,
        run.shapes,
    ), run.end


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """Objects that follow each other in what is buffered, as the C loop leaves them."""

    data: bytes
    found: int
    end: int
    rest: NDArray[np.uint8]
    objects: NDArray[np.int64]
    shapes: Lifted
    numbers: NDArray[np.float64]

    @classmethod
    def of(cls, text: JsonStream, *, strips: bool) -> _Run | None:
        """Return the objects from the cursor on, buffering more when the first is not whole."""
        while True:
            run = cls._of(*text.ahead(), strips)
            if run.found:
                return run
            if not text.grow():
                return None

    @classmethod
    def _of(cls, data: bytes, start: int, strips: bool) -> _Run:
        size = len(data) - start
        rest = np.empty(_GROWTH * size + _TOLD, np.uint8)
        objects = np.empty((_MOST_STRIPPED if strips else _MOST_PARSED, _TOLD), np.int64)
        shapes, rings = (np.zeros(_MOST_RINGS + 1, np.int64) for _ in range(2))
        points = np.empty((size // _LEAST_VERTEX_BYTES + 1, 2))
        numbers = np.empty(size // _LEAST_NUMBER_BYTES + 1 if strips else 0)
        found, end, length, count = _geojson.lift(
            np.frombuffer(data, np.uint8),
            start,
            FIRST_MARK,
            strips,
            rest,
            objects.reshape(-1),
            shapes[1:],
            rings[1:],
            points,
            numbers,
        )
        shapes = shapes[: count + 1]
        rings = rings[: shapes[-1] + 1]
        lifted = Lifted(points[: rings[-1]], rings, shapes)
        return cls(data, found, end, rest[:length], objects[:found], lifted, numbers)


def _parsed(text: NDArray[np.uint8]) -> list[Any] | None:
    """Return the objects of a list; None when it is broken."""
    try:
        values: list[Any] = orjson.loads(text.data)
    except orjson.JSONDecodeError:
        # It is stricter than JSON as Python reads it: no NaN, no half of a surrogate pair.
        try:
            values = json.loads(text.tobytes())
        except (ValueError, RecursionError):
            return None
    return values
