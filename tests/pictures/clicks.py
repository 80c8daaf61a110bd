"""Makes ``clicks.jpg``: clicks on the two sample slides, and the outlines that come of them.

    python tests/pictures/clicks.py

Clicks are yellow; those on nothing, to which the model gives no outline, are red on the right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np

from tilescope.domain.clicks import Prompt
from tilescope.domain.geometry import Rect
from tilescope.exchange.overview import RESULT_COLOUR, draw_outlines
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.registry import open_slide
from tilescope.io.thumbnail import as_rgb
from tilescope.jobs.clicking.session import ClickOptions, ClickResult, ClickSession
from tilescope.plugins.registry import find_model

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent.parent / "engine" / "tilescope" / "samples"
MODEL = "nuclick-nucleus"
ENLARGED, GAP_PX, MARK_PX = 2, 6, 2.2
CLICKED, REFUSED = (255, 215, 0), (255, 60, 60)
JPEG_QUALITY = 88


@dataclass(frozen=True)
class Scene:
    """A part of a slide and where it is clicked at, in its own pixels."""

    slide: str
    rect_l0: Rect
    clicks: tuple[tuple[float, float], ...]
    brightness: float = 1.0

    def pixels(self) -> np.ndarray:
        cache = TileCache(2**26)
        with open_slide(SAMPLES / self.slide, cache=cache) as source:
            region = read_region(source, cache, 0, self.rect_l0)
            rgb = as_rgb(region, is_rgb=source.info.is_rgb)
        bright = np.clip(rgb * self.brightness, 0, 255).astype(np.uint8)
        return bright.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)

    def answers(self) -> tuple[ClickResult, ...]:
        rect, cache = self.rect_l0, TileCache(2**26)
        prompts = [Prompt.at(rect.x0 + x, rect.y0 + y) for x, y in self.clicks]
        with (
            open_slide(SAMPLES / self.slide, cache=cache) as source,
            ClickSession(find_model(MODEL), source, cache, ClickOptions(threads=1)) as session,
        ):
            return session.segment(prompts)


SCENES = (
    Scene(
        "CMU-1-Small-Region.svs",
        Rect(1000, 900, 1240, 1080),
        ((158, 28), (202, 36), (228, 16), (153, 59), (131, 76), (155, 95), (191, 91), (230, 92),
         (130, 46), (131, 118), (159, 131), (189, 124), (229, 127), (136, 152), (154, 162),
         (93, 85), (103, 85), (96, 119), (48, 92), (96, 102), (209, 69), (170, 110), (215, 145)),
    ),
    Scene(
        "fluorescence-nuclei.png",
        Rect(0, 0, 240, 180),
        ((150, 45), (140, 110), (34, 112), (28, 158), (226, 68), (190, 145), (206, 5), (6, 15),
         (222, 132), (60, 40), (100, 70)),
        brightness=3.5,
    ),
)  # fmt: skip


def marks(places: list[tuple[float, float]]) -> list[np.ndarray]:
    """Return small diamonds around places, in pixels of the picture."""
    diamond = MARK_PX * np.array([[-1, 0], [0, -1], [1, 0], [0, 1]])
    return [ENLARGED * np.array(place) + diamond for place in places]


def drawn(picture: np.ndarray, rings: list[np.ndarray], colour: tuple[int, int, int]) -> np.ndarray:
    if not rings:
        return picture
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in rings])]).astype(np.int64)
    return draw_outlines(picture, np.concatenate(rings), offsets, colour, width=2.0)


def row(scene: Scene) -> np.ndarray:
    pixels, answers = scene.pixels(), scene.answers()
    corner = np.array([scene.rect_l0.x0, scene.rect_l0.y0])
    rings = [ENLARGED * (a.ring - corner) for a in answers if a.ring is not None]
    refused = [c for c, a in zip(scene.clicks, answers, strict=True) if a.status == "nothing"]
    for click, answer in zip(scene.clicks, answers, strict=True):
        print(f"{scene.slide} {click}: {answer.status} {answer.score:.2f} {answer.reason}")
    before = drawn(pixels, marks(list(scene.clicks)), CLICKED)
    after = drawn(drawn(pixels, rings, RESULT_COLOUR), marks(refused), REFUSED)
    gap = np.full((len(pixels), GAP_PX, 3), 255, np.uint8)
    return np.concatenate([before, gap, after], axis=1)


def main() -> None:
    rows = [row(scene) for scene in SCENES]
    gap = np.full((GAP_PX, rows[0].shape[1], 3), 255, np.uint8)
    picture = np.concatenate([rows[0], gap, rows[1]])
    (HERE / "clicks.jpg").write_bytes(imagecodecs.jpeg8_encode(picture, level=JPEG_QUALITY))


if __name__ == "__main__":
    main()
