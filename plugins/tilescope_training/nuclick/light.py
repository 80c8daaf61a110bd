"""What a patch looks like under another lamp, stain, focus and camera, as the network's planes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilescope_nuclick.adapter import stretch
from tilescope_nuclick.maps import click_maps
from tilescope_training.nuclei import augment, stains
from tilescope_training.nuclei.augment import Crop

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from tilescope.plugins.api import Clicks
    from tilescope_training.nuclick.crops import Patch

    Picture = NDArray[np.floating[Any]]

LEAST_LIGHT = 1.0 / 255.0


def light_fluorescence(patch: Patch, textures: Picture, random: Generator) -> Picture:
    """Return the planes of a patch with bright objects, float32[3, n, n], not yet stretched."""
    grey = np.repeat(patch.image.max(axis=2, keepdims=True), 3, axis=2)
    return _planes(augment.light_signal(_crop(grey, patch), textures, random))


def light_stained(patch: Patch, textures: Picture, random: Generator, grey_share: float) -> Picture:
    """Return the planes of a patch with dark objects, float32[3, n, n], not yet stretched.

    ``grey_share`` is how often the darkness of red alone is shown.
    """
    if random.random() < grey_share:
        grey = np.repeat(augment.darkness(patch.image, random), 3, axis=2)
        return _planes(augment.light_signal(_crop(grey, patch), textures, random))
    image = restain(patch.image, random)
    image = augment.sensor(augment.optics(image, random), random)
    missing = (1.0 - image) / random.uniform(0.6, 1.0)
    if random.random() < 0.3:
        missing = np.clip(missing, 0.0, None) ** np.exp(random.uniform(-0.5, 0.5))
    return _planes(missing)


def make_stained(patch: Patch, textures: Picture, random: Generator) -> Picture:
    """Return a made-up stained picture of a fluorescence patch's objects, float32[n, n, 3]."""
    density = stains.nuclear_density(patch.image, patch.labels)
    return stains.make_histology(density, patch.labels, textures, random)


def restain(image: Picture, random: Generator) -> Picture:
    """Return the picture with other dyes, strengths and glass, float32[n, n, 3] in 0..1.

    In optical density, where stains add up (Ruifrok and Johnston 2001): each channel takes a
    little of the others, and its strength and its zero move.
    """
    density = -np.log(np.clip(image, LEAST_LIGHT, 1.0))
    mixing = np.eye(3) + random.normal(0.0, 0.07, (3, 3))
    mixing *= np.exp(random.normal(0.0, 0.2, 3))[None]
    strength = np.exp(random.normal(0.0, 0.25))
    moved = density @ mixing.astype(np.float32) * strength + random.uniform(-0.03, 0.1, 3)
    return np.exp(-np.clip(moved, 0.0, 4.0)).astype(np.float32)


def make_input(planes: Picture, clicks: Clicks) -> NDArray[np.float32]:
    """Return what the network is given, float32[5, n, n], as the adapter makes it."""
    inside, outside = click_maps(clicks, planes.shape[1:])
    return np.concatenate([stretch(planes), inside[None], outside[None]]).astype(np.float32)


def _crop(image: Picture, patch: Patch) -> Crop:
    return Crop(image, patch.labels, np.zeros((1, 2), np.float32))


def _planes(image: Picture) -> NDArray[np.float32]:
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
