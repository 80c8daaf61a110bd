"""Suppression of boxes against the rule written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.ops.nms import box_areas, overlapping_pairs, suppress

SIDES = st.integers(0, 12)
BOX = st.tuples(st.integers(0, 30), st.integers(0, 30), SIDES, SIDES)


def arrays(rows: list[tuple[int, int, int, int]]) -> np.ndarray:
    return np.array([[x, y, x + w, y + h] for x, y, w, h in rows], np.float64).reshape(-1, 4)


def common(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)


def area(a: np.ndarray) -> float:
    return (a[2] - a[0]) * (a[3] - a[1])


@given(st.lists(st.tuples(BOX, st.integers(0, 3), st.integers(0, 1)), max_size=25))
def test_it_keeps_what_the_greedy_rule_keeps(rows: list) -> None:
    boxes = arrays([row[0] for row in rows])
    scores = np.array([row[1] / 3 for row in rows])
    classes = np.array([row[2] for row in rows], int)
    kept: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: (-scores[i], i)):
        rivals = [j for j in kept if classes[j] == classes[i]]
        shared = [(common(boxes[i], boxes[j]), area(boxes[i]) + area(boxes[j])) for j in rivals]
        if all(not c or c < 0.4 * (both - c) for c, both in shared):
            kept.append(i)
    assert suppress(boxes, scores, classes, 0.4).tolist() == sorted(kept)


@given(st.lists(BOX, max_size=25))
def test_pairs_are_those_with_a_common_area(rows: list) -> None:
    boxes = arrays(rows)
    found = [tuple(pair) for part in overlapping_pairs(boxes) for pair in part.tolist()]
    n = len(boxes)
    expected = {(i, j) for i in range(n) for j in range(i + 1, n) if common(boxes[i], boxes[j]) > 0}
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_many_boxes_over_each_other_cost_little() -> None:
    boxes = np.tile(np.array([[0.0, 0.0, 9.0, 9.0]]), (20_000, 1))
    scores = np.linspace(0, 1, 20_000)
    assert suppress(boxes, scores, np.zeros(20_000, int), 0.5).tolist() == [19_999]


def test_areas_are_never_negative() -> None:
    assert box_areas(np.array([[0.0, 0, 4, 5], [4, 5, 0, 0]])) == pytest.approx([20, 0])
