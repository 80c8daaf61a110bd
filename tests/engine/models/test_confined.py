"""What cannot be trusted gets a process of its own, and not more than it may have."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tilescope.errors import Cancelled
from tilescope.jobs.adding.confined import Limits, run_confined

ENOUGH = Limits(1 << 30, 60.0)


def timeit(statement: str, limits: Limits = ENOUGH) -> tuple[str | None, str]:
    """Run a statement with the standard library's own ``-m``."""
    ending = run_confined("timeit", ["-n", "1", "-r", "1", statement], limits)
    assert not psutil.Process().children()
    return ending.breach, ending.said


def test_it_ends_by_itself() -> None:
    assert timeit("pass")[0] is None


def test_time_is_up() -> None:
    assert timeit("import time; time.sleep(60)", Limits(1 << 30, 0.3))[0] == "time"


def test_memory_is_up() -> None:
    statement = "import time; x = b'1' * (300 << 20); time.sleep(60)"
    assert timeit(statement, Limits(200 << 20, 60.0))[0] == "memory"


def test_a_crash_is_told_with_its_last_words() -> None:
    assert timeit("1 / 0") == ("crash", "ZeroDivisionError: division by zero")
    assert timeit("import os; os.abort()")[0] == "crash"


def test_nothing_of_the_current_folder_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "timeit.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert timeit("pass")[0] is None


def test_whoever_looks_can_end_it() -> None:
    looks = []

    def look() -> None:
        looks.append(len(psutil.Process().children()))
        if len(looks) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_confined("timeit", ["-n", "1", "import time; time.sleep(60)"], ENOUGH, look)
    assert looks == [1, 1, 1]
    assert not psutil.Process().children()


def test_it_has_no_input() -> None:
    assert timeit("import sys; assert sys.stdin.read() == ''")[0] is None
