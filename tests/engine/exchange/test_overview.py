"""Pictures show every object, at any size, and nothing else changes."""

import imagecodecs
import numpy as np
import pytest

from tilescope.domain.results import Detections
from tilescope.exchange.objects import ObjectBatch
from tilescope.exchange.overview import (
    RESULT_COLOUR,
    draw_outlines,
    draw_overview,
    write_png,
)


def square(x0, y0, side):
    return np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float) * side + (x0, y0)


def detections(*rings):
    n = len(rings)
    return Detections.of(rings, np.ones(n), np.zeros(n), ("x",))


def near(picture, colour):
    return (np.abs(picture.astype(int) - colour).max(axis=2) < 60).any()


@pytest.mark.parametrize("grey", [0, 120, 255])
def test_an_outline_is_seen_and_the_rest_untouched(grey):
    background = np.full((200, 150, 3), grey, np.uint8)
    before = background.copy()
    picture = draw_overview(
        background, [ObjectBatch(detections(square(400, 800, 160)), 1)], factor=8
    )
    np.testing.assert_array_equal(background, before)
    assert near(picture[98:123, 48:73], RESULT_COLOUR)
    changed = np.argwhere((picture != background).any(axis=2))
    assert changed.min(axis=0).tolist() >= [97, 47]
    assert changed.max(axis=0).tolist() <= [122, 72]
    np.testing.assert_array_equal(picture[104:116, 54:66], background[104:116, 54:66])


def test_a_line_is_as_wide_and_where_it_should_be():
    d = detections(square(20, 20, 60))
    picture = draw_outlines(
        np.zeros((100, 100, 3), np.uint8), d.rings, d.offsets, (255, 255, 255), 2
    )
    profile = picture[50, 10:30, 0] / 255
    assert profile.sum() == pytest.approx(2, abs=0.1)
    assert (profile * (np.arange(10, 30) + 0.5)).sum() / profile.sum() == pytest.approx(
        20, abs=0.25
    )


def test_bands_leave_no_seam():
    d = detections(square(10.2, 10.7, 300))
    picture = draw_outlines(np.full((320, 320, 3), 200, np.uint8), d.rings, d.offsets)
    side = picture[20:300, 5:17]
    np.testing.assert_array_equal(side, np.broadcast_to(side[:1], side.shape))


def test_objects_below_a_pixel_are_seen_and_more_of_them_are_stronger():
    one, many = (
        draw_overview(
            np.full((20, 20, 3), 230, np.uint8),
            [ObjectBatch(detections(*[square(505, 505, 20)] * n), 1)],
            factor=50,
        )
        for n in (1, 5)
    )
    changed = np.argwhere((one != 230).any(axis=2))
    assert len(changed)
    assert (np.abs(changed - 10) <= 1).all()
    strength = [int(np.abs(p.astype(int) - 230).sum()) for p in (one, many)]
    assert strength[1] > 2 * strength[0] > 40


def test_a_region_has_its_origin():
    d = detections(square(1040, 2040, 20))
    kwargs = {"factor": 2.0}
    moved = draw_overview(
        np.zeros((60, 60, 3), np.uint8), [ObjectBatch(d, 1)], origin_l0=(1000, 2000), **kwargs
    )
    at_origin = draw_overview(
        np.zeros((60, 60, 3), np.uint8),
        [ObjectBatch(detections(square(40, 40, 20)), 1)],
        **kwargs,
    )
    np.testing.assert_array_equal(moved, at_origin)


def test_objects_outside_and_broken_ones_do_no_harm(nuclei):
    background = np.full((64, 64, 3), 99, np.uint8)
    d = detections(
        square(-500, -500, 100),
        square(1e7, 1e7, 3),
        np.full((4, 2), np.nan),
        square(-1e4, -1e4, 2e4),
        np.zeros((0, 2)),
    )
    picture = draw_overview(background, [ObjectBatch(d, 1), ObjectBatch(nuclei(0), 6)], factor=1)
    np.testing.assert_array_equal(picture, background)


def test_endless_sides_are_drawn_where_they_pass():
    ring = np.array([[-1e9, 10.5], [1e9, 10.5], [1e9, 2e9], [-1e9, 2e9]])
    picture = draw_outlines(np.zeros((20, 30, 3), np.uint8), ring, np.array([0, 4]))
    assert (picture[10, :, 1] > 200).all()
    assert not picture[:8].any()
    assert not picture[13:].any()


def test_png_comes_back(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (31, 17, 3)).astype(np.uint8)
    write_png(tmp_path / "a.png", rgb)
    np.testing.assert_array_equal(imagecodecs.png_decode((tmp_path / "a.png").read_bytes()), rgb)
