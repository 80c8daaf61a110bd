"""No experiment lies on two sides."""

from __future__ import annotations

import numpy as np
import pytest

from tilescope_training.nuclei.data import Sample
from tilescope_training.nuclei.split import Split, deal, find_groups


def draw_experiment(ground, contrast, count, seed):
    """Return crops of one experiment: one background and contrast, other nuclei in each."""
    random = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        labels = np.zeros((64, 80), np.int32)
        for y, x in random.integers(6, 56, (5, 2)):
            labels[y - 4 : y + 4, x - 4 : x + 4] = labels.max() + 1
        image = np.full((64, 80, 3), ground, np.float64) + random.normal(0, 2, (64, 80, 3))
        image[labels > 0] += contrast
        pixels = np.clip(image, 0, 255).astype(np.uint8)
        samples.append(Sample(f"{seed}-{number}", "fluorescence", pixels, labels, 8.0))
    return samples


@pytest.fixture(scope="module")
def samples():
    experiments = [(5, 30), (5, 200), (60, 30), (60, 150), (150, 90), (20, 100)]
    return [s for i, e in enumerate(experiments) for s in draw_experiment(*e, 6, seed=i)]


def test_groups_do_not_mix_experiments(samples):
    groups = find_groups(samples)
    experiments = [s.name.split("-")[0] for s in samples]
    for group in set(groups):
        assert len({e for e, g in zip(experiments, groups, strict=True) if g == group}) == 1


def test_no_group_lies_on_two_sides_and_every_image_on_one(samples):
    split = deal(samples, seed=1)
    sides = (split.train, split.validation, split.test)
    assert sorted(i for side in sides for i in side) == list(range(len(samples)))
    groups = [{split.groups[i] for i in side} for side in sides]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    assert all(sides)


def test_the_same_seed_gives_the_same_split(samples):
    assert deal(samples, seed=3) == deal(samples, seed=3)


def test_neighbouring_crops_are_one_group():
    random = np.random.default_rng(0)
    parent = random.normal(60, 25, (24, 160)).repeat(4, axis=0).repeat(1, axis=1)
    labels = np.zeros((96, 80), np.int32)
    labels[10:20, 10:20] = 1
    left, right = (np.clip(parent[:, part], 0, 255).astype(np.uint8) for part in np.s_[:80, 80:])
    right = right // 4  # So different in brightness that only the border could tell.
    right[:, 0] = left[:, -1]
    pair = [
        Sample(str(n), "fluorescence", np.repeat(p[..., None], 3, 2), labels, 11.0)
        for n, p in enumerate((left, right))
    ]
    assert len(set(find_groups(pair))) == 1


def test_a_group_on_two_sides_is_refused():
    with pytest.raises(ValueError, match="two sides"):
        Split(train=(0,), validation=(1,), test=(), groups=(4, 4))
