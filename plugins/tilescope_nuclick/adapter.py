"""What the click networks see of a patch, and how the object is taken out of their answer.

The network is shown five planes of a patch whose middle is where the user pointed: three of the
picture, made bright where there is stain or light, and two maps that hold small discs where the
user clicked on the object and where it is not.

Sources: clicks as extra channels after Xu et al. 2016 (arXiv 1603.04042) and, for nuclei with
inclusion and exclusion maps, Alemi Koohbanani et al. 2020 (NuClick, arXiv 2005.14511); discs of a
fixed radius rather than Gaussians or distances after Benenson et al. 2019 (arXiv 1903.10830).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from tilescope.plugins.api import ClickMask, Clicks, TileImage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

DISC_RADIUS_PX: Final = 3.0
"""Radius of a click in the maps: well inside the smallest nucleus on the working grid."""

WINDOW_PX: Final = 80
"""Side of the middle of the patch that decides its brightness: the object and what is near."""

WINDOW_PERCENTILES: Final = (1.0, 99.0)

LEAST_SPAN: Final = 0.12
"""Share of the slide's window below which a patch's contrast is not stretched to the full range.

Without it an empty patch would show its noise as if it were nuclei.
"""

BRIGHTNESS_BOUNDS: Final = (-0.25, 1.5)

NARROW_SHARE: Final = 1 / 16
"""A band of fluorescence with less than this share of the widest window holds noise."""

SEEK_RADIUS_PX: Final = 5.0
"""How far beside the object a click may lie and still mean it."""

CUT_RADIUS_PX: Final = 2.5
"""What is taken away around every point that is not on the object."""

_RGB_BANDS: Final = 3


class NuClick:
    """Encoder and decoder of the click models; holds no state."""

    def encode(self, patch: TileImage, clicks: Clicks, /) -> Mapping[str, NDArray[np.float32]]:
        """Return ``image``, float32[1, 5, h, w]: three planes of the picture and the two maps.

        In fluorescence the three planes are alike, the brightest band of each pixel; in bright
        field they are how much red, green and blue light is missing. Each is stretched over its
        range in the middle of the patch, so that a pale nucleus looks like a dark one.
        """
        planes = stretch(picture_planes(patch))
        inside, outside = click_maps(clicks, patch.pixels.shape[:2])
        return {"image": np.concatenate([planes, inside[None], outside[None]])[None]}

    def decode(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        clicks: Clicks,
        parameters: Mapping[str, float],
        /,
    ) -> ClickMask:
        """Return the object that was pointed at.

        Parameters
        ----------
        outputs
            ``mask``, float32[1, 1, h, w]: probability of belonging to the object.
        clicks
            Of the prompt, in pixels of the patch.
        parameters
            ``threshold`` (probability) and ``min_area_px`` on the working grid.
        """
        probability = outputs["mask"][0, 0]
        allowed = probability >= parameters["threshold"]
        off = _distance(clicks.outside, allowed.shape) <= CUT_RADIUS_PX
        mask = _object_in(allowed & ~off, clicks)
        enclosed = [point for point in clicks.outside if _value_at(mask, point)]
        if enclosed:
            off |= _nearer_to(np.array(enclosed), clicks, allowed.shape)
            mask = _object_in(allowed & ~off, clicks)
        mask &= ~off
        area = int(mask.sum())
        if area < max(parameters["min_area_px"], 1.0):
            return ClickMask(np.zeros_like(mask), 0.0)
        return ClickMask(mask, float(probability[mask].mean()))


def picture_planes(patch: TileImage) -> NDArray[np.float32]:
    """Return the patch in the slide's window, float32[3, h, w], bright where nuclei are."""
    low = np.asarray(patch.contrast.low, np.float32)
    high = np.asarray(patch.contrast.high, np.float32)
    pixels = patch.pixels.astype(np.float32)
    if patch.contrast.dark_background:
        bands = high - low >= NARROW_SHARE * (high - low).max()
        spread = (pixels[..., bands] - low[bands]) / (high - low)[bands]
        return np.repeat(spread.max(axis=2)[None], 3, axis=0)
    bands = np.arange(3) if pixels.shape[2] >= _RGB_BANDS else np.zeros(3, np.intp)
    missing = (high[bands] - pixels[..., bands]) / (high - low)[bands]
    return np.ascontiguousarray(missing.transpose(2, 0, 1))


