"""What a run remembers: exactly what it was told, whatever kills it in between."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tilescope.domain.results import Detections
from tilescope.errors import OutputError, RunMismatch
from tilescope.store.run_ledger import APPLICATION_ID, Item, Kind, RunLedger, TileCounts

IDENTITY = {"model": "toy 1", "slide": "a.svs", "threshold": "0.5"}
NAMES = ("round", "square")


def triangle(x: float, y: float, side: float = 4.0) -> NDArray[np.float64]:
    return np.array([[x, y], [x + side, y], [x, y + side]])


def found(*rings: NDArray[np.float64], scores: Sequence[float] | None = None) -> Detections:
    n = len(rings)
    values = np.linspace(0.5, 1.0, n) if scores is None else np.array(scores)
    classes = np.arange(n, dtype=np.uint16) % 2
    return Detections.of(list(rings), values.astype(np.float32), classes, NAMES)


def kinds(*values: Kind) -> NDArray[np.uint8]:
    return np.array(values, np.uint8)


def whole(count: int) -> NDArray[np.uint8]:
    return kinds(*[Kind.WHOLE] * count)


def seam(tile: int, ring: NDArray[np.float64]) -> Item:
    return Item(0, tile, Kind.SEAM, 1, 0.75, ring)


def all_objects(ledger: RunLedger) -> list[tuple[int, list[list[float]]]]:
    """Return number and outline of every final object, in order."""
    return [
        (first + i, ring.tolist())
        for batch, first in ledger.objects(NAMES)
        for i, ring in enumerate(batch)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.ledger"


@pytest.fixture
def ledger(path: Path):
    with RunLedger(path, IDENTITY) as ledger:
        yield ledger


def test_outlines_come_back_as_float32(ledger: RunLedger, rng: np.random.Generator) -> None:
    rings = [rng.uniform(0, 200_000, (k, 2)) for k in (3, 4, 50, 1000)]
    ledger.finish(0, found(*rings), whole(4))
    ledger.place_whole()
    ledger.settle([])
    ((batch, first),) = ledger.objects(NAMES)
    assert first == 1
    assert batch.class_names == NAMES
    for ring, stored in zip(rings, batch, strict=True):
        assert stored.dtype == np.float64
        np.testing.assert_array_equal(stored, ring.astype(np.float32).astype(np.float64))
    np.testing.assert_array_equal(batch.scores, found(*rings).scores)
    np.testing.assert_array_equal(batch.classes, [0, 1, 0, 1])


def test_objects_come_in_batches_that_number_on(ledger: RunLedger) -> None:
    count = 4500
    ledger.finish(0, found(*[triangle(i, 0) for i in range(count)]), whole(count))
    ledger.place_whole()
    ledger.settle([])
    batches = list(ledger.objects(NAMES))
    assert len(batches) > 1
    assert [first for _, first in batches] == np.cumsum([1, *(len(b) for b, _ in batches)])[
        :-1
    ].tolist()
    xs = [ring[0, 0] for batch, _ in batches for ring in batch]
    assert xs == list(range(count))
    assert ledger.count_objects() == ledger.count_found() == count


def test_states_of_tiles(ledger: RunLedger) -> None:
    assert ledger.finished_tiles() == set()
    ledger.skip([3, 4])
    ledger.finish(1, found(triangle(0, 0)), whole(1))
    ledger.finish(2, Detections.empty(NAMES), whole(0))
    ledger.fail(7, "cannot be decoded")
    ledger.fail(5, "disk")
    assert ledger.finished_tiles() == {1, 2, 3, 4}
    assert ledger.counts() == TileCounts(done=2, background=2, failed=2)
    assert ledger.failures() == [(5, "disk"), (7, "cannot be decoded")]
    assert ledger.failures(limit=1) == [(5, "disk")]


def test_a_failed_tile_is_tried_again_and_no_longer_failed(ledger: RunLedger) -> None:
    ledger.fail(0, "first")
    ledger.fail(0, "second")
    assert ledger.failures() == [(0, "second")]
    ledger.finish(0, found(triangle(1, 1)), whole(1))
    assert ledger.finished_tiles() == {0}
    assert ledger.counts() == TileCounts(done=1, background=0, failed=0)
    assert ledger.failures() == []
    assert ledger.count_found() == 1


def test_everything_is_there_when_it_is_opened_again(path: Path) -> None:
    with RunLedger(path, IDENTITY) as ledger:
        ledger.finish(4, found(triangle(1, 1), triangle(9, 9)), kinds(Kind.WHOLE, Kind.CANDIDATE))
        ledger.fail(5, "why")
        ledger.remember("decisions", {"scale": [0.5, None], "name": "µ"})
    with RunLedger(path, IDENTITY) as ledger:
        assert ledger.finished_tiles() == {4}
        assert ledger.failures() == [(5, "why")]
        assert ledger.count_found() == 2
        assert ledger.note("decisions") == {"scale": [0.5, None], "name": "µ"}
        assert ledger.note("others") is None
        ledger.remember("decisions", 3)
        assert ledger.note("decisions") == 3
    assert sorted(file.name for file in path.parent.iterdir()) == ["run.ledger"]


def test_undecided_are_candidates_and_fragments_by_tile(ledger: RunLedger) -> None:
    every = kinds(Kind.FRAGMENT, Kind.WHOLE, Kind.CANDIDATE)
    for tile in (9, 2, 5):
        rings = [triangle(tile, 10.0 * i) for i in range(3)]
        ledger.finish(tile, found(*rings, scores=[0.25, 0.5, 1.0]), every)
    items = ledger.undecided()
    assert [(item.tile, item.kind, item.score, item.class_index) for item in items] == [
        (tile, kind, score, 0)
        for tile in (2, 5, 9)
        for kind, score in ((Kind.FRAGMENT, 0.25), (Kind.CANDIDATE, 1.0))
    ]
    np.testing.assert_array_equal(items[1].ring, triangle(2, 20.0))


def test_numbers_do_not_depend_on_the_order_in_which_tiles_finish(tmp_path: Path) -> None:
    results = []
    for name, order in (("up", range(6)), ("down", reversed(range(6))), ("mixed", (3, 0, 5, 1))):
        with RunLedger(tmp_path / name, IDENTITY) as ledger:
            for tile in order:
                rings = [triangle(10 * tile, 20.0 * i) for i in range(3)]
                ledger.finish(tile, found(*rings), kinds(Kind.WHOLE, Kind.FRAGMENT, Kind.WHOLE))
            if name == "mixed":  # interrupted, settled too early, and continued
                ledger.place_whole()
                ledger.settle([seam(3, triangle(1, 1))])
                for tile in (4, 2):
                    rings = [triangle(10 * tile, 20.0 * i) for i in range(3)]
                    ledger.finish(tile, found(*rings), kinds(Kind.WHOLE, Kind.FRAGMENT, Kind.WHOLE))
            ledger.place_whole()
            assert [item.tile for item in ledger.undecided()] == list(range(6))
            ledger.settle([seam(0, triangle(5, 500)), seam(4, triangle(45, 500))])
            results.append(all_objects(ledger))
    assert [number for number, _ in results[0]] == list(range(1, 15))
    assert results[1] == results[0]
    assert results[2] == results[0]


def test_settling_again_changes_nothing(ledger: RunLedger) -> None:
    rings = [triangle(x, 0) for x in (0, 10, 20)]
    ledger.finish(0, found(*rings), kinds(Kind.WHOLE, Kind.CANDIDATE, Kind.WHOLE))
    seams = [seam(0, triangle(10, 0)), seam(0, triangle(70, 0))]
    states = []
    for _ in range(3):
        ledger.place_whole()
        ledger.settle(seams)
        everywhere, numbers = ledger.objects_in((-1e6, -1e6, 1e6, 1e6), NAMES)
        states.append((all_objects(ledger), numbers.tolist(), len(everywhere)))
        assert ledger.count_objects() == 4
        assert ledger.count_found() == 3
    assert states[1] == states[0]
    assert states[2] == states[0]
    assert states[0][1] == [1, 2, 3, 4]


def test_placing_again_withdraws_the_objects_until_they_are_settled(ledger: RunLedger) -> None:
    ledger.finish(0, found(triangle(0, 0)), whole(1))
    ledger.place_whole()
    ledger.settle([seam(0, triangle(50, 0))])
    ledger.place_whole()
    assert ledger.count_objects() == 0
    assert len(ledger.whole_near(0, 0, 100, 100)) == 1


def test_whole_near_finds_boxes_that_meet_edges_included(ledger: RunLedger) -> None:
    rings = [triangle(0, 0, 10), triangle(20, 0, 10), triangle(0, 40, 10), triangle(20, 40, 10)]
    ledger.finish(0, found(*rings), kinds(Kind.WHOLE, Kind.WHOLE, Kind.WHOLE, Kind.CANDIDATE))
    ledger.place_whole()
    near = ledger.whole_near(10, 10, 20, 15)
    assert [item.ring[0].tolist() for item in near] == [[0, 0], [20, 0]]
    assert all(item.kind is Kind.WHOLE for item in near)
    assert ledger.whole_near(10.5, 10.5, 19.5, 39.5) == []


coordinate = st.floats(-1000, 1000, width=32) | st.integers(-20, 20).map(float)
rectangle = st.tuples(coordinate, coordinate, coordinate, coordinate).map(
    lambda v: (min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3]))
)
outline = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=5).map(
    lambda points: np.array(points, np.float64)
)


@given(rings=st.lists(outline, max_size=12), box=rectangle, tiles=st.integers(1, 4))
def test_a_rectangle_finds_what_looking_at_every_object_finds(
    rings: list[NDArray[np.float64]], box: tuple[float, float, float, float], tiles: int
) -> None:
    with RunLedger(Path(":memory:"), IDENTITY) as ledger:
        for tile in range(tiles):
            part = rings[tile::tiles]
            ledger.finish(tile, found(*part), whole(len(part)))
        ledger.place_whole()
        ledger.settle([seam(0, ring + 1) for ring in rings[:2]])
        x0, y0, x1, y1 = box
        expected = []
        for batch, first in ledger.objects(NAMES):
            meets = (batch.boxes() >= [-np.inf, -np.inf, x0, y0]).all(axis=1)
            meets &= (batch.boxes() <= [x1, y1, np.inf, np.inf]).all(axis=1)
            expected += [(first + int(i), batch.ring(int(i))) for i in np.flatnonzero(meets)]
        inside, numbers = ledger.objects_in(box, NAMES)
        assert numbers.dtype == np.uint32
        assert numbers.tolist() == [number for number, _ in expected]
        for ring, (_, same) in zip(inside, expected, strict=True):
            np.testing.assert_array_equal(ring, same)


def test_another_run_is_refused_with_every_difference(path: Path) -> None:
    with RunLedger(path, IDENTITY):
        pass
    other = {"model": "toy 2", "threshold": "0.7", "region": "all", "slide": "a.svs"}
    with pytest.raises(RunMismatch) as caught:
        RunLedger(path, other)
    assert caught.value.differences == (
        "model was toy 1, now toy 2",
        "region was unset, now all",
        "threshold was 0.5, now 0.7",
    )
    assert str(path.parent) in str(caught.value)
    assert "--overwrite" in str(caught.value)
    with pytest.raises(RunMismatch, match=r"slide was a\.svs, now unset"):
        RunLedger(path, {"model": "toy 1", "threshold": "0.5"})
    with RunLedger(path, IDENTITY):  # and is as it was
        pass


def test_what_is_remembered_is_not_part_of_the_identity(path: Path) -> None:
    with RunLedger(path, IDENTITY) as ledger:
        ledger.remember("model", "anything")
    with RunLedger(path, IDENTITY) as ledger:
        assert ledger.note("model") == "anything"


@pytest.mark.parametrize("user_version", [0, 1, 9])
def test_a_database_of_another_program_is_refused_and_left_alone(
    path: Path, user_version: int
) -> None:
    foreign = sqlite3.connect(path)
    foreign.execute(f"PRAGMA user_version = {user_version}")
    foreign.execute("CREATE TABLE precious (x)")
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(RunMismatch, match="not a run ledger"):
        RunLedger(path, IDENTITY)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_ledger_of_a_later_schema_is_refused(path: Path) -> None:
    with RunLedger(path, IDENTITY):
        pass
    later = sqlite3.connect(path)
    later.execute("PRAGMA user_version = 2")
    later.close()
    with pytest.raises(RunMismatch, match="version 2"):
        RunLedger(path, IDENTITY)


def test_a_file_that_is_no_database_is_named_and_left_alone(path: Path) -> None:
    path.write_bytes(b"precious" * 1000)
    with pytest.raises(OutputError, match=r"run\.ledger.*not a database"):
        RunLedger(path, IDENTITY)
    assert path.read_bytes() == b"precious" * 1000


def test_an_empty_file_becomes_a_ledger(path: Path) -> None:
    path.touch()  # what a process leaves that was killed before the first transaction
    with RunLedger(path, IDENTITY) as ledger:
        ledger.skip([0])
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    database.close()


def test_a_folder_that_does_not_exist_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="another folder"):
        RunLedger(tmp_path / "none" / "run.ledger", IDENTITY)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from tilescope.domain.results import Detections
from tilescope.store.run_ledger import RunLedger

path, identity = Path(sys.argv[1]), {"model": "toy 1", "slide": "a.svs", "threshold": "0.5"}
ring = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
with RunLedger(path, identity) as ledger:
    tile = len(ledger.finished_tiles())
    while True:
        rings = [ring + tile] * (tile % 7 + 100)
        n = len(rings)
        found = Detections.of(rings, np.ones(n), np.zeros(n), ("round",))
        ledger.finish(tile, found, np.zeros(n, np.uint8))
        tile += 1
        print(tile, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that kills")
def test_a_killed_writer_leaves_whole_tiles_only(path: Path) -> None:
    finished = 0
    for wanted in (1, 5, 2, 9):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        with writer.stdout as lines:
            for _ in range(wanted):
                said = int(lines.readline())
            os.kill(writer.pid, signal.SIGKILL)
            assert writer.wait() == -signal.SIGKILL
        with RunLedger(path, IDENTITY) as ledger:
            tiles = ledger.finished_tiles()
            assert tiles == set(range(len(tiles)))
            assert len(tiles) >= said >= finished + wanted
            finished = len(tiles)
            assert ledger.count_found() == sum(tile % 7 + 100 for tile in tiles)
            ledger.place_whole()
            ledger.settle([])
            owners = [ring[0][0] for _, ring in all_objects(ledger)]
            assert owners == [tile for tile in sorted(tiles) for _ in range(tile % 7 + 100)]
