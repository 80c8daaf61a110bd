"""Crops, targets and lighting: what is seen stays with what is labelled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter

from tilescope_training.nuclei import augment, stains
from tilescope_training.nuclei.data import (
    Sample,
    nuclear_diameter,
    relabel,
    resize_image,
    resize_labels,
    shrink,
)
from tilescope_training.nuclei.stream import CropStream, make_pool, make_research_pool
from tilescope_training.nuclei.targets import find_centres, make_targets


def draw_sample(seed=0, modality="fluorescence", radius=11, shape=(200, 240)):
    """Return a sample whose brightness is its label: 0 outside, 60 + 10 n in nucleus n."""
    random = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    rows, columns = np.indices(shape)
    for y in range(25, shape[0] - 15, 40):
        for x in range(25, shape[1] - 15, 40):
            dy, dx = random.uniform(-5, 5, 2)
            labels[np.hypot(rows - y - dy, columns - x - dx) < radius] = labels.max() + 1
    shade = np.where(labels > 0, 60 + 5 * labels, 0).astype(np.uint8)
    image = np.repeat(shade[..., None], 3, axis=2)
    return Sample(f"s{seed}", modality, image, labels, nuclear_diameter(labels))


@pytest.mark.parametrize("seed", range(8))
def test_labels_and_image_are_moved_alike(seed):
    sample = draw_sample()
    random = np.random.default_rng(seed)
    crop = augment.take_crop(sample, find_centres(sample.labels), 96, random)
    inner = maximum_filter(crop.labels, 9) == minimum_filter(crop.labels, 9)
    inner[:4] = inner[-4:] = inner[:, :4] = inner[:, -4:] = False
    wanted = np.where(crop.labels > 0, 60 + 5 * crop.labels, 0) / 255.0
    assert np.abs(crop.image[..., 0] - wanted)[inner].max() < 0.02


def test_a_stained_sample_is_bright_where_its_nuclei_are_dark():
    sample = draw_sample(modality="histology")
    stained = replace(sample, image=255 - sample.image)
    random = np.random.default_rng(3)
    crop = augment.take_crop(stained, find_centres(stained.labels), 96, random)
    inside = crop.image[crop.labels > 0].mean()
    assert inside > crop.image[crop.labels == 0].mean() + 0.1


def test_centres_are_moved_with_their_nuclei():
    sample = draw_sample()
    checked = 0
    for seed in range(12):
        random = np.random.default_rng(seed)
        crop = augment.take_crop(sample, find_centres(sample.labels), 128, random)
        measured = find_centres(crop.labels)
        cut = np.union1d(crop.labels[[0, -1]], crop.labels[:, [0, -1]])
        for number in np.setdiff1d(crop.labels, np.append(cut, 0)):
            assert np.abs(crop.centres[number] - measured[number]).max() < 2.0
            checked += 1
    assert checked > 30


def test_targets_point_at_the_centre():
    labels = np.zeros((40, 60), np.int32)
    labels[10:21, 20:31] = 1
    targets = make_targets(labels, find_centres(labels))
    foreground, heat, dx, dy = targets.maps
    assert foreground.sum() == 121
    assert np.unravel_index(heat.argmax(), heat.shape) == (15, 25)
    assert heat.max() == pytest.approx(1.0)
    assert (dx[15, 20], dy[15, 20]) == (5.0, 0.0)
    assert (dx[20, 30], dy[20, 30]) == (-5.0, -5.0)
    assert not targets.maps[:, labels == 0].any()
    assert (targets.weight == 1.0).all()


def test_the_gap_between_touching_nuclei_weighs_more():
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 5:20], labels[5:15, 20:35] = 1, 2
    weight = make_targets(labels, find_centres(labels)).weight
    assert weight[10, 19] > 1.0
    assert weight[10, 20] > 1.0
    assert weight[10, 10] == weight[2, 2] == 1.0


def test_diameter_is_that_of_the_root_mean_square_area():
    labels = np.zeros((50, 50), np.int32)
    labels[:10, :10], labels[20:40, 20:40] = 1, 2
    area = np.sqrt((100.0**2 + 400.0**2) / 2)
    assert nuclear_diameter(labels) == pytest.approx(2 * np.sqrt(area / np.pi))
    assert nuclear_diameter(np.zeros((5, 5), np.int32)) is None


def test_relabelling_closes_gaps():
    assert relabel(np.array([[0, 7], [3, 7]])).tolist() == [[0, 2], [1, 2]]
    assert relabel(np.array([[7, 3]])).tolist() == [[2, 1]]


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.7])
def test_resizing_keeps_a_ramp(factor):
    ramp = np.repeat(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], 32, axis=0)
    grown = resize_image(ramp, factor)
    assert grown.shape == (round(32 * factor), round(64 * factor), 1)
    positions = (np.arange(grown.shape[1]) + 0.5) * 64 / grown.shape[1] - 0.5
    wanted = np.interp(positions, np.arange(64), ramp[0, :, 0])
    assert np.abs(grown[0, 2:-2, 0] - wanted[2:-2]).max() < 1e-5


def test_resized_labels_are_labels():
    labels = draw_sample().labels
    again = resize_labels(resize_labels(labels, (400, 480)), labels.shape)
    np.testing.assert_array_equal(again, labels)


def test_shrinking_leaves_small_nuclei_alone_and_brings_large_ones_down():
    sample = draw_sample(radius=11)
    assert shrink(sample, 30.0) is sample
    small = shrink(sample, 12.0)
    assert small.diameter_px == pytest.approx(12.0, rel=0.1)
    assert small.labels.max() == sample.labels.max()


def test_the_stream_repeats_with_its_seed_and_stays_in_range():
    pools = {
        "fluorescence": make_pool([draw_sample(0), draw_sample(1)], [0, 1]),
        "histology": make_pool([draw_sample(2, "histology")], [0]),
        "grey": make_pool([draw_sample(3, "grey")], [0]),
    }
    first, second = (iter(CropStream(pools, 64, seed=5, texture_count=8)) for _ in range(2))
    for _ in range(24):
        (image, maps, weight), (other, _, _) = next(first), next(second)
        assert image.shape == (3, 64, 64)
        assert maps.shape == (4, 64, 64)
        assert weight.shape == (64, 64)
        assert image.equal(other)
        assert image.isfinite().all()
        assert maps.isfinite().all()
        assert image.min() >= 0.0
        assert image.max() <= 1.0


def test_pools_weigh_groups_by_the_root_of_their_size():
    pool = make_pool([draw_sample(n) for n in range(5)], [0, 0, 0, 0, 1])
    assert pool.chances[:4].sum() == pytest.approx(2 * pool.chances[4])


def test_clumps_of_research_samples_are_not_learnt():
    sample = draw_sample(modality="histology")
    # Two in the middle.
    first = int(sample.labels[90:120, 90:120].max())
    joined = np.where(sample.labels == first + 1, first, sample.labels)
    rough = replace(sample, name="rough", labels=relabel(joined))
    ignored = {}
    for name in ("rough", "drawn"):
        pool = make_research_pool([replace(rough, name=name)], {"drawn"}, 36.0)
        stream = CropStream({"research": pool}, 96, seed=2, texture_count=8, shares={"research": 1})
        crops = [stream.draw(np.random.default_rng(seed))[1] for seed in range(12)]
        for crop in crops:
            np.testing.assert_array_equal(crop.ignored, (crop.labels == first) & (name == "rough"))
        ignored[name] = sum(int(crop.ignored.sum()) for crop in crops)
        weights = np.stack(
            [weight.numpy() for _, (_, _, weight) in zip(range(12), stream, strict=False)]
        )
        assert (weights.min() == 0) == (name == "rough")
    assert ignored["rough"] > 100 > ignored["drawn"] == 0


def test_made_histology_is_darker_and_bluer_in_nuclei():
    random = np.random.default_rng(1)
    sample = draw_sample(shape=(128, 128))
    textures = stains.make_textures(random, 4)
    density = (sample.labels > 0).astype(np.float32)
    for _ in range(5):
        image = stains.make_histology(density, sample.labels, textures, random)
        inside, outside = (image[sample.labels > 0], image[sample.labels == 0])
        assert inside.mean(axis=0)[0] < outside.mean(axis=0)[0]
        assert image.min() >= 0.0
        assert image.max() <= 1.0
