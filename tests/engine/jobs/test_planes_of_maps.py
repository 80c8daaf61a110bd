"""Maps say of which plane they are: those that grow, and those that are written in the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from tests.engine.jobs.conftest import Bench, patches
from tests.engine.jobs.task_models import classes, heat, scores

from tilescope.jobs.run_model import follow
from tilescope.jobs.running.map_stream import STREAM_NAME
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken


@pytest.fixture
def stack(tmp_path: Path, rng: np.random.Generator) -> Path:
    path = tmp_path / "stack.ome.tif"
    planes = [[patches(rng, 200, 260) for _ in range(3)] for _ in range(2)]
    tifffile.imwrite(path, np.array(planes), photometric="minisblack", metadata={"axes": "TZYX"})
    return path


def said_of(map_path: Path) -> object:
    return zarr.open_group(map_path, mode="r").attrs["tilescope"]["plane"]


@pytest.mark.parametrize("make", [classes, heat, scores])
@pytest.mark.parametrize("plane", [(0, 0), (2, 1)])
def test_a_map_says_its_plane(
    bench: Bench,
    stack: Path,
    make: Callable[[Path], InstalledModel],
    plane: tuple[int, int],
) -> None:
    bench, expected = bench.using(make), {"z": plane[0], "t": plane[1]}
    request = bench.request(stack, plane=plane, streams_map=True, formats=("csv",))
    list(follow(request, CancellationToken()))
    assert said_of(request.folder / STREAM_NAME) == expected
    report = bench.run(stack, "again", plane=plane, formats=("ome-zarr",))
    written = Path(report.outputs["ome-zarr"]).parent.glob("*.ome.zarr")
    found = [said_of(path) for path in written]
    assert found
    assert found == [expected] * len(found)
