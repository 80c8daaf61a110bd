"""The areas of a run come back as the very same, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

from tilescope.errors import UsageError
from tilescope.ops.areas import Areas
from tilescope_desktop.model.kept_areas import are_kept, keep_areas, kept_areas


def _areas() -> Areas:
    rng = np.random.default_rng(5)
    crossed = shapely.Polygon(rng.uniform(0, 9000, (40, 2)))  # crosses itself again and again
    ring = shapely.Point(0.1, 1 / 3).buffer(50).difference(shapely.Point(0.1, 1 / 3).buffer(20))
    star = shapely.Polygon(rng.uniform(0, 1e-3, (7, 2))).convex_hull
    return Areas.of([crossed, ring, star, shapely.box(2e9, 5, 2e9 + 1, 6), ring.buffer(-3)])


def test_areas_come_back_to_the_last_bit(tmp_path: Path) -> None:
    areas = _areas()
    assert not are_kept(tmp_path)
    keep_areas(areas, tmp_path)
    assert are_kept(tmp_path)
    again = kept_areas(tmp_path, areas.sha256)
    assert again == areas
    assert [one.wkb for one in again.polygons] == [one.wkb for one in areas.polygons]
    with pytest.raises(UsageError, match="select them and run it again"):
        kept_areas(tmp_path, Areas.of([shapely.box(0, 0, 1, 1)]).sha256)


@pytest.mark.parametrize("left", [b"", b"\x01", b"no outlines at all", None])
def test_what_is_no_areas_is_said(tmp_path: Path, left: bytes | None) -> None:
    areas = _areas()
    keep_areas(areas, tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if left is None else left)
    with pytest.raises(UsageError, match="can no longer be read"):
        kept_areas(tmp_path, areas.sha256)


def test_where_nothing_can_be_written_there_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_bytes(b"")
    keep_areas(_areas(), folder)
    assert not are_kept(folder)
