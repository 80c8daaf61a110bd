"""What a model has found on a slide, and what of it people have made their own.

A later run of the model takes the place of what it found earlier; what somebody locked, sorted into
a class, renamed, put into another object or gave another outline stays.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation_ids import id_keys
from tilescope.store import deltas, states
from tilescope.store.history import Standing
from tilescope.store.leaves import shape_of
from tilescope.store.schema import KINDS, LEAF_SIZE, RINGS, STATE

_LEAVES = 256  # read together
_PARAMETERS = 500  # per statement; every SQLite takes 999
_DETECTION = KINDS.index("detection")
_NONE = np.zeros(0, np.int64)
#: Authors who can have made an object of the model, or changed the outline of one: runs of it,
#: people, and models that outline what is clicked at.
_SUSPECTS = (
    "SELECT author FROM author WHERE kind = 'user' OR "
    "(kind = 'model' AND (name = ?1 OR instr(detail, '\"prompt\"') > 0))"
)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Some objects, by row.

    Attributes
    ----------
    rows
        ``int64[n]``, ascending.
    ids
        ``uint8[n, 16]``.
    is_kept
        ``bool[n]``: whether a person had a hand in it.
    shapes
        ``object[n]`` of shapely geometries, level-0 pixels; empty when nobody asked for them.
    """

    rows: NDArray[np.int64]
    ids: NDArray[np.uint8]
    is_kept: NDArray[np.bool_]
    shapes: NDArray[Any]

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, keep: NDArray[np.bool_]) -> Found:
        """Return some of them."""
        shapes = self.shapes[keep] if len(self.shapes) else self.shapes
        return Found(self.rows[keep], self.ids[keep], self.is_kept[keep], shapes)


