"""Random crops: geometry first, labels and centres moved with it, then light and colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from tilescope_training.nuclei import stains
from tilescope_training.nuclei.data import TARGET_DIAMETER_PX

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Picture = NDArray[np.floating[Any]]

    from tilescope_training.nuclei.data import Sample

SCALE_SPREAD = 0.33
"""Standard deviation of the logarithm of the nuclear size around its target."""

SCALE_BOUNDS = (0.5, 2.0)

SPINDLE_SHARE = 0.2
"""How often a crop is drawn out to make the long nuclei of muscle and stroma of round ones."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A square piece of a sample on the working grid.

    Parameters
    ----------
    image
        float32[n, n, 3] in 0..1.
    labels
        int32[n, n] with the sample's numbers.
    centres
        float32[m + 1, 2], (x, y) in the crop's pixels, inside it or not.
    ignored
        bool[n, n], pixels whose label is not to be learnt; None for no such pixels.
    """

    image: Picture
    labels: NDArray[np.int32]
    centres: Picture
    ignored: NDArray[np.bool_] | None = None


def take_crop(sample: Sample, centres: Picture, size_px: int, random: Generator) -> Crop:
    """Return a randomly placed, turned, mirrored, stretched and scaled crop.

    What lies beyond the sample's edge is filled with its background and labelled as such.
    """
    jitter = float(np.clip(np.exp(random.normal(0.0, SCALE_SPREAD)), *SCALE_BOUNDS))
    scale = jitter * TARGET_DIAMETER_PX / (sample.diameter_px or TARGET_DIAMETER_PX)
    backward = _backward_matrix(scale, random)
    origin = _place(sample.labels.shape, backward, size_px, random)
    middle = (size_px - 1) / 2.0
    wobble = _wobble(size_px, random)
    steps = np.mgrid[0:size_px, 0:size_px][::-1] - middle + wobble
    source = np.einsum("ab,bhw->ahw", backward, steps) + origin[:, None, None]
    image, labels = _sample_at(sample, source, scale, random)
    moved = (centres - origin) @ np.linalg.inv(backward).T + middle
    at = np.clip(np.rint(moved), 0, size_px - 1).astype(np.intp)
    moved -= wobble[:, at[:, 1], at[:, 0]].T
    return Crop(image, labels, moved.astype(np.float32))


def _backward_matrix(scale: float, random: Generator) -> NDArray[np.float64]:
    """Return the 2x2 matrix from crop steps (x, y) to sample steps."""
    quarter = random.integers(4) * np.pi / 2
    angle = quarter + (random.uniform(-np.pi / 4, np.pi / 4) if random.random() < 0.5 else 0.0)
    stretch = np.exp(random.normal(0.0, 0.08)) if random.random() < 0.5 else 1.0
    if random.random() < SPINDLE_SHARE:
        stretch = np.exp(random.uniform(0.15, 0.5))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mirror = np.diag([random.choice([-1.0, 1.0]), 1.0])
    return turn @ mirror @ np.diag([stretch, 1.0 / stretch]) / scale


def _place(
    shape: tuple[int, ...], backward: NDArray[np.float64], size_px: int, random: Generator
) -> NDArray[np.float64]:
    reach = np.abs(backward).sum(axis=1) * size_px / 2.0
    extent = np.array([shape[1], shape[0]], np.float64) - 1.0
    low, high = np.minimum(reach * 0.9, extent / 2.0), np.maximum(extent - reach * 0.9, extent / 2)
    return np.asarray(random.uniform(low, high), np.float64)


def _wobble(size_px: int, random: Generator) -> NDArray[np.float64]:
    """Return a smooth displacement of at most a few px, float64[2, n, n]."""
    if random.random() < 0.6:
        return np.zeros((2, size_px, size_px))
    knots = random.normal(0.0, 1.3, (2, 6, 6))
    return np.stack([zoom(k, size_px / 6.0, order=1)[:size_px, :size_px] for k in knots])


def nuclear_signal(pixels: Picture, sample: Sample, random: Generator) -> Picture:
    """Return float32[h, w, 1], bright where nuclei are, as the adapter's ``encode`` makes it.

    Of a stained sample that is the darkness of red, which haematoxylin absorbs and eosin does not.
    Stains and scanners differ in what else reaches red: some green and blue is mixed in.
    """
    if sample.dark_background:
        return pixels.max(axis=2, keepdims=True)
    return darkness(pixels, random)


def darkness(rgb: Picture, random: Generator) -> Picture:
    """Return one minus red with a random share of green and blue, float32[h, w, 1]."""
    green = random.uniform(0.0, 0.35) if random.random() < 0.5 else 0.0
    blue = random.uniform(0.0, 0.15) if random.random() < 0.3 else 0.0
    shares = np.array([1.0 - green - blue, green, blue], np.float32)
    return np.asarray(1.0 - rgb @ shares[:, None], np.float32)


def _sample_at(
    sample: Sample, source: NDArray[np.float64], scale: float, random: Generator
) -> tuple[Picture, NDArray[np.int32]]:
    height, width = sample.labels.shape
    grid = np.rint(source).astype(np.intp)
    outside = (grid[0] < 0) | (grid[0] >= width) | (grid[1] < 0) | (grid[1] >= height)
    rows, columns = np.clip(grid[1], 0, height - 1), np.clip(grid[0], 0, width - 1)
    labels = np.where(outside, 0, sample.labels[rows, columns])
    # Only the piece that the crop sees is converted and smoothed: whole samples are much larger.
    reach = int(np.ceil(2.0 / scale)) + 1
    top, left = max(int(rows.min()) - reach, 0), max(int(columns.min()) - reach, 0)
    window = np.s_[top : rows.max() + reach + 1, left : columns.max() + reach + 1]
    pixels = sample.image[window].astype(np.float32) / np.float32(255.0)
    pixels = nuclear_signal(pixels, sample, random)
    if scale < 0.8:
        pixels = gaussian_filter(pixels, (0.4 / scale, 0.4 / scale, 0.0))
    at = source[::-1] - np.array([top, left])[:, None, None]
    planes = [map_coordinates(p, at, order=1, mode="nearest") for p in pixels.transpose(2, 0, 1)]
    image = np.stack(planes, axis=2)
    if outside.any():
        ground = sample.labels[window] == 0
        image[outside] = np.median(pixels[ground], axis=0) if ground.any() else 0.0
    return np.broadcast_to(image, (*labels.shape, 3)).astype(np.float32), labels


def light_signal(crop: Crop, textures: Picture, random: Generator) -> Picture:
    """Return the crop as another microscope, stain and display window would show it.

    float32[n, n, 3] in 0..1 with three equal channels.
    """
    grey = crop.image[..., 0].copy()
    if random.random() < 0.3:
        grey = _dim_some_nuclei(grey, crop.labels, random)
    if random.random() < 0.25:
        grey = _hollow_some_nuclei(grey, crop.labels, textures, random)
    low = np.percentile(grey, random.uniform(0.0, 5.0))
    high = np.percentile(grey, random.uniform(99.0, 99.95))
    high = low + max(float(high - low), 0.02) * np.exp(random.normal(0.0, 0.4))
    grey = np.clip((grey - low) / (high - low), 0.0, 1.5)
    shape = grey.shape
    if random.random() < 0.3:
        grey *= np.clip(1.0 + random.uniform(0.1, 0.4) * _smooth(textures, shape, random), 0.2, 3.0)
    if random.random() < 0.35:
        haze = np.clip(_smooth(textures, shape, random), 0.0, 2.0)
        grey += random.uniform(0.0, 0.3) * haze + random.uniform(0.0, 0.15)
    if random.random() < 0.15:
        grey += random.uniform(0.0, 0.08) * stains.pick_texture(textures, shape, random)
    grey = np.clip(grey, 0.0, 1.0) ** np.exp(random.uniform(np.log(0.4), np.log(2.5)))
    grey = optics(grey[..., None], random)[..., 0]
    if random.random() < 0.5:
        black, white = random.uniform(0.0, 0.12), random.uniform(0.6, 1.0)
        grey = black + (white - black) * grey
    grey = sensor(grey[..., None], random)
    return np.repeat(grey, 3, axis=2)


def make_blank(size_px: int, textures: Picture, random: Generator) -> Picture:
    """Return a picture without a nucleus: empty glass, dark field, or tissue ground."""
    kind = random.random()
    if kind < 0.4:
        none = np.zeros((size_px, size_px), np.int32)
        ground = stains.make_histology(np.zeros(none.shape, np.float32), none, textures, random)
        signal = darkness(optics(ground, random), random)
    else:
        flat = random.uniform(0.0, 0.25) + np.zeros((size_px, size_px, 1))
        flat += random.uniform(0.0, 0.05) * _smooth(textures, flat.shape[:2], random)[..., None]
        signal = np.clip(flat, 0.0, 1.0).astype(np.float32)
    return np.repeat(sensor(signal, random), 3, axis=2)


def _dim_some_nuclei(grey: Picture, labels: NDArray[np.int32], random: Generator) -> Picture:
    factors = np.exp(random.normal(-0.3, 0.5, int(labels.max()) + 1)).astype(np.float32)
    factors[0] = 1.0
    ground = float(np.median(grey[labels == 0])) if (labels == 0).any() else 0.0
    return np.asarray(
        ground + (grey - ground) * gaussian_filter(np.minimum(factors, 1.3)[labels], 0.7),
        np.float32,
    )


def _hollow_some_nuclei(
    grey: Picture, labels: NDArray[np.int32], textures: Picture, random: Generator
) -> Picture:
    """Return the picture with open chromatin: some nuclei pale and grainy inside a dark rim."""
    if not labels.any() or (labels > 0).all():
        return grey
    inside = labels > 0
    ground = float(np.median(grey[~inside]))
    depth = gaussian_filter(inside.astype(np.float32), random.uniform(1.5, 3.5))
    pale = (random.random(int(labels.max()) + 1) < random.uniform(0.3, 1.0))[labels] & inside
    grains = stains.pick_texture(textures, grey.shape, random)
    grains = gaussian_filter(grains, random.uniform(0.3, 1.2))
    emptied = np.clip(depth - 0.5, 0.0, 0.5) * 2.0 * random.uniform(0.3, 0.8)
    kept = 1.0 - emptied * np.clip(1.0 + random.uniform(0.2, 0.8) * grains, 0.0, 2.0)
    hollow = ground + (grey - ground) * np.clip(kept, 0.1, 1.5)
    return np.asarray(np.where(pale, hollow, grey), np.float32)


def _smooth(textures: Picture, shape: tuple[int, ...], random: Generator) -> Picture:
    return np.asarray(
        gaussian_filter(stains.pick_texture(textures, shape, random), random.uniform(4.0, 25.0)),
        np.float32,
    )


def optics(image: Picture, random: Generator) -> Picture:
    """Return the image out of focus, or sharpened, or as it was."""
    kind = random.random()
    if kind < 0.35:
        sigma = abs(random.normal(0.0, 1.2))
        return np.asarray(gaussian_filter(image, (sigma, sigma, 0.0)), np.float32)
    if kind < 0.5:
        soft = gaussian_filter(image, (1.2, 1.2, 0.0))
        return np.asarray(
            np.clip(image + random.uniform(0.3, 1.5) * (image - soft), 0.0, 1.0), np.float32
        )
    return image


def sensor(image: Picture, random: Generator) -> Picture:
    """Return the image with photon and read noise and, at times, JPEG blocks."""
    image = image.astype(np.float32)
    if random.random() < 0.4:
        read, shot = abs(random.normal(0.0, 0.02)), abs(random.normal(0.0, 0.03))
        noise = random.standard_normal(image.shape, np.float32)
        image = image + noise * np.sqrt(read**2 + shot**2 * np.clip(image, 0.0, 1.0))
    image = np.clip(image, 0.0, 1.0)
    if random.random() < 0.2:
        pixels = np.ascontiguousarray(np.rint(image * 255.0), np.uint8)
        coded = imagecodecs.jpeg8_encode(pixels, level=int(random.integers(30, 92)))
        decoded = np.asarray(imagecodecs.jpeg8_decode(coded)).reshape(pixels.shape)
        image = decoded.astype(np.float32) / np.float32(255.0)
    return image.astype(np.float32)
