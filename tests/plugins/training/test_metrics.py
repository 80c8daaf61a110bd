"""Instance measures against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tilescope_training import metrics


def row(*values):
    return np.array([values], np.int32)


def test_the_overlap_table_counts_pixels_without_background():
    pairs = metrics.overlap(row(0, 7, 7, 7, 3, 0), row(0, 0, 2, 2, 2, 9))
    assert pairs.true_areas.tolist() == [1, 3]
    assert pairs.predicted_areas.tolist() == [3, 1]
    assert pairs.shared.tolist() == [[1, 0], [2, 0]]


def test_a_perfect_answer_has_full_marks_whatever_its_numbers():
    true = row(0, 1, 1, 0, 2, 2, 2)
    pairs = metrics.overlap(true, row(0, 5, 5, 0, 3, 3, 3))
    for measure in (
        metrics.f1,
        metrics.dsb_average_precision,
        metrics.aggregated_jaccard,
        metrics.panoptic_quality,
        metrics.object_dice,
    ):
        assert measure(pairs) == pytest.approx(1.0)


def test_one_hit_one_miss_one_invention():
    # Object 1: 4 true px, 3 found, IoU 3/4. Object 2 (2 px) missed. Predicted 6 (1 px) invented.
    pairs = metrics.overlap(row(1, 1, 1, 1, 0, 2, 2, 0), row(5, 5, 5, 0, 0, 0, 0, 6))
    assert metrics.count_matches(pairs, 0.5) == (1, 1, 1)
    assert metrics.f1(pairs) == pytest.approx(0.5)
    # TP / (TP + FP + FN) is 1/3 for the six thresholds 0.5 .. 0.75 and 0 for the other four.
    assert metrics.dsb_average_precision(pairs) == pytest.approx(6 / 10 / 3)
    # Intersection 3; union 4 (object 1) + 2 (object 2) + 1 (unused prediction).
    assert metrics.aggregated_jaccard(pairs) == pytest.approx(3 / 7)
    assert metrics.panoptic_quality(pairs) == pytest.approx(0.75 / 2)
    # Dice of the hit is 6/7: over true areas 6/7 * 4/6, over found ones 6/7 * 3/4; their mean.
    assert metrics.object_dice(pairs) == pytest.approx(17 / 28)


def test_a_merged_pair_is_one_hit_at_most():
    pairs = metrics.overlap(row(1, 1, 2, 2, 2, 2), row(3, 3, 3, 3, 3, 3))
    assert metrics.count_matches(pairs, 0.5) == (1, 0, 1)
    # Both true objects choose the same prediction: (2 + 4) / (6 + 6).
    assert metrics.aggregated_jaccard(pairs) == pytest.approx(0.5)


def test_an_exact_half_is_counted_once():
    pairs = metrics.overlap(row(1, 1, 2, 2), row(3, 3, 3, 3))
    assert metrics.count_matches(pairs, 0.5) == (1, 0, 1)


@pytest.mark.parametrize(
    ("true", "predicted", "mark"),
    [((0, 0), (0, 0), 1.0), ((0, 0), (1, 1), 0.0), ((1, 1), (0, 0), 0.0)],
)
def test_empty_images(true, predicted, mark):
    pairs = metrics.overlap(row(*true), row(*predicted))
    assert metrics.f1(pairs) == mark
    assert metrics.dsb_average_precision(pairs) == mark
    assert metrics.aggregated_jaccard(pairs) == mark
    assert metrics.panoptic_quality(pairs) == mark


def test_thresholds_below_a_half_and_unequal_shapes_are_refused():
    pairs = metrics.overlap(row(1), row(1))
    with pytest.raises(ValueError, match=r"0\.4"):
        metrics.count_matches(pairs, 0.4)
    with pytest.raises(ValueError, match="shape"):
        metrics.overlap(row(1), row(1, 1))
