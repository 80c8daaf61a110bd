"""Objects as columns: cut apart and put together again they are the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tilescope.domain.results import Detections

NAMES = ("a", "b")
points = st.lists(
    st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=8
).map(lambda found: np.array(found, np.float64))
many = st.lists(points, max_size=8)


def of(rings: list[NDArray[np.float64]]) -> Detections:
    n = len(rings)
    return Detections.of(rings, np.arange(n) / max(n, 1), np.arange(n) % 2, NAMES)


@given(rings=many)
def test_rings_go_in_and_come_out(rings: list[NDArray[np.float64]]) -> None:
    found = of(rings)
    assert len(found) == len(rings)
    for i, (ring, stored) in enumerate(zip(rings, found, strict=True)):
        np.testing.assert_array_equal(stored, ring)
        np.testing.assert_array_equal(found.ring(i), ring)
    assert (found.scores.dtype, found.classes.dtype) == (np.float32, np.uint16)
    assert found.offsets.dtype == np.int64


@given(rings=many)
def test_boxes_hold_their_rings_tightly(rings: list[NDArray[np.float64]]) -> None:
    boxes = of(rings).boxes()
    assert boxes.shape == (len(rings), 4)
    for box, ring in zip(boxes, rings, strict=True):
        assert box.tolist() == [*ring.min(axis=0), *ring.max(axis=0)]


@given(rings=many, data=st.data())
def test_a_selection_is_in_the_order_asked_for(
    rings: list[NDArray[np.float64]], data: st.DataObject
) -> None:
    found = of(rings)
    indices = st.lists(st.integers(0, len(rings) - 1), max_size=10) if rings else st.just([])
    index = np.array(data.draw(indices), np.intp)
    part = found.select(index)
    assert len(part) == len(index)
    np.testing.assert_array_equal(part.scores, found.scores[index])
    np.testing.assert_array_equal(part.classes, found.classes[index])
    for i, ring in zip(index, part, strict=True):
        np.testing.assert_array_equal(ring, rings[int(i)])


def test_no_objects() -> None:
    for nothing in (Detections.empty(NAMES), of([])):
        assert len(nothing) == 0
        assert list(nothing) == []
        assert nothing.boxes().shape == (0, 4)
        assert nothing.class_names == NAMES


def test_columns_that_do_not_fit_together_are_refused() -> None:
    good = of([np.zeros((3, 2)), np.zeros((4, 2))])
    with pytest.raises(ValueError, match="2 offsets and 2 classes for 2 objects"):
        Detections(good.rings[:3], good.offsets[:2], good.scores, good.classes, NAMES)
    with pytest.raises(ValueError, match="3 offsets and 1 classes for 2 objects"):
        Detections(good.rings, good.offsets, good.scores, good.classes[:1], NAMES)
    with pytest.raises(ValueError, match="do not end at offset 7"):
        Detections(good.rings[:-1], good.offsets, good.scores, good.classes, NAMES)
    with pytest.raises(ValueError, match="rings of shape"):
        Detections(good.rings.ravel(), good.offsets, good.scores, good.classes, NAMES)
