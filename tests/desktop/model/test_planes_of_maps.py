"""The plane that a map names is believed where its slide has it; what is no plane is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tilescope.domain.geometry import Size
from tilescope.domain.slide import SlideId, SlideInfo
from tilescope.errors import UnsupportedFormat
from tilescope.exchange.classmap import class_attributes
from tilescope.exchange.classmap_pyramid import MapPlace
from tilescope.io.levels import make_levels
from tilescope_desktop.model.map_facts import MapFacts, facts_of

SIZE = Size(600, 400)
MAP = SlideInfo(
    id=SlideId("map"),
    path="labels.ome.zarr",
    size_bytes=1,
    format="ome-zarr",
    reader="zarr",
    levels=make_levels([SIZE], [SIZE]),
    bands=("0",),
    dtype="uint8",
    background=(0,),
)
STACK = replace(MAP, path="stack.ome.tif", z=4, t=2)


def facts(plane: Any, slide: SlideInfo = STACK) -> MapFacts:
    said = class_attributes("labels", 1, MapPlace(SIZE, (1.0, 1.0), (0.0, 0.0), None), ("a",))
    return facts_of({**said, "tilescope": {**said["tilescope"], "plane": plane}}, MAP, slide)


def test_a_map_is_of_the_plane_that_it_names() -> None:
    found = facts({"z": 3, "t": 1})
    assert found.plane == (3, 1)
    assert [found.is_on(plane) for plane in ((3, 1), (3, 0), (0, 1))] == [True, False, False]


@pytest.mark.parametrize(
    "plane", [None, 3, [3, 1], {}, {"z": 3}, {"z": "3", "t": 1}, {"z": -1, "t": 0}, {"z": 10**4200}]
)
def test_a_map_without_a_plane_is_of_any(plane: object) -> None:
    found = facts(plane)
    assert found.plane is None
    assert found.is_on((3, 1))


@pytest.mark.parametrize("plane", [{"z": 4, "t": 0}, {"z": 0, "t": 2}])
def test_a_plane_that_the_slide_does_not_have_is_refused(plane: dict[str, int]) -> None:
    with pytest.raises(UnsupportedFormat, match="open its slide first"):
        facts(plane)
    assert facts({"z": 0, "t": 0}, replace(STACK, z=1, t=1)).plane == (0, 0)
