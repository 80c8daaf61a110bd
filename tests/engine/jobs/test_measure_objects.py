"""What is measured in the pixels of a slide is what numpy finds in the whole picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.jobs.conftest import write_png

from tilescope.domain.annotation import Annotation
from tilescope.errors import ProjectBusy, ProjectError, SlideError, UsageError
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.jobs.intensity import Intensities
from tilescope.jobs.measure_objects import MeasureRequest, measure_objects
from tilescope.jobs.project_slides import add_slide
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project

HOLED = shapely.Point(1050, 1000).buffer(400).difference(shapely.Point(1000, 1000).buffer(150))
SHAPES = [
    HOLED,  # over four blocks
    shapely.box(900, 900, 1100, 1100),  # overlaps it
    shapely.box(900, 900, 1100, 1100),  # and this one, wholly
    shapely.MultiPolygon([shapely.box(3, 3, 8, 20), shapely.box(1200, 40, 1220, 60)]),
    shapely.box(2090, 1290, 2400, 1400),  # leaves the slide
]
LINE = shapely.LineString([(0, 0), (30, 40)])


def annotation(number: int, shape: shapely.Geometry, **members: object) -> Annotation:
    wkb = shapely.to_wkb(shape, byte_order=1)
    return Annotation(str(UUID(int=number + 1)), wkb, **members)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (1310, 2100, 3), np.uint8)


@pytest.fixture
def slide(tmp_path: Path, picture: np.ndarray) -> Path:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, picture, photometric="rgb", tile=(256, 256))
    return path


@pytest.fixture
def study(tmp_path: Path, slide: Path) -> Iterator[Path]:
    path = tmp_path / "study.tilescope"
    fill(path, slide, [annotation(i, shape) for i, shape in enumerate([*SHAPES, LINE])])
    return path


def fill(path: Path, slide: Path, objects: list[Annotation]) -> None:
    with Project.create(path) as project, open_slide(slide, cache=TileCache(1 << 24)) as source:
        project.insert(add_slide(project, slide, source.info), [objects])


def measured(path: Path, **choice: object):
    return measure_objects(MeasureRequest(path, **choice), CancellationToken())


def measurements(path: Path) -> list[dict[str, float]]:
    with Project.open(path, writable=False) as project:
        found = {a.id: a.measurements for batch in project.objects() for a in batch}
    return [dict(found[name]) for name in sorted(found)]


def inside(shape: shapely.Geometry, pixels: np.ndarray) -> np.ndarray:
    """Return the pixels of the whole picture whose centre lies in a shape."""
    x0, y0, x1, y1 = (int(v) for v in shape.bounds)
    rows, columns = np.mgrid[max(y0 - 1, 0) : y1 + 2, max(x0 - 1, 0) : x1 + 2]
    part = pixels[max(y0 - 1, 0) : y1 + 2, max(x0 - 1, 0) : x1 + 2]
    rows, columns = (
        rows[: part.shape[0], : part.shape[1]],
        columns[: part.shape[0], : part.shape[1]],
    )
    return part[shapely.contains_xy(shape, columns + 0.5, rows + 0.5)]


def test_pixels_are_those_of_the_whole_picture(study: Path, picture: np.ndarray) -> None:
    result = measured(study)
    assert (result.objects, result.measured, result.status) == (6, 6, "complete")
    for shape, found in zip(SHAPES, measurements(study), strict=False):
        pixels = inside(shape, picture).astype(float)
        for band, values in zip(("Red", "Green", "Blue"), pixels.T, strict=True):
            assert found[f"{band}: Mean"] == pytest.approx(values.mean(), rel=1e-12)
            assert found[f"{band}: Std.Dev."] == pytest.approx(values.std(), rel=1e-12)
            assert found[f"{band}: Min"] == values.min()
            assert found[f"{band}: Max"] == values.max()
        assert found["Area px^2"] == pytest.approx(shape.area)
        assert found["Perimeter px"] == pytest.approx(shape.length)
        assert found["Circularity"] == pytest.approx(4 * np.pi * shape.area / shape.length**2)
    assert measurements(study)[5] == {"Length px": 50}


def test_only_what_is_new_is_measured(study: Path, slide: Path) -> None:
    measured(study)
    before = measurements(study)
    assert measured(study).measured == 0
    with Project.open(study) as project:
        project.insert(1, [[annotation(10, shapely.box(50, 50, 60, 60))]])
    assert measured(study).measured == 1
    assert measurements(study)[:6] == before
    assert measured(study, again=True).measured == 7
    with Project.open(study) as project:
        assert [edit.label for edit in project.history()][:2] == ["measure at level 0"] * 2
        for _ in range(4):
            project.undo()
    assert measurements(study) == [{}] * 6


def test_other_measurements_stay(tmp_path: Path, slide: Path) -> None:
    path = tmp_path / "p.tilescope"
    fill(path, slide, [annotation(0, SHAPES[1], measurements={"score": 0.25})])
    measured(path)
    (found,) = measurements(path)
    assert found["score"] == 0.25
    assert len(found) > 10


def test_lengths_are_in_micrometres_when_the_project_knows_them(study: Path) -> None:
    from dataclasses import replace

    with Project.open(study) as project:
        project.change_slide(replace(project.slides()[0], um_per_px=(0.5, 0.25)))
    measured(study)
    found = measurements(study)
    assert found[1]["Area µm^2"] == pytest.approx(200 * 200 * 0.125)
    assert found[1]["Perimeter µm"] == pytest.approx(2 * (100 + 50))
    assert found[5]["Length µm"] == pytest.approx(np.hypot(15, 10))


def test_sixteen_bits_of_several_channels_and_a_coarser_level(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    fine = rng.integers(30_000, 65_536, (3, 600, 640), np.uint16)
    coarse = fine[:, ::2, ::2].copy()
    slide = tmp_path / "fluorescence.ome.tif"
    names = ["DAPI", "CD3", "CD8"]
    with tifffile.TiffWriter(slide, ome=True) as writer:
        options = {"tile": (128, 128), "photometric": "minisblack"}
        metadata = {"axes": "CYX", "Channel": {"Name": names}}
        writer.write(fine, subifds=1, metadata=metadata, **options)
        writer.write(coarse, subfiletype=1, **options)
    shape = shapely.Point(300, 310).buffer(123.4)
    path = tmp_path / "p.tilescope"
    fill(path, slide, [annotation(0, shape)])
    for level, pixels, scale in ((0, fine, 1), (1, coarse, 2)):
        measured(path, level=level, again=True)
        (found,) = measurements(path)
        expected = inside(
            shapely.transform(shape, lambda p, s=scale: p / s), pixels.transpose(1, 2, 0)
        )
        for band, values in zip(names, expected.T.astype(float), strict=True):
            assert found[f"{band}: Mean"] == pytest.approx(values.mean(), rel=1e-12)
            assert found[f"{band}: Std.Dev."] == pytest.approx(values.std(), rel=1e-9)
    with pytest.raises(UsageError, match="levels 0 to 1, no level 2"):
        measured(path, level=2)


def test_what_was_measured_before_a_cancel_is_kept(tmp_path: Path) -> None:
    slide = write_png(tmp_path / "slide.png", np.full((400, 400), 7, np.uint8))
    path = tmp_path / "p.tilescope"
    many = [
        annotation(i, shapely.box(x := 5 * (i % 70), y := 5 * (i // 70), x + 4, y + 4))
        for i in range(4900)
    ]
    fill(path, slide, many)
    token = CancellationToken()
    result = measure_objects(MeasureRequest(path), token, lambda count: token.cancel())
    assert result.status == "cancelled"
    assert 0 < result.measured < 4900
    assert sum(bool(m) for m in measurements(path)) == result.measured
    rest = measured(path)
    assert (rest.status, rest.measured) == ("complete", 4900 - result.measured)
    assert all(m for m in measurements(path))


def test_a_slide_that_is_gone_or_broken_changes_nothing(study: Path, slide: Path) -> None:
    data = slide.read_bytes()
    slide.write_bytes(data[: len(data) // 3])
    with pytest.raises((UsageError, SlideError), match=r"slide\.tif"):
        measured(study)
    slide.unlink()
    with pytest.raises(UsageError, match="no longer at"):
        measured(study)
    assert measurements(study) == [{}] * 6


def test_a_missing_or_busy_project_is_refused(study: Path, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no such file"):
        measured(tmp_path / "none.tilescope")
    assert not (tmp_path / "none.tilescope").exists()
    with Project.open(study), pytest.raises(ProjectBusy):
        measured(study)


@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), max_size=20), max_size=6),
    st.floats(-1e9, 1e9),
)
def test_parts_add_up_to_the_whole(parts: list[list[float]], offset: float) -> None:
    found = Intensities.none(2, 1)
    for part in parts:
        values = np.array(part) + offset
        found.add(np.arange(len(part)) % 2, values[:, None])
    for owner in (0, 1):
        whole = np.concatenate([np.zeros(0), *(np.array(p[owner::2]) + offset for p in parts)])
        assert found.counts[owner] == len(whole)
        named = {name: column[owner] for name, column in found.named(("x",)).items()}
        if len(whole):
            size = np.abs(whole).max() + 1
            assert named["x: Mean"] == pytest.approx(whole.mean(), abs=1e-12 * size)
            assert named["x: Std.Dev."] == pytest.approx(
                whole.std(), abs=1e-6 * np.ptp(whole) + 1e-12 * size
            )
            assert (named["x: Min"], named["x: Max"]) == (whole.min(), whole.max())
        else:
            assert all(np.isnan(value) for value in named.values())
