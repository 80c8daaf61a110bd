"""A run into a project: its objects, its repetition, what is refused and when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from tests.engine.jobs.conftest import Bench, discs, write_png

from tilescope.domain.annotation import Annotation, ObjectClass
from tilescope.domain.geometry import Rect
from tilescope.domain.results import Detections
from tilescope.errors import ProjectBusy, ProjectDamaged, TilescopeError
from tilescope.exchange.palette import class_colour
from tilescope.jobs.export_objects import ExportRequest, export_objects
from tilescope.jobs.import_objects import ImportRequest, import_objects
from tilescope.jobs.request import RunProgress
from tilescope.jobs.run_model import run_model
from tilescope.jobs.running.project_results import valid_shapes
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project

CENTRES = [(x, y, 9) for x in range(30, 390, 40) for y in range(30, 270, 40)]


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_png(tmp_path / "slide.png", discs((300, 420), CENTRES))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return tmp_path / "study.tilescope"


def content(project: Path) -> dict[str, Annotation]:
    with Project.open(project, writable=False) as opened:
        return {a.id: a for batch in opened.objects() for a in batch}


def by_centre(objects: dict[str, Annotation]) -> dict[tuple[int, int], Annotation]:
    found = {}
    for annotation in objects.values():
        centre = shapely.from_wkb(annotation.geometry).centroid
        found[round(centre.x), round(centre.y)] = annotation
    return found


def test_a_run_puts_its_objects_into_the_project(bench: Bench, slide: Path, study: Path) -> None:
    report = bench.run(slide, project=study, um_per_px=0.5)
    assert report.status == "complete"
    assert report.outputs["project"] == str(study)
    found = by_centre(content(study))
    assert len(found) == report.objects == len(CENTRES)
    one = found[30, 30]
    area = shapely.from_wkb(one.geometry).area
    assert one.measurements["Area µm^2"] == pytest.approx(area * 0.25, abs=1e-5)
    assert one.measurements["score"] == 1
    assert 0.8 < one.measurements["Circularity"] <= 1
    assert {"Perimeter µm", "Major axis µm", "Minor axis µm"} <= one.measurements.keys()
    assert (one.kind, one.class_name, one.author.kind) == ("detection", "part", "model")
    assert one.author.name == "toy"
    assert one.author.detail["sha256"] == bench.model.spec.weights.sha256
    assert one.author.detail["parameters"] == {"threshold": 0.5}
    with Project.open(study) as project:
        (edit,) = project.history()
        assert edit.added == len(CENTRES)
        (record,) = project.slides()
        assert (record.path, record.um_per_px) == (slide, (0.5, 0.5))
        assert record.um_per_px_source == "entered by the user"
        (run,) = project.runs()
        assert (run.model, run.detail["objects"]) == ("toy", len(CENTRES))
        project.undo()
        assert project.counts_by_class() == {}


def test_new_classes_get_colours_that_no_class_of_the_project_has(
    bench: Bench, slide: Path, study: Path
) -> None:
    mine = ObjectClass("Tumor", class_colour(0))
    with Project.create(study) as project:
        project.put_classes([mine])
    bench.run(slide, project=study)
    with Project.open(study) as project:
        assert project.classes() == [mine, ObjectClass("part", class_colour(1))]


def test_geometry_and_classes_go_round_through_geojson(
    bench: Bench, slide: Path, study: Path, tmp_path: Path
) -> None:
    bench.run(slide, project=study)
    out = tmp_path / "out.geojson.gz"
    export_objects(ExportRequest(study, "geojson.gz", out), CancellationToken())
    second = tmp_path / "second.tilescope"
    import_objects(ImportRequest(second, out, str(slide)), CancellationToken())
    first, again = content(study), content(second)
    assert first.keys() == again.keys()
    for key, mine in first.items():
        apart = shapely.hausdorff_distance(
            shapely.from_wkb(mine.geometry), shapely.from_wkb(again[key].geometry)
        )
        assert apart <= 0.01
        assert (again[key].class_name, again[key].kind) == (mine.class_name, mine.kind)
        assert again[key].measurements == pytest.approx(mine.measurements)


def test_a_repetition_replaces_its_objects_and_nothing_else(
    bench: Bench, slide: Path, study: Path, tmp_path: Path
) -> None:
    bench.run(slide, project=study)
    first = content(study)
    drawn = Annotation(
        "00000000-0000-4000-8000-000000000001", shapely.to_wkb(shapely.box(0, 0, 5, 5))
    )
    theirs = replace(drawn, id="00000000-0000-4000-8000-000000000002", kind="detection")
    with Project.open(study) as project:
        project.insert(1, [[drawn]])
        project.delete([next(iter(first))])
    bench.run(slide, project=study)
    assert content(study).keys() == {*first, drawn.id}
    with Project.open(study) as project:
        project.insert(1, [[theirs]])
        chosen = sorted(first)[:3]
        project.set_class(chosen, "edited")
    bench.run(slide, "elsewhere", project=study, parameters={"threshold": 0.3})
    found = content(study)
    assert found.keys() == {*first, drawn.id, theirs.id}
    # What somebody sorted by hand stays as it was; all others are of the newest run.
    others = first.keys() - set(chosen)
    assert {found[i].author.detail["parameters"]["threshold"] for i in others} == {0.3}
    assert {found[i].class_name for i in others} == {"part"}
    assert {found[i].author.detail["parameters"]["threshold"] for i in chosen} == {0.5}
    assert {found[i].class_name for i in chosen} == {"edited"}
    with Project.open(study) as project:
        assert len(project.slides()) == 1
        assert len(project.runs()) == 3
        assert project.check() == []
        edit = project.history()[0]
        assert (edit.added, edit.removed) == (len(CENTRES) - 3, len(CENTRES) - 3)
        project.undo()
    assert {content(study)[i].class_name for i in first} == {"part", "edited"}


def test_runs_over_different_regions_do_not_replace_each_other(
    bench: Bench, slide: Path, study: Path
) -> None:
    left = bench.run(slide, "left", project=study, region_l0=Rect(0, 0, 210, 300))
    right = bench.run(slide, "right", project=study, region_l0=Rect(210, 0, 420, 300))
    assert len(content(study)) == left.objects + right.objects
    bench.run(slide, "left", project=study, region_l0=Rect(0, 0, 210, 300))
    assert len(content(study)) == left.objects + right.objects


def test_results_that_were_imported_before_are_replaced(
    bench: Bench, slide: Path, study: Path
) -> None:
    report = bench.run(slide)
    file = Path(report.outputs["geojson"])
    import_objects(ImportRequest(study, file, str(slide)), CancellationToken())
    assert bench.run(slide, project=study).status == "complete"
    found = content(study)
    assert len(found) == report.objects
    assert {a.author.kind for a in found.values()} == {"model"}


def test_a_busy_project_is_refused_before_the_run(bench: Bench, slide: Path, study: Path) -> None:
    with Project.create(study, user="ada"), pytest.raises(ProjectBusy, match="ada"):
        bench.run(slide, project=study)
    assert not (bench.folder / "out").exists()


def test_a_damaged_project_is_refused_before_the_run(
    bench: Bench, slide: Path, study: Path
) -> None:
    Project.create(study).close()
    data = study.read_bytes()
    study.write_bytes(data[: len(data) // 2])
    with pytest.raises(ProjectDamaged, match=r"study\.tilescope"):
        bench.run(slide, project=study)
    assert not (bench.folder / "out").exists()


def test_a_project_that_cannot_be_made_is_refused_before_the_run(
    bench: Bench, slide: Path, tmp_path: Path
) -> None:
    with pytest.raises(TilescopeError, match="folder"):
        bench.run(slide, project=tmp_path / "no" / "study.tilescope")
    assert not (bench.folder / "out").exists()


def test_locked_objects_of_an_earlier_run_are_not_replaced(
    bench: Bench, slide: Path, study: Path
) -> None:
    bench.run(slide, project=study)
    chosen = sorted(content(study))[:2]
    with Project.open(study) as project:
        project.set_locked(chosen, True)
    before = content(study)
    bench.run(slide, "again", project=study, parameters={"threshold": 0.3})
    found = content(study)
    assert len(found) == len(CENTRES)
    assert [found[i] for i in chosen] == [before[i] for i in chosen]
    with Project.open(study) as project:
        assert project.runs()[-1].detail["kept"] == 2
        assert project.runs()[-1].detail["replaced"] == len(CENTRES) - 2


def test_a_project_that_becomes_busy_keeps_the_results_and_names_the_way(
    bench: Bench, slide: Path, study: Path
) -> None:
    Project.create(study).close()
    request = bench.request(slide, project=study)
    opened: list[Project] = []

    def seize(progress: RunProgress) -> None:
        if progress.stage == "seams":
            opened.append(Project.open(study, user="ada"))

    try:
        report = run_model(request, CancellationToken(), seize)
    finally:
        opened[0].close()
    assert report.status == "failed"
    (error,) = report.errors
    geojson = report.outputs["geojson"]
    assert "ada" in error
    assert f"tilescope import {study} {geojson} --slide {slide}" in error
    assert len(bench.features(slide)) == len(CENTRES)
    # Both ways that the message names lead there.
    assert run_model(request, CancellationToken()).status == "complete"
    assert len(content(study)) == len(CENTRES)
    other = study.with_name("other.tilescope")
    result = import_objects(ImportRequest(other, Path(geojson), str(slide)), CancellationToken())
    assert result.objects == len(CENTRES)


def test_outlines_that_cross_themselves_become_valid_areas() -> None:
    square = np.array([[0, 0], [9, 0], [9, 9], [0, 9]], float)
    bow_tie = np.array([[0, 0], [9, 9], [9, 0], [0, 9]], float)
    rings = [square, bow_tie, square[:2], square + 20]
    n = len(rings)
    outlines = Detections.of(rings, np.ones(n, np.float32), np.zeros(n, np.uint16), ("part",))
    first, crossed, flat, last = valid_shapes(outlines)
    assert shapely.from_wkb(first).equals(shapely.box(0, 0, 9, 9))
    assert shapely.from_wkb(last).equals(shapely.box(20, 20, 29, 29))
    assert shapely.from_wkb(crossed).is_valid
    assert shapely.from_wkb(crossed).area == pytest.approx(81 / 2)
    assert flat is None


def test_a_cancel_while_the_project_is_filled_leaves_the_earlier_objects(
    bench: Bench, slide: Path, study: Path
) -> None:
    bench.run(slide, project=study)
    before = content(study)
    token = CancellationToken()

    def stop(progress: RunProgress) -> None:
        if progress.stage == study.name:
            token.cancel()

    report = run_model(bench.request(slide, project=study), token, stop)
    assert report.status == "cancelled"
    assert content(study) == before
    assert bench.run(slide, project=study).status == "complete"
    assert content(study).keys() == before.keys()


def test_objects_have_the_same_ids_in_the_files_and_in_the_project(
    bench: Bench, slide: Path, study: Path
) -> None:
    parts = {"left": Rect(0, 0, 210, 300), "right": Rect(210, 0, 420, 300)}
    ids = {}
    for out, region in parts.items():
        bench.run(slide, out, project=study, region_l0=region)
        ids[out] = {feature["id"] for feature in bench.features(slide, out)}
    assert not ids["left"] & ids["right"]
    assert ids["left"] | ids["right"] == set(content(study))
