"""Patches around a prompt: turned, mirrored, stretched and scaled, the clicks moved with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import find_objects, gaussian_filter, map_coordinates

from tilescope.plugins.api import Clicks
from tilescope_training.nuclei.monuseg import LEAST_SOLIDITY, solidity
from tilescope_training.nuclick.aims import NUCLEUS, Aim
from tilescope_training.nuclick.prompts import (
    background_click,
    draw_prompt,
    look_around,
    middle_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from tilescope_training.nuclei.data import Sample

    Picture = NDArray[np.floating[Any]]

SCALE_SPREAD = 0.3
"""Standard deviation of the logarithm of the scale: a guess is off by up to 1.6 either way."""

OWN_SCALE_SHARE = 0.4
"""How often the object's own size sets the scale, as in a second look; else the sample's."""

SCALE_BOUNDS = (0.5, 2.0)

LEAST_SHARE = 0.3
"""Diameter, as a share of the sample's usual one, below which a label is a speck."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A sample with the bounding boxes of its objects, and what they are."""

    sample: Sample
    boxes: tuple[tuple[slice, slice], ...]
    numbers: tuple[int, ...]
    aim: Aim = NUCLEUS

    @classmethod
    def of(cls, sample: Sample, aim: Aim = NUCLEUS, *, singles: bool = False) -> Subject:
        """Return the sample with its objects found, specks left out.

        ``singles`` leaves out what may be several objects under one label, too.
        """
        areas = np.bincount(sample.labels.ravel())
        least = max(12.0, np.pi / 4.0 * (LEAST_SHARE * (sample.diameter_px or 0.0)) ** 2)
        boxes = enumerate(find_objects(sample.labels), 1)
        found = [(box, i) for i, box in boxes if box and areas[i] >= least]
        if singles:
            found = [(b, i) for b, i in found if solidity(sample.labels[b] == i) >= LEAST_SOLIDITY]
        return cls(sample, tuple(box for box, _ in found), tuple(i for _, i in found), aim)


@dataclass(frozen=True, slots=True)
class Patch:
    """One training example before it is lit.

    Attributes
    ----------
    image
        float32[n, n, 3] in 0..1, the colours of the sample.
    labels
        int32[n, n] with the sample's numbers.
    number
        The object that is meant, 0 for none.
    clicks
        In pixels of the patch.
    """

    image: Picture
    labels: NDArray[np.int32]
    number: int
    clicks: Clicks

    @property
    def target(self) -> NDArray[np.float32]:
        """The object, 0 or 1, float32[n, n]."""
        wanted = (self.labels == self.number) & (self.number > 0)
        return wanted.astype(np.float32)


def draw_patch(subject: Subject, random: Generator) -> Patch:
    """Return a random patch of the subject with a random prompt."""
    number, clicks, scale = _choose(subject, random)
    backward = _backward_matrix(scale, random)
    return cut_patch(subject.sample, number, clicks, backward, subject.aim.patch_px)


def cut_patch(
    sample: Sample, number: int, clicks: Clicks, backward: Picture, patch_px: int
) -> Patch:
    """Return the patch whose middle is the prompt's; ``backward`` leads from patch to sample."""
    origin = middle_of(clicks)
    half = patch_px / 2.0
    steps = np.mgrid[0:patch_px, 0:patch_px][::-1] + 0.5 - half
    source = np.einsum("ab,bhw->ahw", backward, steps) + origin[:, None, None] - 0.5
    image, labels = _sample_at(sample, source, backward)
    forward = np.linalg.inv(backward).T
    moved = Clicks(
        (clicks.inside - origin) @ forward + half,
        (clicks.outside - origin) @ forward + half,
        tuple((s - origin) @ forward + half for s in clicks.strokes),
    )
    return Patch(image, labels, number, moved)


def _choose(subject: Subject, random: Generator) -> tuple[int, Clicks, float]:
    sample, aim = subject.sample, subject.aim
    usual = sample.diameter_px or aim.diameter_px
    jitter = float(np.clip(np.exp(random.normal(0.0, SCALE_SPREAD)), *SCALE_BOUNDS))
    scale = jitter * aim.diameter_px / usual
    if random.random() < aim.background_share or not subject.numbers:
        point = background_click(sample.labels, 0.45 * usual, random)
        if point is not None:
            return 0, Clicks(point, np.zeros((0, 2))), scale
    if not subject.numbers:
        return 0, Clicks(np.array([[1.0, 1.0]]), np.zeros((0, 2))), scale
    chosen = int(random.integers(len(subject.numbers)))
    around = look_around(sample.labels, subject.boxes[chosen], subject.numbers[chosen])
    own = around.diameter_px
    if random.random() < OWN_SCALE_SHARE:
        scale = aim.diameter_px / own * float(np.exp(random.normal(0.0, 0.2)))
    scale = float(np.clip(scale, aim.bounds_px[0] / own, aim.bounds_px[1] / own))
    return around.number, draw_prompt(around, random, aim.stroke_share), scale


def _backward_matrix(scale: float, random: Generator) -> Picture:
    """Return the 2x2 matrix from patch steps (x, y) to sample steps."""
    angle = random.integers(4) * np.pi / 2
    if random.random() < 0.5:
        angle += random.uniform(-np.pi / 4, np.pi / 4)
    stretch = float(np.exp(random.normal(0.0, 0.1))) if random.random() < 0.5 else 1.0
    if random.random() < 0.1:
        stretch = float(np.exp(random.uniform(0.15, 0.45)))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mirror = np.diag([random.choice([-1.0, 1.0]), 1.0])
    return turn @ mirror @ np.diag([stretch, 1.0 / stretch]) / scale


def _sample_at(
    sample: Sample, source: Picture, backward: Picture
) -> tuple[Picture, NDArray[np.int32]]:
    """Return picture and labels at ``source``, float64[2, n, n], indices (x, y) in the sample."""
    height, width = sample.labels.shape
    grid = np.rint(source).astype(np.intp)
    outside = (grid[0] < 0) | (grid[0] >= width) | (grid[1] < 0) | (grid[1] >= height)
    rows, columns = np.clip(grid[1], 0, height - 1), np.clip(grid[0], 0, width - 1)
    labels = np.where(outside, 0, sample.labels[rows, columns]).astype(np.int32)
    step = float(np.sqrt(abs(np.linalg.det(backward))))
    reach = int(np.ceil(2.0 * step)) + 1
    top, left = max(int(rows.min()) - reach, 0), max(int(columns.min()) - reach, 0)
    window = np.s_[top : rows.max() + reach + 1, left : columns.max() + reach + 1]
    pixels = sample.image[window].astype(np.float32) / np.float32(255.0)
    if step > 1.25:
        pixels = gaussian_filter(pixels, (0.4 * step, 0.4 * step, 0.0))
    at = source[::-1] - np.array([top, left])[:, None, None]
    planes = [map_coordinates(p, at, order=1, mode="nearest") for p in pixels.transpose(2, 0, 1)]
    image = np.stack(planes, axis=2)
    if outside.any():
        ground = sample.labels[window] == 0
        image[outside] = np.median(pixels[ground], axis=0) if ground.any() else 0.0
    return image.astype(np.float32), labels


def subjects_of(
    samples: Sequence[Sample], aim: Aim, *, singles: bool = False
) -> tuple[Subject, ...]:
    """Return every sample with its objects found; see `Subject.of`."""
    return tuple(Subject.of(sample, aim, singles=singles) for sample in samples)
