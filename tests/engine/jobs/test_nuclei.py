"""The shipped model on real and made slides: exact tiling, a cap that holds."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import shapely
import zarr
from shapely.geometry import shape

from tilescope.domain.geometry import Rect, Size
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.registry import open_slide
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import run_model
from tilescope.plugins.registry import InstalledModel, find_model
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.synthetic import write_repeated_slide
from tilescope_training.metrics import count_matches, f1, overlap

#: Public labels of the shipped fluorescence picture (2018 Data Science Bowl, CC0-1.0).
ANNOTATION = Path(__file__).parent / "fluorescence-nuclei-labels.png"


def with_tiles(model: InstalledModel, tile_px: int) -> InstalledModel:
    tile = replace(model.spec.tile, size=Size(tile_px, tile_px))
    return replace(model, spec=replace(model.spec, tile=tile))


def outlines_of(folder: Path) -> list[shapely.Geometry]:
    features = json.loads((folder / "objects.geojson").read_text(encoding="utf-8"))["features"]
    found = [shape(feature["geometry"]) for feature in features]
    return sorted(found, key=lambda polygon: (polygon.centroid.y, polygon.centroid.x))


def test_nuclei_do_not_depend_on_the_tiles(tmp_path: Path, hes_slide: Path) -> None:
    found = {}
    for tile_px in (2048, 512):
        request = RunRequest(
            with_tiles(find_model("nuclei-unet"), tile_px),
            hes_slide,
            tmp_path / str(tile_px),
            2**32,
            2,
            region_l0=Rect(1000, 700, 1500, 1200),
            formats=("geojson",),
        )
        report = run_model(request, CancellationToken())
        assert report.halo_exact
        found[tile_px] = (report.tiles.total, outlines_of(request.folder))
    (whole_tiles, whole), (small_tiles, small) = found[2048], found[512]
    assert whole_tiles == 1
    assert small_tiles >= 4
    assert len(small) == len(whole) > 50
    # A probability within a rounding error of its threshold may move a pixel of an outline.
    same = [a.symmetric_difference(b).area < 2 for a, b in zip(small, whole, strict=True)]
    assert all(same)


def test_the_fluorescence_sample_agrees_with_its_public_annotation(
    tmp_path: Path, dapi_image: Path
) -> None:
    request = RunRequest(find_model("nuclei-unet"), dapi_image, tmp_path, 2**32, 2)
    report = run_model(request, CancellationToken())
    assert report.scale["source"] == "measured"
    annotated = imagecodecs.png_decode(ANNOTATION.read_bytes())
    found = np.asarray(zarr.open_group(request.folder / "labels.ome.zarr", mode="r")["0"])
    assert f1(overlap(annotated, found)) >= 0.75
    # Eleven of the 43 annotated objects are specks of less than 200 px.
    sizes = np.bincount(annotated.ravel())
    nuclei = np.where(sizes[annotated] < 200, 0, annotated)
    hits, invented, missed = count_matches(overlap(nuclei, found), 0.5)
    assert hits >= 28
    assert invented <= 1
    assert missed <= 4


def test_the_histology_sample_has_its_nuclei(tmp_path: Path, hes_slide: Path) -> None:
    model = find_model("nuclei-unet")
    region = Rect(1000, 700, 1400, 1100)
    request = RunRequest(model, hes_slide, tmp_path, 2**32, 2, region_l0=region)
    report = run_model(request, CancellationToken())
    assert report.objects > 50
    assert report.scale["source"] == "object-size"


def run_capped(slide: Path, out: Path, cap_mib: int) -> dict:
    command = [sys.executable, "-c", "from tilescope.cli.main import main; main()"]
    options = ["run", "nuclei-unet", str(slide), "-o", str(out), "--memory", f"{cap_mib}MiB"]
    done = subprocess.run(
        [*command, *options, "--json"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere freed memory stays")
def test_the_cap_holds_whatever_the_size_of_the_slide(tmp_path: Path, hes_slide: Path) -> None:
    cache = TileCache(2**26)
    with open_slide(hes_slide, cache=cache) as source:
        texture = read_region(source, cache, 0, Rect(800, 800, 1824, 1824))
    peaks = []
    for side in (3000, 9000):
        slide = write_repeated_slide(
            tmp_path / f"{side}.tiff", np.ascontiguousarray(texture), side, side, um_per_px=0.1
        )
        report = run_capped(slide, tmp_path / "out", 400)
        assert report["status"] == "complete"
        assert report["objects"] > 100
        assert report["peak_rss_bytes"] <= report["memory_cap_bytes"] == 400 * 2**20
        peaks.append(report["peak_rss_bytes"])
    assert peaks[1] < peaks[0] * 1.25
