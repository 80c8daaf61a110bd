"""Whether everything in a project file agrees."""

from __future__ import annotations

import sqlite3

from tilescope.store.leaves import is_whole, unreadable_slots
from tilescope.store.schema import LEAF_SIZE

_RULES = {
    "objects without a leaf": (
        f"SELECT count(*) FROM state WHERE row / {LEAF_SIZE} NOT IN (SELECT leaf FROM leaf)"  # noqa: S608
    ),
    "objects that cannot be found by id": (
        "SELECT (SELECT count(*) FROM state) - (SELECT count(*) FROM handle)"
    ),
    "leaves missing in the spatial index": (
        f"SELECT count(*) FROM (SELECT DISTINCT row / {LEAF_SIZE} AS leaf FROM state "  # noqa: S608
        "WHERE gone IS NULL) WHERE leaf NOT IN (SELECT leaf FROM box)"
    ),
    "counts that are wrong": (
        "SELECT count(*) FROM (SELECT slide, class, kind, n FROM tally WHERE n != 0 EXCEPT "
        "SELECT slide, class, kind, count(*) FROM state WHERE gone IS NULL "
        "GROUP BY slide, class, kind)"
    ),
    "objects gone without a reason": (
        "SELECT count(*) FROM state WHERE gone NOT IN (SELECT edit FROM edit)"
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
        problems += _shape_problems(db)
        tree = db.execute("SELECT rtreecheck('box')").fetchone()[0]
    except sqlite3.DatabaseError as exc:
        return [f"reading it fails: {exc}"]
    return problems if tree == "ok" else [*problems, f"spatial index: {tree}"]


def _shape_problems(db: sqlite3.Connection) -> list[str]:
    broken = unreadable = 0
    for row in db.execute("SELECT * FROM leaf"):
        if not is_whole(row):
            broken += 1
            continue
        for slot in unreadable_slots(row[11], row[-1]):
            known = db.execute(
                "SELECT count(*) FROM state WHERE row = ?", (row[0] * LEAF_SIZE + slot,)
            )
            unreadable += known.fetchone()[0]
    counts = {"groups of objects contradict themselves": broken, "unreadable outlines": unreadable}
    return [f"{number} {what}" for what, number in counts.items() if number]
