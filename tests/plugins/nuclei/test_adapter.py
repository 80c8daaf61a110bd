"""The adapter of nuclei-unet: exact decoding, honest encoding."""

from __future__ import annotations

import numpy as np
import pytest

from tilescope.plugins.api import Contrast, TileImage
from tilescope_nuclei.adapter import DECODE_MARGIN_PX, PEAK_RADIUS_PX, NucleiUNet, find_peaks

PARAMETERS = {"foreground": 0.5, "peak": 0.3, "min_area_px": 20.0}
DARK = Contrast(dark_background=True, low=(0.0,), high=(255.0,))


def draw(discs, shape=(128, 128)):
    """Return perfect maps of discs (y, x, radius); of two over a pixel the nearer owns it."""
    maps = np.zeros((1, 4, *shape), np.float32)
    rows, columns = np.indices(shape)
    nearest = np.full(shape, np.inf)
    for y, x, radius in discs:
        distance = np.hypot(rows - y, columns - x)
        mine = (distance < radius) & (distance < nearest)
        nearest[mine] = distance[mine]
        maps[0, 0][mine] = 0.9
        maps[0, 1][mine] = np.exp(-(distance[mine] ** 2) / 18.0)
        maps[0, 2][mine] = (x - columns)[mine]
        maps[0, 3][mine] = (y - rows)[mine]
    return maps


