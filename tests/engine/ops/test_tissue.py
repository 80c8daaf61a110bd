"""Telling tissue from glass and light from dark, on real slides and on nothing at all."""

from __future__ import annotations

import csv
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from tilescope.domain.contrast import Contrast
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.io.thumbnail import thumbnail
from tilescope.ops.tissue import has_dark_background, intensity_window, otsu, tissue_mask

BRIGHT = Contrast(False, (0.0,) * 3, (255.0,) * 3)
DARK = Contrast(True, (0.0,) * 3, (255.0,) * 3)
FULL_SCALES = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}


def picture_of(slide: Path, max_side: int = 1024) -> NDArray[np.uint8]:
    cache = TileCache(64 << 20)
    with open_slide(slide, cache=cache) as source:
        return thumbnail(source, cache, max_side)


def variance_between(values: NDArray[np.floating], threshold: float) -> float:
    below, above = values[values < threshold], values[values >= threshold]
    if not len(below) or not len(above):
        return 0.0
    gap = below.mean(dtype=np.float64) - above.mean(dtype=np.float64)
    return float(len(below) * len(above) * gap**2)


@given(
    levels=hnp.arrays(np.uint8, st.integers(2, 60), elements=st.integers(0, 255)),
    unit=st.sampled_from([1.0, 1 / 256, 1000.0]),
)
def test_otsu_separates_as_well_as_the_best_of_all_thresholds(
    levels: NDArray[np.uint8], unit: float
) -> None:
    ends = np.array([0, 255], np.uint8)  # so that every level has a bin of its own
    values = np.concatenate([levels, ends]).astype(np.float32) * np.float32(unit)
    best = max(variance_between(values, threshold) for threshold in np.unique(values))
    assert variance_between(values, otsu(values)) == pytest.approx(best, rel=1e-6)


def test_otsu_cuts_between_two_heaps(rng: np.random.Generator) -> None:
    values = np.concatenate([rng.normal(0.2, 0.02, 9000), rng.normal(0.8, 0.05, 1000)])
    assert (values > otsu(values)).sum() == 1000


@pytest.mark.parametrize("value", [0.0, -3.5, 1e6])
def test_equal_values_are_their_own_threshold(value: float) -> None:
    assert otsu(np.full(10, value, np.float32)) == value


def test_values_that_differ_in_their_last_digit_have_a_threshold() -> None:
    low = np.float32(1000.0)
    high = np.nextafter(low, np.float32(np.inf))
    assert low <= otsu(np.array([low, high], np.float32)) <= high


@pytest.mark.parametrize("value", [255, 244, 0], ids=["white", "glass", "black"])
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("dtype", FULL_SCALES)
def test_a_blank_slide_holds_nothing(value: int, bands: int, dtype: str) -> None:
    full_scale = FULL_SCALES[dtype]
    blank = np.full((64, 80, bands), value / 255 * full_scale, dtype)
    dark = has_dark_background(blank, full_scale)
    contrast = intensity_window(
        blank.reshape(-1, bands), dark_background=dark, full_scale=full_scale
    )
    for seen in (contrast, BRIGHT, DARK):
        assert not tissue_mask(blank, seen, full_scale).any()


def test_blank_glass_is_bright_and_a_dark_room_is_dark() -> None:
    assert not has_dark_background(np.full((64, 64, 3), 240, np.uint8), 255.0)
    assert has_dark_background(np.full((64, 64, 3), 3, np.uint8), 255.0)


def test_noise_of_the_camera_is_hardly_anything(rng: np.random.Generator) -> None:
    noise = np.clip(rng.normal(240, 1.5, (200, 200, 1)), 0, 255).astype(np.uint8)
    assert tissue_mask(np.repeat(noise, 3, axis=2), BRIGHT, 255.0).mean() < 0.01


def test_the_stained_slide(hes_slide: Path) -> None:
    picture = picture_of(hes_slide)
    assert not has_dark_background(picture, 255.0)
    mask = tissue_mask(picture, BRIGHT, 255.0)
    assert mask.shape == picture.shape[:2]
    assert 0.2 < mask.mean() < 0.95
    glass = picture.min(axis=2) > 238
    tissue = picture.max(axis=2) - picture.min(axis=2).astype(int) > 60
    assert glass.mean() > 0.05, "the sample has glass"
    assert tissue.mean() > 0.05, "the sample has tissue"
    assert mask[tissue].all()
    assert mask[glass].mean() < 0.2
    corners = [picture[:40, :40], picture[:40, -40:], picture[-40:, :40], picture[-40:, -40:]]
    masks = [mask[:40, :40], mask[:40, -40:], mask[-40:, :40], mask[-40:, -40:]]
    lightest = int(np.argmax([corner.min(axis=2).mean() for corner in corners]))
    assert masks[lightest].mean() < 0.02


