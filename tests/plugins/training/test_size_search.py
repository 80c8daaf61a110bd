"""The size search on readings whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from tilescope.inference.sizing import SizeReading, choose_diameter

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


def test_outside_the_ladder_the_nearest_end_is_corrected():
    found = choose_diameter(lambda d: constant(24.0 * 6.0 / d, 0.9, 0.2), (8.0, 16.0), TARGET_PX)
    assert found == pytest.approx(6.0)


def test_a_reading_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="diameters"):
        SizeReading(np.zeros(3), np.zeros(2), 0.0, 1)
    with pytest.raises(ValueError, match=r"1\.5"):
        SizeReading(np.zeros(0), np.zeros(0), 1.5, 1)
