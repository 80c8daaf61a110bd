"""The size search on readings whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from tilescope.inference.sizing import SizeReading, choose_diameter
from tilescope.plugins.registry import find_model
from tilescope_training.nuclei.data import read_sample
from tilescope_training.nuclei.evaluate import Predictor, contrast_of, estimate_diameter

LADDER = tuple(float(d) for d in np.geomspace(8, 96, 7))
TARGET_PX = 24.0


def nuclei(true_px, *, seed=0, tolerance=0.5):
    """Return a slide of nuclei that a network finds best, and measures best, near its own size."""
    random = np.random.default_rng(seed)
    sizes = true_px * np.exp(random.normal(0.0, 0.15, 80))

    def measure(assumed_px):
        miss = np.log(true_px / assumed_px)
        seen = np.exp(-0.5 * (miss / tolerance) ** 2)
        found = sizes[random.random(sizes.size) < seen] * TARGET_PX / assumed_px
        # What is too large falls apart, what is too small clumps: sizes are drawn to the target.
        found = TARGET_PX * (found / TARGET_PX) ** 0.7
        area = 10**6
        covered = min(1.0, float(np.sum(np.pi * found**2 / 4)) / area)
        return SizeReading(found, np.full(found.size, 0.5 + 0.45 * seen), covered, area)

    return measure


@pytest.mark.parametrize("true_px", [9.0, 14.0, 24.0, 40.0, 70.0, 90.0])
def test_the_diameter_is_found_within_a_fifth(true_px):
    found = choose_diameter(nuclei(true_px), LADDER, TARGET_PX)
    assert found is not None
    assert abs(np.log(found / true_px)) < np.log(1.2)


def test_nothing_anywhere_gives_none():
    empty = SizeReading(np.zeros(0), np.zeros(0), 0.0, 100)
    assert choose_diameter(lambda _: empty, LADDER, TARGET_PX) is None
    assert choose_diameter(lambda _: empty, (), TARGET_PX) is None


def test_a_few_doubtful_specks_give_none():
    specks = SizeReading(np.array([6.0, 7.0, 24.0]), np.array([0.2, 0.9, 0.1]), 0.01, 1000)
    assert choose_diameter(lambda _: specks, LADDER, TARGET_PX) is None


def test_each_candidate_is_measured_once_and_the_choice_once_more():
    asked = []
    measure = nuclei(30.0)

    def counting(assumed_px):
        asked.append(assumed_px)
        return measure(assumed_px)

    choose_diameter(counting, LADDER, TARGET_PX)
    assert asked[:7] == list(LADDER)
    assert len(asked) == 8


def constant(diameter, score, fraction):
    return SizeReading(np.full(20, diameter), np.full(20, score), fraction, 10**5)


def test_of_two_crossings_the_confident_one_counts():
    sizes = {10.0: (30.0, 0.6, 0.05), 14.0: (20.0, 0.6, 0.1), 20.0: (34.0, 0.9, 0.2)}
    sizes |= {30.0: (28.0, 0.9, 0.3), 45.0: (18.0, 0.9, 0.3)}

    def measure(assumed_px):
        if assumed_px in sizes:
            return constant(*sizes[assumed_px])
        return constant(24.0 * 36.0 / assumed_px, 0.9, 0.3)

    assert choose_diameter(measure, tuple(sizes), TARGET_PX) == pytest.approx(36.0, rel=0.05)


def mixed(good, doubtful, fraction, score=0.6):
    """Return a reading of good objects of one size among doubtful ones, too small to be nuclei."""
    count, size = good
    sizes = np.concatenate((np.full(count, size), np.full(doubtful, 12.0)))
    scores = np.concatenate((np.full(count, score), np.full(doubtful, 0.4)))
    return SizeReading(sizes, scores, fraction, 10**5)


FEW_LARGE_NUCLEI = {
    6.0: mixed((5, 29.0), 31, 0.02),
    9.0: mixed((34, 21.0), 76, 0.04),
    13.5: mixed((17, 26.0), 40, 0.06),
    20.0: mixed((8, 35.0), 8, 0.06),
    30.0: mixed((4, 32.0), 7, 0.10),
    45.0: mixed((4, 30.0), 5, 0.14),
    68.0: mixed((2, 22.0), 4, 0.17),
}
"""A few large pale nuclei: small pieces seem to agree at 7.5, and above 45 too few are good."""


def measured_among(readings):
    """Return a measure that finds at any diameter what it finds at the nearest of ``readings``."""

    def measure(assumed_px):
        return readings[min(readings, key=lambda d: abs(np.log(d / assumed_px)))]

    return measure


def test_a_crossing_among_doubtful_pieces_is_not_believed():
    found = choose_diameter(measured_among(FEW_LARGE_NUCLEI), tuple(FEW_LARGE_NUCLEI), TARGET_PX)
    assert found == pytest.approx(45.0 * 30.0 / TARGET_PX)


def test_the_same_crossing_of_good_objects_is_believed():
    sure = FEW_LARGE_NUCLEI | {6.0: mixed((20, 29.0), 10, 0.02), 9.0: mixed((60, 21.0), 40, 0.04)}
    found = choose_diameter(measured_among(sure), tuple(sure), TARGET_PX)
    assert found is not None
    assert 6.0 < found < 9.0


def test_whole_cells_at_the_end_of_the_ladder_do_not_outweigh_their_nuclei():
    sizes = {13.5: (36.0, 0.7, 0.02), 20.0: (26.0, 0.7, 0.03), 30.0: (20.0, 0.7, 0.03)}
    sizes |= {68.0: (36.0, 0.75, 0.3), 100.0: (27.0, 0.75, 0.35)}
    measure = measured_among({d: constant(*reading) for d, reading in sizes.items()})
    found = choose_diameter(measure, tuple(sizes), TARGET_PX)
    assert found is not None
    assert 20.0 < found < 30.0


def test_outside_the_ladder_the_nearest_end_is_corrected():
    found = choose_diameter(lambda d: constant(24.0 * 6.0 / d, 0.9, 0.2), (8.0, 16.0), TARGET_PX)
    assert found == pytest.approx(6.0)


def test_a_few_large_nuclei_of_a_real_image_keep_their_size(shared_data):
    """A stained image whose small pieces seem to agree at an eighth of the nuclei's diameter."""
    folder = shared_data / "nuclei_dsb2018"
    name = "589f86dee5b480a88dd4f77eeaffe2c4d70aefdf879a4096dde1fa4d41055b8f.png"
    sample = read_sample(folder / "images" / name, folder / "labels" / name, "histology")
    predictor = Predictor(find_model("nuclei-unet-research").verified_weights())
    contrast = contrast_of(sample.image, dark_background=False)
    found = estimate_diameter(predictor, sample.image, contrast)
    assert found == pytest.approx(sample.diameter_px, rel=0.25)


def test_a_reading_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="diameters"):
        SizeReading(np.zeros(3), np.zeros(2), 0.0, 1)
    with pytest.raises(ValueError, match=r"1\.5"):
        SizeReading(np.zeros(0), np.zeros(0), 1.5, 1)
