"""MoNuSeg's training images, for weights that are for research alone (CC BY-NC-SA 4.0).

Kumar et al. 2017, doi 10.1109/TMI.2017.2677499: ``images/*``, ``labels/*`` and ``index.csv`` with
the columns ``id`` and ``label_source``.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import find_objects
from scipy.spatial import ConvexHull

from tilescope_training.nuclei.data import read_folder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tilescope_training.nuclei.data import Sample

HELD_OUT = (
    "TCGA-AY-A8YK", "TCGA-NH-A8F7",
    "TCGA-KB-A93J", "TCGA-RD-A8N9",
    "TCGA-B0-5698", "TCGA-B0-5710", "TCGA-B0-5711",
)  # fmt: skip
"""Patients that are never trained on: colon, stomach, and one hospital's kidneys."""

LEAST_SOLIDITY = 0.92
"""Share of its convex hull that a single nucleus fills; clumps fill less."""

_POLYGONS = "xml_polygons"


def read_research(directory: Path) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Return the samples to train on and those held out, by patient.

    Labels that were rebuilt from masks have clumps in them: such images are trained on, as far as
    their objects are single, and never tested on.
    """
    drawn = drawn_names(directory)
    samples = [usual_size(s) for s in read_folder(directory, "histology")]
    train = tuple(s for s in samples if not s.name.startswith(HELD_OUT))
    test = [s for s in samples if s.name.startswith(HELD_OUT)]
    return train, tuple(s for s in test if s.name in drawn)


def drawn_names(directory: Path) -> frozenset[str]:
    """Return the images whose outlines were drawn, one by one."""
    with (directory / "index.csv").open(newline="") as stream:
        return frozenset(r["id"] for r in csv.DictReader(stream) if r["label_source"] == _POLYGONS)


def usual_size(sample: Sample) -> Sample:
    """Return the sample with the median diameter: a few clumps do not make nuclei large."""
    areas = np.bincount(sample.labels.ravel())[1:]
    if not areas.size:
        return sample
    return replace(sample, diameter_px=float(2.0 * np.sqrt(np.median(areas) / np.pi)))


def clumps(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return for every label, bool[n + 1], whether it may be several objects; 0 never is."""
    found = [False] + [
        box is not None and solidity(labels[box] == number) < LEAST_SOLIDITY
        for number, box in enumerate(find_objects(labels), 1)
    ]
    return np.array(found)


def solidity(mask: NDArray[np.bool_]) -> float:
    """Return the area of an object over that of its convex hull."""
    rows = np.flatnonzero(mask.any(axis=1))
    filled = mask[rows]
    left, right = filled.argmax(axis=1), mask.shape[1] - filled[:, ::-1].argmax(axis=1)
    ends = [(rows + down, side) for down in (0, 1) for side in (left, right)]
    corners = np.concatenate([np.stack(pair, axis=1) for pair in ends])
    return float(mask.sum() / ConvexHull(corners).volume)
