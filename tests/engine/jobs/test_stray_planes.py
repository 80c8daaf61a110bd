"""Objects of files that name planes that the slide does not have."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tilescope.jobs.import_objects import ImportRequest, ImportResult, import_objects
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project

DEPTH, TIMES = 3, 2
RING = [[10, 10], [40, 10], [40, 40], [10, 40], [10, 10]]
STRAY_Z = "names a focal plane that the slide does not have, and was put on focal plane {}"
STRAY_T = "names a time point that the slide does not have, and was put at time point {}"


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "stack.ome.tif"
    planes = np.zeros((TIMES, DEPTH, 60, 80), np.uint8)
    tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": "TZYX"})
    return path


def objects_file(folder: Path, *planes: tuple[int, int], id_of: int | None = None) -> Path:
    """Write an object per plane, z and t; one of them with an id that is known."""
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [RING],
                "plane": {"c": -1, "z": z, "t": t},
            },
            "properties": {},
        }
        for z, t in planes
    ]
    if id_of is not None:
        features[id_of]["id"] = ID
    file = folder / "marks.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return file


ID = "5f3c1d5a-0d8e-4b6e-9d0f-6a7f6a1b2c3d"


def take(project: Path, file: Path, slide: Path | None, plane: tuple[int, int]) -> ImportResult:
    name = None if slide is None else str(slide)
    return import_objects(ImportRequest(project, file, name, plane), CancellationToken())


def planes_in(project: Path) -> list[tuple[int, int]]:
    with Project.open(project, writable=False) as opened:
        return sorted((one.z, one.t) for batch in opened.objects() for one in batch)


def test_they_come_onto_the_plane_asked_for_and_are_counted(stack: Path, tmp_path: Path) -> None:
    study = tmp_path / "study.tilescope"
    file = objects_file(tmp_path, (1, 1), (DEPTH, 1), (7, TIMES), (2, 9), id_of=1)
    result = take(study, file, stack, (2, 0))
    assert planes_in(study) == [(1, 1), (2, 0), (2, 0), (2, 1)]
    assert (result.objects, result.left_out, result.plane) == (4, (), None)
    found = {one.reason: one.count for one in result.changed}
    assert found == {STRAY_Z.format(3): 2, STRAY_T.format(1): 2}
    assert result.changed[0].first == f"object {ID}"


def test_without_a_plane_asked_for_it_is_the_first(stack: Path, tmp_path: Path) -> None:
    study = tmp_path / "study.tilescope"
    (changed,) = take(study, objects_file(tmp_path, (50, 1)), stack, (0, 0)).changed
    assert changed.reason == STRAY_Z.format(1)
    assert planes_in(study) == [(0, 1)]


def test_columns_of_a_great_many_objects_are_looked_through_too(
    stack: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study.tilescope"
    planes = [(1, 0)] * 6000 + [(9, 0)] * 500
    (changed,) = take(study, objects_file(tmp_path, *planes), stack, (0, 0)).changed
    assert (changed.reason, changed.count) == (STRAY_Z.format(1), 500)
    there = planes_in(study)
    assert (there.count((1, 0)), there.count((0, 0))) == (6000, 500)


def test_a_slide_that_is_known_by_name_is_looked_at(stack: Path, tmp_path: Path) -> None:
    study = tmp_path / "study.tilescope"
    take(study, objects_file(tmp_path, (0, 0)), stack, (0, 0))
    (changed,) = take(study, objects_file(tmp_path, (8, 1)), None, (0, 0)).changed
    assert changed.reason == STRAY_Z.format(1)
    assert planes_in(study) == [(0, 0), (0, 1)]


def test_while_the_slide_is_away_objects_stay_where_the_file_says(
    stack: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study.tilescope"
    take(study, objects_file(tmp_path, (0, 0)), stack, (0, 0))
    stack.rename(tmp_path / "moved.ome.tif")
    assert take(study, objects_file(tmp_path, (8, 1)), None, (0, 0)).changed == ()
    assert planes_in(study) == [(0, 0), (8, 1)]
