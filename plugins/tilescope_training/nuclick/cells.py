"""White blood cells, each alone in a small picture, whole: nucleus and cytoplasm.

The set has ``images/*.png`` and ``labels/*.png`` (0 background, above it the cell). Nothing says
which smear a cell is of; the numbers follow the order in which pictures were taken, and stain and
light drift with them. Runs of consecutive numbers are therefore held out, one under either light,
and a few pictures beside each are left out altogether.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

from tilescope_training.nuclei.data import Sample, as_rgb
from tilescope_training.nuclick.data import Sides, usual_diameter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TEST_RUNS = (range(101, 131), range(231, 261))
VALIDATION_RUNS = (range(41, 56), range(286, 301))
LEFT_OUT = 3
"""So many pictures on either side of a held-out run are used for nothing."""


def read_cells(directory: Path) -> Sides:
    """Read the whole set and deal it out by number."""
    files = sorted((directory / "images").glob("*.png"))
    read = {_number(path.stem): _read(path, directory / "labels" / path.name) for path in files}
    test, validation = _chosen(TEST_RUNS), _chosen(VALIDATION_RUNS)
    near = {n + d for n in test | validation for d in range(-LEFT_OUT, LEFT_OUT + 1)}
    usual = usual_diameter(sample for n, sample in read.items() if n not in near)
    sized = {n: replace(sample, diameter_px=usual) for n, sample in read.items()}
    return Sides(
        tuple(s for n, s in sized.items() if n not in near),
        tuple(s for n, s in sized.items() if n in validation),
        tuple(s for n, s in sized.items() if n in test),
    )


def crowd(sample: Sample) -> Sample:
    """Return the sample with its mirror images around it, as cells that are not meant.

    In a smear there are other cells near the one that is clicked on.
    """
    height, width = sample.labels.shape
    margins = ((height // 2, height // 2), (width // 2, width // 2))
    image = np.pad(sample.image, (*margins, (0, 0)), mode="symmetric")
    labels = np.pad(sample.labels, margins, mode="symmetric")
    inside = np.pad(np.ones_like(sample.labels), margins) > 0
    parts = np.where(inside, labels, np.where(labels > 0, 2, 0)).astype(np.int32)
    return replace(sample, image=image, labels=parts)


def _read(image: Path, labels: Path) -> Sample:
    cell = np.asarray(imagecodecs.imread(str(labels))) > 0
    pixels = as_rgb(np.asarray(imagecodecs.imread(str(image))))
    return Sample(image.stem, "histology", pixels, cell.astype(np.int32), None)


def _number(stem: str) -> int:
    return int(stem.rpartition("_")[2])


def _chosen(runs: Iterable[range]) -> set[int]:
    return {number for run in runs for number in run}
