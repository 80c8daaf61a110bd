"""Blocks blended where they overlap: no seam, no change of scale, few rows in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.geometry import Rect
from tilescope.ops.feather import FeatherBand, Overlap, feather_weights, overlap_of


@st.composite
def grids(draw):
    """Blocks of a picture, rows of blocks from the top: cores grown by a margin, cut at it."""
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    core_h, core_w = draw(st.integers(4, 40)), draw(st.integers(4, 40))
    margin = draw(st.integers(0, 12))
    picture = Rect(0, 0, width, height)
    rects = [
        Rect(x, y, min(x + core_w, width), min(y + core_h, height)).expanded(margin)
        for y in range(0, height, core_h)
        for x in range(0, width, core_w)
    ]
    return picture, [rect.intersect(picture) for rect in rects], margin


def blend(picture: Rect, rects: list[Rect], planes: list[np.ndarray]):
    band = FeatherBand(0, picture.width, 0, planes[0].shape[0])
    values, present, most_rows = [], [], 0
    for i, (rect, plane) in enumerate(zip(rects, planes, strict=True)):
        band.add(plane, rect.x0, rect.y0, overlap_of(rect, rects))
        most_rows = max(most_rows, band.size_bytes // (4 * picture.width * (len(plane) + 1)))
        later = min((r.y0 for r in rects[i + 1 :]), default=picture.height)
        for got, to in zip(band.take(later), (values, present), strict=True):
            to.append(got)
    return np.concatenate(values, 1), np.concatenate(present, 0), most_rows


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 9))
def test_the_ramps_of_neighbours_sum_to_one(side: int, shared: int, height: int) -> None:
    shared = min(shared, side)
    left = feather_weights(height + 1, side, (0, 0, 0, shared))
    right = feather_weights(height + 1, side, (0, 0, shared, 0))
    total = left[:, side - shared :] + right[:, :shared]
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert left.dtype == np.float32
    assert (left[:, : side - shared] == 1).all()
    assert ((left > 0) & (left <= 1)).all()


def test_a_lone_block_has_no_ramp() -> None:
    assert (feather_weights(5, 7, Overlap(0, 0, 0, 0)) == 1).all()


def test_weights_fall_towards_the_edge() -> None:
    weights = feather_weights(20, 20, (6, 0, 0, 4))
    assert (np.diff(weights[:6, 0]) > 0).all()
    assert (np.diff(weights[0, 15:]) < 0).all()


@pytest.mark.parametrize("overlap", [(0, 0, 8, 0), (-1, 0, 0, 0)])
def test_an_overlap_that_cannot_be_is_refused(overlap: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        feather_weights(4, 7, overlap)


@given(grids(), st.integers(0, 2**32 - 1))
def test_blocks_cut_from_one_picture_blend_to_that_picture(grid, seed: int) -> None:
    picture, rects, _ = grid
    image = np.random.default_rng(seed).random((2, picture.height, picture.width), np.float32)
    planes = [image[:, r.y0 : r.y1, r.x0 : r.x1] for r in rects]
    blended, present, _ = blend(picture, rects, planes)
    assert present.all()
    np.testing.assert_allclose(blended, image, atol=1e-5)


@given(grids())
def test_no_more_rows_are_held_than_a_row_of_blocks_spans(grid) -> None:
    picture, rects, _ = grid
    planes = [np.zeros((1, r.height, r.width), np.float32) for r in rects]
    *_, most_rows = blend(picture, rects, planes)
    assert most_rows <= max(r.height for r in rects)


def test_blocks_that_disagree_meet_without_a_step() -> None:
    picture, rects = Rect(0, 0, 60, 8), [Rect(0, 0, 40, 8), Rect(20, 0, 60, 8)]
    planes = [np.full((1, 8, 40), value, np.float32) for value in (0, 1)]
    blended, *_ = blend(picture, rects, planes)
    assert np.abs(np.diff(blended[0], axis=1)).max() <= 1 / 20 + 1e-6


def test_a_block_that_failed_leaves_the_scale_of_its_neighbours() -> None:
    rects = [Rect(0, 0, 40, 8), Rect(30, 0, 70, 8), Rect(60, 0, 100, 8)]
    band = FeatherBand(0, 100, 0, 1)
    for rect in (rects[0], rects[2]):
        band.add(np.full((1, 8, 40), 3, np.float32), rect.x0, rect.y0, overlap_of(rect, rects))
    values, present = band.take(8)
    assert not present[:, 40:60].any()
    np.testing.assert_allclose(values[0][present], 3, rtol=1e-5)
    assert (values[0][~present] == 0).all()


def test_a_block_above_the_rows_in_progress_is_refused() -> None:
    band = FeatherBand(0, 10, 0, 1)
    band.take(5)
    with pytest.raises(ValueError, match="leaves the band"):
        band.add(np.ones((1, 4, 4), np.float32), 0, 4, (0, 0, 0, 0))
