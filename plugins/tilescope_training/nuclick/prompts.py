"""Clicks as people make them, drawn from the labels of a sample.

A person clicks anywhere on the nucleus, often off its centre, at times on its rim or just beside
it; points out a second place when the first answer was too small, and what is not the object when
it was too large; draws a line, or a box. All coordinates here are in pixels of the sample, the
middle of pixel (0, 0) at (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from tilescope.plugins.api import Clicks
from tilescope_training.nuclick.scribbles import draw_scribble

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

BOX_SHARE = 0.06
SECOND_SHARE = 0.15
"""How often a prompt has further points on the object."""

NEIGHBOUR_SHARE = 0.35
"""How often points on other objects are given; each of them is there or missing by chance."""

RING_SHARE = 0.15
"""How often a point just outside the outline is given, as after an answer that was too large."""

MISPLACED_SHARE = 0.03
"""How often a point that should be off the object lies on its rim."""

LARGEST_BESIDE = 0.12
"""How far beside the object a click may land, in object diameters."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The labels around one object.

    Attributes
    ----------
    labels
        ``int32[h, w]``, the object and a margin of its own size around it.
    x0, y0
        Where they begin in the sample.
    number
        The object's label.
    """

    labels: NDArray[np.int32]
    x0: int
    y0: int
    number: int

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The object."""
        return self.labels == self.number

    @property
    def diameter_px(self) -> float:
        """That of the circle of its area."""
        return float(2.0 * np.sqrt(max(1, int(self.mask.sum())) / np.pi))


def look_around(labels: NDArray[np.int32], box: tuple[slice, slice], number: int) -> Surroundings:
    """Return an object, whose bounding box is ``box``, with what lies around it."""
    rows, columns = box
    margin = max(8, rows.stop - rows.start, columns.stop - columns.start)
    top, left = max(0, rows.start - margin), max(0, columns.start - margin)
    window = labels[top : rows.stop + margin, left : columns.stop + margin]
    return Surroundings(window, left, top, number)


def draw_prompt(around: Surroundings, random: Generator, stroke_share: float) -> Clicks:
    """Return a random prompt for the object, a scribble as often as ``stroke_share`` says."""
    kind = random.random()
    if kind < BOX_SHARE:
        return _moved(box_prompt(_shaken_box(around, random)), around)
    if kind < BOX_SHARE + stroke_share:
        none = np.zeros((0, 2))
        strokes = draw_scribble(around.mask, random)
        return _moved(Clicks(none, _outside_points(around, random), strokes), around)
    inside = [first_click(around, random)]
    if random.random() < SECOND_SHARE:
        inside.append(_scatter(around.mask, int(random.integers(1, 4)), random))
    return _moved(Clicks(np.concatenate(inside), _outside_points(around, random)), around)


def first_click(around: Surroundings, random: Generator) -> Points:
    """Return one click, float64[1, 2], in pixels of the surroundings."""
    depth = distance_transform_edt(np.pad(around.mask, 1))[1:-1, 1:-1]
    kind = random.random()
    if kind < 0.5:
        chosen = around.mask
    elif kind < 0.7:
        chosen = depth >= 0.6 * depth.max()
    elif kind < 0.87:
        chosen = around.mask & (depth <= max(2.0, 0.08 * around.diameter_px))
    else:
        chosen = _beside(around)
    if not chosen.any():
        chosen = around.mask
    return _scatter(chosen, 1, random)


def _beside(around: Surroundings) -> NDArray[np.bool_]:
    """Return the background from which a click still means the object."""
    distance = distance_transform_edt(~around.mask)
    return np.asarray((around.labels == 0) & (distance <= LARGEST_BESIDE * around.diameter_px))


def _outside_points(around: Surroundings, random: Generator) -> Points:
    found = [np.zeros((0, 2))]
    mask = around.mask
    if random.random() < NEIGHBOUR_SHARE:
        missing = random.random()
        others = np.setdiff1d(around.labels, [0, around.number])
        kept = others[random.random(others.size) >= missing]
        found += [_scatter(around.labels == number, 1, random) for number in kept]
    if random.random() < RING_SHARE:
        distance = distance_transform_edt(~mask)
        reach = max(3.0, 0.3 * around.diameter_px)
        ring = ~mask & (distance > 0.06 * around.diameter_px) & (distance <= reach)
        found.append(_scatter(ring, int(random.integers(1, 3)), random))
    if random.random() < MISPLACED_SHARE:
        depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        found.append(_scatter(mask & (depth <= 2.0), 1, random))
    return np.concatenate(found)


def box_prompt(box: tuple[float, float, float, float]) -> Clicks:
    """Return what stands for a box: its middle, and eight points on its edge that are outside.

    ``box`` is x0, y0, x1, y1.
    """
    x0, y0, x1, y1 = box
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    away = 0.06 * float(np.sqrt((x1 - x0) * (y1 - y0))) + 1.0
    left, top, right, bottom = x0 - away, y0 - away, x1 + away, y1 + away
    edge = [(left, top), (x, top), (right, top), (left, y), (right, y), (left, bottom),
            (x, bottom), (right, bottom)]  # fmt: skip
    return Clicks(np.array([[x, y]]), np.array(edge))


def _shaken_box(around: Surroundings, random: Generator) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(around.mask)
    ends = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    shake = random.normal(0.0, 0.05 * around.diameter_px, 4)
    x0, y0, x1, y1 = (float(e + s) for e, s in zip(ends, shake, strict=True))
    return x0, y0, max(x1, x0 + 3.0), max(y1, y0 + 3.0)


def _scatter(chosen: NDArray[np.bool_], count: int, random: Generator) -> Points:
    """Return random points in the chosen pixels, float64[n, 2], x then y; n <= count."""
    rows, columns = np.nonzero(chosen)
    if not rows.size:
        return np.zeros((0, 2))
    picked = random.integers(rows.size, size=count)
    where = np.stack([columns[picked], rows[picked]], axis=1)
    return where + random.uniform(0.0, 1.0, (count, 2))


def _moved(clicks: Clicks, around: Surroundings) -> Clicks:
    shift = np.array([around.x0, around.y0], np.float64)
    return Clicks(
        clicks.inside + shift, clicks.outside + shift, tuple(s + shift for s in clicks.strokes)
    )


def middle_of(clicks: Clicks) -> Points:
    """Return the middle of the box around all points on the object, float64[2]."""
    points = np.concatenate([clicks.inside, *clicks.strokes])
    return np.asarray((points.min(axis=0) + points.max(axis=0)) / 2.0)


def background_click(
    labels: NDArray[np.int32], clear_px: float, random: Generator
) -> Points | None:
    """Return a point at least ``clear_px`` from every object, float64[1, 2]; None without one."""
    for _ in range(4):
        x, y = random.uniform(0, labels.shape[1]), random.uniform(0, labels.shape[0])
        reach = int(np.ceil(clear_px))
        top, left = max(0, int(y) - reach), max(0, int(x) - reach)
        near = labels[top : int(y) + reach + 1, left : int(x) + reach + 1] > 0
        if not near.any():
            return np.array([[x, y]])
    return None
