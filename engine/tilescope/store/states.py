"""What changes on an object without a new version of it: class, lock, and whether it is there.

The states of a leaf are one row of table ``state``, so that a million objects are some thousand
arrays; they are read and written a stretch of leaves at a time, and memory does not grow with
their number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.store import deltas
from tilescope.store.schema import LEAF_SIZE, STATE

STRETCH = deltas.CHUNK // LEAF_SIZE
"""Leaves that are changed together."""

_PARAMETERS = 500  # per statement; every SQLite takes 999
_KIND_BITS, _CLASS_BITS = 8, 32


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """The states of some leaves, ascending.

    Attributes
    ----------
    leaves, slides, sizes
        ``int64[k]``: number, slide and objects of each leaf.
    states
        ``STATE[n]``: of all objects, leaf by leaf; read-only.
    """

    leaves: NDArray[np.int64]
    slides: NDArray[np.int64]
    sizes: NDArray[np.int64]
    states: NDArray[np.void]

    @classmethod
    def of(cls, found: Sequence[tuple[int, int, bytes]]) -> Stretch:
        """Return the stretch of rows (leaf, slide, objects).

        Raises
        ------
        sqlite3.DatabaseError
            When the bytes are damaged.
        """
        lengths = np.fromiter((len(row[2]) for row in found), np.int64, len(found))
        if (lengths % STATE.itemsize).any() or not lengths.all():
            raise deltas.damaged("the state of an object")
        return cls(
            np.fromiter((row[0] for row in found), np.int64, len(found)),
            np.fromiter((row[1] for row in found), np.int64, len(found)),
            lengths // STATE.itemsize,
            np.frombuffer(b"".join([row[2] for row in found]), STATE),
        )

    @property
    def firsts(self) -> NDArray[np.int64]:
        """``int64[k]``: where in ``states`` each leaf begins."""
        return np.cumsum(self.sizes) - self.sizes

    @property
    def owners(self) -> NDArray[np.int64]:
        """``int64[n]``: index of the leaf of each object."""
        return np.repeat(np.arange(len(self.leaves)), self.sizes)

    @property
    def rows(self) -> NDArray[np.int64]:
        """``int64[n]``: row numbers, ascending."""
        shifts = np.repeat(self.leaves * LEAF_SIZE - self.firsts, self.sizes)
        return np.arange(len(self.states)) + shifts

    def at(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where in ``states`` rows are.

        Raises
        ------
        sqlite3.DatabaseError
            When one is not there: the history and the states do not agree.
        """
        known = self.rows
        places = np.searchsorted(known, rows).astype(np.int64)
        if len(rows) and (places[-1] >= len(known) or (known[places] != rows).any()):
            raise deltas.damaged("the state of an object")
        return places


