"""The connected part of a mask is what a walk over its pixels finds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tilescope_desktop.model.flood import connected, like_pixel


def walked(mask: np.ndarray, column: int, row: int) -> np.ndarray:
    found = np.zeros_like(mask)
    waiting = [(row, column)] if mask[row, column] else []
    while waiting:
        r, c = waiting.pop()
        inside = 0 <= r < mask.shape[0] and 0 <= c < mask.shape[1]
        if inside and mask[r, c] and not found[r, c]:
            found[r, c] = True
            waiting += [(r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)]
    return found


@given(st.integers(0, 10**6), st.integers(1, 24), st.integers(1, 24), st.floats(0.3, 0.9))
def test_the_part_that_a_walk_finds(seed: int, width: int, height: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < share
    column, row = int(rng.integers(width)), int(rng.integers(height))
    np.testing.assert_array_equal(connected(mask, column, row), walked(mask, column, row))


def test_a_spiral_is_followed_to_its_end() -> None:
    mask = np.zeros((41, 41), bool)
    r, c, dr, dc = 0, 0, 0, 1
    mask[0, 0] = True
    for length in range(40, 0, -2):
        for _ in range(4):
            for _ in range(length):
                r, c = r + dr, c + dc
                if not (0 <= r < 41 and 0 <= c < 41):
                    break
                mask[r, c] = True
            dr, dc = dc, -dr
    np.testing.assert_array_equal(connected(mask, 0, 0), walked(mask, 0, 0))


def test_colours_near_the_one_under_the_cursor_belong_to_it() -> None:
    colors = np.full((30, 30, 3), 200, np.uint8)
    colors[5:20, 5:20] = (100, 50, 120)
    colors[22:28, 22:28] = (100, 50, 120)
    found = like_pixel(colors, 12, 12)
    assert found.sum() == 15 * 15
    assert found[5:20, 5:20].all()