class FoundReader:
    """Reads what a model found on a plane; made for one look, as edits do not show in it.

    Parameters
    ----------
    place
        The slide, z and t.
    model
        Its id. Runs of all its versions count, with whatever parameters.
    reading
        Guards what is read together.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        place: tuple[int, int, int],
        model: str,
        reading: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._db = db
        self._place = place
        self._slide = place[0]
        self._model = model
        self._reading = reading
        with reading():
            self._runs, self._people = self._authors()
            self._sorted = self._sorted_by_hand()

    def everywhere(self) -> Iterator[Found]:
        """Yield all of it, without shapes."""
        query = "SELECT leaf FROM state WHERE slide = ? AND there > 0 ORDER BY leaf"
        return self._of_leaves(self._numbers(query, (self._slide,)), with_shapes=False)

    def near(self, x0: float, y0: float, x1: float, y1: float) -> Iterator[Found]:
        """Yield what lies with its neighbours about a rectangle of level-0 pixels."""
        query = (
            "SELECT leaf FROM box WHERE s0 <= ?1 AND s1 >= ?1 AND x1 >= ?2 AND x0 <= ?3 "
            "AND y1 >= ?4 AND y0 <= ?5"
        )
        return self._of_leaves(self._numbers(query, (self._slide, x0, x1, y0, y1)))

    def of(self, rows: NDArray[np.int64]) -> Iterator[Found]:
        """Yield those of it that are in some rows."""
        for part in self._of_leaves(states.leaves_of(rows)):
            yield part.select(np.isin(part.rows, rows))

    def bearers(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of all objects of the project whose ids have one of some hashes.

        Parameters
        ----------
        keys
            ``int64[n]``: as ``id_keys`` gives them, ascending.
        """
        found, numbers = [_NONE], keys.tolist()
        with self._reading():
            for at in range(0, len(numbers), _PARAMETERS):
                part = numbers[at : at + _PARAMETERS]
                query = f"SELECT row FROM handle WHERE key IN ({_marks(part)})"  # noqa: S608
                found.append(self._rows(query, part))
            rows = np.unique(np.concatenate(found))
            there = [_NONE]
            for at in range(0, len(rows), deltas.CHUNK):
                some = rows[at : at + deltas.CHUNK]
                known = states.read(self._db, states.leaves_of(some))
                there.append(some[known.states["gone"][known.at(some)] == 0])
        return np.concatenate(there)

    def strangers(self, rows: NDArray[np.int64]) -> Found:
        """Return objects by row, whoever made them.

        Kept are also those that are no detections of this plane: no run takes their place.
        """
        parts = list(self._of_leaves(states.leaves_of(rows), with_shapes=False, of_anyone=True))
        found = _joined(parts)
        return found.select(np.isin(found.rows, rows))

    # -- inside -----------------------------------------------------------------------------------

    def _numbers(self, query: str, values: Sequence[float]) -> NDArray[np.int64]:
        with self._reading():
            return np.sort(self._rows(query, values))

    def _rows(self, query: str, values: Sequence[float]) -> NDArray[np.int64]:
        found = self._db.execute(query, values).fetchall()
        return np.fromiter((row[0] for row in found), np.int64, len(found))

    def _authors(self) -> tuple[set[int], set[int]]:
        """Return the runs of the model, and whose outlines a person drew, clicked or changed."""
        runs, people = set(), set()
        for number, kind, name, text in self._db.execute("SELECT * FROM author"):
            if kind == "model" and name == self._model and "region" in json.loads(text):
                runs.add(number)
            is_clicked = kind == "model" and '"prompt"' in text
            is_changed = '"edited"' in text and json.loads(text).get("edited")
            if kind == "user" or is_clicked or is_changed:
                people.add(number)
        return runs, people

    def _sorted_by_hand(self) -> NDArray[np.int64]:
        """Return the rows that somebody gave a class, not those whose class was done away with."""
        rows = _NONE
        chosen = self._db.execute(
            "SELECT places FROM delta JOIN edit ON edit.edit = delta.edit WHERE field = 'class' "
            "AND standing = ? AND delta.edit NOT IN "
            "(SELECT edit FROM delta WHERE field = 'classes')",
            (Standing.DONE,),
        )
        for (places,) in chosen:
            rows = np.union1d(rows, deltas.unpack_numbers(places))
        return rows

    def _of_leaves(
        self, leaves: NDArray[np.int64], *, with_shapes: bool = True, of_anyone: bool = False
    ) -> Iterator[Found]:
        for at in range(0, len(leaves), _LEAVES):
            with self._reading():
                part = self._read(leaves[at : at + _LEAVES].tolist(), with_shapes, of_anyone)
            if len(part):
                yield part

    def _read(self, leaves: Sequence[int], with_shapes: bool, of_anyone: bool) -> Found:
        shapes = "ends, coding, geometry" if with_shapes else "NULL, NULL, NULL"
        whose = "?1 IS NOT NULL" if of_anyone else f"author IN ({_SUSPECTS})"
        marks = ", ".join(map(str, leaves))
        found = self._db.execute(
            "SELECT leaf.leaf, leaf.slide, leaf.z, leaf.t, author, objects, ids, parents, names, "  # noqa: S608
            f"{shapes} FROM leaf CROSS JOIN state ON state.leaf = leaf.leaf "
            f"WHERE leaf.leaf IN ({marks}) AND {whose} ORDER BY leaf.leaf",
            (self._model,),
        ).fetchall()
        part = _joined([self._leaf(row, of_anyone) for row in found])
        places = np.searchsorted(self._sorted, part.rows, "right")
        part.is_kept[places > np.searchsorted(self._sorted, part.rows)] = True
        return part

    def _leaf(self, row: tuple[Any, ...], of_anyone: bool) -> Found:
        leaf, slide, z, t, author, objects, ids, parents, names, ends, coding, geometry = row
        state = np.frombuffer(objects, STATE)
        rows = leaf * LEAF_SIZE + np.arange(len(state))
        keys = np.frombuffer(ids, np.uint8).reshape(-1, 16)
        is_kept = (state["locked"] != 0) | (author in self._people)
        if parents is not None:
            is_kept |= np.frombuffer(parents, np.uint8).reshape(-1, 16).any(axis=1)
        if names is not None:
            is_kept |= np.array([name is not None for name in json.loads(names)], bool)
        is_found = (state["kind"] == _DETECTION) & ((slide, z, t) == self._place)
        keep = state["gone"] == 0
        if of_anyone:
            is_kept |= ~is_found
        else:
            keep &= is_found
            if author not in self._runs:
                keep[keep] = self._descends(keys[keep])
        shapes = np.zeros(0, object)
        if geometry is not None:
            shapes = _shapes(ends, coding, geometry, keep)
        return Found(rows[keep], keys[keep], is_kept[keep], shapes)

    def _descends(self, ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tell which objects were the model's before somebody gave them another outline."""
        query = (
            "SELECT DISTINCT author FROM handle CROSS JOIN leaf "  # noqa: S608
            f"ON leaf.leaf = handle.row / {LEAF_SIZE} WHERE key = ?"
        )
        makers = [self._db.execute(query, (key,)).fetchall() for key in id_keys(ids).tolist()]
        return np.array([any(a in self._runs for (a,) in found) for found in makers], bool)


def _marks(values: Sequence[int]) -> str:
    return ", ".join("?" * len(values))


def _shapes(ends: bytes, coding: int, geometry: bytes, keep: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the shapes of the objects of a leaf of which ``keep`` is true."""
    bounds = np.concatenate([[0], np.frombuffer(ends, "<u4").astype(np.int64)])
    if coding == RINGS:
        points = np.frombuffer(geometry, "<f8").reshape(-1, 2)
        whose = np.repeat(np.arange(len(keep)), np.diff(bounds) // 16)
        wanted = keep[whose]
        slots = np.cumsum(keep) - 1
        found = shapely.linearrings(points[wanted], indices=slots[whose[wanted]])
        return np.asarray(shapely.polygons(found))
    blobs = np.empty(int(keep.sum()), object)
    blobs[:] = [
        shape_of(geometry[bounds[slot] : bounds[slot + 1]], coding)
        for slot in np.flatnonzero(keep).tolist()
    ]
    return np.asarray(shapely.from_wkb(blobs))


def _joined(parts: Sequence[Found]) -> Found:
    return Found(
        np.concatenate([_NONE, *(part.rows for part in parts)]),
        np.concatenate([np.zeros((0, 16), np.uint8), *(part.ids for part in parts)]),
        np.concatenate([np.zeros(0, bool), *(part.is_kept for part in parts)]),
        np.concatenate([np.zeros(0, object), *(part.shapes for part in parts)]),
    )
