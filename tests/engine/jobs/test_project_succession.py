"""Runs of one model over parts of a slide, one after the other: every object is there once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from tests.engine.jobs.conftest import Bench, discs, write_png
from tests.engine.jobs.task_models import boxes, instances

from tilescope.domain.annotation import Annotation, Author, ObjectClass
from tilescope.domain.geometry import Rect
from tilescope.jobs.run_model import run_model
from tilescope.ops.areas import Areas
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project

CENTRES = [(x, y, 6.0) for x in range(15, 400, 20) for y in range(15, 300, 20)]
# Its edges pass through discs, some on either side of their centres.
PART = Rect(113, 73, 298, 217)
RING = shapely.Point(200, 150).buffer(90).difference(shapely.Point(200, 150).buffer(35))


@pytest.fixture
def slide(bench: Bench) -> Path:
    return write_png(bench.folder / "slide.png", discs((310, 410), CENTRES))


@pytest.fixture
def study(bench: Bench) -> Path:
    return bench.folder / "study.tilescope"


def content(project: Path) -> dict[str, Annotation]:
    with Project.open(project, writable=False) as opened:
        return {a.id: a for batch in opened.objects() for a in batch}


def shapes(objects: Iterable[Annotation]) -> np.ndarray:
    return shapely.from_wkb([one.geometry for one in objects])


def doubles(objects: dict[str, Annotation]) -> int:
    """Return how many pairs of objects share more than half of what they cover together."""
    found = shapes(objects.values())
    i, j = shapely.STRtree(found).query(found, "intersects")
    i, j = i[i < j], j[i < j]
    common = shapely.area(shapely.intersection(found[i], found[j]))
    union = shapely.area(found[i]) + shapely.area(found[j]) - common
    return int((common > 0.5 * union).sum())


def lies_in_part(one: Annotation, part: Rect = PART) -> bool:
    centre = shapely.from_wkb(one.geometry).centroid
    return part.contains(centre.x, centre.y)


def disc_at(objects: dict[str, Annotation], x: float, y: float) -> str:
    (found,) = (
        name
        for name, one in objects.items()
        if shapely.intersects_xy(shapely.from_wkb(one.geometry), x, y)
    )
    return found


@pytest.mark.parametrize("maker", [instances, boxes], ids=["instances", "boxes"])
@pytest.mark.parametrize("threshold", [0.5, 0.3], ids=["same", "other"])
def test_a_part_after_the_whole_takes_its_place_in_one_step(
    bench: Bench, slide: Path, study: Path, maker, threshold: float
) -> None:
    bench = bench.using(maker)
    bench.run(slide, "whole", project=study)
    before = content(study)
    changes = {"parameters": {"threshold": threshold}} if maker is instances else {}
    bench.run(slide, "part", project=study, region_l0=PART, **changes)
    after = content(study)
    assert doubles(after) == 0
    assert len(after) == len(before) == len(CENTRES)
    beyond = {name: one for name, one in before.items() if not lies_in_part(one)}
    assert {n: one for n, one in after.items() if not lies_in_part(one)} == beyond
    inside = [one for one in after.values() if lies_in_part(one)]
    assert {one.author.detail["region"] for one in inside} == {"113,73,185,144"}
    assert 50 < len(inside) < len(before) - 50
    with Project.open(study) as project:
        edit = project.history()[0]
        assert (edit.added, edit.removed) == (len(inside), len(inside))
        assert project.check() == []
        project.undo()
    assert content(study) == before
    with Project.open(study) as project:
        project.redo()
    assert content(study) == after


def test_areas_after_the_whole(bench: Bench, slide: Path, study: Path) -> None:
    bench.run(slide, "whole", project=study)
    before = content(study)
    areas = Areas.of([RING])
    part = bench.run(slide, "ring", project=study, within=areas)
    after = content(study)
    assert (doubles(after), len(after)) == (0, len(before))
    mine = [one for one in after.values() if "areas" in one.author.detail]
    assert len(mine) == part.objects > 20
    assert all(RING.intersects(shape.centroid) for shape in shapes(mine))


def test_the_whole_after_parts_takes_the_place_of_all(
    bench: Bench, slide: Path, study: Path
) -> None:
    bench.run(slide, "part", project=study, region_l0=PART)
    bench.run(slide, "ring", project=study, within=Areas.of([RING]))
    before = content(study)
    assert doubles(before) == 0
    bench.run(slide, "whole", project=study)
    after = content(study)
    assert len(after) == len(CENTRES)
    assert {one.author.detail["region"] for one in after.values()} == {"0,0,410,310"}
    with Project.open(study) as project:
        project.undo()
    assert content(study) == before


def test_another_version_takes_the_place_and_another_model_does_not(
    bench: Bench, slide: Path, study: Path
) -> None:
    bench.run(slide, project=study)

    def run_as(out: str, region: Rect | None, **changes: str) -> None:
        spec = replace(bench.model.spec, **changes)
        model = InstalledModel(spec, bench.model.plugin_id, bench.model.folder)
        Bench(bench.folder, model).run(slide, out, project=study, region_l0=region)

    run_as("newer", PART, version="2")
    found = content(study)
    assert (len(found), doubles(found)) == (len(CENTRES), 0)
    newer = [one for one in found.values() if one.author.detail["version"] == "2"]
    assert len(newer) == sum(map(lies_in_part, found.values()))
    left = Rect(0, 0, 210, 310)
    run_as("other", left, id="other")
    both = content(study)
    assert doubles(both) == sum(lies_in_part(one, left) for one in found.values())
    assert {name: both[name] for name in found} == found


def change_by_hand(study: Path) -> dict[str, Annotation]:
    """Change six objects in six ways, and return them."""
    found = content(study)
    at = {
        name: disc_at(found, x, 155.5)
        for name, x in {
            "locked": 135.5,
            "sorted": 155.5,
            "outlined": 175.5,
            "nested": 195.5,
            "named": 215.5,
            "clicked": 235.5,
        }.items()
    }
    old = {name: found[key] for name, key in at.items()}
    detail = {**old["outlined"].author.detail, "edited": True}
    grown = {
        name: shapely.to_wkb(shapely.from_wkb(one.geometry).buffer(2)) for name, one in old.items()
    }
    with Project.open(study) as project:
        project.set_locked([at["locked"]], True)
        project.set_class([at["sorted"]], "part")  # as it was: somebody looked and agreed
        changed = [
            replace(
                old["outlined"],
                geometry=grown["outlined"],
                author=Author("model", "toy", detail),
            ),
            replace(old["nested"], parent_id=at["locked"]),
            replace(old["named"], name="this one"),
            replace(
                old["clicked"],
                geometry=grown["clicked"],
                author=Author("model", "clicks", {"prompt": {"included": [[1, 2]]}}),
            ),
        ]
        for one in changed:
            project.edit([one])
    found = content(study)
    return {key: found[key] for key in at.values()}


@pytest.mark.parametrize("part", [None, PART], ids=["whole", "part"])
def test_what_a_person_changed_stays_and_is_not_doubled(
    bench: Bench, slide: Path, study: Path, part: Rect | None
) -> None:
    bench.run(slide, project=study)
    mine = change_by_hand(study)
    report = bench.run(slide, "again", project=study, region_l0=part, parameters={"threshold": 0.4})
    found = content(study)
    assert {name: found[name] for name in mine} == mine
    assert (len(found), doubles(found)) == (len(CENTRES), 0)
    thresholds = [one.author.detail.get("parameters") for one in found.values()]
    assert thresholds.count({"threshold": 0.4}) == report.objects - len(mine)
    replaced = (report.objects if part else len(CENTRES)) - len(mine)
    assert report.project == {"added": replaced, "replaced": replaced, "kept": len(mine)}
    with Project.open(study) as project:
        assert project.runs()[-1].detail["kept"] == len(mine)


def test_what_was_undone_is_not_taken_for_a_persons_wish(
    bench: Bench, slide: Path, study: Path
) -> None:
    bench.run(slide, project=study)
    with Project.open(study) as project:
        project.set_class(sorted(content(study))[:5], "mine")
        project.undo()
        # Nor is a class that is called otherwise, or given up, with all that is in it.
        project.class_edits().change("part", ObjectClass("nucleus", (1, 2, 3)))
        project.class_edits().remove("nucleus")
    bench.run(slide, "again", project=study, parameters={"threshold": 0.4})
    found = content(study).values()
    assert {one.author.detail["parameters"]["threshold"] for one in found} == {0.4}
    assert {one.class_name for one in found} == {"part"}


def test_an_object_that_is_kept_does_not_lend_its_id(bench: Bench, study: Path) -> None:
    picture = discs((310, 410), CENTRES)
    picture[:60] //= 2  # discs at the top are found with the lower threshold alone
    slide = write_png(bench.folder / "slide.png", picture)
    few = bench.run(slide, project=study, parameters={"threshold": 0.7}).objects
    assert few < len(CENTRES)
    chosen = sorted(content(study))[::7]
    with Project.open(study) as project:
        project.set_locked(chosen, True)
    before = content(study)
    bench.run(slide, "again", project=study, parameters={"threshold": 0.3})
    found = content(study)
    assert (len(found), doubles(found)) == (len(CENTRES), 0)
    assert [found[name] for name in chosen] == [before[name] for name in chosen]
    bench.run(slide, "third", project=study, parameters={"threshold": 0.7})
    assert (len(content(study)), doubles(content(study))) == (few, 0)


@pytest.mark.parametrize("first", [0.2, 0.8], ids=["old one beyond", "old one inside"])
@pytest.mark.parametrize("is_area", [False, True], ids=["region", "area"])
def test_an_object_whose_centre_moves_across_the_edge_is_there_once(
    bench: Bench, study: Path, first: float, is_area: bool
) -> None:
    picture = discs((310, 410), [])
    for x, y in [(100, 60), (100, 120), (100, 180), (100, 240), (300, 60), (300, 120)]:
        picture[y : y + 16, x : x + 16] = 220
        picture[y : y + 16, x + 16 : x + 26] = 110  # seen with the lower threshold alone
    slide = write_png(bench.folder / "slide.png", picture)
    second = 1 - first
    whole = bench.run(slide, "whole", project=study, parameters={"threshold": first})
    assert whole.objects == 6
    centres = {s.centroid.x for s in shapes(content(study).values()) if s.centroid.x < 200}
    edge = 110
    assert {x < edge for x in centres} == {first == 0.8}
    changes = {"region_l0": Rect(0, 0, edge, 310)}
    if is_area:
        changes = {"within": Areas.of([shapely.box(0, 0, edge, 310)])}
    request = bench.request(
        slide, "part", project=study, parameters={"threshold": second}, **changes
    )
    assert run_model(request, CancellationToken()).objects == (4 if second == 0.8 else 0)
    found = content(study)
    assert (len(found), doubles(found)) == (6, 0)