def stretch(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each plane over its range in the middle of the patch, float32[3, h, w]."""
    height, width = planes.shape[1:]
    rows, columns = (
        slice(max(0, (n - WINDOW_PX) // 2), (n + WINDOW_PX) // 2) for n in (height, width)
    )
    middle = planes[:, rows, columns].reshape(len(planes), -1)
    low, high = np.percentile(middle, WINDOW_PERCENTILES, axis=1).astype(np.float32)
    span = np.maximum(high - low, np.float32(LEAST_SPAN))
    stretched = (planes - low[:, None, None]) / span[:, None, None]
    return np.asarray(np.clip(stretched, *BRIGHTNESS_BOUNDS), np.float32)


def click_maps(
    clicks: Clicks, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the maps of the object and of what is not it, float32[h, w] each, 0..1."""
    inside = _distance(clicks.inside, shape)
    for stroke in clicks.strokes:
        inside = np.minimum(inside, _distance_to_stroke(stroke, shape))
    return _discs(inside), _discs(_distance(clicks.outside, shape))


def _discs(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.clip(DISC_RADIUS_PX + 0.5 - distance, 0.0, 1.0), np.float32)


def _centres(shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows = np.arange(shape[0], dtype=np.float32)[:, None] + np.float32(0.5)
    columns = np.arange(shape[1], dtype=np.float32)[None] + np.float32(0.5)
    return rows, columns


def _distance(points: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the distance of every pixel's centre to the nearest point, in px; inf without one."""
    rows, columns = _centres(shape)
    squared = np.full(shape, np.inf, np.float32)
    for x, y in points.astype(np.float32):
        np.minimum(squared, (rows - y) ** 2 + (columns - x) ** 2, out=squared)
    return np.sqrt(squared)


def _distance_to_stroke(stroke: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the distance of every pixel's centre to a line through the points."""
    if len(stroke) < 2:
        return _distance(stroke, shape)
    rows, columns = _centres(shape)
    squared = np.full(shape, np.inf, np.float32)
    for (x0, y0), (x1, y1) in pairwise(stroke):
        dx, dy = np.float32(x1 - x0), np.float32(y1 - y0)
        length = max(float(dx * dx + dy * dy), 1e-12)
        along = np.clip(((columns - x0) * dx + (rows - y0) * dy) / length, 0.0, 1.0)
        near = (columns - x0 - along * dx) ** 2 + (rows - y0 - along * dy) ** 2
        np.minimum(squared, near.astype(np.float32), out=squared)
    return np.sqrt(squared)


def _object_in(allowed: NDArray[np.bool_], clicks: Clicks) -> NDArray[np.bool_]:
    """Return the parts of ``allowed`` that were pointed at, holes filled, bool[h, w]."""
    mask = np.zeros_like(allowed)
    where = _box_of(allowed)
    mask[where] = fill_holes(grow(_seeds(allowed, clicks)[where], allowed[where]))
    return mask


def _nearer_to(
    points: NDArray[np.float64], clicks: Clicks, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return what is nearer to points off the object than to any on it, bool[h, w].

    For those that the network did not heed: they must not become holes that an outline fills.
    """
    return _distance(points, shape) <= _distance(np.array(_points_on(clicks)), shape)


def _value_at(mask: NDArray[np.bool_], point: NDArray[np.float64]) -> bool:
    column, row = np.floor(point).astype(np.intp)
    inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
    return bool(inside and mask[row, column])


def _box_of(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the smallest window that holds every True pixel; an empty one without any."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _seeds(allowed: NDArray[np.bool_], clicks: Clicks) -> NDArray[np.bool_]:
    """Return where the object is surely: the pixel pointed at, or the nearest one beside it."""
    seeds = np.zeros_like(allowed)
    if not allowed.any():
        return seeds
    for point in _points_on(clicks):
        distance = _distance(point[None], allowed.shape)
        distance[~allowed] = np.inf
        nearest = int(distance.argmin())
        if distance.flat[nearest] <= SEEK_RADIUS_PX:
            seeds.flat[nearest] = True
    return seeds


def _points_on(clicks: Clicks) -> Sequence[NDArray[np.float64]]:
    return [*clicks.inside, *(point for stroke in clicks.strokes for point in stroke)]


def grow(seeds: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the 4-connected parts of ``allowed`` that hold a seed, bool[h, w].

    Rows and columns in turn: all of a run that holds a found pixel is found at once, so a convex
    object takes a few passes however large it is.
    """
    found = seeds & allowed
    runs = (_runs(allowed), _runs(np.ascontiguousarray(allowed.T)).T)
    count = int(found.sum())
    while 0 < count < found.size:
        for numbers in runs:
            hit = np.zeros(int(numbers.max()) + 1, np.bool_)
            hit[numbers[found]] = True
            found = hit[numbers] & allowed
        before, count = count, int(found.sum())
        if count == before:
            break
    return np.asarray(found, np.bool_)


def _runs(allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the number of the run along its row that each allowed pixel belongs to."""
    begins = np.ones(allowed.shape, np.bool_)
    begins[:, 1:] = ~(allowed[:, 1:] & allowed[:, :-1])
    return np.asarray(np.cumsum(begins.ravel()).reshape(allowed.shape), np.intp)


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask with everything that it encloses, bool[h, w]."""
    padded = np.pad(~mask, 1, constant_values=True)
    border = np.zeros_like(padded)
    border[0, 0] = True
    return ~grow(border, padded)[1:-1, 1:-1]
