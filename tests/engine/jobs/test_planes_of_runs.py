"""Runs over one plane of a stack: what they look at, and where their objects are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.engine.jobs.conftest import Bench, discs

from tilescope.errors import RunMismatch, UsageError
from tilescope.jobs.import_objects import ImportRequest, import_objects
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project

#: How many discs there are on each plane, by time point and focal plane.
COUNTS = np.array([[20, 0, 5], [12, 30, 8]])


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "stack.ome.tif"
    places = [(x, y, 9) for x in range(30, 390, 40) for y in range(30, 270, 40)]
    planes = [[discs((300, 420), places[:count]) for count in counts] for counts in COUNTS]
    tifffile.imwrite(path, np.array(planes), photometric="minisblack", metadata={"axes": "TZYX"})
    return path


def planes_in(project: Path) -> dict[tuple[int, int], int]:
    with Project.open(project, writable=False) as opened:
        found = [(one.z, one.t) for batch in opened.objects() for one in batch]
    return {plane: found.count(plane) for plane in set(found)}


def test_a_run_looks_at_one_plane_and_its_objects_are_there(
    bench: Bench, stack: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study.tilescope"
    assert bench.run(stack, "first").objects == 20
    expected = {}
    for z, t in ((2, 0), (1, 1), (0, 0), (2, 1)):
        report = bench.run(stack, f"{z}-{t}", plane=(z, t), project=study)
        assert report.objects == COUNTS[t, z]
        expected[z, t] = COUNTS[t, z]
        assert planes_in(study) == expected
    again = bench.run(stack, "again", plane=(1, 1), project=study)
    assert again.project == {"added": 30, "replaced": 30, "kept": 0}
    assert planes_in(study) == expected


def test_the_outlines_say_their_plane_beyond_the_first(
    bench: Bench, stack: Path, tmp_path: Path
) -> None:
    bench.run(stack, "first")
    report = bench.run(stack, "other", plane=(1, 1))
    assert "plane" not in bench.features(stack, "first")[0]["geometry"]
    assert bench.features(stack, "other")[0]["geometry"]["plane"] == {
        "c": -1,
        "z": 1,
        "t": 1,
    }
    study = tmp_path / "study.tilescope"
    file = Path(report.outputs["geojson"])
    import_objects(ImportRequest(study, file, str(stack)), CancellationToken())
    assert planes_in(study) == {(1, 1): 30}


def test_another_plane_is_another_run_and_one_that_is_not_there_is_refused(
    bench: Bench, stack: Path
) -> None:
    bench.run(stack, plane=(2, 0))
    assert bench.run(stack, plane=(2, 0)).objects == 5
    with pytest.raises(RunMismatch, match="plane"):
        bench.run(stack)
    for plane in ((3, 0), (0, 2), (-1, 0)):
        with pytest.raises(UsageError, match="no focal plane"):
            bench.run(stack, "none", plane=plane)
    assert not (bench.folder / "none").exists()
