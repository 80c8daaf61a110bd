"""Objects into a project and out of it: nothing is lost on the way, and refusals change nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely
import tifffile
import zarr
from tests.engine.jobs.conftest import write_png

from tilescope.domain.annotation import Annotation, ObjectClass
from tilescope.errors import (
    AnnotationError,
    Cancelled,
    OutputError,
    ProjectBusy,
    ProjectError,
    UsageError,
)
from tilescope.jobs.export_objects import ExportRequest, export_objects
from tilescope.jobs.import_objects import ImportRequest, import_objects
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project

HOLES = shapely.MultiPolygon([shapely.box(30, 40, 50, 60), shapely.box(60, 25, 70, 35)])
RING = shapely.box(20, 20, 80, 80).difference(HOLES)
SHAPES = [
    shapely.box(5, 5, 15.25, 12),
    RING,
    shapely.MultiPolygon([shapely.box(100, 10, 110, 20), shapely.box(120, 10, 130, 20)]),
    shapely.LineString([(0, 0), (30, 40)]),
    shapely.Point(7.5, 8),
]
COLOURS = {"tumour": [200, 0, 10], "stroma": [0, 120, 0]}


def feature(number: int, geometry: shapely.Geometry, name: str | None) -> dict:
    properties: dict = {"objectType": "annotation", "measurements": {"score": number / 8}}
    if name is not None:
        properties["classification"] = {"name": name, "color": COLOURS[name]}
    return {
        "type": "Feature",
        "id": str(UUID(int=number + 1)),
        "geometry": shapely.geometry.mapping(geometry),
        "properties": properties,
    }


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_png(tmp_path / "slide.png", np.full((120, 160, 3), 200, np.uint8))


@pytest.fixture
def other_slide(tmp_path: Path) -> Path:
    return write_png(tmp_path / "other.png", np.full((50, 60, 3), 100, np.uint8))


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """A file with an object of every shape, in two classes and none."""
    names = ["tumour", "stroma", "tumour", None, "stroma"]
    features = [feature(i, g, n) for i, (g, n) in enumerate(zip(SHAPES, names, strict=True))]
    path = tmp_path / "drawn.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture
def study(tmp_path: Path, drawn: Path, slide: Path) -> Path:
    """A project with the objects of ``drawn``."""
    path = tmp_path / "study.tilescope"
    take(path, drawn, str(slide))
    return path


def take(project: Path, file: Path, slide: str | None = None):
    return import_objects(ImportRequest(project, file, slide), CancellationToken())


def write(project: Path, form: str, out: Path, **choice: object):
    return export_objects(ExportRequest(project, form, out, **choice), CancellationToken())


def content(project: Path) -> dict[str, Annotation]:
    with Project.open(project, writable=False) as opened:
        return {a.id: a for batch in opened.objects() for a in batch}


def state(project: Path) -> tuple:
    """Return all that a failed import must leave alone."""
    with Project.open(project, writable=False) as opened:
        return opened.slides(), opened.classes(), opened.history(), content(project)


def test_an_import_keeps_geometry_classes_and_measurements(study: Path, slide: Path) -> None:
    found = content(study)
    for number, shape in enumerate(SHAPES):
        mine = found[str(UUID(int=number + 1))]
        assert shapely.from_wkb(mine.geometry).equals(shape)
        assert mine.measurements == {"score": number / 8}
    assert [found[str(UUID(int=i + 1))].class_name for i in range(4)] == [
        *("tumour", "stroma", "tumour"),
        None,
    ]
    with Project.open(study) as project:
        (record,) = project.slides()
        assert record.path == slide
        colours = {known.name: list(known.color) for known in project.classes()}
        assert colours == COLOURS
        (edit,) = project.history()
        assert (edit.added, edit.label) == (5, "import drawn.geojson")
        project.undo()
        assert project.counts_by_class() == {}


def test_the_classes_of_an_import_are_undone_and_redone_with_it(
    study: Path, tmp_path: Path
) -> None:
    with Project.open(study) as project:
        known = project.classes()
    more = tmp_path / "more.geojson"
    ring = [[1, 1], [9, 1], [9, 9], [1, 1]]
    properties = {"classification": {"name": "gland", "color": [9, 8, 7]}}
    geometry = {"type": "Polygon", "coordinates": [ring]}
    more.write_text(json.dumps({"type": "Feature", "geometry": geometry, "properties": properties}))
    take(study, more)
    gland = ObjectClass("gland", (9, 8, 7))
    with Project.open(study) as project:
        assert project.classes() == [*known, gland]
        project.undo()
        assert project.classes() == known
        project.redo()
        assert project.classes() == [*known, gland]
        assert project.counts_by_class()["gland"] == 1


def test_a_class_keeps_the_colour_it_has_in_the_project(study: Path, tmp_path: Path) -> None:
    with Project.open(study) as project:
        project.put_class(ObjectClass("tumour", (1, 2, 3), "t"))
    more = tmp_path / "more.geojson"
    more.write_text(json.dumps(feature(20, SHAPES[0], "tumour")))
    take(study, more)
    with Project.open(study, writable=False) as project:
        assert ObjectClass("tumour", (1, 2, 3), "t") in project.classes()


def test_what_cannot_be_taken_is_named(tmp_path: Path, slide: Path) -> None:
    flat = feature(1, SHAPES[0], None)
    flat["geometry"]["coordinates"] = [[[0, 0], [9, 9]]]
    file = tmp_path / "some.geojson"
    file.write_text(
        json.dumps(
            {"type": "FeatureCollection", "features": [flat, feature(2, SHAPES[1], "tumour")]}
        )
    )
    result = take(tmp_path / "p.tilescope", file, str(slide))
    assert result.objects == 1
    (finding,) = result.left_out
    assert finding.count == 1
    assert "three vertices" in finding.reason


def test_without_a_slide_the_remedy_is_named_and_no_project_is_left(
    tmp_path: Path, drawn: Path
) -> None:
    with pytest.raises(UsageError, match="--slide"):
        take(tmp_path / "p.tilescope", drawn)
    assert not list(tmp_path.glob("p.tilescope*"))


def test_with_several_slides_one_has_to_be_named(
    study: Path, drawn: Path, other_slide: Path, tmp_path: Path
) -> None:
    more = tmp_path / "more.geojson"
    more.write_text(json.dumps(feature(30, SHAPES[0], None)))
    assert take(study, more, str(other_slide)).slide == "other.png"
    with pytest.raises(UsageError, match=r"--slide: slide\.png, other\.png"):
        take(study, drawn)
    with pytest.raises(UsageError, match="--slide"):
        write(study, "geojson", tmp_path / "out.geojson")
    assert write(study, "geojson", tmp_path / "out.geojson", slide="other.png").objects == 1
    assert write(study, "geojson", tmp_path / "out.geojson", slide=str(other_slide)).objects == 1
    with pytest.raises(UsageError, match="no slide 'third'"):
        write(study, "geojson", tmp_path / "out.geojson", slide="third")


def test_a_slide_that_was_moved_and_is_named_is_the_same_slide(
    study: Path, slide: Path, tmp_path: Path
) -> None:
    moved = slide.rename(tmp_path / "moved.png")
    more = tmp_path / "more.geojson"
    more.write_text(json.dumps(feature(30, SHAPES[0], None)))
    take(study, more, str(moved))
    with Project.open(study, writable=False) as project:
        (record,) = project.slides()
        assert record.path == moved


@pytest.mark.parametrize("cut", [60, 700, 1500])
def test_a_broken_file_leaves_the_project_as_it_was(
    study: Path, drawn: Path, other_slide: Path, tmp_path: Path, cut: int
) -> None:
    broken = tmp_path / "broken.geojson"
    text = drawn.read_text().replace("00000000-0000-0000", "00000000-0000-0001")
    broken.write_text(text[:cut])
    before = state(study)
    with pytest.raises(AnnotationError, match=r"broken\.geojson"):
        take(study, broken)
    assert state(study) == before
    with pytest.raises(AnnotationError, match=r"broken\.geojson"):
        take(study, broken, str(other_slide))
    assert state(study) == before
    with pytest.raises(AnnotationError, match=r"broken\.geojson"):
        take(tmp_path / "new.tilescope", broken, str(other_slide))
    assert not list(tmp_path.glob("*new.tilescope*"))


def test_importing_the_same_objects_twice_is_refused(study: Path, drawn: Path) -> None:
    before = state(study)
    with pytest.raises(UsageError, match="already there"):
        take(study, drawn)
    assert state(study) == before


def test_a_cancelled_import_leaves_the_project_as_it_was(
    study: Path, drawn: Path, other_slide: Path
) -> None:
    before = state(study)
    token = CancellationToken()
    token.cancel()
    for slide in (None, str(other_slide)):
        with pytest.raises(Cancelled):
            import_objects(ImportRequest(study, drawn, slide), token)
    assert state(study) == before


def test_a_project_in_use_is_not_imported_into(study: Path, drawn: Path) -> None:
    with Project.open(study, user="ada"), pytest.raises(ProjectBusy, match="ada"):
        take(study, drawn)


def test_a_file_that_is_no_project_is_left_alone(tmp_path: Path, drawn: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("not a project at all\n" * 20)
    with pytest.raises(ProjectError, match=r"notes\.txt"):
        take(notes, drawn)
    assert notes.read_text() == "not a project at all\n" * 20


@pytest.mark.parametrize("name", ["a.geojson", "a.geojson.gz"])
def test_what_is_exported_comes_back(study: Path, slide: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    assert write(study, name.removeprefix("a."), out).objects == 5
    assert take(tmp_path / "second.tilescope", out, str(slide)).objects == 5
    first, second = content(study), content(tmp_path / "second.tilescope")
    assert first.keys() == second.keys()
    for key, mine in first.items():
        assert shapely.from_wkb(second[key].geometry).equals(shapely.from_wkb(mine.geometry))
        assert second[key].class_name == mine.class_name
        assert second[key].measurements == mine.measurements
    with Project.open(tmp_path / "second.tilescope", writable=False) as project:
        assert {k.name: list(k.color) for k in project.classes()} == COLOURS


def test_only_some_classes_are_exported(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "some.geojson"
    assert write(study, "geojson", out, class_names=("stroma",)).objects == 2
    assert write(study, "geojson", out, class_names=("stroma", "")).objects == 3
    with pytest.raises(UsageError, match="no class 'necrosis', only: tumour, stroma"):
        write(study, "geojson", out, class_names=("necrosis",))


def test_an_export_can_leave_out_vertices_that_hardly_matter(tmp_path: Path, slide: Path) -> None:
    circle = shapely.Point(50, 50).buffer(20, quad_segs=64)
    ring = circle.difference(shapely.Point(50, 50).buffer(8, quad_segs=64))
    file = tmp_path / "round.geojson"
    file.write_text(json.dumps([feature(i, g, None) for i, g in enumerate([ring, SHAPES[4]])]))
    project, out = tmp_path / "p.tilescope", tmp_path / "out.geojson"
    take(project, file, str(slide))
    result = write(project, "geojson", out, simplify_px=0.5)
    assert (result.objects, result.simplify_px, result.simplify_um) == (2, 0.5, None)
    features = {f["id"]: f for f in json.loads(out.read_text())["features"]}
    first, second = (shapely.geometry.shape(f["geometry"]) for _, f in sorted(features.items()))
    assert first.is_valid
    assert len(first.interiors) == 1
    assert shapely.get_num_coordinates(first) < shapely.get_num_coordinates(ring) / 5
    assert shapely.hausdorff_distance(first.boundary, ring.boundary) < 0.52
    assert second.equals(SHAPES[4])
    with Project.open(project) as opened:
        (record,) = opened.slides()
        opened.change_slide(replace(record, um_per_px=(0.5, 0.25), um_per_px_source="entered"))
    assert write(project, "geojson", out, simplify_px=2).simplify_um == 1.0
    assert write(project, "geojson", out).simplify_um is None


@pytest.mark.parametrize(
    ("form", "length", "told"),
    [
        ("geojson", -1.0, "from 0 pixels on"),
        ("geojson", float("nan"), "from 0 pixels on"),
        ("csv", 1.0, "no outlines to simplify"),
        ("ome-zarr", 1.0, "no outlines to simplify"),
    ],
)
def test_what_cannot_be_simplified_is_refused(
    study: Path, tmp_path: Path, form: str, length: float, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        write(study, form, tmp_path / "out", simplify_px=length)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("form", "objects"),
    [("asap", 5), ("coco", 3), ("coco-rle", 3), ("csv", 5)],
)
def test_every_text_format_is_written(study: Path, tmp_path: Path, form: str, objects: int) -> None:
    result = write(study, form, tmp_path / "out")
    assert result.objects == objects
    assert (tmp_path / "out").stat().st_size > 100
    assert sum(f.count for f in result.left_out if "point" in f.reason) == (5 - objects)


@pytest.mark.parametrize("form", ["ome-zarr", "tiff-labels"])
def test_labels_are_the_areas_with_their_holes(study: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / "labels"
    result = write(study, form, out, class_names=("stroma", "tumour"))
    assert result.objects == 3
    assert [f.reason for f in result.left_out] == ["is no area"]
    labels = zarr.open_array(out / "0")[:] if form == "ome-zarr" else tifffile.imread(out)
    assert labels.shape == (120, 160)
    kept = [a for a in content(study).values() if a.class_name is not None]
    areas = [shapely.from_wkb(a.geometry) for a in kept if shapely.from_wkb(a.geometry).area]
    rows, columns = np.mgrid[:120, :160] + 0.5
    centres = shapely.points(columns, rows)
    for area in areas:
        (value,) = np.unique(labels[shapely.contains(area, centres)])
        assert value
        assert (labels == value).sum() == shapely.contains(area, centres).sum()
    assert (labels > 0).sum() == sum(shapely.contains(a, centres).sum() for a in areas)


def test_a_format_that_needs_the_slide_says_that_it_is_gone(
    study: Path, slide: Path, tmp_path: Path
) -> None:
    slide.unlink()
    assert write(study, "csv", tmp_path / "out.csv").objects == 5
    with pytest.raises(UsageError, match=r"slide\.png is no longer at"):
        write(study, "coco", tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()


def test_an_export_never_replaces_a_slide_by_another_name_of_it(
    study: Path, slide: Path, tmp_path: Path
) -> None:
    before = slide.read_bytes()
    linked = tmp_path / "linked.geojson"
    linked.hardlink_to(slide)
    with pytest.raises(UsageError, match="the project or one of its slides; choose another name"):
        write(study, "geojson", linked)
    linked.unlink()
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in (study, slide):
        path.rename(moved / path.name)
    with pytest.raises(UsageError, match="the project or one of its slides; choose another name"):
        write(moved / study.name, "geojson", moved / slide.name)
    assert (moved / slide.name).read_bytes() == before


def test_an_export_never_replaces_what_is_no_export(
    study: Path, slide: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    for form in ("ome-zarr", "spatialdata", "geojson"):
        with pytest.raises(OutputError, match="is a folder"):
            write(study, form, precious)
    assert (precious / "thesis.txt").read_text() == "years"
    for source in (study, slide):
        before = source.read_bytes()
        with pytest.raises(UsageError, match="choose another name"):
            write(study, "geojson", source)
        assert source.read_bytes() == before
    for _ in range(2):
        write(study, "ome-zarr", tmp_path / "labels.ome.zarr")
    with pytest.raises(OutputError, match="is a file"):
        write(study, "ome-zarr", slide.rename(tmp_path / "elsewhere.png"))


def test_an_unknown_format_names_those_there_are(study: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="geojson"):
        write(study, "shapefile", tmp_path / "out.shp")
    with pytest.raises(UsageError, match=r"\.gz"):
        write(study, "geojson.gz", tmp_path / "out.json")


def test_an_export_reads_while_another_program_writes(study: Path, tmp_path: Path) -> None:
    with Project.open(study):
        assert write(study, "geojson", tmp_path / "out.geojson").objects == 5
