"""What the network is asked to say about a labelled crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAT_SIGMA_SHARE = 0.14
"""Width of the centre peak in nuclear diameters: large nuclei have softer centres."""

HEAT_SIGMA_PX = (1.8, 5.0)
"""Bounds of that width, in px."""

BOUNDARY_PX = 5
"""Side of the window in which two nuclei count as touching."""

BOUNDARY_WEIGHT = 4.0
"""Extra weight of the pixels between touching nuclei."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Maps of one crop.

    Parameters
    ----------
    maps
        float32[4, h, w]: foreground 0/1, centre heat 0..1, dx and dy to the nucleus's centre in px
        (0 outside nuclei).
    weight
        float32[h, w]: 1, more between touching nuclei.
    """

    maps: NDArray[np.float32]
    weight: NDArray[np.float32]


def make_targets(labels: NDArray[np.int32], centres: NDArray[np.float32]) -> Targets:
    """Return the targets of a crop.

    Parameters
    ----------
    labels
        int32[h, w], 0 background.
    centres
        float32[n + 1, 2], (x, y) in the crop's pixels of every label; it may lie outside the crop
        for a nucleus that the crop cuts. Row 0 is not read.
    """
    height, width = labels.shape
    rows, columns = np.indices((height, width), np.float32)
    inside = labels > 0
    dx = np.where(inside, centres[labels, 0] - columns, 0.0)
    dy = np.where(inside, centres[labels, 1] - rows, 0.0)
    diameters = 2.0 * np.sqrt(np.bincount(labels.ravel(), minlength=len(centres)) / np.pi)
    sigma = np.clip(HEAT_SIGMA_SHARE * diameters, *HEAT_SIGMA_PX)[labels]
    heat = np.where(inside, np.exp(-(dx**2 + dy**2) / (2.0 * sigma**2)), 0.0)
    maps = np.stack((inside, heat, dx, dy)).astype(np.float32)
    return Targets(maps, _boundary_weight(labels))


def _boundary_weight(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    highest = maximum_filter(labels, BOUNDARY_PX)
    no_label = np.iinfo(np.int32).max
    lowest = minimum_filter(np.where(labels > 0, labels, no_label), BOUNDARY_PX)
    touching = (lowest != no_label) & (highest > 0) & (lowest != highest)
    return np.asarray(1.0 + BOUNDARY_WEIGHT * touching, np.float32)


def find_centres(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the centroids, float32[n + 1, 2] as (x, y) in px; row 0 belongs to the background."""
    flat = labels.ravel()
    count = int(flat.max()) + 1
    area = np.maximum(np.bincount(flat, minlength=count), 1)
    rows, columns = np.indices(labels.shape)
    x = np.bincount(flat, columns.ravel(), count) / area
    y = np.bincount(flat, rows.ravel(), count) / area
    return np.stack((x, y), axis=1).astype(np.float32)
