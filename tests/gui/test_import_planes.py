"""Objects of a file that names no plane: onto the one that is shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.gui.hand import Hand

DEPTH, TIMES = 4, 3
RING = [[100, 100], [120, 100], [120, 120], [100, 120], [100, 100]]


@pytest.fixture
def slide_in_hand(tmp_path: Path) -> Path:
    """A stack of focal planes at several times."""
    path = tmp_path / "stack.ome.tif"
    planes = np.full((TIMES, DEPTH, 300, 400), 60, np.uint8)
    tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": "TZYX"})
    return path


def objects_file(folder: Path, *planes: dict[str, int] | None) -> Path:
    """Write a file of one object per plane, None for an object without."""
    features = []
    for plane in planes:
        geometry = {"type": "Polygon", "coordinates": [RING]}
        if plane is not None:
            geometry["plane"] = plane
        features.append({"type": "Feature", "geometry": geometry, "properties": {}})
    file = folder / "marks.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return file


def import_at(hand: Hand, z: int, t: int, file: Path) -> list[tuple[int, int]]:
    """Show a plane, drop the file and return the planes of the objects."""
    assert hand.window.tab is not None
    hand.window.tab.planes.go_to(z, t)
    hand.drop(file)
    return sorted((one.z, one.t) for one in hand.objects())


def test_they_lie_on_the_plane_shown_and_it_is_said(hand: Hand, tmp_path: Path) -> None:
    assert import_at(hand, 1, 2, objects_file(tmp_path, None, None)) == [(1, 2), (1, 2)]
    said = hand.window.status.currentMessage()
    assert said == "2 objects from marks.geojson on focal plane 2, time 3"
    hand.act("edit.all")
    assert len(hand.annotations.selected_ids) == 2


def test_planes_that_the_file_names_are_kept(hand: Hand, tmp_path: Path) -> None:
    # Writers leave out the first plane: an object without one lies there.
    file = objects_file(tmp_path, {"c": -1, "z": 3, "t": 1}, None)
    assert import_at(hand, 2, 0, file) == [(0, 0), (3, 1)]
    assert hand.window.status.currentMessage() == "2 objects from marks.geojson"


def test_objects_on_planes_that_the_slide_lacks_are_put_on_the_plane_shown_and_it_is_said(
    hand: Hand, tmp_path: Path
) -> None:
    file = objects_file(tmp_path, {"c": -1, "z": DEPTH, "t": 1}, {"c": -1, "z": 3, "t": TIMES})
    assert import_at(hand, 1, 2, file) == [(1, 1), (3, 2)]
    said = hand.window.status.currentMessage()
    assert said.startswith("2 objects from marks.geojson; changed: ")
    told = hand.window.notices.text
    assert "names a focal plane that the slide does not have, and was put on focal plane 2" in told
    assert "names a time point that the slide does not have, and was put at time point 3" in told


def test_a_focal_plane_of_another_stack_is_seen_on_a_slide_without(
    hand: Hand, tmp_path: Path, dapi_image: Path
) -> None:
    hand.open(dapi_image)
    assert import_at(hand, 0, 0, objects_file(tmp_path, {"c": -1, "z": 3, "t": 0})) == [(0, 0)]
    hand.act("view.fit")
    assert hand.overlay.picture is not None
    assert hand.overlay.picture.count == 1
    assert "was put on focal plane 1" in hand.window.notices.text
