"""What is far from tissue is left out: the same whatever the tiles, the region and the areas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
import zarr
from numpy.typing import NDArray
from shapely.geometry import shape
from tests.engine.jobs.conftest import Bench, write_png
from tests.engine.jobs.killing import files_of
from tests.engine.jobs.task_models import tile

from tilescope.domain.contrast import Contrast
from tilescope.domain.geometry import Rect, Size
from tilescope.jobs.report import RunReport
from tilescope.jobs.run_model import follow
from tilescope.jobs.running.ground import NEAR_PX
from tilescope.jobs.running.survey import Survey
from tilescope.ops.areas import Areas
from tilescope.plugins.api import TileImage
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.toy import ToyAdapter
from tilescope.testing.toy_tasks import BoxAdapter, ClassAdapter, task_model

GLASS, PALE, DARK = 243, 231, 60
WIDTH, HEIGHT = 780, 620
#: Of cores of 80, of about 340, and of one for all.
TILES = (128, 384, 4096)
OPTIONS = {"parameters": {"threshold": 0.03}, "formats": ("geojson",)}


class DarkParts(ToyAdapter):
    """Dark parts of a picture as objects."""

    def encode(self, tile: TileImage, /) -> Mapping[str, NDArray[np.float32]]:
        return {name: 1 - values for name, values in super().encode(tile).items()}


class DarkBoxes(BoxAdapter):
    """Boxes around dark parts."""

    def encode(self, tile: TileImage, /) -> Mapping[str, NDArray[np.float32]]:
        return {name: 1 - values for name, values in super().encode(tile).items()}


class DarkClasses(ClassAdapter):
    """How dark every pixel is."""

    def encode(self, tile: TileImage, /) -> Mapping[str, NDArray[np.float32]]:
        return {name: 1 - values for name, values in super().encode(tile).items()}


def model_of(folder: Path, adapter: type, side: int) -> InstalledModel:
    task = {DarkParts: "instances", DarkBoxes: "detect", DarkClasses: "semantic"}[adapter]
    return task_model(folder, task, adapter, tile=tile(side, margin_px=16))


def disc(picture: np.ndarray, x: float, y: float, radius: float, value: int) -> None:
    rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
    picture[(columns - x) ** 2 + (rows - y) ** 2 < radius**2] = value


def scene(rng: np.random.Generator, *, strands: int) -> np.ndarray:
    """Return glass with two heaps of dark cells, pale ones all over, and pale strands."""
    picture = np.full((HEIGHT, WIDTH, 3), GLASS, np.uint8)
    for _ in range(strands):
        x, y = (int(v) for v in rng.uniform([0, 0], [WIDTH, HEIGHT]))
        across, down = (int(v) for v in rng.integers(20, 420, 2))
        picture[y : y + 5, x : x + across] = PALE
        if rng.random() < 0.5:
            picture[y : y + down, x : x + 5] = PALE  # an angle, whose centre lies beside it
    for _ in range(60):
        disc(picture, *rng.uniform([0, 0], [WIDTH, HEIGHT]), rng.uniform(3, 7), PALE)
    for _ in range(2):
        heap = rng.uniform([60, 60], [WIDTH - 60, HEIGHT - 60])
        for _ in range(8):
            disc(picture, *(heap + rng.uniform(-40, 40, 2)), 6, DARK)
    return picture


def found(bench: Bench, slide: Path, out: str) -> list[tuple[str, str]]:
    return sorted(
        (shape(f["geometry"]).wkt, str(f["properties"]["classification"]))
        for f in bench.features(slide, out)
    )


def run(bench: Bench, slide: Path, adapter: type, side: int, **changes: object) -> RunReport:
    report = bench.using(lambda folder: model_of(folder, adapter, side)).run(
        slide, changes.pop("out", f"out{side}"), **{**OPTIONS, **changes}
    )
    assert report.status == "complete"
    tiles = report.tiles
    assert tiles.done + tiles.skipped_background == tiles.total
    return report


@pytest.mark.parametrize(
    ("adapter", "strands", "seed"),
    [(DarkParts, 8, 0), (DarkParts, 8, 1), (DarkParts, 8, 2), (DarkBoxes, 0, 3), (DarkBoxes, 0, 4)],
)
def test_the_same_objects_whatever_the_tiles(
    bench: Bench, adapter: type, strands: int, seed: int
) -> None:
    picture = scene(np.random.default_rng(seed), strands=strands)
    slide = write_png(bench.folder / "slide.png", picture)
    reports = [run(bench, slide, adapter, side) for side in TILES]
    small, middle, whole = (found(bench, slide, f"out{side}") for side in TILES)
    assert small == middle == whole
    assert len(set(small)) == len(small) == reports[0].objects > 12
    assert reports[0].tiles.skipped_background > 10
    assert reports[-1].tiles.total == 1


@pytest.mark.parametrize("seed", range(2))
def test_a_region_or_areas_hold_what_the_whole_slide_has_there(bench: Bench, seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    slide = write_png(bench.folder / "slide.png", scene(rng, strands=0))
    run(bench, slide, DarkParts, TILES[-1], out="whole")
    whole = found(bench, slide, "whole")
    assert len(whole) > 12
    x, y = (int(v) for v in rng.uniform([0, 0], [WIDTH / 2, HEIGHT / 2]))
    region = Rect(x, y, x + int(rng.integers(100, 450)), y + int(rng.integers(100, 380)))
    area = shapely.Point(rng.uniform([200, 200], [600, 500])).buffer(180)
    for out, there, asked in (
        ("region", shapely.box(region.x0, region.y0, region.x1, region.y1), {"region_l0": region}),
        ("area", area, {"within": Areas.of([area])}),
    ):
        run(bench, slide, DarkParts, TILES[0], out=out, **asked)
        expected = [o for o in whole if there.intersects(shapely.from_wkt(o[0]).centroid)]
        assert found(bench, slide, out) == expected


def test_pale_cells_near_tissue_are_kept_and_those_far_from_it_are_not(bench: Bench) -> None:
    picture = np.full((HEIGHT, WIDTH, 3), GLASS, np.uint8)
    disc(picture, 100, 100, 8, DARK)
    places = [(120 + step, 100) for step in range(0, 400, 20)]
    for place in places:
        disc(picture, *place, 5, PALE)
    slide = write_png(bench.folder / "slide.png", picture)
    report = run(bench, slide, DarkParts, TILES[0])
    ends = sorted(shapely.from_wkt(wkt).centroid.x for wkt, _ in found(bench, slide, "out128"))
    # The mask ends a pixel beyond the dark cell.
    expected = [x for x, _ in places if x < 108 + 1 + NEAR_PX]
    assert ends[1:] == pytest.approx(expected, abs=1)
    assert report.tiles.skipped_background > report.tiles.done


def test_a_strand_is_followed_beyond_what_is_near_tissue(bench: Bench) -> None:
    picture = np.full((HEIGHT, WIDTH, 3), GLASS, np.uint8)
    for x in (300, 420):
        disc(picture, x, 300, 8, DARK)
    picture[398:403, 60:660] = PALE  # its middle is near tissue, its ends are not
    picture[100:105, 30:400] = PALE  # its middle is not
    slide = write_png(bench.folder / "slide.png", picture)
    report = run(bench, slide, DarkParts, TILES[0])
    boxes = [shapely.from_wkt(wkt).bounds for wkt, _ in found(bench, slide, "out128")]
    assert len(boxes) == report.objects == 3
    assert max(x1 - x0 for x0, _, x1, _ in boxes) == pytest.approx(600, abs=4)
    assert report.tiles.skipped_background > 10


@pytest.mark.parametrize("opens_right", [True, False])
def test_of_bent_objects_where_tiles_and_what_is_near_tissue_end(
    bench: Bench, opens_right: bool
) -> None:
    picture = np.full((HEIGHT, WIDTH, 3), GLASS, np.uint8)
    picture[:, 98:108] = DARK  # near it is what lies left of 237; a seam of the tiles is at 240
    for row, step in enumerate(range(0, 28, 2)):
        y, x = 8 + 44 * row, step + (212 if opens_right else 182)
        bar = x if opens_right else x + 31
        picture[y : y + 3, x : x + 34] = PALE
        picture[y + 27 : y + 30, x : x + 34] = PALE
        picture[y : y + 30, bar : bar + 3] = PALE
    slide = write_png(bench.folder / "slide.png", picture)
    reports, lists = [], []
    for side in (128, 4096):
        using = bench.using(
            lambda folder, side=side: task_model(
                folder, "instances", DarkParts, tile=tile(side, margin_px=32)
            )
        )
        reports.append(using.run(slide, f"out{side}", **OPTIONS))
        lists.append(found(bench, slide, f"out{side}"))
    assert lists[0] == lists[1]
    assert 5 < reports[0].objects < 14
    assert reports[0].tiles.skipped_background > reports[1].tiles.total == 1


def test_an_object_around_what_is_near_tissue_lies_outside(bench: Bench) -> None:
    picture = np.full((HEIGHT, WIDTH, 3), GLASS, np.uint8)
    disc(picture, 400, 310, 8, DARK)
    picture[60:560, 150:155] = PALE
    picture[60:65, 150:700] = picture[555:560, 150:700] = PALE
    slide = write_png(bench.folder / "slide.png", picture)
    assert [run(bench, slide, DarkParts, side).objects for side in TILES] == [1, 1, 1]


def test_an_interrupted_run_goes_on_to_the_same_files(bench: Bench) -> None:
    slide = write_png(bench.folder / "slide.png", scene(np.random.default_rng(3), strands=8))
    fresh = run(bench, slide, DarkParts, TILES[0], out="fresh")
    using = bench.using(lambda folder: model_of(folder, DarkParts, TILES[0]))
    done, first = 0, None
    for _ in range(100):
        events = follow(using.request(slide, **OPTIONS), CancellationToken())
        for event in events:
            done = event.progress.tiles_done if event.progress.stage == "tiles" else done
            first = done if first is None else first
            if event.progress.stage == "tiles" and done >= first + 16:
                break
        events.close()
        if event.report is not None:
            break
        first = done
    assert event.report is not None
    assert event.report.tiles == fresh.tiles
    assert files_of(bench.folder / "out/slide") == files_of(bench.folder / "fresh/slide")


def test_the_same_map_whatever_the_tiles(bench: Bench, rng: np.random.Generator) -> None:
    slide = bench.folder / "slide.tif"
    # Half a micrometre per pixel: only of a microscope's slide glass is left out.
    size = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(slide, scene(rng, strands=8), tile=(128, 128), **size)
    options = {"parameters": {}, "formats": ("ome-zarr", "csv")}
    reports = [run(bench, slide, DarkClasses, side, **options) for side in TILES]
    small, middle, whole = (
        zarr.open_array(bench.folder / f"out{side}/slide/labels.ome.zarr/0", mode="r")[:]
        for side in TILES
    )
    np.testing.assert_array_equal(small, whole)
    np.testing.assert_array_equal(middle, whole)
    assert whole.any()
    assert reports[0].areas == reports[1].areas == reports[2].areas
    assert reports[0].tiles.skipped_background > 10
    region = Rect(120, 80, 520, 440)
    run(bench, slide, DarkClasses, TILES[0], out="part", region_l0=region, **options)
    part = zarr.open_array(bench.folder / "part/slide/labels.ome.zarr/0", mode="r")[:]
    np.testing.assert_array_equal(part, whole[80:440, 120:520])


def test_a_rectangle_holds_something_when_any_pixel_of_it_does() -> None:
    # 10 pixels of the mask for 103 of the slide: the last three lie beyond it.
    mask = np.zeros((10, 10), bool)
    mask[4:, 9] = True
    contrast = Contrast(False, (0.0,) * 3, (255.0,) * 3)
    survey = Survey(contrast, mask, np.zeros((10, 10), np.float32), 10.0, Size(103, 103))
    for x0, y0, x1, y1 in np.random.default_rng(0).integers(0, 104, (500, 4)):
        (left, right), (top, bottom) = sorted((x0, x1)), sorted((y0, y1))
        if left == right or top == bottom:
            continue
        pixels = survey.mask_at(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
        box = (float(left), float(top), float(right), float(bottom))
        assert survey.holds_something(box) == pixels.any()
