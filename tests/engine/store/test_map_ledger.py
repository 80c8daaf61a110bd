"""The ledger of a map: parts, raw blocks, and what a later run makes anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tilescope.errors import RunMismatch
from tilescope.store.map_ledger import MapLedger, Part
from tilescope.store.run_ledger import RunLedger

IDENTITY = {"model": "toy 1"}


def part(data: bytes, *counts: int) -> Part:
    return Part(data, np.array(counts, np.int64))


def test_parts_are_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "run.ledger"
    with MapLedger(path, IDENTITY) as ledger:
        ledger.finish_part(3, part(b"three", 5, 1))
        ledger.finish_part(1, part(b"one", 2, 4))
        ledger.skip([2])
        ledger.fail(4, "no")
    with MapLedger(path, IDENTITY) as ledger:
        assert ledger.parts() == [1, 3]
        assert (ledger.part(1), ledger.part(2)) == (b"one", None)
        assert ledger.background() == {2}
        assert ledger.finished_tiles() == {1, 2, 3}
        assert ledger.total_counts(2).tolist() == [7, 5]
        counts = ledger.counts()
        assert (counts.done, counts.background, counts.failed) == (2, 1, 1)


def test_a_block_its_parts_and_what_is_spent_come_together(tmp_path: Path) -> None:
    with MapLedger(tmp_path / "run.ledger", IDENTITY) as ledger:
        ledger.finish_parts(0, b"raw 0", {}, ())
        assert ledger.raw_tiles() == {0}
        assert ledger.finished_tiles() == {0}
        ledger.finish_parts(1, b"raw 1", {0: part(b"zero", 1), 1: part(b"one", 2)}, [0])
        assert ledger.raw_tiles() == {1}
        assert ledger.raw(1) == b"raw 1"
        assert ledger.raw(0) is None
        assert ledger.parts() == [0, 1]


def test_provisional_parts_do_not_outlive_the_run(tmp_path: Path) -> None:
    with MapLedger(tmp_path / "run.ledger", IDENTITY) as ledger:
        ledger.finish_part(0, part(b"final", 1))
        ledger.add_provisional(1, part(b"for now", 9))
        assert ledger.parts() == [0, 1]
        ledger.drop_provisional()
        assert ledger.parts() == [0]
        ledger.add_provisional(1, part(b"for now", 9))
        ledger.finish_part(1, part(b"now final", 2))
        ledger.drop_provisional()
        assert ledger.part(1) == b"now final"
        assert ledger.total_counts(1).tolist() == [3]


def test_a_write_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    with MapLedger(tmp_path / "run.ledger", IDENTITY) as ledger:
        broken = Part(b"one", np.array(["not a number"]))
        with pytest.raises(ValueError, match="not a number"):
            ledger.finish_parts(1, b"raw", {1: broken}, ())
        assert ledger.raw_tiles() == set()
        assert ledger.finished_tiles() == set()


def test_another_identity_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ledger"
    MapLedger(path, IDENTITY).close()
    with pytest.raises(RunMismatch, match="model was toy 1, now toy 2"):
        MapLedger(path, {"model": "toy 2"})
    with RunLedger(path, IDENTITY) as ledger:
        assert ledger.count_found() == 0
