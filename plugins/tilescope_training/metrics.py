"""Measures of instance segmentation, each as its field defines it.

All take label images of equal shape, 0 background; objects need not be numbered without gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DSB_THRESHOLDS = tuple(float(t) for t in np.arange(0.5, 1.0, 0.05).round(2))
"""Intersection over union from 0.50 to 0.95 in steps of 0.05."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Pixel counts of true objects, predicted objects and their intersections.

    Parameters
    ----------
    true_areas, predicted_areas
        int64[n], int64[m].
    shared
        int64[n, m], pixels of true object i under predicted object j.
    """

    true_areas: NDArray[np.int64]
    predicted_areas: NDArray[np.int64]
    shared: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        """Return int64[n, m], pixels of either object of each pair."""
        return self.true_areas[:, None] + self.predicted_areas[None] - self.shared

    @property
    def iou(self) -> NDArray[np.float64]:
        """Return float64[n, m], intersection over union."""
        return self.shared / np.maximum(self.union, 1)


def overlap(true: NDArray[np.integer], predicted: NDArray[np.integer]) -> Overlap:
    """Return the overlap counts of two label images."""
    if true.shape != predicted.shape:
        raise ValueError(f"label images differ in shape: {true.shape}, {predicted.shape}")
    true_numbers, t = np.unique(true, return_inverse=True)
    predicted_numbers, p = np.unique(predicted, return_inverse=True)
    size = (true_numbers.size, predicted_numbers.size)
    table = np.bincount(t.ravel() * size[1] + p.ravel(), minlength=size[0] * size[1]).reshape(size)
    rows, columns = true_numbers != 0, predicted_numbers != 0
    return Overlap(
        table.sum(axis=1)[rows], table.sum(axis=0)[columns], table[np.ix_(rows, columns)]
    )


def count_matches(pairs: Overlap, threshold: float) -> tuple[int, int, int]:
    """Return true positives, false positives and false negatives at an IoU of ``threshold``.

    From 0.5 up, pairs above the threshold are unique (Kirillov et al. 2019), so no assignment has
    to be solved; at exactly 0.5 a tie is counted once per true object.
    """
    if threshold < 0.5:
        raise ValueError(f"matches are only unique from 0.5 up, not at {threshold}")
    hits = pairs.iou >= threshold
    found = int(min(hits.any(axis=1).sum(), hits.any(axis=0).sum())) if hits.size else 0
    return found, pairs.predicted_areas.size - found, pairs.true_areas.size - found


def f1(pairs: Overlap, threshold: float = 0.5) -> float:
    """Return the object F1, 2 TP / (2 TP + FP + FN), as in Caicedo et al. 2019.

    Source: "Evaluation of deep learning strategies for nucleus segmentation in fluorescence
    images", doi 10.1002/cyto.a.23863. Nothing there and nothing found is 1.
    """
    tp, fp, fn = count_matches(pairs, threshold)
    return 2.0 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0


def dsb_average_precision(pairs: Overlap) -> float:
    """Return the score of the 2018 Data Science Bowl: TP / (TP + FP + FN), averaged over IoU.

    Source: Caicedo et al. 2019, doi 10.1038/s41592-019-0612-7; thresholds 0.50 to 0.95 by 0.05.
    """
    total = 0.0
    for threshold in DSB_THRESHOLDS:
        tp, fp, fn = count_matches(pairs, threshold)
        total += tp / (tp + fp + fn) if tp + fp + fn else 1.0
    return total / len(DSB_THRESHOLDS)


def aggregated_jaccard(pairs: Overlap) -> float:
    """Return the aggregated Jaccard index of Kumar et al. 2017 (doi 10.1109/TMI.2017.2677499).

    Every true object is matched with the predicted one of highest IoU, which may serve several
    times, as in the authors' code; predicted objects that served none are added to the union.
    """
    if not pairs.true_areas.size:
        return 1.0 if not pairs.predicted_areas.size else 0.0
    if not pairs.predicted_areas.size:
        return 0.0
    best = pairs.iou.argmax(axis=1)
    rows = np.arange(best.size)
    touched = pairs.shared[rows, best] > 0
    union = np.where(touched, pairs.union[rows, best], pairs.true_areas).sum()
    unused = np.ones(pairs.predicted_areas.size, np.bool_)
    unused[best[touched]] = False
    return float(pairs.shared[rows, best].sum() / (union + pairs.predicted_areas[unused].sum()))


def panoptic_quality(pairs: Overlap) -> float:
    """Return PQ, the summed IoU of matches over TP + FP/2 + FN/2, matches being IoU > 0.5.

    Source: Kirillov et al. 2019, arXiv 1801.00868.
    """
    matched = pairs.iou > 0.5
    tp = int(matched.sum())
    halves = pairs.true_areas.size + pairs.predicted_areas.size - 2 * tp
    if tp + halves == 0:
        return 1.0
    return float(pairs.iou[matched].sum() / (tp + 0.5 * halves))


def object_dice(pairs: Overlap) -> float:
    """Return the object Dice of the GlaS challenge (Sirinukunwattana et al. 2017).

    Every true object is compared with the found one that covers most of it and every found one with
    the true one that it covers most of, weighted by area; the mean of both. Source: doi
    10.1016/j.media.2016.08.008.
    """
    if not pairs.true_areas.size or not pairs.predicted_areas.size:
        return float(pairs.true_areas.size == pairs.predicted_areas.size)
    areas = pairs.true_areas[:, None] + pairs.predicted_areas[None]
    dice = 2.0 * pairs.shared / areas
    found = dice[np.arange(pairs.true_areas.size), pairs.shared.argmax(axis=1)]
    true = dice[pairs.shared.argmax(axis=0), np.arange(pairs.predicted_areas.size)]
    of_true = (found * pairs.true_areas).sum() / pairs.true_areas.sum()
    of_found = (true * pairs.predicted_areas).sum() / pairs.predicted_areas.sum()
    return float((of_true + of_found) / 2.0)
