"""The slide at a glance, with the results drawn over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilescope.exchange.objects import ObjectBatch
from tilescope.exchange.palette import RGB
from tilescope.exchange.staging import staged_file
from tilescope.ops.contours import ring_areas, ring_centroids

#: Reads on haematoxylin and eosin, on black and on white, and to colour-blind eyes.
RESULT_COLOUR: RGB = (60, 255, 90)
_CASING: RGB = (0, 0, 0)
_CASING_OPACITY = 0.55
#: Objects smaller than this are drawn as filled discs: their outlines would run into each other.
_MIN_OUTLINED_PX = 6.0
#: Lines are drawn on a canvas this many times as large, then averaged down.
_FINER = 3
_PART = 16384
_POINTS_AT_ONCE = 500_000
#: Rows that are blended at once: whole pictures of floating point numbers would take much memory.
_BAND_ROWS = 64


def draw_overview(
    background: NDArray[np.uint8],
    batches: Iterable[ObjectBatch],
    *,
    factor: float,
    origin_l0: tuple[float, float] = (0.0, 0.0),
    colour: RGB = RESULT_COLOUR,
) -> NDArray[np.uint8]:
    """Return the picture with outlines, or where objects are tiny with their density.

    Parameters
    ----------
    background
        ``uint8[h, w, 3]``: the slide or a region of it; not changed.
    batches
        Objects in level-0 pixels; one batch is held at a time.
    factor
        Level-0 pixels per pixel of ``background``.
    origin_l0
        Level-0 position of the top left of ``background``, x then y.
    colour
        Of lines and discs.
    """
    height, width = background.shape[:2]
    lines = _LineCanvas(height, width)
    density = np.zeros((height, width), np.float32)
    for batch in (part for whole in batches for part in whole.parts(_PART)):
        detections = batch.detections
        rings = (detections.rings - np.array(origin_l0)) / factor
        areas = ring_areas(rings, detections.offsets)
        outlined = np.sqrt(areas * 4 / np.pi) >= _MIN_OUTLINED_PX
        lines.add(rings, detections.offsets, chosen=outlined)
        centres = ring_centroids(rings, detections.offsets)
        _add_discs(density, centres[~outlined], areas[~outlined])
    picture = background.copy()
    for rows in _bands(height):
        _blend(picture[rows], colour, _seen(density[rows]))
    lines.draw(picture, colour, width=1.0)
    return picture


def draw_outlines(
    rgb: NDArray[np.uint8],
    rings: NDArray[np.float64],
    offsets: NDArray[np.int64],
    colour: RGB = RESULT_COLOUR,
    width: float = 1.5,
) -> NDArray[np.uint8]:
    """Return the picture with every outline as a smooth line in a dark casing.

    Parameters
    ----------
    rgb
        ``uint8[h, w, 3]``; not changed.
    rings, offsets
        Outlines in pixels of ``rgb``, ``float64[m, 2]`` and ``int64[n + 1]``; parts outside the
        picture are left out.
    colour
        Of the lines.
    width
        Of the lines in pixels, without the casing.
    """
    lines = _LineCanvas(*rgb.shape[:2])
    lines.add(rings, offsets, chosen=np.ones(len(offsets) - 1, bool))
    picture = rgb.copy()
    lines.draw(picture, colour, width=width)
    return picture


def write_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write ``uint8[h, w, 3]`` as PNG.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    import imagecodecs

    with staged_file(path) as file:
        file.write(bytes(imagecodecs.png_encode(np.ascontiguousarray(rgb), level=1)))


class _LineCanvas:
    """Centre lines of outlines on a finer grid."""

    def __init__(self, height: int, width: int) -> None:
        self._marks = np.zeros((height * _FINER, width * _FINER), bool)

    def add(
        self,
        rings: NDArray[np.float64],
        offsets: NDArray[np.int64],
        *,
        chosen: NDArray[np.bool_],
    ) -> None:
        """Mark the outlines of the chosen objects."""
        fine = rings * _FINER
        height, width = self._marks.shape
        for start, end in _sides(fine, offsets, chosen, height, width):
            points = _points_on(start, end)
            x, y = np.floor(points).astype(np.int64).T
            inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
            self._marks[y[inside], x[inside]] = True

    def draw(self, picture: NDArray[np.uint8], colour: RGB, *, width: float) -> None:
        """Draw the lines and their casing into ``picture``, ``uint8[h, w, 3]``."""
        line_width, casing_width = max(1, round(width * _FINER)), 2 * _FINER - 1
        halo = -(-(line_width + casing_width) // (2 * _FINER))
        for rows in _bands(len(picture)):
            above = min(halo, rows.start)
            reached = slice((rows.start - above) * _FINER, (rows.stop + halo) * _FINER)
            marks = self._marks[reached]
            if not marks.any():
                continue
            line = _thickened(marks, line_width)
            casing = _thickened(line, casing_width)
            inner = slice(above * _FINER, (above + rows.stop - rows.start) * _FINER)
            _blend(picture[rows], _CASING, _CASING_OPACITY * _coverage(casing[inner]))
            _blend(picture[rows], colour, _coverage(line[inner]))


def _bands(height: int) -> Iterator[slice]:
    for row in range(0, height, _BAND_ROWS):
        yield slice(row, min(row + _BAND_ROWS, height))


def _sides(
    rings: NDArray[np.float64],
    offsets: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    height: int,
    width: int,
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield both ends of the sides of the chosen rings, ``float64[k, 2]``, some at a time."""
    following = np.roll(rings, -1, axis=0)
    filled = offsets[1:] > offsets[:-1]
    following[offsets[1:][filled] - 1] = rings[offsets[:-1][filled]]
    wanted = np.repeat(chosen, np.diff(offsets)) & np.isfinite(rings + following).all(axis=1)
    start, end = _clipped(rings[wanted], following[wanted], height, width)
    steps = np.cumsum(_steps(start, end))
    if not len(steps):
        return
    cuts = np.searchsorted(steps, np.arange(_POINTS_AT_ONCE, steps[-1], _POINTS_AT_ONCE))
    for a, b in zip([0, *cuts.tolist()], [*cuts.tolist(), len(start)], strict=True):
        yield start[a:b], end[a:b]


