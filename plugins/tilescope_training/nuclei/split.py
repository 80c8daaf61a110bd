"""Train, validation and test sides that share no experiment.

The bowl's images are crops: several come from one parent image, many parents from one experiment,
and nothing in the file names says which. A split by file would therefore measure memory. Groups are
found from the pixels:

1. Images of different size or modality are never of one group.
2. Within a size, average-linkage clustering of descriptors on a logarithmic scale (background and
   nucleus colour, contrast, noise, texture at two scales, saturation, nuclear size) gives the
   experiments.
3. Images with a border in common (the last row of one continues in the first row of the other, or
   the same in columns, each the other's best match) are crops of one parent; the clusters of such
   a pair are joined.

Whole groups are then dealt to the sides, modality by modality, with a fixed seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.ndimage import gaussian_filter, laplace
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tilescope_training.nuclei.data import Sample

CLUSTER_DISTANCE = 1.0
"""Mean descriptor distance, in doublings of a level, up to which images are one experiment."""

LARGEST_OVERFLOW = 1.75
"""A held-out side takes a group of at most this many times the images it still lacks.

With 2, one of the three large stained experiments was held out whole and training was left with
two; a network cannot learn from two what differs between laboratories.
"""

BORDER_CORRELATION = 0.97
"""Correlation of two borders from which on they are taken for neighbours."""


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of the samples on each side, and the group of every sample."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    groups: tuple[int, ...]

    def __post_init__(self) -> None:
        sides = [
            {self.groups[i] for i in side} for side in (self.train, self.validation, self.test)
        ]
        if sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2]:
            raise ValueError("a group lies on two sides of the split")


def describe(sample: Sample) -> NDArray[np.float64]:
    """Return the descriptor of one image: colours, contrast, noise, texture, size."""
    image = sample.image.astype(np.float64)
    grey = image.mean(axis=2)
    inside = sample.labels > 0
    if not inside.any() or inside.all():
        inside = grey > np.median(grey)
    background = image[~inside]
    fine, coarse = (gaussian_filter(grey, s) for s in (1.0, 4.0))
    levels = np.concatenate((np.median(background, axis=0), image[inside].mean(axis=0)))
    spread = np.array(
        [background.std(), image[inside].std(), np.abs(laplace(grey)).mean(),
         (grey - fine).std(), (fine - coarse).std()]
    )  # fmt: skip
    saturation = (image.max(axis=2) - image.min(axis=2)).mean()
    size = np.log2((sample.diameter_px or 16.0) / 16.0)
    return np.concatenate((np.log2(levels + 8.0), np.log2(spread + 1.0), [saturation / 32.0, size]))


def find_groups(samples: Sequence[Sample]) -> tuple[int, ...]:
    """Return the group number of every sample."""
    groups = np.zeros(len(samples), np.intp)
    keys = [(s.modality, s.labels.shape) for s in samples]
    next_group = 0
    for key in sorted(set(keys)):
        members = [i for i, k in enumerate(keys) if k == key]
        own = _groups_of_one_size([samples[i] for i in members])
        groups[members] = own + next_group
        next_group += int(own.max()) + 1
    return tuple(int(g) for g in groups)


def deal(
    samples: Sequence[Sample],
    *,
    seed: int,
    validation_share: float = 0.15,
    test_share: float = 0.15,
) -> Split:
    """Return a split with about the wanted share of each modality's images on either side."""
    groups = find_groups(samples)
    random = np.random.default_rng(seed)
    sides: tuple[list[int], list[int], list[int]] = ([], [], [])
    for modality in sorted({s.modality for s in samples}):
        members = [i for i, s in enumerate(samples) if s.modality == modality]
        wanted = (len(members) * validation_share, len(members) * test_share)
        filled = [0, 0]
        for group in random.permutation(sorted({groups[i] for i in members})):
            own = [i for i in members if groups[i] == group]
            side = _side_for(len(own), filled, wanted)
            sides[side].extend(own)
            if side:
                filled[side - 1] += len(own)
    train, validation, test = (tuple(sorted(side)) for side in sides)
    return Split(train, validation, test, groups)


def _side_for(count: int, filled: list[int], wanted: tuple[float, float]) -> int:
    """Return 1 or 2 for the emptier held-out side with room for the group, else 0 (training)."""
    room = [w - f for f, w in zip(filled, wanted, strict=True)]
    side = int(room[1] > room[0])
    # A group much larger than its place would take a side, and training's variety, alone.
    fits = count <= max(LARGEST_OVERFLOW * room[side], 2.0)
    return side + 1 if room[side] > 0 and fits else 0


def _groups_of_one_size(samples: list[Sample]) -> NDArray[np.intp]:
    if len(samples) == 1:
        return np.zeros(1, np.intp)
    descriptors = np.stack([describe(s) for s in samples])
    clusters = fcluster(linkage(descriptors, "average"), CLUSTER_DISTANCE, "distance") - 1
    pairs = _neighbours(samples)
    left = np.concatenate((clusters[pairs[:, 0]], clusters))
    right = np.concatenate((clusters[pairs[:, 1]], clusters))
    count = int(clusters.max()) + 1
    graph = coo_array((np.ones(left.size), (left, right)), shape=(count, count))
    joined = connected_components(graph, directed=False)[1]
    return np.asarray(joined[clusters], np.intp)


def _neighbours(samples: list[Sample]) -> NDArray[np.intp]:
    """Return index pairs whose borders continue each other, intp[n, 2]."""
    found = [np.zeros((0, 2), np.intp)]
    greys = [s.image.astype(np.float64).mean(axis=2) for s in samples]
    for first, last in (
        ([g[0] for g in greys], [g[-1] for g in greys]),
        ([g[:, 0] for g in greys], [g[:, -1] for g in greys]),
    ):
        likeness = _standardise(np.stack(last)) @ _standardise(np.stack(first)).T
        np.fill_diagonal(likeness, 0.0)
        mutual = (likeness == likeness.max(axis=0)) & (likeness == likeness.max(axis=1)[:, None])
        found.append(np.argwhere(mutual & (likeness > BORDER_CORRELATION)))
    return np.concatenate(found)


def _standardise(lines: NDArray[np.float64]) -> NDArray[np.float64]:
    smooth = gaussian_filter(lines, (0.0, 1.0))
    centred = smooth - smooth.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    # A border without structure matches every other one: a nearly flat line proves nothing.
    flat = norm < 3.0 * np.sqrt(lines.shape[1])
    return np.where(flat, 0.0, centred / np.maximum(norm, 1e-9))