def test_the_fluorescence_sample(dapi_image: Path) -> None:
    picture = picture_of(dapi_image)
    assert has_dark_background(picture, 255.0)
    mask = tissue_mask(picture, DARK, 255.0)
    grey = picture.max(axis=2).astype(np.float32)
    cells = grey > otsu(grey)
    assert 0.02 < cells.mean() < 0.8
    assert mask[cells].all(), "no part of a nucleus may be skipped"
    assert mask.mean() < 0.9


def test_dim_cells_beside_bright_ones_are_kept(rng: np.random.Generator) -> None:
    picture = rng.normal(10, 1, (200, 200, 1))
    picture[40:80, 40:80] += 200
    picture[120:160, 120:160] += 40
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    mask = tissue_mask(picture, Contrast(True, (0.0,), (255.0,)), 255.0)
    assert mask[40:80, 40:80].all()
    assert mask[120:160, 120:160].all()
    assert mask.mean() < 0.2


def test_pale_tissue_and_dark_pigment_without_colour_are_kept() -> None:
    picture = np.full((100, 100, 3), 242, np.uint8)
    picture[10:30, 10:30] = (236, 214, 228)  # eosin at a tenth of its usual strength
    picture[50:70, 50:70] = 90
    mask = tissue_mask(picture, BRIGHT, 255.0)
    assert mask[10:30, 10:30].all()
    assert mask[50:70, 50:70].all()
    assert not mask[80:, :].any()


def test_the_mask_reaches_one_pixel_further() -> None:
    picture = np.full((20, 20, 3), 242, np.uint8)
    picture[10, 10] = (120, 40, 110)
    mask = tissue_mask(picture, BRIGHT, 255.0)
    expected = np.zeros((20, 20), bool)
    expected[9:12, 9:12] = True
    np.testing.assert_array_equal(mask, expected)


def test_public_images_of_nuclei_are_told_apart() -> None:
    folder = Path(__file__).resolve().parents[4] / "shared" / "data" / "nuclei_dsb2018"
    if not folder.is_dir():
        pytest.skip("the images of the 2018 Data Science Bowl are not beside the checkout")
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = []
    for row in rows:
        picture = imagecodecs.png_decode(
            (folder / "images" / f"{row['image_id']}.png").read_bytes()
        )
        picture = picture[..., :3] if picture.ndim == 3 else picture[..., None]
        if has_dark_background(picture, 255.0) != (row["modality"] == "fluorescence"):
            wrong.append(row["image_id"])
    assert len(rows) > 400
    assert len(wrong) <= 0.02 * len(rows), wrong


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("dtype", FULL_SCALES)
@given(data=st.data())
def test_the_window_is_never_empty(dark: bool, dtype: str, data: st.DataObject) -> None:
    limit = 2.0**100 if dtype == "float32" else None
    elements = st.floats(-limit, limit, width=32) if limit else st.integers(0, np.iinfo(dtype).max)
    shape = data.draw(st.tuples(st.integers(1, 30), st.integers(1, 4)))
    samples = data.draw(hnp.arrays(dtype, shape, elements=elements))
    window = intensity_window(samples, dark_background=dark, full_scale=FULL_SCALES[dtype])
    assert window.dark_background is dark
    assert len(window.low) == len(window.high) == shape[1]
    for low, high in zip(window.low, window.high, strict=True):
        assert np.float32(low) < np.float32(high)  # in the type that adapters compute in


@pytest.mark.parametrize("value", [0, 1, 255])
@pytest.mark.parametrize("dtype", FULL_SCALES)
def test_a_constant_slide_has_a_window(value: int, dtype: str) -> None:
    samples = np.full((50, 2), value, dtype)
    window = intensity_window(samples, dark_background=True, full_scale=FULL_SCALES[dtype])
    assert window.low == (value, value)
    assert window.high > window.low


@given(pixels=hnp.arrays(np.uint8, st.tuples(st.integers(2, 50), st.just(3))))
def test_bright_field_goes_from_the_darkest_to_the_glass(pixels: NDArray[np.uint8]) -> None:
    window = intensity_window(pixels, dark_background=False, full_scale=255.0)
    for band, (low, high) in enumerate(zip(window.low, window.high, strict=True)):
        assert high == pytest.approx(np.percentile(pixels[:, band], 99))
        assert low <= np.percentile(pixels[:, band], 0.5) + 1e-3
        assert high - low >= 255 / 4 - 1e-3


@given(
    pixels=hnp.arrays(np.uint16, st.tuples(st.integers(20, 200), st.just(2))),
    factor=st.integers(2, 15),
)
def test_the_window_follows_exposure(pixels: NDArray[np.uint16], factor: int) -> None:
    pixels = pixels // 16
    low, high = np.percentile(pixels, [1.0, 99.8], axis=0)
    assume((high > low * 1.01 + 1).all())
    dim = intensity_window(pixels, dark_background=True, full_scale=65535.0)
    lit = intensity_window(pixels * factor, dark_background=True, full_scale=65535.0)
    np.testing.assert_allclose(lit.low, np.multiply(dim.low, factor), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(lit.high, np.multiply(dim.high, factor), rtol=1e-5, atol=1e-3)
