"""Whether everything in a project file agrees."""

from __future__ import annotations

import sqlite3
from collections import Counter

import numpy as np

from tilescope.store import states
from tilescope.store.leaves import is_whole, unreadable_slots
from tilescope.store.schema import LOST, STATE

_RULES = {
    "groups of objects without a state": (
        "SELECT count(*) FROM leaf WHERE leaf NOT IN (SELECT leaf FROM state)"
    ),
    "groups of objects without an outline": (
        "SELECT count(*) FROM state WHERE leaf NOT IN (SELECT leaf FROM leaf)"
    ),
    "groups of objects that are missing in the spatial index": (
        "SELECT count(*) FROM state WHERE there > 0 AND leaf NOT IN (SELECT leaf FROM box)"
    ),
    "groups of objects whose states are too few or too many": (
        "SELECT count(*) FROM state JOIN leaf USING (leaf) "  # noqa: S608
        f"WHERE length(objects) / {STATE.itemsize} != length(ids) / 16"
    ),
}


def problems_of(db: sqlite3.Connection) -> list[str]:
    """Return everything that is wrong with an open project, one sentence each.

    Reads the whole file.
    """
    try:
        found = [row[0] for row in db.execute("PRAGMA integrity_check(20)")]
        problems = [] if found == ["ok"] else found
        for what, query in _RULES.items():
            if number := db.execute(query).fetchone()[0]:
                problems.append(f"{number} {what}")
        problems += _state_problems(db)
        problems += _shape_problems(db)
        tree = db.execute("SELECT rtreecheck('box')").fetchone()[0]
    except sqlite3.DatabaseError as exc:
        return [f"reading it fails: {exc}"]
    return problems if tree == "ok" else [*problems, f"spatial index: {tree}"]


def _state_problems(db: sqlite3.Connection) -> list[str]:
    edits = {row[0] for row in db.execute("SELECT edit FROM edit")}
    counts: Counter[tuple[int, int, int]] = Counter()
    found = unexplained = 0
    for part in states.stretches(db):
        found += int(np.count_nonzero(part.states["gone"] != LOST))
        counts.update(states.tally(part.slides[part.owners], part.states))
        reasons = {*np.unique(part.states["gone"]).tolist()} - {0, LOST}
        unexplained += len(reasons - edits)
    handles = db.execute("SELECT count(*) FROM handle").fetchone()[0]
    there = db.execute("SELECT coalesce(sum(there), 0) FROM state").fetchone()[0]
    listed = {tuple(row[:3]): row[3] for row in db.execute("SELECT * FROM tally WHERE n != 0")}
    numbers = {
        "objects that cannot be found by id": max(found - handles, 0),
        "counts that are wrong": len({*listed.items()} ^ {*counts.items()}),
        "objects more or fewer than there should be": there - counts.total(),
        "reasons for objects to be gone that nobody knows": unexplained,
    }
    return [f"{number} {what}" for what, number in numbers.items() if number]


def _shape_problems(db: sqlite3.Connection) -> list[str]:
    broken = unreadable = 0
    for row in db.execute("SELECT leaf.*, objects FROM leaf JOIN state USING (leaf)"):
        *leaf, objects = row
        if not is_whole(leaf):
            broken += 1
            continue
        if slots := unreadable_slots(leaf[11], *leaf[14:]):
            gone = np.frombuffer(objects, STATE)["gone"]
            unreadable += sum(slot >= len(gone) or int(gone[slot]) != LOST for slot in slots)
    counts = {"groups of objects contradict themselves": broken, "unreadable outlines": unreadable}
    return [f"{number} {what}" for what, number in counts.items() if number]
