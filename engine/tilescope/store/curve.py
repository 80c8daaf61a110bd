"""The order in which neighbours are stored next to each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BITS = 16


def hilbert(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return ``int64[n]``: how far along a Hilbert curve over their bounding square points lie.

    Parameters
    ----------
    points
        ``float64[n, 2]``, finite, in any unit.
    """
    if not len(points):
        return np.zeros(0, np.int64)
    low = points.min(axis=0)
    side = max(float((points.max(axis=0) - low).max()), 1e-9)
    grid = ((points - low) * ((2**_BITS - 1) / side)).astype(np.int64)
    x, y = grid[:, 0].copy(), grid[:, 1].copy()
    distance = np.zeros(len(points), np.int64)
    for bit in range(_BITS - 1, -1, -1):
        right, lower = (x >> bit) & 1, (y >> bit) & 1
        distance += ((3 * right) ^ lower) << (2 * bit)
        # The quarters at the top are passed through turned: mirrored on the right, then swapped.
        mirrored = (lower == 0) & (right == 1)
        x = np.where(mirrored, (1 << bit) - 1 - (x & ((1 << bit) - 1)), x & ((1 << bit) - 1))
        y = np.where(mirrored, (1 << bit) - 1 - (y & ((1 << bit) - 1)), y & ((1 << bit) - 1))
        x, y = np.where(lower == 0, y, x), np.where(lower == 0, x, y)
    return distance
