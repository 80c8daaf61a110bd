"""Slides with known objects, and runs of the toy model over them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from tilescope.jobs.report import RunReport
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import run_model
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.toy import toy_model


def write_png(path: Path, pixels: np.ndarray) -> Path:
    path.write_bytes(imagecodecs.png_encode(pixels))
    return path


@dataclass(frozen=True)
class Bench:
    """A folder to work in, and the toy model in it."""

    folder: Path
    model: InstalledModel

    def request(self, slide: Path, out: str = "out", **changes: object) -> RunRequest:
        values = {"memory_bytes": 2**31, "threads": 1, "provider": "cpu", **changes}
        return RunRequest(self.model, slide, self.folder / out, **values)

    def run(self, slide: Path, out: str = "out", **changes: object) -> RunReport:
        return run_model(self.request(slide, out, **changes), CancellationToken())

    def features(self, slide: Path, out: str = "out") -> list[dict]:
        text = (self.folder / out / slide.stem / "objects.geojson").read_text(encoding="utf-8")
        return json.loads(text)["features"]

    def using(self, make: Callable[[Path], InstalledModel]) -> Bench:
        """Return the same folder with another model in it."""
        return Bench(self.folder, make(self.folder))

    def with_tiles(self, tile_px: int) -> Bench:
        return Bench(self.folder, toy_model(self.folder, tile_px=tile_px))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, toy_model(tmp_path))


def discs(shape: tuple[int, int], centres: list[tuple[float, float, float]]) -> np.ndarray:
    """Return a black picture with white discs at x, y, radius."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    picture = np.zeros(shape, np.uint8)
    for x, y, radius in centres:
        picture[(columns - x) ** 2 + (rows - y) ** 2 < radius**2] = 220
    return picture


def patches(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a grey picture of patches of every brightness, with some noise."""
    side = 40
    levels = rng.uniform(0, 230, (height // side + 1, width // side + 1))
    picture = np.kron(levels, np.ones((side, side)))[:height, :width]
    return (picture + rng.uniform(0, 25, (height, width))).astype(np.uint8)
