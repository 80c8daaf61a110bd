"""Thin smooth lines around very many objects.

A line is a row of dots at most a pixel apart, each spread over the four pixels around it by its
distance from them: the same as a line of a pixel's width seen through a tent filter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tilescope._native import _shapes

#: Dots per picture: what has more is a tangle, of which the rest is left out.
_MOST = 4_000_000


def paint_outlines(
    picture: NDArray[np.uint32],
    points: NDArray[np.float64],
    offsets: NDArray[np.int64],
    colors: NDArray[np.uint32],
    opacity: float,
    width_px: int = 1,
) -> None:
    """Paint closed rings over a picture; where lines meet, the colour of the last one is seen.

    Parameters
    ----------
    picture
        ``uint32[h, w]``, premultiplied ``0xAARRGGBB``, C-contiguous; changed in place.
    points, offsets
        ``float64[m, 2]`` in pixels, the rings one after the other; ring ``i`` is
        ``points[offsets[i]:offsets[i + 1]]``. A side that is not finite is not painted.
    colors
        ``uint32[n]``: ``0xRRGGBB`` of each ring.
    opacity
        Of the lines, 0 to 1.
    width_px
        Lines that lie beside each other.

    Raises
    ------
    ValueError
        When the arrays do not belong together, or the opacity or the width is none.
    TypeError
        When the picture is not contiguous, or of another type.
    """
    _shapes.draw(
        np.ascontiguousarray(points, np.float64),
        np.ascontiguousarray(offsets, np.int64),
        np.ascontiguousarray(colors, np.uint32),
        opacity,
        width_px,
        _MOST,
        np.empty(picture.shape, np.float32),
        np.empty(picture.shape, np.int32),
        picture,
    )
