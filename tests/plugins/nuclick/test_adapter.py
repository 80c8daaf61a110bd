"""The adapter of the click models: what the network is shown, and what is made of its answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes, gaussian_filter, label

from tilescope.plugins.api import Clicks, Contrast, TileImage
from tilescope_nuclick.adapter import NuClick, stretch
from tilescope_nuclick.maps import MOST_STROKE_POINTS, click_maps, points_on
from tilescope_nuclick.regions import fill_holes, grow

PARAMETERS = {"threshold": 0.5, "min_area_px": 20.0, "least_score": 0.0}
NONE = np.zeros((0, 2))
SIDE = 128
GLASS = Contrast(dark_background=False, low=(40.0, 30.0, 60.0), high=(240.0, 240.0, 240.0))
NIGHT = Contrast(dark_background=True, low=(0.0,), high=(1000.0,))


def at(*inside, outside=(), strokes=()):
    return Clicks(
        np.asarray(inside, np.float64).reshape(-1, 2),
        np.asarray(outside, np.float64).reshape(-1, 2),
        tuple(np.asarray(s, np.float64) for s in strokes),
    )


def answer(*discs, hole=None):
    """Return a perfect answer of discs (x, y, radius)."""
    rows, columns = np.indices((SIDE, SIDE)) + 0.5
    probability = np.zeros((SIDE, SIDE), np.float32)
    for x, y, radius in discs:
        probability[np.hypot(columns - x, rows - y) < radius] = 0.9
    if hole:
        x, y, radius = hole
        probability[np.hypot(columns - x, rows - y) < radius] = 0.1
    return {"mask": probability[None, None]}


@pytest.mark.parametrize("seed", range(12))
def test_growing_and_filling_are_those_of_scipy(seed):
    random = np.random.default_rng(seed)
    noise = gaussian_filter(random.random((40, 56)), 1.5)
    mask = noise > np.quantile(noise, random.uniform(0.15, 0.85))
    seeds = random.random(mask.shape) < 0.003
    parts, _ = label(mask)
    wanted = np.isin(parts, np.setdiff1d(parts[seeds], [0]))
    np.testing.assert_array_equal(grow(seeds, mask), wanted)
    np.testing.assert_array_equal(fill_holes(mask), binary_fill_holes(mask))


def test_a_spiral_is_followed_to_its_end():
    spiral = np.zeros((41, 41), np.bool_)
    row, column, length = 20, 20, 2
    spiral[row, column] = True
    for turn in range(18):
        down, right = ((0, 1), (1, 0), (0, -1), (-1, 0))[turn % 4]
        for _ in range(length):
            row, column = row + down, column + right
            spiral[row, column] = True
        length += 2 * (turn % 2)
    seeds = np.zeros_like(spiral)
    seeds[row, column] = True
    np.testing.assert_array_equal(grow(seeds, spiral), spiral)


def test_only_the_part_that_was_pointed_at_is_taken():
    found = NuClick().decode(answer((40, 64, 14), (90, 64, 14)), at((40, 64)), PARAMETERS)
    columns = np.flatnonzero(found.mask.any(axis=0))
    assert (columns.min(), columns.max()) == (26, 53)
    assert found.score == pytest.approx(0.9)
    both = NuClick().decode(answer((40, 64, 14), (90, 64, 14)), at((40, 64), (90, 64)), PARAMETERS)
    assert both.mask.sum() == 2 * found.mask.sum()


def test_holes_are_filled_and_a_click_in_one_counts():
    whole = NuClick().decode(answer((64, 64, 20)), at((64, 50)), PARAMETERS).mask
    ring = answer((64, 64, 20), hole=(64, 64, 6))
    np.testing.assert_array_equal(NuClick().decode(ring, at((64, 50)), PARAMETERS).mask, whole)
    open_ring = answer((64, 64, 20), hole=(64, 64, 3))
    np.testing.assert_array_equal(NuClick().decode(open_ring, at((64, 64)), PARAMETERS).mask, whole)


def test_a_click_just_beside_means_the_object_and_one_far_off_does_not():
    disc = answer((64, 64, 14))
    assert NuClick().decode(disc, at((64 + 17, 64)), PARAMETERS).mask.any()
    far = NuClick().decode(disc, at((64 + 24, 64)), PARAMETERS)
    assert not far.mask.any()
    assert far.score == 0


def test_a_point_off_the_object_is_never_in_it():
    disc = answer((64, 64, 20))
    found = NuClick().decode(disc, at((58, 64), outside=[(72, 64)]), PARAMETERS)
    assert found.mask[64, 58]
    assert not found.mask[64, 71]
    # A hole is no exception: what was excluded is not filled again.
    inner = NuClick().decode(disc, at((52, 64), outside=[(64, 64)]), PARAMETERS)
    assert not inner.mask[64, 63]


def test_nothing_and_specks_are_nothing():
    assert not NuClick().decode(answer(), at((64, 64)), PARAMETERS).mask.any()
    assert not NuClick().decode(answer((64, 64, 2)), at((64, 64)), PARAMETERS).mask.any()


def test_clicks_are_discs_where_they_are():
    inside, outside = click_maps(at((30.5, 40.5), outside=[(100.5, 20.5)]), (SIDE, SIDE))
    assert inside[40, 30] == outside[20, 100] == 1
    assert inside[40, 32] == 1
    assert inside[40, 35] == 0
    assert inside.sum() == pytest.approx(np.pi * 3**2, rel=0.15)
    assert inside[20, 100] == outside[40, 30] == 0


def test_a_stroke_is_one_line():
    inside, outside = click_maps(at(strokes=[[(30, 60), (90, 60)]]), (SIDE, SIDE))
    assert (inside[59:61, 30:90] == 1).all()
    assert inside[:, :25].sum() == inside[:50].sum() == 0
    assert not outside.any()


def test_points_anywhere_cost_no_more_than_those_in_the_patch():
    far = [(1e300, 5), (-1e300, -1e300), (64, 1e12), (-3, 64)]
    inside, outside = click_maps(at(*far, outside=far, strokes=[far, [(60, 60)]]), (SIDE, SIDE))
    assert np.isfinite(inside).all()
    assert inside[60, 60] == 1
    assert outside[64].sum() < 2
    found = NuClick().decode(answer((64, 64, 14)), at((64, 64), (1e300, 5)), PARAMETERS)
    assert found.mask[64, 64]


def test_a_stroke_of_very_many_points_is_drawn_through_some_of_them():
    turns = np.linspace(0, 40, 100_000)
    spiral = np.stack([64 + turns * np.cos(turns), 64 + turns * np.sin(turns)], axis=1)
    clicks = at(strokes=[spiral])
    assert len(points_on(clicks)) == MOST_STROKE_POINTS
    inside, _ = click_maps(clicks, (SIDE, SIDE))
    rows, columns = np.floor(spiral[::100, ::-1]).astype(int).T
    assert (inside[rows, columns] > 0.5).mean() > 0.95


def test_an_unsure_answer_is_doubted_unless_the_prompt_says_what_is_not_the_object():
    disc = answer((64, 64, 14))
    sure = NuClick().decode(disc, at((64, 64)), {**PARAMETERS, "least_score": 0.85})
    assert not sure.doubt
    wanted = {**PARAMETERS, "least_score": 0.95}
    doubted = NuClick().decode(disc, at((64, 64)), wanted)
    assert "0.90" in doubted.doubt
    np.testing.assert_array_equal(doubted.mask, sure.mask)
    assert not NuClick().decode(disc, at((64, 64), outside=[(90, 64)]), wanted).doubt


def stained(seed=0):
    random = np.random.default_rng(seed)
    pixels = np.full((SIDE, SIDE, 3), (236, 220, 232), np.uint8)
    rows, columns = np.indices((SIDE, SIDE))
    pixels[np.hypot(rows - 64, columns - 64) < 14] = (120, 90, 160)
    return np.clip(pixels + random.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)


def test_nuclei_are_bright_for_the_network_on_glass_and_at_night():
    planes = NuClick().encode(TileImage(stained(), GLASS), at((64, 64)))["image"][0]
    assert planes.shape == (5, SIDE, SIDE)
    assert planes.dtype == np.float32
    assert (planes[:3, 64, 64] > 0.8).all()
    assert (planes[:3, 40, 40] < 0.2).all()
    light = (255 - stained()[..., :1]).astype(np.uint16)
    night = NuClick().encode(TileImage(light, NIGHT), at((64, 64)))["image"][0]
    assert (night[:3, 64, 64] > 0.8).all()
    assert (night[:3, 40, 40] < 0.2).all()


def test_a_pale_nucleus_looks_like_a_dark_one_and_empty_glass_stays_empty():
    dark = stained()
    pale = (236 - (236 - dark.astype(np.float32)) * 0.35).astype(np.uint8)
    shown = [
        NuClick().encode(TileImage(p, GLASS), at((64, 64)))["image"][0, 0, 64, 64]
        for p in (dark, pale)
    ]
    assert abs(shown[0] - shown[1]) < 0.2
    blank = stretch(np.random.default_rng(0).normal(0.02, 0.01, (3, SIDE, SIDE)).astype(np.float32))
    assert blank.std() < 0.15


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_any_number_of_bands_makes_three_planes(bands):
    pixels = np.full((SIDE, SIDE, bands), 100, np.uint16)
    for dark in (True, False):
        contrast = Contrast(dark, (0.0,) * bands, (1000.0,) * bands)
        planes = NuClick().encode(TileImage(pixels, contrast), at((64, 64)))["image"]
        assert planes.shape == (1, 5, SIDE, SIDE)
        assert np.isfinite(planes).all()
