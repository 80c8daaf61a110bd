"""The fuzz run: that it counts, finds what goes wrong, and can be repeated."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parent
COUNT = 12

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="workers measure themselves through /proc"
)


@pytest.fixture
def module(monkeypatch):
    """Import a module of this folder, which is no package."""
    monkeypatch.syspath_prepend(str(HERE))

    def get(name: str) -> ModuleType:
        return importlib.import_module(name)

    return get


def run(module, capsys, folder, *more):
    options = ["--reader", "image", "--count", str(COUNT), "--keep", str(folder), "--json", *more]
    status = module("fuzz").main(options)
    return status, json.loads(capsys.readouterr().out)["readers"]["image"]


def test_every_case_is_counted(module, capsys, tmp_path):
    status, found = run(module, capsys, tmp_path)
    assert (status, found["failures"]) == (0, 0), found["signatures"]
    assert found["opened"] + found["refused"] == COUNT
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("limit", "kind"), [("--memory-mib=-1", "memory"), ("--seconds=0", "slow")]
)
def test_what_exceeds_a_limit_is_a_failure_and_its_input_is_kept(
    module, capsys, tmp_path, limit, kind
):
    status, found = run(module, capsys, tmp_path, limit, "--count=1", "--start=3")
    assert (status, found["failures"], found["kinds"]) == (1, 1, {kind: 1})
    kept = [p for p in (tmp_path / "image" / "3").iterdir() if p.is_file()]
    assert len(kept) == 1
    assert (tmp_path / "image" / "3.txt").read_text().startswith(kind)


def test_a_dead_worker_is_a_failure_and_another_one_goes_on(module, tmp_path):
    fuzz = module("fuzz")
    seeds = tmp_path / "none"
    seeds.mkdir()
    crew = fuzz.Crew("image", 1, seeds, fuzz.Limits(5, 400))
    outcomes = list(crew.outcomes(0, 2))  # without seeds, every worker dies
    assert [(o.number, o.kind) for o in outcomes] == [(0, "crash"), (1, "crash")]
    assert "IndexError" in outcomes[0].detail or "exit status" in outcomes[0].detail


def test_cases_can_be_repeated_and_differ(module, tmp_path):
    module("fuzz_seeds").image(tmp_path)
    seeds = list(module("fuzz_seeds").seeds_in(tmp_path))
    case = module("fuzz_worker").case
    made = [case(seeds, "image", 1, number) for number in range(60)]
    assert made == [case(seeds, "image", 1, number) for number in range(60)]
    assert len({next(iter(files.values())) for files in made}) > 50


def test_directories_of_tiffs_and_values_of_json_are_damaged(module, tmp_path):
    mutations, seeds = module("fuzz_mutations"), module("fuzz_seeds")
    seeds.svs(tmp_path)
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        entries = mutations._tiff_entries(data)
        assert {int.from_bytes(data[e.at : e.at + 2], "little") for e in entries} >= {256, 257, 324}
    good = json.dumps({"shape": [1, 2], "codec": {"name": "zstd"}}).encode()
    damaged = {mutations._json_swapped(good, Random(n)) for n in range(40)}
    assert all(json.loads(d) is not None for d in damaged)
    assert len(damaged) > 20


@pytest.mark.slow
def test_seeds_of_every_reader_are_good(module, tmp_path):
    fuzz_seeds, worker = module("fuzz_seeds"), module("fuzz_worker")
    for name, make in fuzz_seeds.SEEDS.items():
        folder = tmp_path / name
        folder.mkdir()
        try:
            make(folder)
        except fuzz_seeds.Missing:
            continue
        seeds = list(fuzz_seeds.seeds_in(folder))
        assert seeds
        for index, files in enumerate(seeds):
            path = worker.write_case(files, folder / str(index))
            assert worker._read(name, path, Random(1)) == "", (name, next(iter(files)))