def leaves_of(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the leaves that hold ``rows``, ascending."""
    return np.unique(rows // LEAF_SIZE)


def read(db: sqlite3.Connection, leaves: NDArray[np.int64]) -> Stretch:
    """Return the states of leaves, ascending; those that have none are left out."""
    found: list[Any] = []
    numbers = leaves.tolist()
    for at in range(0, len(numbers), _PARAMETERS):
        part = numbers[at : at + _PARAMETERS]
        marks = ", ".join("?" * len(part))
        query = f"SELECT leaf, slide, objects FROM state WHERE leaf IN ({marks}) ORDER BY leaf"  # noqa: S608
        found += db.execute(query, part)
    return Stretch.of(found)


def stretches(
    db: sqlite3.Connection,
    condition: str = "1",
    values: Sequence[int] = (),
    at_once: int = STRETCH,
) -> Iterator[Stretch]:
    """Yield the states of all leaves that meet a condition on table ``state``.

    No statement is open between two stretches: what was yielded may be changed.
    """
    last = -1
    query = (
        f"SELECT leaf, slide, objects FROM state WHERE leaf > ? AND {condition} "  # noqa: S608
        "ORDER BY leaf LIMIT ?"
    )
    while found := db.execute(query, (last, *values, at_once)).fetchall():
        yield Stretch.of(found)
        last = found[-1][0]


def insert(
    db: sqlite3.Connection,
    slide: int,
    leaves: Sequence[int],
    ends: Sequence[int],
    states: NDArray[np.void],
) -> None:
    """Store the states of new leaves of a slide; leaf ``i`` ends before place ``ends[i]``."""
    data, size, first = states.tobytes(), STATE.itemsize, 0
    rows = []
    for leaf, end in zip(leaves, ends, strict=True):
        rows.append((leaf, slide, end - first, data[size * first : size * end]))
        first = end
    db.executemany("INSERT INTO state VALUES (?, ?, ?, ?)", rows)
    count(db, np.full(len(states), slide, np.int64), states[:0], states)


def mark(db: sqlite3.Connection, rows: NDArray[np.int64], edit: int) -> None:
    """Let objects be gone because of an edit, or be there again when it is 0."""
    old = read(db, leaves_of(rows))
    new = old.states.copy()
    new["gone"][old.at(rows)] = edit
    put(db, old, new)


def mark_between(db: sqlite3.Connection, first: int, last: int, edit: int) -> None:
    """Let all objects in a range of rows that edits filled be gone, or there when it is 0."""
    between = (first // LEAF_SIZE, last // LEAF_SIZE)
    for old in stretches(db, "leaf BETWEEN ? AND ?", between):
        new = old.states.copy()
        new["gone"] = edit
        put(db, old, new)


def put(db: sqlite3.Connection, old: Stretch, new: NDArray[np.void]) -> None:
    """Store other states of a stretch; the tally and the index of boxes follow."""
    owners, length = old.owners, len(old.leaves)
    was = np.bincount(owners[old.states["gone"] == 0], minlength=length)
    there = np.bincount(owners[new["gone"] == 0], minlength=length)
    changed = np.unique(owners[old.states != new])
    data, size = new.tobytes(), STATE.itemsize
    spans = zip(
        changed.tolist(),
        (old.firsts[changed] * size).tolist(),
        (old.sizes[changed] * size).tolist(),
        strict=True,
    )
    leaves, numbers = old.leaves.tolist(), there.tolist()
    db.executemany(
        "UPDATE state SET there = ?, objects = ? WHERE leaf = ?",
        [(numbers[i], data[first : first + n], leaves[i]) for i, first, n in spans],
    )
    count(db, old.slides[owners], old.states, new)
    db.executemany(
        "DELETE FROM box WHERE leaf = ?", _one_each(old.leaves[(was > 0) & (there == 0)])
    )
    db.executemany(
        "INSERT INTO box SELECT leaf, slide, slide, x0, x1, y0, y1 FROM leaf WHERE leaf = ?",
        _one_each(old.leaves[(was == 0) & (there > 0)]),
    )


def _one_each(numbers: NDArray[np.int64]) -> list[tuple[int]]:
    return [(number,) for number in numbers.tolist()]


def tally(slides: NDArray[np.int64], states: NDArray[np.void]) -> dict[tuple[int, int, int], int]:
    """Return the number of objects that are there by slide, class and kind.

    Parameters
    ----------
    slides
        ``int64[n]``: the slide of every object.
    """
    there = states["gone"] == 0
    keys = slides[there] << _CLASS_BITS | states["class"][there]
    keys = keys << _KIND_BITS | states["kind"][there]
    found, counts = np.unique(keys, return_counts=True)
    cells = (
        (found >> (_CLASS_BITS + _KIND_BITS)).tolist(),
        (found >> _KIND_BITS & (2**_CLASS_BITS - 1)).tolist(),
        (found & (2**_KIND_BITS - 1)).tolist(),
    )
    return dict(zip(zip(*cells, strict=True), counts.tolist(), strict=True))


def count(
    db: sqlite3.Connection,
    slides: NDArray[np.int64],
    old: NDArray[np.void],
    new: NDArray[np.void],
) -> None:
    """Let the tally follow from what the states of objects were and what they are."""
    change = tally(slides, new)
    for cell, number in tally(slides[: len(old)], old).items():
        change[cell] = change.get(cell, 0) - number
    db.executemany(
        "INSERT INTO tally (slide, class, kind, n) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (slide, class, kind) DO UPDATE SET n = n + excluded.n",
        [(*cell, number) for cell, number in change.items() if number],
    )
