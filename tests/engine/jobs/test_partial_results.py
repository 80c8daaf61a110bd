"""Objects of a run some of whose tiles failed, and of one whose slide is gone at the end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from tests.engine.jobs.conftest import Bench, discs, write_png

from tilescope.domain.annotation import Annotation
from tilescope.jobs.report import head_sha256
from tilescope.jobs.run_model import follow
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project

SIDE = 800
CENTRES = [(x, y, 9) for x in range(40, SIDE, 80) for y in range(40, SIDE, 80)]


@pytest.fixture
def slide(tmp_path: Path, rng: np.random.Generator) -> Path:
    # Noise is hardly compressed: the damage lies beyond the head, by which slides are told apart.
    noise = rng.integers(0, 60, (SIDE, SIDE, 3), np.uint8)
    path = tmp_path / "slide.tif"
    picture = np.maximum(noise, discs((SIDE, SIDE), CENTRES)[..., None])
    tifffile.imwrite(path, picture, tile=(128, 128), compression="zlib")
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return tmp_path / "study.tilescope"


def damage(slide: Path) -> None:
    """Make one of the last tiles of a picture unreadable."""
    with tifffile.TiffFile(slide) as file:
        tags = file.pages.first.tags
        offset, count = (tags[name].value[-10] for name in ("TileOffsets", "TileByteCounts"))
    assert offset > 2**20
    data = bytearray(slide.read_bytes())
    data[offset : offset + count] = bytes(count)
    slide.write_bytes(data)


def content(project: Path) -> dict[str, Annotation]:
    with Project.open(project, writable=False) as opened:
        return {a.id: a for batch in opened.objects() for a in batch}


def places(objects: dict[str, Annotation]) -> list[tuple[int, int]]:
    centres = shapely.centroid(shapely.from_wkb([one.geometry for one in objects.values()]))
    return sorted((round(c.x / 10) * 10, round(c.y / 10) * 10) for c in centres)


def test_what_was_found_goes_into_a_project_when_that_is_wanted_and_says_that_it_is_partial(
    bench: Bench, slide: Path, study: Path
) -> None:
    damage(slide)
    refused = bench.run(slide, project=study)
    assert (refused.status, refused.project, study.exists()) == ("failed", None, False)
    taken = bench.run(slide, project=study, keeps_partial=True)
    assert taken.status == "failed"
    assert 0 < taken.tiles.failed < taken.tiles.total // 2
    found = content(study)
    assert 0 < len(found) < len(CENTRES)
    assert len(found) == taken.objects == len(bench.features(slide))
    assert taken.project == {"added": len(found), "replaced": 0, "kept": 0}
    with Project.open(study) as project:
        (edit,) = project.history()
        assert edit.label == "run toy (partial)"
        (run,) = project.runs()
        assert run.detail["failed_tiles"] == taken.tiles.failed
        project.undo()
    assert content(study) == {}


def test_what_an_earlier_run_found_in_tiles_that_fail_now_stays_until_they_can_be_read(
    bench: Bench, slide: Path, study: Path
) -> None:
    good = slide.read_bytes()
    bench.run(slide, "first", project=study)
    before = content(study)
    assert places(before) == sorted((x, y) for x, y, _ in CENTRES)
    damage(slide)
    other = {"parameters": {"threshold": 0.4}}
    partial = bench.run(slide, "second", project=study, keeps_partial=True, **other)
    assert partial.project is not None
    mixed = content(study)
    assert places(mixed) == places(before)
    old = {
        name for name, one in mixed.items() if one.author.detail["parameters"]["threshold"] > 0.4
    }
    assert len(old) == len(CENTRES) - partial.project["added"] > 0
    assert all(before[name] == mixed[name] for name in old)
    slide.write_bytes(good)
    bench.run(slide, "second", project=study, **other)
    after = content(study)
    assert places(after) == places(before)
    assert {one.author.detail["parameters"]["threshold"] for one in after.values()} == {0.4}


def test_a_slide_that_is_gone_at_the_end_is_told_by_the_head_that_was_read(
    bench: Bench, tmp_path: Path
) -> None:
    slide = write_png(tmp_path / "slide.png", discs((300, 420), [(30, 30, 9)]))
    head = head_sha256(slide)
    request = bench.request(slide)
    last = None
    for event in follow(request, CancellationToken()):
        if event.progress.stage == "seams":
            slide.unlink(missing_ok=True)
        last = event.report
    assert last is not None
    assert last.status == "complete"
    assert json.loads((request.folder / "run.json").read_text())["slide"]["sha256_head"] == head


def test_what_is_only_stored_is_not_computed_also_where_tiles_failed(
    bench: Bench, slide: Path, study: Path
) -> None:
    good = slide.read_bytes()
    damage(slide)
    failed = bench.run(slide)
    slide.write_bytes(good)  # now every tile can be read
    stored = bench.run(slide, project=study, keeps_partial=True, stores_only=True)
    assert stored.status == "failed"
    assert stored.tiles == failed.tiles
    assert len(content(study)) == stored.objects == failed.objects < len(CENTRES)
    again = bench.run(slide, project=study)
    assert (again.status, len(content(study))) == ("complete", len(CENTRES))


def test_nothing_is_stored_as_complete_that_never_ran(
    bench: Bench, slide: Path, study: Path
) -> None:
    stored = bench.run(slide, project=study, stores_only=True)
    assert (stored.status, stored.project, study.exists()) == ("failed", None, False)
