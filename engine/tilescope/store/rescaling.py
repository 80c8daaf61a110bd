"""Measurements follow the size of a pixel when it is corrected."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from math import sqrt

import numpy as np

from tilescope.store.catalogue import Catalogue, SlideRecord
from tilescope.store.deltas import unpack_numbers
from tilescope.store.fields import FIELDS, MEASURE_CHUNK

#: What the shape of an object gives, and the power of the unit that it is in.
_SHAPES = {"Area": 2, "Perimeter": 1, "Length": 1, "Major axis": 1, "Minor axis": 1}
_END = {1: "", 2: "^2"}
_FIELD = FIELDS["measures"]

#: Number of names, and numbers, of a leaf; None where nothing is measured.
Table = tuple[int, bytes] | None


def rescale(
    db: sqlite3.Connection, catalogue: Catalogue, before: SlideRecord, after: SlideRecord
) -> None:
    """Bring what was measured on the shapes of a slide to another size of its pixels.

    Inside the caller's transaction. It is no edit: what is undone or done again later is brought
    to the new size as well. Memory does not grow with the number of objects. What other programs
    measured in other words stays as it is, and so does everything when the size is taken back.
    Lengths on oblong pixels follow the root of the area of a pixel.
    """
    if after.um_per_px is None or after.um_per_px == before.um_per_px:
        return
    old = (1.0, 1.0) if before.um_per_px is None else before.um_per_px
    area = after.um_per_px[0] * after.um_per_px[1] / (old[0] * old[1])
    if not 0 < area < float("inf"):  # no such pixel: nothing was measured with it
        return
    scale = _Scale(catalogue, "px" if before.um_per_px is None else "µm", sqrt(area))
    _rescale_tables(db, after.slide, scale)
    _rescale_history(db, after.slide, scale)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Brings the numbers of a leaf from a unit to micrometres, ``factor`` for lengths."""

    catalogue: Catalogue
    unit: str
    factor: float

    def bring(self, table: Table) -> Table:
        """Return the numbers of a leaf at the new size."""
        if table is None:
            return None
        names = self.catalogue.names(table[0])
        values = np.frombuffer(table[1], "<f8").reshape(-1, len(names))
        known = {name: values[:, i] for i, name in enumerate(names)}
        scaled = {f"{shape} {self.unit}{_END[power]}": power for shape, power in _SHAPES.items()}
        columns = dict(known)
        for name in names:
            if name not in scaled:
                continue
            wanted = name.replace(self.unit, "µm")
            now = known[name] * self.factor ** scaled[name]
            # Of objects that came with it, if any.
            columns[wanted] = np.where(np.isnan(now), known.get(wanted, now), now)
        renamed = dict.fromkeys(
            name.replace(self.unit, "µm") if name in scaled else name for name in names
        )
        columns = {name: columns[name] for name in renamed}
        data = np.stack([*columns.values()], axis=1).astype("<f8").tobytes()
        return self.catalogue.names_number(tuple(columns)), data


def _rescale_tables(db: sqlite3.Connection, slide: int, scale: _Scale) -> None:
    last = -1
    query = (
        "SELECT measured.leaf FROM state CROSS JOIN measured ON measured.leaf = state.leaf "
        "WHERE state.slide = ? AND state.leaf > ? ORDER BY state.leaf LIMIT ?"
    )
    while found := db.execute(query, (slide, last, MEASURE_CHUNK)).fetchall():
        places = np.array([row[0] for row in found], np.int64)
        _FIELD.write(db, places, [scale.bring(table) for table in _FIELD.read(db, places)])
        last = int(places[-1])


def _rescale_history(db: sqlite3.Connection, slide: int, scale: _Scale) -> None:
    """Bring the numbers that undoing or redoing an edit would put back."""
    query = "SELECT delta FROM delta WHERE field = ?"
    for (delta,) in db.execute(query, (_FIELD.name,)).fetchall():
        packed, other = db.execute(
            "SELECT places, other FROM delta WHERE delta = ?", (delta,)
        ).fetchone()
        leaves = unpack_numbers(packed).tolist()
        own = [_slide_of(db, leaf) == slide for leaf in leaves]
        if not any(own):
            continue
        pairs = zip(_FIELD.unpack(other), own, strict=True)
        tables = [scale.bring(table) if mine else table for table, mine in pairs]
        db.execute("UPDATE delta SET other = ? WHERE delta = ?", (_FIELD.pack(tables), delta))


def _slide_of(db: sqlite3.Connection, leaf: int) -> int | None:
    found = db.execute("SELECT slide FROM state WHERE leaf = ?", (leaf,)).fetchone()
    return None if found is None else int(found[0])
