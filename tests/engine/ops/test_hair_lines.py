"""Thin lines: as dark as they are long, wherever the picture is cut."""

from __future__ import annotations

import numpy as np
import pytest

from tilescope.ops import hair_lines
from tilescope.ops.hair_lines import paint_outlines

RED, BLUE = 0xFF0000, 0x0000FF


def painted(
    rings: list[np.ndarray], size: tuple[int, int] = (60, 80), **options: object
) -> np.ndarray:
    picture = np.zeros(size, np.uint32)
    offsets = np.cumsum([0, *map(len, rings)])
    colors = np.array([RED if i % 2 == 0 else BLUE for i in range(len(rings))], np.uint32)
    points = np.concatenate([np.asarray(ring, float) for ring in rings])
    paint_outlines(picture, points, offsets, colors, options.pop("opacity", 1.0), **options)
    return picture


def alpha(picture: np.ndarray) -> np.ndarray:
    return (picture >> 24).astype(float) / 255


def test_a_line_through_the_middle_of_pixels_is_one_pixel_wide() -> None:
    ring = np.array([[10.5, 20.5], [50.5, 20.5], [50.5, 40.5], [10.5, 40.5]])
    picture = painted([ring])
    assert (picture[20, 11:50] == 0xFFFF0000).all()
    assert (picture[21:40, 11:50] == 0).all()
    assert (picture[:19] == 0).all()
    assert (picture[25:35, 10] == 0xFFFF0000).all()


def test_a_line_between_pixels_is_half_on_each() -> None:
    ring = np.array([[10.5, 20.0], [50.5, 20.0], [50.5, 40.0], [10.5, 40.0]])
    picture = alpha(painted([ring], opacity=0.5))
    np.testing.assert_allclose(picture[19:21, 15:45], 0.25, atol=0.02)


def test_a_slanted_line_is_as_dark_as_it_is_long() -> None:
    ring = np.array([[10.2, 10.7], [60.9, 23.1], [33.0, 50.2]])
    length = np.hypot(*(np.roll(ring, 1, axis=0) - ring).T).sum()
    assert alpha(painted([ring])).sum() == pytest.approx(length, rel=0.05)


def test_a_closed_and_an_open_ring_look_the_same() -> None:
    ring = np.array([[10.0, 10.0], [40.0, 12.0], [30.0, 44.0]])
    np.testing.assert_array_equal(painted([ring]), painted([np.vstack([ring, ring[:1]])]))


def test_a_piece_of_a_picture_shows_what_is_there_on_the_whole(rng: np.random.Generator) -> None:
    rings = [rng.uniform(-300, 400, (5, 2)) for _ in range(12)]
    whole = painted(rings)
    piece = painted([ring - np.array([20, 10]) for ring in rings], (30, 40))
    difference = np.abs(alpha(whole)[10:40, 20:60] - alpha(piece))
    assert difference.mean() < 0.02
    assert alpha(piece).sum() > 50


def test_lines_far_away_cost_nothing_and_show_nothing() -> None:
    far = np.array([[-1e6, 1e6], [-1e6, -1e6], [-9e5, 0.0]])
    assert not painted([far]).any()
    around = np.array([[-1e6, -1e6], [1e6, -1e6], [1e6, 1e6], [-1e6, 1e6]])
    assert not painted([around]).any()


def test_colours_are_those_of_the_rings_over_what_was_there() -> None:
    left = np.array([[5.5, 5.5], [20.5, 5.5], [20.5, 30.5]])
    right = left + np.array([40, 0])
    picture = np.full((60, 80), 0xFF00FF00, np.uint32)
    offsets, colors = np.array([0, 3, 6]), np.array([RED, BLUE], np.uint32)
    paint_outlines(picture, np.concatenate([left, right]), offsets, colors, 0.5)
    for column, shift in ((10, 16), (50, 0)):
        word = int(picture[5, column])
        assert word >> 24 >= 253
        assert word >> shift & 255 == pytest.approx(127, abs=2)
        assert word >> 8 & 255 == pytest.approx(127, abs=2)
    assert picture[50, 5] == 0xFF00FF00


def test_wide_lines_lie_beside_each_other() -> None:
    ring = np.array([[10.5, 20.0], [50.5, 20.0]])
    picture = alpha(painted([ring], width_px=2))
    np.testing.assert_allclose(picture[19:21, 15:45], 1.0, atol=0.02)
    assert picture[:18].max() == 0


def test_a_tangle_is_cut_short(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    tangle = rng.uniform(0, 60, (400, 2))
    whole = painted([tangle])
    monkeypatch.setattr(hair_lines, "_MOST", 1000)
    assert 0 < alpha(painted([tangle])).sum() < alpha(whole).sum()


def test_sides_that_are_not_finite_are_not_painted() -> None:
    ring = np.array([[10.5, 20.5], [50.5, 20.5], [np.nan, 30.0], [10.5, np.inf], [10.5, 40.5]])
    picture = alpha(painted([ring]))
    assert (picture[20, 11:50] == 1).all()
    assert picture.sum() == pytest.approx(40 + 20, abs=1)


def test_points_so_near_that_their_distance_is_nothing_paint_nothing() -> None:
    assert not painted([np.array([[0.5, 0.5], [0.5, 0.5 + 1e-300]])], width_px=3).any()
    tiny = np.array([[0.0, 0.0], [1e-300, 0.0]])
    picture = np.zeros((8, 8), np.uint32)
    paint_outlines(picture, tiny, np.array([0, 2]), np.ones(1, np.uint32), 1.0, 3)
    assert not picture.any()
