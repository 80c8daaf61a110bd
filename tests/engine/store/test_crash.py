"""A process that edits is killed at random moments; what it acknowledged is there afterwards.

``TILESCOPE_CRASH_ACTS=10000 TILESCOPE_CRASH_KILLS=40 pytest tests/engine/store/test_crash.py -s
-o timeout=3000 -o faulthandler_timeout=3000`` runs the long version.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.store.project import Project

ACTS = int(os.environ.get("TILESCOPE_CRASH_ACTS", "300"))
KILLS = int(os.environ.get("TILESCOPE_CRASH_KILLS", "5"))
MANY = 20
_ROUND = 7


def an_id(act: int, index: int = 0) -> str:
    return str(UUID(int=act << 32 | index))


def an_object(act: int, index: int = 0, name: str | None = None) -> Annotation:
    shape = shapely.to_wkb(shapely.Point(act, index), byte_order=1)
    return Annotation(an_id(act, index), shape, class_name="c", name=name)


def act(project: Project, number: int) -> None:
    """Do one act: add many, add two, change the first, delete the second, undo that, redo it."""
    match number % _ROUND:
        case 0:
            project.insert(1, [[an_object(number, i) for i in range(MANY)]])
        case 1 | 2:
            project.insert(1, [[an_object(number)]])
        case 3:
            project.edit([an_object(number - 2, name="changed")])
        case 4:
            project.delete([an_id(number - 2)])
        case 5:
            project.undo()
        case _:
            project.redo()


def expected(acts: int) -> dict[str, str | None]:
    """Return the name of every object that is there after that many acts."""
    there: dict[str, str | None] = {}
    for number in range(acts):
        match number % _ROUND:
            case 0:
                there |= {an_id(number, i): None for i in range(MANY)}
            case 1 | 2:
                there[an_id(number)] = None
            case 3:
                there[an_id(number - 2)] = "changed"
            case 4:
                del there[an_id(number - 2)]
            case 5:
                there[an_id(number - 3)] = None
            case _:
                del there[an_id(number - 4)]
    return there


def acts_in(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        query = "SELECT count(*) FROM journal WHERE action IN ('do', 'undo', 'redo')"
        return int(db.execute(query).fetchone()[0])


def write(path: Path, acts: int) -> None:
    """Be the process that is killed: acknowledge every act once it is done."""
    start = acts_in(path)
    with Project.open(path) as project:
        for number in range(start, acts):
            act(project, number)
            print(number + 1, flush=True)


def acknowledged_until_killed(path: Path, chance: random.Random) -> int:
    """Let a process edit, kill it in the middle of something, return the last act it reported."""
    command = [sys.executable, __file__, str(path), str(ACTS)]
    enough = chance.randint(1, max(1, 2 * ACTS // (KILLS + 1)))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = 0
        for line in process.stdout:
            last = int(line)
            enough -= 1
            if enough <= 0:
                break
        deadline = time.perf_counter() + chance.random() * 0.02
        while time.perf_counter() < deadline:
            pass
        process.kill()
        rest = process.stdout.read().split("\n")[:-1]
    return int(rest[-1]) if rest else last


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    chance = random.Random(5)
    path = tmp_path / "p.tilescope"
    with Project.create(path) as project:
        project.add_slide(Path("a.svs"), "a")
    kills = before = 0
    for _ in range(4 * KILLS):
        acknowledged = acknowledged_until_killed(path, chance)
        kills += 1
        with Project.open(path) as project:
            assert project.check() == []
            done = acts_in(path)
            assert acknowledged <= done
            assert before <= done <= max(before, acknowledged) + 1
            before = done
            found = {a.id: a.name for batch in project.objects() for a in batch}
            assert found == expected(done)
            assert project.counts_by_class().get("c", 0) == len(found)
        if done >= ACTS:
            break
    assert kills >= min(KILLS, 3)
    print(f"{done} acts, {kills} kills")


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
