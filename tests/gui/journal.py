"""A project held against what its own journal says."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from tests.gui.hand import objects_of

from tilescope.store.project import Project


def check_journal(path: Path) -> None:
    """Assert that a project is what its journal says was done, undone and done again."""
    with Project.open(path, writable=False) as project:
        assert project.check() == []
        there = sum(project.counts_by_class().values())
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        steps = db.execute("SELECT action, edit FROM journal ORDER BY entry").fetchall()
        edits = {n: (a, r, s) for n, a, r, s in db.execute(
            "SELECT edit, added, removed, standing FROM edit"
        )}  # fmt: skip
    db.close()
    done: list[int] = []
    undone: list[int] = []
    for action, edit in steps:
        if action == "do":
            done.append(edit)
        elif action == "undo":
            assert done[-1] == edit
            undone.append(done.pop())
        elif action == "redo":
            assert undone[-1] == edit
            done.append(undone.pop())
        elif action == "drop":
            undone.clear()
    holds = {number for number, (_, _, standing) in edits.items() if standing == 0}
    assert holds == set(done)
    assert there == sum(edits[number][0] - edits[number][1] for number in done)


def check_way_back(path: Path, folder: Path) -> None:
    """Assert that everything can be undone, down to nothing, and done again."""
    copy = folder / "way-back.tilescope"
    shutil.copyfile(path, copy)
    before = objects_of(copy)
    with Project.open(copy) as project:
        count = 0
        while project.undo() is not None:
            count += 1
        assert sum(project.counts_by_class().values()) == 0
        for _ in range(count):
            assert project.redo() is not None
    assert objects_of(copy) == before
