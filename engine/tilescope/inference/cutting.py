"""The part of a graph's outputs that belongs to a part of its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import floor

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.manifest import TensorSpec
from tilescope.errors import InferenceFailed
from tilescope.inference.receptive import OutputReach

Arrays = Mapping[str, NDArray[np.float32]]
#: Input pixels per output pixel, and the input pixel at which the output begins.
Placing = tuple[Fraction, Fraction]


def cut_outputs(
    outputs: Arrays,
    specs: Sequence[TensorSpec],
    reaches: Sequence[OutputReach],
    outer: Rect,
    part: Rect,
) -> Arrays:
    """Return the outputs over ``part`` of the tile ``outer``, both in working pixels.

    An output may be coarser than the input by a whole number, and may lack a border, as networks
    without padding do. What is no image is left as it is.

    Parameters
    ----------
    reaches
        How the graph's outputs lie on its input. For those of which it is not known, their size
        tells: a whole part of the input's, or less by the same border on both sides.

    Raises
    ------
    InferenceFailed
        When an output has another size than that, or lacks a part that was asked for.
    """
    layouts = {spec.name: spec.layout for spec in specs}
    known = {reach.name: reach for reach in reaches}
    return {
        name: _cut(name, array, layouts.get(name, "NCHW"), known.get(name), outer, part)
        for name, array in outputs.items()
    }


def _cut(
    name: str,
    array: NDArray[np.float32],
    layout: str,
    reach: OutputReach | None,
    outer: Rect,
    part: Rect,
) -> NDArray[np.float32]:
    if array.ndim != len(layout) or "H" not in layout or "W" not in layout:
        return array
    axes = (layout.index("H"), layout.index("W"))
    if array.shape[axes[0]] == array.shape[axes[1]] == 1:
        return array
    places = ((outer.y0, outer.y1, part.y0, part.y1), (outer.x0, outer.x1, part.x0, part.x1))
    index = [slice(None)] * array.ndim
    for which, (axis, (start, end, first, last)) in enumerate(zip(axes, places, strict=True)):
        size, length = array.shape[axis], end - start
        placing = _placing(reach, which) or _guessed(size, length)
        found = None if placing is None else _span(placing, size, first - start, last - start)
        if found is None:
            raise InferenceFailed(
                f"output {name!r} of {size} pixels does not fit {length} pixels of input, of "
                f"which {first - start} to {last - start} are needed: it has to be as large, or "
                "smaller by a whole number that the model's multiple_of contains, or have the "
                "border that it lacks in the model's halo"
            )
        index[axis] = slice(*found)
    return array[tuple(index)]


def _placing(reach: OutputReach | None, which: int) -> Placing | None:
    if reach is None or reach.scale is None or reach.offset is None:
        return None
    return 1 / reach.scale[which], reach.offset[which]


def _guessed(size: int, length: int) -> Placing | None:
    """Return how an output of which nothing is known lies on its input."""
    if size and length % size == 0:
        return Fraction(length // size), Fraction(0)
    lack = length - size
    if lack % 2 == 0 and 0 < lack < length / 2:
        return Fraction(1), Fraction(lack // 2)
    return None


def _span(placing: Placing, size: int, first: int, last: int) -> tuple[int, int] | None:
    """Return where the input pixels ``first`` to ``last`` are among ``size`` output pixels."""
    step, offset = placing
    if step.denominator != 1 or first % step:
        return None
    start = floor((first - offset) / step)
    stop = start + -(-(last - first) // int(step))
    return (start, stop) if start >= 0 and stop <= size else None
