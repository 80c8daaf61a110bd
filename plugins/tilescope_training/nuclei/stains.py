"""Made-up H&E, by optical density, from the picture of fluorescent nuclei.

Optical density and the stain vectors follow Ruifrok and Johnston 2001 (Anal Quant Cytol Histol 23:
291-299).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, zoom

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Picture = NDArray[np.floating[Any]]

HAEMATOXYLIN = np.array([0.65, 0.70, 0.29], np.float32)
EOSIN = np.array([0.10, 0.95, 0.20], np.float32)

TEXTURE_PX = 256
"""Side of a texture in the bank."""


def make_textures(random: Generator, count: int) -> Picture:
    """Return tissue-like noise with zero mean and unit spread, float32[count, 256, 256].

    Half is cloudy (noise at five scales), half fibrous (noise stretched along one axis).
    """
    return np.stack([_texture(random, fibrous=bool(i % 2)) for i in range(count)])


def _texture(random: Generator, *, fibrous: bool) -> Picture:
    total = np.zeros((TEXTURE_PX, TEXTURE_PX))
    slope = random.uniform(0.3, 1.2)
    for level in range(1, 7):
        noise = zoom(random.standard_normal((2**level + 2,) * 2), TEXTURE_PX / 2**level, order=1)
        total += noise[:TEXTURE_PX, :TEXTURE_PX] * 2.0 ** (-slope * level)
    grain = gaussian_filter(random.standard_normal(total.shape), random.uniform(0.7, 2.5))
    total += random.uniform(0.05, 0.5) * grain / grain.std() * total.std()
    if fibrous:
        fibre = gaussian_filter1d(random.standard_normal(total.shape), 14.0, axis=1, mode="wrap")
        fibre = gaussian_filter1d(fibre, random.uniform(0.7, 2.0), axis=0, mode="wrap")
        total += random.uniform(0.5, 2.0) * fibre / fibre.std() * total.std()
    return np.asarray((total - total.mean()) / total.std(), np.float32)


def pick_texture(textures: Picture, shape: tuple[int, ...], random: Generator) -> Picture:
    """Return a random, turned and shifted piece of a texture, float32[h, w]; h, w <= 256."""
    texture = textures[random.integers(len(textures))]
    if random.random() < 0.5:
        texture = texture.T
    shift = random.integers(0, TEXTURE_PX - np.array(shape) + 1)
    piece = texture[shift[0] : shift[0] + shape[0], shift[1] : shift[1] + shape[1]]
    return np.asarray(piece, np.float32)


def nuclear_density(image: Picture, labels: NDArray[np.int32]) -> Picture:
    """Return how much chromatin each pixel shows, float32[h, w], about 0..1 inside nuclei.

    ``image`` is float32[h, w, 3] of a fluorescence sample.
    """
    signal = image.mean(axis=2)
    inside = labels > 0
    low = float(np.median(signal[~inside])) if not inside.all() else 0.0
    high = float(np.percentile(signal[inside], 95)) if inside.any() else 1.0
    return np.asarray(np.clip((signal - low) / max(high - low, 0.02), 0.0, 1.5), np.float32)


def make_histology(
    density: Picture,
    labels: NDArray[np.int32],
    textures: Picture,
    random: Generator,
) -> Picture:
    """Return an H&E-like picture of the labelled nuclei, float32[h, w, 3] in 0..1.

    Haematoxylin follows the chromatin of the source and differs between nuclei, some of which are
    vesicular (pale with a dark rim); eosin is a texture with gaps; eosin blobs without a nucleus
    (red cells, secretions) are there to be ignored.
    """
    haematoxylin = _haematoxylin(density, labels, textures, random)
    eosin = _eosin(labels.shape, textures, random)
    inside = np.minimum(gaussian_filter((labels > 0).astype(np.float32), 1.0), 1.0)
    eosin *= 1.0 - inside * random.uniform(0.3, 1.0)
    vectors = (_random_vector(HAEMATOXYLIN, random, 0.12), _random_vector(EOSIN, random, 0.15))
    mixed = haematoxylin[..., None] * vectors[0] + eosin[..., None] * vectors[1]
    return np.exp(-np.clip(mixed + random.uniform(0.0, 0.12, 3), 0.0, 4.0)).astype(np.float32)


def _haematoxylin(
    density: Picture,
    labels: NDArray[np.int32],
    textures: Picture,
    random: Generator,
) -> Picture:
    inside = (labels > 0).astype(np.float32)
    count = int(labels.max()) + 1
    strengths = random.uniform(0.5, 1.6) * np.exp(random.normal(0.0, 0.3, count))
    strength = strengths.astype(np.float32)[labels]
    flat = random.uniform(0.2, 0.9)
    chromatin = flat + (1.0 - flat) * density
    chromatin += random.uniform(0.0, 0.3) * pick_texture(textures, labels.shape, random)
    soft = gaussian_filter(inside, random.uniform(0.5, 1.3))
    if random.random() < 0.4:
        rim = np.clip(1.6 - 1.4 * gaussian_filter(inside, random.uniform(1.5, 4.0)), 0.0, 1.0)
        pale = (random.random(count) < random.uniform(0.3, 1.0))[labels]
        chromatin = np.where(pale, chromatin * (0.25 + rim), chromatin)
    clouds = pick_texture(textures, labels.shape, random)
    cytoplasm = random.uniform(0.0, 0.25) * np.clip(0.5 + 0.5 * clouds, 0.0, 2.0)
    strength = gaussian_filter(np.where(labels > 0, strength, strength.max()), 0.5)
    return np.asarray(soft * np.clip(chromatin, 0.05, 1.6) * strength + cytoplasm, np.float32)


def _eosin(shape: tuple[int, ...], textures: Picture, random: Generator) -> Picture:
    body = 1.0 + random.uniform(0.1, 0.6) * pick_texture(textures, shape, random)
    body += random.uniform(0.0, 0.4) * pick_texture(textures, shape, random)
    eosin = random.uniform(0.05, 0.7) * np.clip(body, 0.0, 3.0)
    if random.random() < 0.5:
        gap = gaussian_filter(pick_texture(textures, shape, random), 2.0)
        eosin *= 1.0 / (1.0 + np.exp(-(gap + random.uniform(-0.3, 1.2)) * random.uniform(3, 12)))
    if random.random() < 0.35:
        blobs = gaussian_filter(random.standard_normal(shape), random.uniform(3.0, 7.0))
        blobs = 1.0 / (1.0 + np.exp(-(blobs / blobs.std() - random.uniform(1.2, 2.2)) * 8.0))
        eosin += random.uniform(0.3, 1.0) * blobs
    return np.asarray(eosin, np.float32)


def _random_vector(vector: Picture, random: Generator, spread: float) -> Picture:
    moved = np.clip(vector + random.normal(0.0, spread, 3), 0.02, 1.2)
    return (moved / np.linalg.norm(moved)).astype(np.float32)
