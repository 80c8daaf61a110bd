"""Makes the README's pictures: results over slides, as a whole and at full size.

    python tests/pictures/make.py [SVS]

``SVS`` is the TCGA slide ``tcga-cr-7395-01a-01-ts1.svs`` (open data); without it the pictures of
the two sample slides are made only.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tilescope.domain.geometry import Rect
from tilescope.exchange.overview import draw_outlines, write_png
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region, read_working
from tilescope.io.registry import open_slide
from tilescope.io.thumbnail import as_rgb
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import run_model
from tilescope.plugins.registry import find_model
from tilescope.runtime.cancel import CancellationToken

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent.parent / "engine" / "tilescope" / "samples"


@dataclass(frozen=True)
class Picture:
    """One part of one slide."""

    name: str
    slide: Path
    rect_l0: Rect
    enlarged: int = 1
    shrunk: float = 1.0


def objects_of(picture: Picture, folder: Path) -> list[np.ndarray]:
    request = RunRequest(
        find_model("nuclei-unet"),
        picture.slide,
        folder / picture.name,
        memory_bytes=2**31,
        threads=2,
        region_l0=picture.rect_l0,
        formats=("geojson",),
    )
    report = run_model(request, CancellationToken())
    print(f"{picture.name}: {report.objects} objects, {report.scale}")
    features = json.loads(Path(report.outputs["geojson"]).read_text(encoding="utf-8"))["features"]
    return [np.array(feature["geometry"]["coordinates"][0])[:-1] for feature in features]


def pixels_of(picture: Picture) -> np.ndarray:
    cache, rect = TileCache(2**28), picture.rect_l0
    with open_slide(picture.slide, cache=cache) as source:
        if picture.shrunk > 1:
            f = picture.shrunk
            small = Rect(*(round(v / f) for v in (rect.x0, rect.y0, rect.x1, rect.y1)))
            pixels = read_working(source, cache, small, f)
        else:
            pixels = read_region(source, cache, 0, rect)
        rgb = as_rgb(pixels, is_rgb=source.info.is_rgb)
    return rgb.repeat(picture.enlarged, axis=0).repeat(picture.enlarged, axis=1)


def draw(picture: Picture, rings: list[np.ndarray]) -> None:
    rect, scale = picture.rect_l0, picture.enlarged / picture.shrunk
    near = [r for r in rings if (r.max(0) > (rect.x0, rect.y0)).all()]
    near = [(r - (rect.x0, rect.y0)) * scale for r in near if (r.min(0) < (rect.x1, rect.y1)).all()]
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in near])]).astype(np.int64)
    points = np.concatenate(near) if near else np.zeros((0, 2))
    write_png(HERE / f"{picture.name}.png", draw_outlines(pixels_of(picture), points, offsets))


def main() -> None:
    slide = SAMPLES / "CMU-1-Small-Region.svs"
    pictures = [
        Picture("overview", slide, Rect(300, 700, 2200, 1700), shrunk=2.0),
        Picture("he-20x", slide, Rect(1000, 900, 1320, 1100), enlarged=2),
        Picture("fluorescence", SAMPLES / "fluorescence-nuclei.png", Rect(0, 0, 320, 200), 2),
    ]
    pictures += [Picture("he-10x", Path(x), Rect(1150, 800, 1470, 1000), 2) for x in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        for picture in pictures:
            draw(picture, objects_of(picture, Path(folder)))


if __name__ == "__main__":
    main()
