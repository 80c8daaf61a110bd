"""Who lies in whom: the objects of a slide by parent, counted by class and listed by pages.

A parent is known by its id, so it keeps its children when its outline changes; an object whose
parent is gone stands at the top. Nothing is kept between two calls but what a call needs to be
quick: a million objects are some tens of megabytes that are read past.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.annotation import ObjectKind
from tilescope.domain.annotation_ids import id_bytes, id_keys, id_text
from tilescope.store.schema import KINDS, LEAF_SIZE, STATE

_LEAVES = 1024  # read together
_PARTS = (
    "SELECT state.leaf, objects, ids, parents FROM state CROSS JOIN leaf "
    "ON leaf.leaf = state.leaf WHERE state.leaf > ? AND there > 0 AND state.slide = ? "
)


@dataclass(frozen=True, slots=True)
class Kin:
    """An object among those with the same parent.

    Attributes
    ----------
    row
        Where it stands; the next page begins after it.
    box_l0
        Left, top, right, bottom in level-0 pixels, not smaller than the object.
    children
        How many objects lie in it.
    plane
        z and t.
    """

    row: int
    id: str
    kind: ObjectKind
    class_name: str | None
    name: str | None
    locked: bool
    box_l0: tuple[float, float, float, float]
    children: int = 0
    plane: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some of the objects that are there, by row.

    Attributes
    ----------
    rows, states
        ``int64[n]`` and ``STATE[n]``.
    ids, parents
        ``uint8[n, 16]``; zeros for no parent.
    """

    rows: NDArray[np.int64]
    states: NDArray[np.void]
    ids: NDArray[np.uint8]
    parents: NDArray[np.uint8]

    @classmethod
    def of(cls, found: Sequence[tuple[int, bytes, bytes, bytes | None]]) -> _Part:
        """Return what rows of (leaf, objects, ids, parents) hold.

        Raises
        ------
        ValueError
            When they do not agree with each other.
        """
        sizes = [len(ids) // 16 for _, _, ids, _ in found]
        states = np.frombuffer(b"".join([row[1] for row in found]), STATE)
        ids = np.frombuffer(b"".join([row[2] for row in found]), np.uint8).reshape(-1, 16)
        parts = [
            bytes(16 * n) if row[3] is None else row[3] for row, n in zip(found, sizes, strict=True)
        ]
        parents = np.frombuffer(b"".join(parts), np.uint8).reshape(-1, 16)
        if not len(states) == len(ids) == len(parents) == sum(sizes):
            raise ValueError("leaves and states differ in length")
        firsts = np.cumsum([0, *sizes[:-1]])
        leaves = np.array([row[0] for row in found], np.int64)
        rows = np.arange(len(ids)) + np.repeat(leaves * LEAF_SIZE - firsts, sizes)
        there = states["gone"] == 0
        return cls(rows[there], states[there], ids[there], parents[there])

    def select(self, keep: NDArray[np.bool_]) -> _Part:
        """Return some of them."""
        return _Part(self.rows[keep], self.states[keep], self.ids[keep], self.parents[keep])


class Family:
    """Reads the tree of a slide's objects; made for one look, as edits do not show in it.

    Parameters
    ----------
    reading
        Guards what is read together.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        slide: int,
        reading: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._db = db
        self._slide = slide
        self._reading = reading
        self._lost: NDArray[np.int64] | None = None

    def counts(self, parent: str | None = None) -> dict[str | None, int]:
        """Return how many objects lie in another, or in none, by class."""
        with self._reading():
            if parent is None and not self._has_parents():
                query = "SELECT class, sum(n) FROM tally WHERE slide = ? GROUP BY class"
                counted = dict(self._db.execute(query, (self._slide,)))
            else:
                counted = self._counted(parent)
            names = self._class_names()
        found = ((names.get(number), count) for number, count in counted.items() if count)
        return dict(sorted(found, key=lambda one: one[0] or ""))

    def page(
        self,
        parent: str | None,
        class_name: str | None,
        after: int = -1,
        limit: int = 200,
    ) -> list[Kin]:
        """Return the next objects of a class that lie in another, or in none.

        Parameters
        ----------
        after
            Row of the last object of the page before.
        limit
            Objects at most.
        """
        with self._reading():
            names = self._class_names()
            numbers = [number for number, name in names.items() if name == class_name]
            parts, left = [], limit
            for part in self._parts(after // LEAF_SIZE - 1, self._is_family(parent)):
                keep = self._lies_in(part, parent) & np.isin(part.states["class"], numbers)
                found = part.select(keep & (part.rows > after))
                parts.append(found.select(np.arange(len(found.rows)) < left))
                left -= len(parts[-1].rows)
                if left <= 0:
                    break
            kin = [one for part in parts for one in self._kin(part, names)]
            children = self._children([one.id for one in kin])
        return [replace(one, children=children.get(one.id, 0)) for one in kin]

    # -- inside -----------------------------------------------------------------------------------

    def _class_names(self) -> dict[int, str | None]:
        return {0: None, **dict(self._db.execute("SELECT class, name FROM class"))}

    def _has_parents(self) -> bool:
        query = "SELECT 1 FROM leaf WHERE slide = ? AND parents IS NOT NULL LIMIT 1"
        return self._db.execute(query, (self._slide,)).fetchone() is not None

    def _is_family(self, parent: str | None) -> str:
        """Return the condition on leaves that may hold children of an object."""
        return "" if parent is None else "AND parents IS NOT NULL "

    def _parts(self, after_leaf: int, condition: str = "") -> Iterator[_Part]:
        last = after_leaf
        query = f"{_PARTS}{condition}ORDER BY state.leaf LIMIT ?"
        while found := self._db.execute(query, (last, self._slide, _LEAVES)).fetchall():
            yield _Part.of(found)
            last = found[-1][0]

    def _lies_in(self, part: _Part, parent: str | None) -> NDArray[np.bool_]:
        if parent is not None:
            wanted = np.frombuffer(id_bytes(parent), np.uint8)
            inside: NDArray[np.bool_] = (part.parents == wanted).all(axis=1)
            return inside
        is_top: NDArray[np.bool_] = (part.parents == 0).all(axis=1)
        if not is_top.all():
            is_top[np.isin(id_keys(part.parents), self._lost_parents())] = True
        return is_top

    def _lost_parents(self) -> NDArray[np.int64]:
        """Return ``int64[k]``: hashes of ids that objects have for parent and nobody bears."""
        if self._lost is None:
            ids, parents = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
            for part in self._parts(-1):
                ids.append(id_keys(part.ids))
                parents.append(np.unique(id_keys(part.parents[part.parents.any(axis=1)])))
            wanted = np.unique(np.concatenate(parents))
            self._lost = wanted[~np.isin(wanted, np.concatenate(ids))]
        return self._lost

    def _counted(self, parent: str | None) -> dict[int, int]:
        counts: dict[int, int] = {}
        for part in self._parts(-1, self._is_family(parent)):
            found = part.states["class"][self._lies_in(part, parent)]
            for number, count in zip(*np.unique(found, return_counts=True), strict=True):
                counts[int(number)] = counts.get(int(number), 0) + int(count)
        return counts

    def _children(self, ids: Sequence[str]) -> dict[str, int]:
        if not ids:
            return {}
        names = np.frombuffer(b"".join([id_bytes(one) for one in ids]), np.uint8).reshape(-1, 16)
        keys = id_keys(names)
        by_key = dict(zip(keys.tolist(), ids, strict=True))
        counts: dict[str, int] = {}
        for part in self._parts(-1, "AND parents IS NOT NULL "):
            found = id_keys(part.parents)
            found = found[np.isin(found, keys)]
            for key, count in zip(*np.unique(found, return_counts=True), strict=True):
                name = by_key[int(key)]
                counts[name] = counts.get(name, 0) + int(count)
        return counts

    def _kin(self, part: _Part, names: dict[int, str | None]) -> Iterator[Kin]:
        leaves: dict[int, tuple[Any, list[str | None] | None, tuple[int, int]]] = {}
        for index, row in enumerate(part.rows.tolist()):
            leaf, slot = divmod(row, LEAF_SIZE)
            if leaf not in leaves:
                query = "SELECT boxes, names, z, t FROM leaf WHERE leaf = ?"
                boxes, texts, *plane = self._db.execute(query, (leaf,)).fetchone()
                shaped = np.frombuffer(boxes, "<f4").reshape(-1, 4).tolist()
                leaves[leaf] = (shaped, json.loads(texts) if texts else None, tuple(plane))
            boxes, texts, plane = leaves[leaf]
            state = part.states[index]
            yield Kin(
                row,
                id_text(part.ids[index].tobytes()),
                KINDS[int(state["kind"])],
                names.get(int(state["class"])),
                texts[slot] if texts else None,
                bool(state["locked"]),
                tuple(boxes[slot]),
                plane=plane,
            )