def _clipped(
    start: NDArray[np.float64], end: NDArray[np.float64], height: int, width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the parts of the sides inside the canvas: of endless ones no point fits in memory."""
    length = end - start
    flat = length == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = -start / length, (np.array([width, height], np.float64) - start) / length
    outside = flat & ((start < 0) | (start >= np.array([width, height])))
    enter = np.where(flat, 0.0, np.minimum(low, high)).max(axis=1, initial=0)
    leave = np.where(flat, 1.0, np.maximum(low, high)).min(axis=1, initial=1)
    kept = (enter <= leave) & ~outside.any(axis=1)
    start, length = start[kept], length[kept]
    return start + length * enter[kept, None], start + length * leave[kept, None]


def _steps(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many points each side needs so that no pixel of the line is passed over."""
    longest: NDArray[np.float64] = np.abs(end - start).max(axis=1, initial=0)
    return np.ceil(longest).astype(np.int64) + 1


def _points_on(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points along the sides, at most one apart, ``float64[k, 2]``."""
    steps = _steps(start, end)
    first = np.cumsum(steps) - steps
    along = (np.arange(steps.sum()) - np.repeat(first, steps)) / np.repeat(steps, steps)
    points: NDArray[np.float64] = np.repeat(start, steps, axis=0)
    points += np.repeat(end - start, steps, axis=0) * along[:, None]
    return points


def _thickened(marks: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Return the marks grown to squares of ``width``."""
    grown = marks
    for axis in (0, 1):
        source = grown
        grown = source.copy()
        for shift in range(-(width // 2), (width + 1) // 2):
            here: list[slice] = [slice(None)] * 2
            there: list[slice] = [slice(None)] * 2
            here[axis] = slice(max(shift, 0), source.shape[axis] + min(shift, 0))
            there[axis] = slice(max(-shift, 0), source.shape[axis] + min(-shift, 0))
            grown[tuple(here)] |= source[tuple(there)]
    return grown


def _coverage(marks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return which part of each pixel is marked, ``float32[h, w]``."""
    fine = marks.view(np.uint8)
    rows = sum((fine[k::_FINER] for k in range(1, _FINER)), fine[::_FINER])
    both = sum((rows[:, k::_FINER] for k in range(1, _FINER)), rows[:, ::_FINER])
    return np.multiply(both, 1 / _FINER**2, dtype=np.float32)


def _seen(density: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the opacity for a density; a few objects far smaller than a pixel must be seen."""
    opacity: NDArray[np.float32] = 1 - np.exp(-2 * density)
    opacity *= np.float32(0.85)
    return opacity


def _add_discs(
    density: NDArray[np.float32], centres: NDArray[np.float64], areas: NDArray[np.float64]
) -> None:
    """Add to every pixel the part of it that discs of these areas cover."""
    known = np.isfinite(centres).all(axis=1)
    centres, areas = centres[known], areas[known]
    if not len(areas):
        return
    height, width = density.shape
    # A disc much smaller than a pixel still reaches the centre of one.
    radius = np.maximum(np.sqrt(areas / np.pi), 0.3)
    column, row = np.floor(centres).astype(np.int64).T
    reach = int(np.ceil(radius.max()))
    shifts = [(dx, dy) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    weights = [
        np.clip(
            radius
            + 0.5
            - np.hypot(column + dx + 0.5 - centres[:, 0], row + dy + 0.5 - centres[:, 1]),
            0,
            1,
        )
        for dx, dy in shifts
    ]
    scale = areas / np.maximum(np.sum(weights, axis=0), 1e-6)
    for (dx, dy), weight in zip(shifts, weights, strict=True):
        x, y = column + dx, row + dy
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height) & (weight > 0)
        np.add.at(density, (y[inside], x[inside]), (weight * scale)[inside].astype(np.float32))


def _blend(picture: NDArray[np.uint8], colour: RGB, opacity: NDArray[np.float32]) -> None:
    """Lay a colour over ``uint8[h, w, 3]`` in place, with an opacity of 0 to 1 per pixel."""
    touched = opacity > 0
    alpha = opacity[touched][:, None]
    under = picture[touched]
    picture[touched] = np.rint(under + (np.array(colour, np.float32) - under) * alpha)
