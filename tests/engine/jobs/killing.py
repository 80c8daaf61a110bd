"""Runs that are killed again and again, in processes that start quickly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

#: Everything is imported once, before the first fork; no thread runs then.
_DRIVER = """
import json, os, random, signal, sys, time
from pathlib import Path
from tilescope.inference.onnx_runtime import load_runtime
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import follow
from tilescope.runtime.cancel import CancellationToken
from tilescope.ops.areas import Areas
import imagecodecs._blosc, imagecodecs._png, numcodecs, onnx, psutil, shapely, zarr
from {module} import {maker} as make

load_runtime()
folder, slide, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
within = Areas.of([shapely.from_wkt(sys.argv[4])]) if sys.argv[4] else None
model = make(folder)
rng = random.Random(11)

def run(stages, tell):
    request = RunRequest(model, slide, folder / "killed", 2**31, 1, "cpu", within=within)
    first = None
    for event in follow(request, CancellationToken()):
        progress = event.progress
        if first is None and progress.stage == "tiles":
            first = progress.tiles_done
        if progress.stage in ("survey", "scale"):
            continue
        if progress.stage != "tiles" or progress.tiles_done > first:
            mark = b"." if progress.stage == "tiles" else b"w"
            if mark in stages:
                tell(mark)
        if event.report is not None:
            assert event.report.status == "complete", event.report.errors

def attempt(stages, steps):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            run(stages, lambda mark: os.write(write, mark))
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    os.close(write)
    last = b"."
    while steps and (said := os.read(read, 1)):
        last, steps = said, steps - 1
    if not steps:
        time.sleep(rng.random() * 0.004)
        os.kill(child, signal.SIGKILL)
    os.close(read)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return last.decode()
    assert os.WEXITSTATUS(status) == 0, "a run failed"
    return "end"

# First among the blocks, then after them: among the files, one later each time.
stages = [attempt(b".", 1) for _ in range(kills)]
while "end" not in stages:
    stages.append(attempt(b"w", len(stages) - kills + 1))
print(json.dumps(stages))
"""


def killed_run(folder: Path, slide: Path, maker: str, kills: int, within: str = "") -> list[str]:
    """Run until it is complete, killed at least ``kills`` times; return where it was killed.

    ``.`` is a kill among the blocks, ``w`` one after them, the last entry is ``end``. Results are
    in ``folder / "killed"``.

    Parameters
    ----------
    maker
        Module and name of a function that makes the model in a folder, ``module:function``.
    within
        The area it runs in as WKT; none for the whole slide.
    """
    module, _, name = maker.partition(":")
    program = _DRIVER.replace("{module}", module).replace("{maker}", name)
    ended = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(slide), str(kills), within],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    stages: list[str] = json.loads(ended.stdout.splitlines()[-1])
    return stages


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of every result file; what a run tells of itself is left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("run.")
    }
