"""Cells near tissue: the same answers as looking at every cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from tilescope.ops.tissue import grown
from tilescope.ops.tissue_cells import TissueCells

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))
#: Cells whose sides and places binary fractions say exactly.
SIDES = st.sampled_from([1.0, 2.5, 0.75])


def near(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    rows, columns = np.nonzero(mask)
    y, x = np.indices(mask.shape)
    away = np.maximum(abs(y[..., None] - rows), abs(x[..., None] - columns))
    return (away <= reach).any(axis=2)


@given(mask=MASKS, reach=st.integers(0, 15))
def test_a_mask_grows_to_all_sides(mask: NDArray[np.bool_], reach: int) -> None:
    np.testing.assert_array_equal(grown(mask, reach), near(mask, reach))


@given(mask=MASKS, side=SIDES, margin=st.sampled_from([0.0, 0.5, 1.0, 2.5, 7.0]), data=st.data())
def test_points_and_boxes(
    mask: NDArray[np.bool_], side: float, margin: float, data: st.DataObject
) -> None:
    cells = TissueCells.near(mask, side, margin)
    wanted = near(mask, int(np.ceil(margin / side)))
    height, width = mask.shape
    # Quarters of a cell, some of them beyond the slide; cells are asked for off their edges.
    steps = st.integers(-6, 4 * max(width, height) + 6)
    x0, y0, x1, y1 = (data.draw(steps) / 4 + 1 / 8 for _ in range(4))
    (x0, x1), (y0, y1) = sorted((x0, x1)), sorted((y0, y1))
    box = np.array([[x0, y0, x1, y1]]) * side
    columns, rows = (
        np.arange(np.floor(low), np.floor(high) + 1).clip(0, most - 1).astype(int)
        for low, high, most in ((x0, x1, width), (y0, y1, height))
    )
    covered = wanted[np.ix_(rows, columns)]
    assert cells.meet(box)[0] == covered.any()
    assert cells.enclose(box)[0] == covered.all()
    assert cells.hold(box[:, :2])[0] == covered[0, 0]


@pytest.mark.parametrize("side", [1.0, 2.8974609375, 0.3])
def test_a_box_that_ends_between_two_cells_comes_into_both(side: float) -> None:
    mask = np.zeros((4, 9), bool)
    mask[:, 5] = True
    cells = TissueCells.near(mask, side, 0)
    boxes = np.array([[3, 1, 5, 2], [6, 1, 8, 2], [3, 1, 4.9, 2], [6.1, 1, 8, 2]]) * side
    assert cells.meet(boxes).tolist() == [True, True, False, False]


def test_of_nothing_and_of_no_boxes() -> None:
    cells = TissueCells.near(np.zeros((3, 5), bool), 4.0, 100.0)
    assert not cells.meet(np.array([[0.0, 0, 20, 12]])).any()
    assert cells.meet(np.zeros((0, 4))).shape == cells.hold(np.zeros((0, 2))).shape == (0,)
