"""Glands of the colon, of the training part of the GlaS challenge.

``images/*`` and ``labels/*.png``, 20x, 0.62 µm/px. The challenge's table of grades says which of 16
patients an image is of; whole patients are held out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tilescope_training.nuclei.data import read_folder
from tilescope_training.nuclick.data import Sides, usual_diameter

if TYPE_CHECKING:
    from pathlib import Path

TEST_PATIENTS = {
    4: (15, 56, 67, 80),
    6: (18, 54, 60, 73),
    11: (5, 57, 81, 83),
    13: (12,),
    15: (84,),
    16: (36, 50),
}
"""Image numbers by patient: adenomatous, healthy, moderately and poorly differentiated glands."""

VALIDATION_PATIENTS = {5: (2, 21, 34, 47), 8: (41,), 14: (7,)}


def read_glands(directory: Path) -> Sides:
    """Read the whole set and deal it out by patient."""
    read = read_folder(directory, "histology")
    test = {f"train_{n}" for numbers in TEST_PATIENTS.values() for n in numbers}
    validation = {f"train_{n}" for numbers in VALIDATION_PATIENTS.values() for n in numbers}
    usual = usual_diameter(s for s in read if s.name not in test | validation)
    samples = [replace(sample, diameter_px=usual) for sample in read]
    return Sides(
        tuple(s for s in samples if s.name not in test | validation),
        tuple(s for s in samples if s.name in validation),
        tuple(s for s in samples if s.name in test),
    )
