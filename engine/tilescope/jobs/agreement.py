"""How far two sets of results say the same: the share of what a user would count that agrees.

Distances between a network's raw outputs say little about what becomes of them; these figures are
about the results.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilescope.plugins.api import Boxes, ClassMap, Instances, TileResult, TileScores

_SAME = 0.5


@dataclass(frozen=True, slots=True)
class _Count:
    """What agrees, of how much."""

    same: float
    of: float


def agreement(pairs: Iterable[tuple[TileResult, TileResult]], *, threshold: float = 0.5) -> float:
    """Return the share of results that agree, pooled over tiles, between 0 and 1.

    Objects and boxes: F1 of one set against the other, at an intersection over union above one
    half and the same class (Caicedo et al., "Nucleus segmentation across imaging experiments",
    Nature Methods 2019). Class maps: Dice coefficient, that is the pixels that have the same class
    in both, of those that have one. Tiles: the share with the same class.

    Parameters
    ----------
    pairs
        Results for the same tile.
    threshold
        Probability from which on a class counts.

    Raises
    ------
    TypeError
        When the results of a pair are of different kinds.
    """
    counts = [_counted(a, b, threshold) for a, b in pairs]
    whole = sum(count.of for count in counts)
    return sum(count.same for count in counts) / whole if whole else 1.0


def _counted(a: TileResult, b: TileResult, threshold: float) -> _Count:
    match a, b:
        case Instances(), Instances():
            return _Count(2 * _same_objects(a, b), len(a.scores) + len(b.scores))
        case Boxes(), Boxes():
            return _Count(2 * _same_boxes(a, b), len(a.scores) + len(b.scores))
        case ClassMap(), ClassMap():
            first, second = (_classes(m.probabilities, threshold) for m in (a, b))
            both = float(((first == second) & (first > 0)).sum())
            return _Count(2 * both, float((first > 0).sum() + (second > 0).sum()))
        case TileScores(), TileScores():
            same = int(a.probabilities.argmax()) == int(b.probabilities.argmax())
            if len(a.probabilities) == 1:
                same = bool((a.probabilities[0] >= threshold) == (b.probabilities[0] >= threshold))
            return _Count(float(same), 1.0)
        case _:
            msg = f"{type(a).__name__} and {type(b).__name__} do not compare"
            raise TypeError(msg)


def _classes(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    """Return 1 + the likeliest class where it reaches the threshold, else 0."""
    best = probabilities.argmax(axis=0)
    reached = probabilities.max(axis=0) >= threshold
    return np.where(reached, best + 1, 0)


def _same_objects(a: Instances, b: Instances) -> int:
    count = len(b.scores) + 1
    codes = a.labels.astype(np.int64) * count + b.labels
    values, areas = np.unique(codes, return_counts=True)
    first, second = values // count, values % count
    sizes_a = np.bincount(a.labels.ravel(), minlength=len(a.scores) + 1)
    sizes_b = np.bincount(b.labels.ravel(), minlength=count)
    both = (first > 0) & (second > 0)
    first, second, areas = first[both], second[both], areas[both]
    same_class = a.classes[first - 1] == b.classes[second - 1]
    union = sizes_a[first] + sizes_b[second] - areas
    # above one half an object overlaps with one other at most
    return int(((areas > _SAME * union) & same_class).sum())


def _same_boxes(a: Boxes, b: Boxes) -> int:
    taken = np.zeros(len(b.scores), bool)
    same = 0
    for index in np.argsort(-a.scores, kind="stable"):
        overlaps = np.where(taken, 0.0, _overlaps(a.corners[index], b.corners))
        overlaps[b.classes != a.classes[index]] = 0.0
        if overlaps.size and overlaps.max() > _SAME:
            taken[overlaps.argmax()] = True
            same += 1
    return same


def _overlaps(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    areas = np.clip(others[:, 2:] - others[:, :2], 0, None).prod(axis=1)
    union = np.clip(box[2:] - box[:2], 0, None).prod() + areas - common
    return np.asarray(np.divide(common, union, where=union > 0, out=np.zeros(len(others))), float)
