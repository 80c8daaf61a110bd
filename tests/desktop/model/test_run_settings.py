"""What a run is told and what is said of it."""

from __future__ import annotations

import pytest

from tilescope.domain.geometry import Point, Rect, Size
from tilescope.domain.slide import Level, SlideId, SlideInfo
from tilescope.jobs.report import RunReport, SecondsReport, TileReport
from tilescope.jobs.request import RunProgress
from tilescope_desktop.model.run_settings import Extent, progress_text, region_of, report_text
from tilescope_desktop.model.viewport import Viewport

INFO = SlideInfo(
    SlideId("s"),
    "s",
    1,
    "tiff",
    "tiff",
    (Level(0, Size(4000, 3000), Size(256, 256), 1, 1),),
    ("R", "G", "B"),
    "uint8",
    (255, 255, 255),
)


def view(x: float, y: float) -> Viewport:
    return Viewport(400, 200, Point(x, y), 2.0)


def test_the_whole_slide_needs_no_region() -> None:
    assert region_of(Extent.SLIDE, INFO, view(0, 0)) is None


def test_a_view_is_cut_at_the_edge_of_the_slide() -> None:
    assert region_of(Extent.VIEW, INFO, view(100, 2900)) == Rect(0, 2700, 500, 3000)


@pytest.mark.parametrize("extent", [Extent.SELECTION, Extent.CLASS])
def test_areas_say_themselves_where_they_are(extent: Extent) -> None:
    assert extent.is_areas
    assert region_of(extent, INFO, view(100, 2900)) is None


@pytest.mark.parametrize("place", [view(90_000, 0), None], ids=["beside", "none"])
def test_nothing_to_run_over_is_said(place: Viewport | None) -> None:
    with pytest.raises(ValueError, match="out of view"):
        region_of(Extent.VIEW, INFO, place)


def test_every_extent_is_explained() -> None:
    assert len({extent.remark for extent in Extent}) == len(Extent)


def test_progress_in_words() -> None:
    progress = RunProgress("tiles", 3, 12, 4321, 75.0, 0.5)
    assert progress_text(progress) == "3 of 12 tiles, 4,321 objects, 0.5 tiles/s, 1 min 15 s left"
    fast = RunProgress("tiles", 3, 12, 4321, 0.0, 213.6)
    assert progress_text(fast) == "3 of 12 tiles, 4,321 objects, 214 tiles/s, 0 s left"


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("survey", "Looking for tissue…"),
        ("seams", "Joining objects at the seams of tiles…"),
        ("labels.ome.zarr", "Writing the label image…"),
        ("overview.png", "Writing the overview…"),
        ("objects.coco.json", "Writing objects.coco.json…"),
    ],
)
def test_stages_in_words(stage: str, words: str) -> None:
    assert progress_text(RunProgress(stage)) == words


def report(**changes: object) -> RunReport:
    values: dict[str, object] = {
        "model": {},
        "slide": {},
        "parameters": {},
        "provider": "CPUExecutionProvider",
        "tiles": TileReport(),
        "objects": 1234,
        "seconds": SecondsReport(total=3725.0),
        "peak_rss_bytes": 1,
        "memory_cap_bytes": 1,
        "halo_px": 1,
        "halo_exact": True,
        "tilescope_version": "0",
        "status": "complete",
        **changes,
    }
    return RunReport(**values)  # type: ignore[arg-type]


def test_reports_in_words() -> None:
    assert report_text(report()) == "1,234 objects in 1 h 02 min on CPUExecutionProvider (fp32)"
    assert "goes on" in report_text(report(status="cancelled"))
    assert report_text(report(status="failed", errors=["tile 3: no"])) == "Failed: tile 3: no"
    blended = report(halo_exact=False, halo_inexact_because="GlobalAveragePool 'pool'")
    assert report_text(blended).endswith("not exact because of GlobalAveragePool 'pool'")


def test_one_is_no_plural() -> None:
    assert progress_text(RunProgress("tiles", 1, 1, 1, None, None)) == "1 of 1 tile, 1 object"
    one = report(objects=1, within={"areas": 1}, project={"kept": 1})
    assert report_text(one).startswith("1 object inside 1 area in 1 h")
    assert report_text(one).endswith("; 1 that you changed stays as it is")
    several = report(areas=[{}, {}], within={"areas": 2000}, project={"kept": 2})
    assert report_text(several).startswith("2 classes inside 2,000 areas in 1 h")
    assert report_text(several).endswith("; 2 that you changed stay as they are")
    assert report_text(report(areas=[{}])).startswith("1 class in")
