"""The harness of the benchmarks: its arithmetic, its order, and what it says of missing peers."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("pairs")


@pytest.fixture
def report(pairs: ModuleType) -> ModuleType:
    return importlib.import_module("report")


@pytest.fixture
def settings(report: ModuleType, tmp_path: Path) -> Any:
    return report.Settings(pairs=3, seed=7, folder=tmp_path)


def scripted(pairs: ModuleType, name: str, walls: list[float], log: list[str]) -> Any:
    """A side that takes the times it is told to, the first of them for warming up."""
    left = iter(walls)

    def run(batch: list[int]) -> Any:
        log.append(f"{name}{batch[0]}")
        wall = next(left)
        return pairs.Timing(wall, wall / 2)

    return run


def test_a_ratio_is_the_median_of_pairs_not_the_ratio_of_medians(pairs: ModuleType) -> None:
    log: list[str] = []
    ours = scripted(pairs, "A", [99.0, 1.0, 10.0, 1.0], log)
    peer = scripted(pairs, "B", [0.1, 2.0, 30.0, 5.0], log)
    ratio = pairs.compare(ours, peer, [[k, k] for k in range(4)])
    assert ratio.times == (2.0, 3.0, 5.0)
    assert ratio.spread == pairs.Spread(3.0, 2.5, 4.0)
    assert (ratio.cpu_times, ratio.items) == (3.0, 2)
    assert (ratio.ours_per_s, ratio.peer_per_s) == (2.0, 0.4)


def test_sides_take_turns_and_do_the_same_work(pairs: ModuleType) -> None:
    log: list[str] = []
    sides = [scripted(pairs, name, [1.0] * 4, log) for name in "AB"]
    pairs.compare(*sides, [[k] for k in range(4)])
    assert log == ["A0", "B0", "A1", "B1", "A2", "B2", "A3", "B3"]


def test_one_pair_has_a_spread_of_nothing(pairs: ModuleType) -> None:
    assert pairs.Spread.of([4.0]) == pairs.Spread(4.0, 4.0, 4.0)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_share_a_list_without_leaving_or_repeating_anything(
    pairs: ModuleType, threads: int
) -> None:
    done: list[int] = []
    who: set[int] = set()
    together = threading.Barrier(threads)

    def work(item: int) -> None:
        if item < threads:
            together.wait(timeout=30)
        who.add(threading.get_ident())
        done.append(item)

    timing = pairs.in_threads(work, threads)(range(500))
    assert sorted(done) == list(range(500))
    assert len(who) == threads
    assert timing.wall_s > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_in_a_thread_fails_the_batch(pairs: ModuleType, threads: int) -> None:
    def work(item: int) -> None:
        if item == 3:
            raise ValueError(item)

    with pytest.raises(ValueError, match="3"):
        pairs.in_threads(work, threads)(range(8))


def test_processor_time_of_all_threads_is_counted(pairs: ModuleType) -> None:
    timing = pairs.in_threads(lambda n: sum(range(n)), 2)([300_000] * 20)
    assert timing.cpu_s > 0


def test_a_missing_peer_is_named_and_its_keys_are_null(report: ModuleType, settings: Any) -> None:
    told = report.Report("tiles", settings)
    assert told.module("no-such-peer", "no_such_peer_of_ours", ["a_vs_b"]) is None
    found = json.loads(json.dumps(told.as_json()))
    assert found["missing"] == ["no-such-peer"]
    assert "no_such_peer_of_ours" in found["missing_because"]["no-such-peer"]
    assert found["a_vs_b"] is None
    assert "no-such-peer" not in found["peers"]


def test_a_peer_that_is_there_is_named_with_its_version(report: ModuleType, settings: Any) -> None:
    told = report.Report("tiles", settings)
    assert told.module("numpy", "numpy") is np
    assert told.as_json()["peers"] == {"numpy": np.__version__}
    assert told.as_json()["missing"] == []


def test_a_report_keeps_ratio_and_how_it_was_measured(
    pairs: ModuleType, report: ModuleType, settings: Any
) -> None:
    told = report.Report("tiles", settings)
    sides = [scripted(pairs, "A", [1.0] * 4, []), scripted(pairs, "B", [3.0] * 4, [])]
    told.ratio("ours_vs_them", *sides, [[0, 0]] * 4, threads=2)
    found = told.as_json()
    assert found["ours_vs_them"] == 3.0
    details = found["details"]["ours_vs_them"]
    assert (details["pairs"], details["items"], details["threads"]) == (3, 2, 2)
    assert details["quartiles"] == [3.0, 3.0]
    assert found["machine"]["cores"] >= 1


def test_a_key_over_several_cases_is_the_median_of_all_their_pairs(
    pairs: ModuleType, report: ModuleType, settings: Any
) -> None:
    told = report.Report("zarr", settings)
    for key, walls in (("a_vs_x", [9.0, 1.0, 2.0, 3.0]), ("b_vs_x", [9.0, 20.0, 30.0, 40.0])):
        ours, peer = scripted(pairs, "A", [1.0] * 4, []), scripted(pairs, "B", walls, [])
        told.ratio(key, ours, peer, [[0]] * 4)
    told.pooled("vs_x", ["a_vs_x", "b_vs_x", "c_vs_x"])
    told.pooled("vs_y", ["c_vs_y"])
    found = told.as_json()
    assert (found["vs_x"], found["vs_y"]) == (11.5, None)
    assert found["details"]["vs_x"]["pooled"] == {"a_vs_x": 2.0, "b_vs_x": 30.0}
    assert found["details"]["vs_x"]["pairs"] == 6


def test_other_pixels_than_the_peers_stop_the_benchmark(report: ModuleType) -> None:
    ours = np.full((4, 4, 3), 250, np.uint8)
    report.same_pixels(ours, ours + np.uint8(2), "a peer", within=2)
    with pytest.raises(report.WrongPixels, match="a peer differ by 248 grey levels"):
        report.same_pixels(ours, ours - np.uint8(248), "a peer", within=2)
    with pytest.raises(report.WrongPixels, match="shape"):
        report.same_pixels(ours, ours[:2], "a peer", within=2)


def test_a_peer_that_does_not_start_says_why(pairs: ModuleType, tmp_path: Path) -> None:
    process = importlib.import_module("peer_process")
    script = tmp_path / "worker.py"
    script.write_text("import sys; sys.exit('its library is not there')", encoding="utf-8")
    with (
        process.PeerProcess(Path(sys.executable), script) as peer,
        pytest.raises(process.PeerGone, match="its library is not there"),
    ):
        peer.ask("hello")


def test_a_peer_in_its_own_process_times_itself(pairs: ModuleType, tmp_path: Path) -> None:
    process = importlib.import_module("peer_process")
    script = tmp_path / "worker.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from peer_process import serve\n"
        "def twice(batch, by):\n"
        "    print('noise of a library', flush=True)\n"
        "    return {'wall_s': by * len(batch), 'cpu_s': 1.0}\n"
        "serve({'twice': twice})\n",
        encoding="utf-8",
    )
    with process.PeerProcess(Path(sys.executable), script) as peer:
        assert peer.side("twice", by=2)([1, 2, 3]) == pairs.Timing(6, 1.0)
        with pytest.raises(process.PeerGone, match="KeyError"):
            peer.ask("thrice")


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        (
            "tiles",
            "jpeg_1t_vs_openslide jpeg_2t_vs_openslide jpeg_vs_floor jpeg_2t_vs_1t "
            "jp2k_vs_openslide regions_vs_openslide tiles_vs_pyfast open_ms",
        ),
        ("zarr", "zarr_vs_zarr_python zarr_vs_tensorstore zarr_vs_floor sharded_vs_zarr_python"),
        ("compose", "uint8_all_vs_numpy uint16_all_vs_numpy float32_all_vs_numpy"),
        ("store", "insert_vs_tiatoolbox viewport_ms_p95 open_ms"),
    ],
)
def test_a_benchmark_runs_and_has_its_keys(name: str, keys: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, str(HERE / "run.py"), name, "--json", "--small", "--pairs", "1"),
            *("--keep-inputs", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert set(keys.split()) <= found.keys()
    known = [key for key in keys.split() if found[key] is not None]
    assert all(found[key] > 0 for key in known)
    assert len(known) == len(keys.split()) or found["missing"]
    assert not list(tmp_path.glob("*.part"))
