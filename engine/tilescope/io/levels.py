"""How levels of a pyramid lie on each other."""

from __future__ import annotations

from collections.abc import Sequence

from tilescope.domain.geometry import Size
from tilescope.domain.slide import Level


def downsamples(size_l0: Size, size: Size) -> tuple[float, float]:
    """Return level-0 pixels per pixel of a level, along x and y.

    A writer that halves an odd size drops or adds a part of a pixel; then the whole number is the
    truth, and the quotient of the sizes would shift features by up to a pixel at the far edge.
    """
    longer = max((size_l0.width, size.width), (size_l0.height, size.height))
    whole = max(1, round(longer[0] / longer[1]))
    if _explains(whole, size_l0.width, size.width) and _explains(
        whole, size_l0.height, size.height
    ):
        return float(whole), float(whole)
    return (
        _axis_downsample(size_l0.width, size.width),
        _axis_downsample(size_l0.height, size.height),
    )


def make_levels(sizes: Sequence[Size], tiles: Sequence[Size]) -> tuple[Level, ...]:
    """Return levels of these sizes and tile sizes, the finest first."""
    return tuple(
        Level(index, size, tile, *downsamples(sizes[0], size))
        for index, (size, tile) in enumerate(zip(sizes, tiles, strict=True))
    )


def _axis_downsample(length_l0: int, length: int) -> float:
    whole = max(1, round(length_l0 / length))
    return float(whole) if _explains(whole, length_l0, length) else length_l0 / length


def _explains(whole: int, length_l0: int, length: int) -> bool:
    return abs(length_l0 / whole - length) < 1
