"""The tables of a project file.

Objects lie in *leaves* of up to 32 neighbours. A leaf never changes once it is written: whatever
is edited gets a new leaf, so that every older state is still there to go back to. What does change
for many objects at once (class, lock, whether an object is there) is in ``state``.
An object's row number is ``32 * leaf + slot``.

==================  ==============================================================================
``slide``           where a slide was last seen, and its identity, by which it is found again
``class``           classes with colour (``0xRRGGBB``) and hot key; 0 is "unclassified" elsewhere
``author``          who made objects
``run``             which models ran over which slide
``leaf``            per object: id (16 bytes), bounding box (float32 x0, y0, x1, y1, rounded
                    outwards), end of its bytes in ``geometry`` (uint32), parent (16 bytes, zeros
                    for none), name (JSON list); per leaf: author, plane, bounding box; geometry is
                    WKB, or with coding 1 the bare vertices (float64) of one closed ring per object
``state``           per leaf: ``STATE`` of each object, and how many are there
``measured``        per leaf: float64 table, one column per name; NaN where an object lacks one
``handle``          64-bit hash of the id to row number, of all versions of an object
``box``             R*Tree over the leaves that hold at least one object that is there
``tally``           number of objects by slide, class and kind
``edit``            what can be undone; its new objects are the rows from first to last
``delta``           per edit: rows it removed, or rows it changed with their other values
``journal``         who did, undid or redid which edit, and when; rows are only ever added
==================  ==============================================================================
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np

from tilescope.domain.annotation import ObjectKind
from tilescope.errors import ProjectDamaged, ProjectError

APPLICATION_ID = 0x54535052  # "TSPR"
SCHEMA_VERSION = 2
LEAF_SIZE = 32
"""Objects per leaf at most; a power of two, and part of the file format."""
PAGE_BYTES = 8192
"""Of new files; a leaf of nuclei is a chain of two or three pages."""
STATE = np.dtype([("class", "<u4"), ("gone", "<u4"), ("kind", "u1"), ("locked", "u1")])
"""State of an object; ``gone`` is 0, the edit that removed it, or ``LOST``."""
LOST = 2**32 - 1
"""In ``gone``: a salvage found no outline, or a newer version of the object."""
KINDS: tuple[ObjectKind, ...] = get_args(ObjectKind)
"""What an object is for; their order is part of the file format."""
WKB, RINGS = 0, 1
"""How the geometry of a leaf is coded."""

TABLES: Mapping[str, str] = {
    "slide": "slide INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, relative TEXT, "
    "identity TEXT NOT NULL UNIQUE, um_x REAL, um_y REAL, um_source TEXT, notes TEXT NOT NULL",
    "class": "class INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, color INTEGER NOT NULL, "
    "hot_key TEXT",
    "author": "author INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, "
    "detail TEXT NOT NULL, UNIQUE (kind, name, detail)",
    "run": "run INTEGER PRIMARY KEY, slide INTEGER NOT NULL, at TEXT NOT NULL, "
    "model TEXT NOT NULL, detail TEXT NOT NULL",
    "leaf": "leaf INTEGER PRIMARY KEY, slide INTEGER NOT NULL, author INTEGER NOT NULL, "
    "z INTEGER NOT NULL, t INTEGER NOT NULL, x0 REAL NOT NULL, x1 REAL NOT NULL, "
    "y0 REAL NOT NULL, y1 REAL NOT NULL, ids BLOB NOT NULL, boxes BLOB NOT NULL, "
    "ends BLOB NOT NULL, parents BLOB, names TEXT, geometry BLOB NOT NULL, "
    "coding INTEGER NOT NULL DEFAULT 0",
    "state": "leaf INTEGER PRIMARY KEY, slide INTEGER NOT NULL, there INTEGER NOT NULL, "
    "objects BLOB NOT NULL",
    "measure_names": "names INTEGER PRIMARY KEY, list TEXT NOT NULL UNIQUE",
    "measured": "leaf INTEGER PRIMARY KEY, names INTEGER NOT NULL, numbers BLOB NOT NULL",
    "handle": "key INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (key, row)",
    "tally": "slide INTEGER NOT NULL, class INTEGER NOT NULL, kind INTEGER NOT NULL, "
    "n INTEGER NOT NULL, PRIMARY KEY (slide, class, kind)",
    "edit": "edit INTEGER PRIMARY KEY, label TEXT NOT NULL, user TEXT NOT NULL, at TEXT NOT NULL, "
    "first INTEGER, last INTEGER, added INTEGER NOT NULL, removed INTEGER NOT NULL, "
    "changed INTEGER NOT NULL, standing INTEGER NOT NULL",
    "delta": "delta INTEGER PRIMARY KEY, edit INTEGER NOT NULL, field TEXT NOT NULL, "
    "places BLOB NOT NULL, other BLOB",
    "journal": "entry INTEGER PRIMARY KEY, at TEXT NOT NULL, user TEXT NOT NULL, "
    "action TEXT NOT NULL, edit INTEGER",
}
"""Columns of every ordinary table."""

_WITHOUT_ROWID = frozenset({"handle", "tally"})
_DERIVED = (
    "CREATE VIRTUAL TABLE box USING rtree (leaf, s0, s1, x0, x1, y0, y1)",
    "CREATE INDEX edit_standing ON edit (standing, edit)",
    "CREATE INDEX delta_edit ON delta (edit)",
    "CREATE TRIGGER journal_keeps BEFORE DELETE ON journal "
    "BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END",
    "CREATE TRIGGER journal_stays BEFORE UPDATE ON journal "
    "BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END",
)


def create(db: sqlite3.Connection) -> None:
    """Make the tables in an empty database; inside the caller's transaction.

    Raises
    ------
    sqlite3.OperationalError
        When this SQLite was built without R*Tree.
    """
    for name, columns in TABLES.items():
        ending = " WITHOUT ROWID" if name in _WITHOUT_ROWID else ""
        db.execute(f"CREATE TABLE {name} ({columns}){ending}")
    for statement in _DERIVED:
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def version_of(db: sqlite3.Connection, path: Path) -> int:
    """Return the schema version of an open file.

    Raises
    ------
    ProjectError
        When it is one of a newer Tilescope.
    ProjectDamaged
        When tables are missing.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise ProjectError(
            path,
            f"a newer Tilescope wrote this project (format {version}, this one knows "
            f"{SCHEMA_VERSION}); update Tilescope",
        )
    found = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    missing = sorted({*TABLES, "box"} - found)
    if version < 1 or (version == SCHEMA_VERSION and missing):
        raise ProjectDamaged(path, f"tables are missing: {', '.join(missing) or 'version'}")
    return version
