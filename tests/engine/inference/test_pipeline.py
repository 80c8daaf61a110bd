"""The pipeline: order, failures, back-pressure by real memory, and leaving quietly."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from onnx import TensorProto, helper

from tilescope.domain.geometry import Rect, Size
from tilescope.errors import BudgetTooSmall, Cancelled, TilescopeError
from tilescope.inference.backends import open_session
from tilescope.inference.fixed_plan import plan_cells
from tilescope.inference.grid import WorkingGrid
from tilescope.inference.pipeline import Stages, StageSeconds, run_blocks
from tilescope.inference.planner import Block, Margins, plan_blocks
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.ledger import MemoryLedger
from tilescope.runtime.memory import return_memory_eagerly, rss_bytes, trim
from tilescope.runtime.watchdog import MemoryWatch
from tilescope.testing.toy import blur_graph

MIB = 2**20
SIDE = 320


def blocks() -> tuple[Block, ...]:
    grid = WorkingGrid.over(Size(SIDE, SIDE), 1.0, 8)
    return plan_blocks(grid, Rect(0, 0, SIDE, SIDE), Margins(8, 0), 96).blocks


def read_ones(rect: Rect) -> dict[str, np.ndarray]:
    return {"image": np.ones((1, 1, rect.height, rect.width), np.float32)}


def largest(block: Block, outputs: dict[str, np.ndarray]) -> float:
    return float(outputs["blurred"].max())


def stages(read: Callable = read_ones, decode: Callable = largest) -> Stages[float]:
    return Stages(read, decode, lambda block: block.outer.area * 8)


def results(stages: Stages[float], **more: object) -> list:
    ledger = MemoryLedger(3 * 96 * 96 * 8)
    with open_session(blur_graph(), threads=1) as session:
        found = list(
            run_blocks(
                blocks(), stages, session, ledger, CancellationToken(), StageSeconds(), **more
            )
        )
    assert ledger.reserved_bytes == 0
    assert ledger.peak_bytes <= ledger.cap_bytes
    return found


def test_every_block_comes_once_and_in_order() -> None:
    found = results(stages())
    assert [one.block.index for one in found] == [block.index for block in blocks()]
    assert all(one.value == pytest.approx(1.0) for one in found)


def test_a_block_that_fails_is_named_and_the_others_go_on() -> None:
    def read(rect: Rect) -> dict[str, np.ndarray]:
        if rect.x0 == 0 and rect.y0 == 0:
            raise TilescopeError("no pixels here")
        wrong = 3 if rect.x1 == SIDE and rect.y1 == SIDE else 1
        return {"image": np.ones((1, wrong, rect.height, rect.width), np.float32)}

    found = results(stages(read))
    assert found[0].error == "no pixels here"
    assert found[-1].error
    assert all(one.error is None for one in found[1:-1])


def test_blocks_of_a_batch_fail_one_by_one() -> None:
    """Of six blocks four are run at once, then two; one cannot be read, one has another size."""
    grid = WorkingGrid.over(Size(6 * 32, 32), 1.0, 8)
    cells = plan_cells(grid, Rect(0, 0, 6 * 32, 32), Size(32, 32)).blocks

    def read(rect: Rect) -> dict[str, np.ndarray]:
        if rect.x0 == 32:
            raise TilescopeError("no pixels here")
        side = 16 if rect.x0 == 64 else 32
        return {"image": np.full((1, 1, side, side), rect.x0, np.float32)}

    sizes: list[int] = []

    def decode(_block: Block, outputs: dict[str, np.ndarray]) -> float:
        sizes.append(len(outputs["blurred"]))
        return float(outputs["blurred"].min())

    flight = Stages(read, decode, lambda block: block.outer.area * 8, batch=4)
    ledger = MemoryLedger(3 * 4 * 32 * 32 * 8)
    with open_session(plain_graph(), threads=1) as session:
        token = CancellationToken()
        found = list(run_blocks(cells, flight, session, ledger, token, StageSeconds()))
    assert [one.value for one in found] == [0.0, None, None, 96.0, 128.0, 160.0]
    assert found[1].error == "no pixels here"
    assert "one tile of a batch has the shape (1, 1, 16, 16)" in (found[2].error or "")
    assert sizes == [1] * 4
    assert ledger.reserved_bytes == 0


def test_where_a_batch_fails_its_blocks_are_run_alone() -> None:
    grid = WorkingGrid.over(Size(3 * 32, 32), 1.0, 8)
    cells = plan_cells(grid, Rect(0, 0, 3 * 32, 32), Size(32, 32)).blocks
    flight = Stages(read_ones, largest, lambda block: block.outer.area * 8, batch=3)
    with open_session(blur_graph(), threads=1) as session:  # takes one tile only
        ledger, token = MemoryLedger(MIB), CancellationToken()
        found = list(run_blocks(cells, flight, session, ledger, token, StageSeconds()))
    assert [one.error for one in found] == [None] * 3
    assert all(one.value == pytest.approx(1.0) for one in found)


def test_an_error_of_another_kind_stops_the_run() -> None:
    def read(_rect: Rect) -> dict[str, np.ndarray]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        results(stages(read))


def test_closing_it_early_leaves_nothing_running() -> None:
    with open_session(blur_graph(), threads=1) as session:
        ledger, token = MemoryLedger(10 * MIB), CancellationToken()
        running = run_blocks(blocks(), stages(), session, ledger, token, StageSeconds())
        next(running)
        running.close()
    assert not token.is_cancelled


def test_a_cancelled_run_ends_with_cancelled() -> None:
    token = CancellationToken()
    with open_session(blur_graph(), threads=1) as session:
        ledger = MemoryLedger(10 * MIB)
        running = run_blocks(blocks(), stages(), session, ledger, token, StageSeconds())
        next(running)
        token.cancel()
        with pytest.raises(Cancelled):
            list(running)


def plain_graph() -> bytes:
    """Return a graph that takes no memory but its input and its output."""
    sides: list[str | int] = ["n", 1, "h", "w"]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["image"], ["blurred"])],
        "plain",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("blurred", TensorProto.FLOAT, sides)],
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def peak_of_a_run(watch: MemoryWatch | None) -> int:
    """Return the peak of a run whose ledger is far too generous and whose consumer is slow."""
    side = 2560
    grid = WorkingGrid.over(Size(side * 5, side), 1.0, 8)
    wide = plan_blocks(grid, Rect(0, 0, side * 5, side), Margins(0, 0), side + 16).blocks
    peaks: list[int] = []

    def decode(_block: Block, outputs: dict[str, np.ndarray]) -> float:
        time.sleep(0.3)
        peaks.append(rss_bytes())
        return float(outputs["blurred"][0, 0, 0, 0])

    flight = Stages(read_ones, decode, lambda block: block.outer.area * 8)
    with open_session(plain_graph(), threads=1) as session:
        ledger, token = MemoryLedger(1024 * MIB), CancellationToken()
        list(run_blocks(wide, flight, session, ledger, token, StageSeconds(), watch))
    assert len(peaks) == len(wide) == 5
    return max(peaks)


def test_memory_that_nobody_planned_for_slows_reading_instead_of_breaking_the_cap() -> None:
    # in a process of its own: what other tests left on the heap would count
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    before, unwatched, watched = (int(word) for word in done.stdout.split())
    assert unwatched > before + 96 * MIB
    assert watched <= before + 96 * MIB


def test_a_cap_that_cannot_be_kept_ends_the_run_with_the_least_that_would_do() -> None:
    trim()  # what other tests left on the heap would be given back meanwhile
    cap = rss_bytes() + 20 * MIB
    kept = np.ones(60 * MIB, np.uint8)
    with pytest.raises(BudgetTooSmall) as caught:
        results(stages(), watch=MemoryWatch(cap, lambda: None))
    assert caught.value.needed_bytes >= cap + 30 * MIB
    assert kept[0] == 1


if __name__ == "__main__":
    return_memory_eagerly()
    peak_of_a_run(None)  # what a first run loads stays
    idle = rss_bytes()
    print(idle, peak_of_a_run(None), peak_of_a_run(MemoryWatch(idle + 96 * MIB, lambda: None)))
