"""Agreement of results, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tilescope.jobs.agreement import agreement
from tilescope.plugins.api import Boxes, ClassMap, Instances, TileScores


def objects(*squares: tuple[int, int, int], classes: tuple[int, ...] | None = None) -> Instances:
    """Return squares ``(x, y, side)`` as objects of a 40 x 40 tile."""
    labels = np.zeros((40, 40), np.int32)
    for index, (x, y, side) in enumerate(squares, 1):
        labels[y : y + side, x : x + side] = index
    kinds = classes or (0,) * len(squares)
    return Instances(labels, np.ones(len(squares), np.float32), np.array(kinds, np.uint16))


def boxes(*corners: tuple[float, ...], classes: tuple[int, ...] | None = None) -> Boxes:
    kinds = classes or (0,) * len(corners)
    array = np.array(corners, np.float32).reshape(-1, 4)
    return Boxes(array, np.ones(len(corners), np.float32), np.array(kinds, np.uint16))


def test_objects_agree_when_they_overlap_by_more_than_half() -> None:
    first = objects((0, 0, 10), (20, 20, 10))
    assert agreement([(first, first)]) == 1.0
    # 7 of 13 columns in common, and then 6 of 14
    assert agreement([(first, objects((3, 0, 10), (20, 20, 10)))]) == 1.0
    assert agreement([(first, objects((4, 0, 10), (20, 20, 10)))]) == 0.5
    assert agreement([(first, objects((0, 0, 10)))]) == pytest.approx(2 / 3)
    assert agreement([(first, objects((0, 0, 10), (20, 20, 10), classes=(0, 1)))]) == 0.5
    assert agreement([(objects(), objects())]) == 1.0
    assert agreement([(first, objects())]) == 0.0


def test_tiles_are_pooled() -> None:
    first = objects((0, 0, 10), (20, 20, 10))
    assert agreement([(first, first), (objects(), objects()), (first, objects())]) == 4 / 6


def test_boxes_agree_one_by_one() -> None:
    first = boxes((0, 0, 10, 10), (20, 20, 30, 30))
    assert agreement([(first, boxes((20, 20, 30, 30), (3, 0, 13, 10)))]) == 1.0
    assert agreement([(first, boxes((4, 0, 14, 10), (20, 20, 30, 30)))]) == 0.5
    # one box cannot stand for two
    twice = boxes((0, 0, 10, 10), (1, 0, 11, 10))
    assert agreement([(twice, boxes((0, 0, 10, 10)))]) == pytest.approx(2 / 3)
    assert agreement([(first, boxes((0, 0, 10, 10), (20, 20, 30, 30), classes=(1, 0)))]) == 0.5
    assert agreement([(boxes(), boxes())]) == 1.0
    assert agreement([(boxes((5, 5, 5, 5)), boxes((5, 5, 5, 5)))]) == 0.0


def test_class_maps_agree_where_both_see_the_same_class() -> None:
    first = np.zeros((2, 4, 4), np.float32)
    first[0, :2] = 0.9
    second = first.copy()
    second[0, 0] = 0.4
    second[1, 0] = 0.8
    assert agreement([(ClassMap(first), ClassMap(first))]) == 1.0
    assert agreement([(ClassMap(first), ClassMap(second))]) == 0.5
    faint = np.full((1, 4, 4), 0.3, np.float32)
    assert agreement([(ClassMap(faint), ClassMap(faint + 0.1))]) == 1.0
    assert agreement([(ClassMap(faint), ClassMap(faint + 0.1))], threshold=0.35) == 0.0


def test_tiles_agree_when_they_get_the_same_class() -> None:
    a, b = (TileScores(np.array(v, np.float32)) for v in ([0.2, 0.8], [0.45, 0.55]))
    c = TileScores(np.array([0.6, 0.4], np.float32))
    assert agreement([(a, b), (a, c)]) == 0.5
    low, high = (TileScores(np.array([v], np.float32)) for v in (0.2, 0.7))
    assert agreement([(low, high), (high, high)]) == 0.5


def test_results_of_different_kinds_do_not_compare() -> None:
    with pytest.raises(TypeError, match="do not compare"):
        agreement([(objects(), boxes())])