def rough_maps(seed, shape=(256, 272)):
    """Return maps that no network would give, with ties, plateaus and offsets beyond the limit."""
    random = np.random.default_rng(seed)
    maps = random.random((4, shape[0] // 8, shape[1] // 8), np.float32)
    maps = maps.repeat(8, axis=1).repeat(8, axis=2)[None]
    maps[0, 0] += random.normal(0.1, 0.1, shape)
    maps[0, 1] = np.round(random.random(shape, np.float32) * 30) / 30
    maps[0, 2:] = (maps[0, 2:] - 0.5) * 100 + random.normal(0.0, 1.0, (2, *shape))
    return maps


def as_partition(labels):
    """Return for each pixel the first pixel, in reading order, that shares its label."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.where(labels == 0, -1, first[inverse].reshape(labels.shape))


@pytest.mark.parametrize("seed", range(5))
def test_a_tile_with_its_margin_decodes_like_the_whole(seed):
    maps, adapter = rough_maps(seed), NucleiUNet()
    parameters = PARAMETERS | {"min_area_px": 0.0}
    assert DECODE_MARGIN_PX == 48
    whole = adapter.decode({"maps": maps}, parameters).labels
    core = np.s_[100:164, 96:160]
    tile = np.s_[
        :, :, 100 - DECODE_MARGIN_PX : 164 + DECODE_MARGIN_PX,
        96 - DECODE_MARGIN_PX : 160 + DECODE_MARGIN_PX,
    ]  # fmt: skip
    part = adapter.decode({"maps": np.ascontiguousarray(maps[tile])}, parameters).labels
    inner = part[DECODE_MARGIN_PX:-DECODE_MARGIN_PX, DECODE_MARGIN_PX:-DECODE_MARGIN_PX]
    assert len(np.unique(inner)) > 10
    np.testing.assert_array_equal(as_partition(inner), as_partition(whole[core]))


def test_a_nucleus_owned_by_its_peak_is_complete_in_the_tile():
    maps = draw([(60.0, 60.0, 12.0), (60.0, 82.0, 12.0), (75.0, 70.0, 9.0)], (160, 160))
    adapter = NucleiUNet()
    whole = adapter.decode({"maps": maps}, PARAMETERS)
    tile = np.ascontiguousarray(maps[:, :, 60 - 48 : 61 + 48, 60 - 48 : 61 + 48])
    part = adapter.decode({"maps": tile}, PARAMETERS)
    mine, theirs = part.labels == part.labels[48, 48], whole.labels == whole.labels[60, 60]
    np.testing.assert_array_equal(mine, theirs[12:109, 12:109])
    assert theirs.sum() == mine.sum()
    assert part.scores[part.labels[48, 48] - 1] == pytest.approx(
        whole.scores[whole.labels[60, 60] - 1], rel=1e-6
    )


def test_touching_discs_are_told_apart():
    found = NucleiUNet().decode({"maps": draw([(60, 50, 12), (60, 73, 12)])}, PARAMETERS)
    assert found.labels.max() == 2
    assert found.labels[60, 50] != found.labels[60, 73]
    assert found.labels[60, 60] == found.labels[60, 50]
    assert found.labels[60, 63] == found.labels[60, 73]


def test_scores_are_probabilities_times_peaks_and_classes_are_nucleus():
    found = NucleiUNet().decode({"maps": draw([(60, 50, 12)])}, PARAMETERS)
    assert found.scores == pytest.approx([0.9])
    assert found.scores.dtype == np.float32
    assert found.labels.dtype == np.int32
    assert found.classes.dtype == np.uint16
    assert found.classes.tolist() == [0]


@pytest.mark.parametrize("value", [0.0, 0.2])
def test_nothing_is_found_in_flat_maps(value):
    found = NucleiUNet().decode({"maps": np.full((1, 4, 64, 72), value, np.float32)}, PARAMETERS)
    assert found.labels.shape == (64, 72)
    assert not found.labels.any()
    assert found.scores.shape == found.classes.shape == (0,)


def test_specks_are_dropped_and_numbers_stay_without_gaps():
    maps = draw([(20, 20, 2), (60, 50, 12), (100, 100, 12)])
    found = NucleiUNet().decode({"maps": maps}, PARAMETERS)
    assert np.unique(found.labels).tolist() == [0, 1, 2]
    assert found.scores.shape == (2,)
    assert np.isfinite(found.scores).all()


def test_foreground_that_points_at_no_peak_is_background():
    maps = draw([(60, 50, 12)])
    maps[0, 0, 100:120, 100:120] = 0.9
    found = NucleiUNet().decode({"maps": maps}, PARAMETERS)
    assert not found.labels[100:120, 100:120].any()


def test_offsets_out_of_the_tile_are_harmless():
    maps = np.full((1, 4, 64, 64), 0.9, np.float32)
    maps[0, 2:] = 1e6
    labels = NucleiUNet().decode({"maps": maps}, PARAMETERS).labels
    assert not labels.any()


def test_of_equal_maxima_side_by_side_the_first_stays():
    heat = np.zeros((60, 60), np.float32)
    heat[10, 10] = heat[10, 12] = heat[12, 9] = 0.8
    heat[40, 30] = heat[40, 30 + PEAK_RADIUS_PX + 1] = 0.8
    assert find_peaks(heat, 0.3).tolist() == [[10, 10], [40, 30], [40, 31 + PEAK_RADIUS_PX]]
    assert find_peaks(np.full((30, 30), 0.5, np.float32), 0.3).tolist() == [[0, 0]]


def test_dark_background_takes_the_brightest_band_within_the_window():
    pixels = np.zeros((8, 16, 2), np.uint16)
    pixels[0, 0] = (100, 5000)
    pixels[0, 1] = (600, 0)
    contrast = Contrast(dark_background=True, low=(100.0, 1000.0), high=(1100.0, 3000.0))
    image = NucleiUNet().encode(TileImage(pixels, contrast))["image"]
    assert image.shape == (1, 3, 8, 16)
    assert image.dtype == np.float32
    assert image[0, :, 0, 0] == pytest.approx([1.0] * 3)
    assert image[0, :, 0, 1] == pytest.approx([0.5] * 3)
    assert image[0, :, 1:].max() == 0.0


def test_the_noise_of_an_empty_band_is_not_spread_into_nuclei():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[2, 2] = (2, 1, 0)
    pixels[4, 4] = (0, 0, 200)
    contrast = Contrast(dark_background=True, low=(0.0, 0.0, 0.0), high=(2.0, 1.0, 200.0))
    image = NucleiUNet().encode(TileImage(pixels, contrast))["image"]
    assert image[0, 0, 2, 2] == 0.0
    assert image[0, 0, 4, 4] == 1.0


@pytest.mark.parametrize(
    ("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0)]
)
def test_bright_field_becomes_the_darkness_of_red_within_the_window(dtype, full):
    pixels = np.zeros((8, 8, 3), dtype)
    pixels[..., 0] = full  # eosin and glass let red pass, whatever they do to green and blue
    pixels[2, 2, 0] = full * 0.2  # haematoxylin
    pixels[4, 4, 0] = full * 0.6
    pixels[6, 6, 0] = full * 0.96  # coding noise of empty glass
    low, high = (float(full) * 0.2,) * 3, (float(full),) * 3
    contrast = Contrast(dark_background=False, low=low, high=high)
    image = NucleiUNet().encode(TileImage(pixels, contrast))["image"]
    assert image.shape == (1, 3, 8, 8)
    assert image[0, :, 2, 2] == pytest.approx([1.0] * 3, abs=0.01)
    assert image[0, :, 4, 4] == pytest.approx([(0.5 - 0.06) / 0.94] * 3, abs=0.01)
    assert image[0, :, 0, 0].tolist() == image[0, :, 6, 6].tolist() == [0.0] * 3


def test_one_bright_band_is_enough():
    pixels = np.full((8, 8, 1), 51, np.uint8)
    contrast = Contrast(dark_background=False, low=(0.0,), high=(255.0,))
    image = NucleiUNet().encode(TileImage(pixels, contrast))["image"]
    assert image == pytest.approx((0.8 - 0.06) / 0.94)


def test_encoding_does_not_touch_the_tile():
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 1), np.uint8)
    before = pixels.copy()
    NucleiUNet().encode(TileImage(pixels, DARK))
    np.testing.assert_array_equal(pixels, before)
