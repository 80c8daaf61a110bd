"""The process in which ``fuzz.py`` opens damaged files: it may crash, hang or be killed.

Prints an empty line when it is ready and then one JSON line per case. Its argument is a
:class:`Job` as JSON.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from fuzz_mutations import mutated
from fuzz_seeds import seeds_in

from tilescope.cli.slides import describe
from tilescope.domain.tiles import tile_rect
from tilescope.errors import SlideError
from tilescope.io.cache import TileCache
from tilescope.io.openslide_source import OpenSlideSource
from tilescope.io.registry import open_slide
from tilescope.io.source import SlideSource
from tilescope.io.thumbnail import thumbnail

_CACHE_BYTES = 32 << 20
_THUMBNAIL_PX = 256
_TILES = 6

#: Address space that may be taken before the system says no; far above what is let pass.
_ADDRESS_ROOM = 4 << 30

#: What Python and numpy say when the system said no. Libraries in C that notice it themselves and
#: never touch what they asked for do no harm.
_NO_MEMORY = ("MemoryError", "Unable to allocate", "bad_alloc")


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is asked to do: cases ``start`` to ``stop`` of one reader."""

    reader: str
    seed: int
    seeds: str
    start: int
    stop: int
    memory_mib: int


@dataclass(slots=True)
class Outcome:
    """What became of one case; ``kind`` is ``opened``, ``refused`` or a failure."""

    number: int
    kind: str
    detail: str = ""
    seconds: float = 0.0
    grown_mib: int = 0


def case(seeds: list[dict[str, bytes]], reader: str, seed: int, number: int) -> dict[str, bytes]:
    """Return the files of one case by name; the same arguments give the same bytes."""
    chance = Random(f"{reader} {seed} {number}")
    files = dict(chance.choice(seeds))
    names = list(files)
    described = [n for n in names if n.endswith(("json", ".zarray", ".zattrs", ".zgroup"))]
    some = described if described and chance.random() < 0.75 else names
    name = chance.choice(some)
    others = [data for other in seeds for data in other.values()]
    files[name] = mutated(files[name], chance, others)
    return files


def write_case(files: dict[str, bytes], folder: Path) -> Path:
    """Write the files of a case and return what to open."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / next(iter(files)).split("/", maxsplit=1)[0]


def main() -> None:
    """Try all cases of the job."""
    job = Job(**json.loads(sys.argv[1]))
    # decoders print what they like; only our own lines go where they are read
    report = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    faulthandler.enable()
    seeds = list(seeds_in(Path(job.seeds)))
    with tempfile.TemporaryDirectory(prefix="tilescope-fuzz-") as scratch:
        _warm_up(job.reader, seeds, Path(scratch))
        _limit_memory()
        report.write("\n")
        for number in range(job.start, job.stop):
            folder = Path(scratch) / str(number)
            path = write_case(case(seeds, job.reader, job.seed, number), folder)
            outcome = _tried(job, path, number)
            report.write(json.dumps([*_fields(outcome)]) + "\n")
            shutil.rmtree(folder, ignore_errors=True)


def _fields(outcome: Outcome) -> Iterator[Any]:
    yield from (outcome.number, outcome.kind, outcome.detail)
    yield from (round(outcome.seconds, 3), outcome.grown_mib)


def _warm_up(reader: str, seeds: list[dict[str, bytes]], scratch: Path) -> None:
    """Read every seed once, so that what libraries load once is not held against a case."""
    for index, files in enumerate(seeds):
        path = write_case(files, scratch / f"seed-{index}")
        _read(reader, path, Random(index))
    gc.collect()


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _ADDRESS_ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _tried(job: Job, path: Path, number: int) -> Outcome:
    outcome = Outcome(number, "opened")
    with _measured(outcome):
        try:
            outcome.detail = _read(job.reader, path, Random(number))
        except SlideError as error:
            outcome.kind, outcome.detail = "refused", error.reason
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is a finding
            outcome.kind, outcome.detail = "exception", _where(error)
    if any(word in outcome.detail for word in _NO_MEMORY):
        outcome.kind = "memory"
    elif outcome.grown_mib > job.memory_mib:
        outcome.kind, outcome.detail = "memory", f"{outcome.grown_mib} MiB; {outcome.detail}"
    elif _left_open(path) and outcome.kind in ("opened", "refused"):
        gc.collect()
        if _left_open(path):
            outcome.kind = "file left open"
    return outcome


def _read(reader: str, path: Path, chance: Random) -> str:
    """Open a slide and look at it as a user would; return the first tile's error, if any."""
    cache, first = TileCache(_CACHE_BYTES), ""
    opened = OpenSlideSource.open(path) if reader == "openslide" else open_slide(path, cache=cache)
    with opened as source:
        json.dumps(describe(source.info))
        for level, col, row, plane in _places(source, chance):
            try:
                _check_tile(source, level, col, row, plane)
            except SlideError as error:
                first = first or error.reason
        try:
            picture = thumbnail(source, cache, _THUMBNAIL_PX)
        except SlideError as error:
            return first or error.reason
        assert picture.ndim == 3
        assert max(picture.shape[:2]) <= _THUMBNAIL_PX
    return first


def _places(source: SlideSource, chance: Random) -> Iterator[tuple[int, int, int, int]]:
    info = source.info
    yield 0, 0, 0, 0
    yield 0, info.levels[0].columns - 1, info.levels[0].rows - 1, info.z * info.t - 1
    for _ in range(_TILES - 2):
        level = chance.choice(info.levels)
        plane = chance.randrange(info.z * info.t)
        yield level.index, chance.randrange(level.columns), chance.randrange(level.rows), plane


def _check_tile(source: SlideSource, level: int, col: int, row: int, plane: int) -> None:
    rect = tile_rect(source.info.levels[level], col, row)
    tile = source.read_tile(level, col, row, plane)
    assert tile.shape == (rect.height, rect.width, len(source.info.bands)), "tile of another shape"
    assert tile.dtype == source.info.dtype, "tile of another dtype"


@contextmanager
def _measured(outcome: Outcome) -> Iterator[None]:
    Path("/proc/self/clear_refs").write_text("5")
    before, start = _status_mib("VmRSS"), time.perf_counter()
    yield
    outcome.seconds = time.perf_counter() - start
    outcome.grown_mib = max(0, _status_mib("VmHWM") - before)


def _status_mib(field: str) -> int:
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(match.group(1)) // 1024 if match else 0


def _left_open(path: Path) -> bool:
    """Tell whether a file of the case is still open; what libraries keep for themselves is not."""
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith(str(path)):
            return True
    return False


def _where(error: BaseException) -> str:
    """Return type, message and the last lines of ours and of all that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "tilescope" in f.filename]
    places = [f"{Path(f.filename).name}:{f.lineno}" for f in (*ours[-1:], *frames[-1:])]
    return f"{type(error).__name__} at {' < '.join(dict.fromkeys(places))}: {error}"[:300]


if __name__ == "__main__":
    main()
