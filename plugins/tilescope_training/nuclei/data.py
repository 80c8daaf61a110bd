"""Images with instance labels in memory, as the network's encoder would show them.

The training set is the first stage of the 2018 Data Science Bowl with the community's label fixes
(CC0): ``images/*.png``, ``labels/*.png`` (0 background, 1..n nuclei) and ``index.csv``.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import imagecodecs
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Modality = Literal["fluorescence", "histology", "grey"]

MODALITIES: dict[str, Modality] = {
    "fluorescence": "fluorescence",
    "histology_purple_dark": "histology",
    "histology_purple_white": "histology",
    "brightfield_gray": "grey",
}
"""The index's modality column, folded into the three that are told apart here."""

TARGET_DIAMETER_PX = 24.0
"""Nuclear diameter on the working grid."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image.

    Parameters
    ----------
    name
        File stem.
    modality
        What kind of picture it is.
    image
        uint8[h, w, 3].
    labels
        int32[h, w], 0 background, 1..n nuclei without gaps.
    diameter_px
        Size-weighted nuclear diameter on this grid, None where no nucleus is labelled.
    """

    name: str
    modality: Modality
    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    diameter_px: float | None

    def __post_init__(self) -> None:
        if self.image.shape != (*self.labels.shape, 3):
            raise ValueError(f"{self.name}: image {self.image.shape}, labels {self.labels.shape}")

    @property
    def dark_background(self) -> bool:
        """Whether nuclei are brighter than what surrounds them."""
        return self.modality == "fluorescence"


def nuclear_diameter(labels: NDArray[np.int32]) -> float | None:
    """Return ``2 sqrt(A / pi)`` with ``A`` the root mean square area, in px; None without objects.

    The size measure by which Kromp et al. 2021 (doi 10.1109/TMI.2021.3069558) bring images to one
    nuclear size: squaring gives large nuclei more weight than debris.
    """
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    if areas.size == 0:
        return None
    return float(2.0 * np.sqrt(np.sqrt(np.mean(areas.astype(np.float64) ** 2)) / np.pi))


def relabel(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return the same objects numbered 1..n without gaps, int32[h, w]."""
    present, inverse = np.unique(labels, return_inverse=True)
    if present[0] != 0:
        inverse = inverse + 1
    return np.asarray(inverse, np.int32).reshape(labels.shape)


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8[h, w, 3] from grey, grey with alpha, RGB or RGBA; alpha is dropped."""
    if image.ndim == 2 or image.shape[2] <= 2:
        grey = image if image.ndim == 2 else image[..., 0]
        return np.repeat(grey[..., None], 3, axis=2)
    return np.ascontiguousarray(image[..., :3])


def read_sample(image_file: Path, label_file: Path, modality: Modality) -> Sample:
    """Read one image and its labels."""
    labels = relabel(np.asarray(imagecodecs.imread(str(label_file))))
    image = as_rgb(np.asarray(imagecodecs.imread(str(image_file))))
    return Sample(image_file.stem, modality, image, labels, nuclear_diameter(labels))


def read_dsb2018(directory: Path) -> tuple[Sample, ...]:
    """Read the whole training set in the order of its index."""
    with (directory / "index.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return tuple(
        read_sample(
            directory / "images" / f"{row['image_id']}.png",
            directory / "labels" / f"{row['image_id']}.png",
            MODALITIES[row["modality"]],
        )
        for row in rows
    )


def read_folder(directory: Path, modality: Modality) -> tuple[Sample, ...]:
    """Read ``images/*`` with the labels of the same stem, in name order."""
    labels = {path.stem: path for path in (directory / "labels").iterdir()}
    return tuple(
        read_sample(path, labels[path.stem], modality)
        for path in sorted((directory / "images").iterdir())
    )


def hash_data(directory: Path) -> str:
    """Return the SHA-256 over index, if any, images and labels in name order: the training data."""
    digest = hashlib.sha256()
    for index in directory.glob("index.csv"):
        digest.update(index.read_bytes())
    for path in sorted((*directory.glob("images/*"), *directory.glob("labels/*"))):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def shrink(sample: Sample, diameter_px: float) -> Sample:
    """Return the sample no larger than ``diameter_px`` per nucleus, so that cropping stays cheap.

    Enlarging is left to the crop: only information that the working grid cannot hold is dropped.
    """
    if sample.diameter_px is None or sample.diameter_px <= diameter_px:
        return sample
    factor = diameter_px / sample.diameter_px
    image = resize_image(sample.image.astype(np.float32), factor)
    labels = relabel(resize_labels(sample.labels, image.shape[:2]))
    image8 = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return replace(
        sample, image=image8, labels=labels, diameter_px=nuclear_diameter(labels) or diameter_px
    )


def resize_image(image: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Return the image times ``factor`` in size: bilinear, the triangle widened when it shrinks.

    float32[h, w, c] in and out, corners aligned as pixel areas.
    """
    height, width = (max(1, round(n * factor)) for n in image.shape[:2])
    rows = _resampling_matrix(image.shape[0], height)
    columns = _resampling_matrix(image.shape[1], width)
    half = np.einsum("oi,iwc->owc", rows, image, optimize=True)
    return np.asarray(np.einsum("oi,hic->hoc", columns, half, optimize=True), np.float32)


def resize_labels(labels: NDArray[np.int32], shape: Iterable[int]) -> NDArray[np.int32]:
    """Return the labels on a grid of ``shape`` (h, w) by nearest neighbour."""
    height, width = shape
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(np.intp)
    return labels[np.ix_(rows, columns)]


def _resampling_matrix(size_in: int, size_out: int) -> NDArray[np.float32]:
    step = size_in / size_out
    centres = (np.arange(size_out) + 0.5) * step - 0.5
    reach = max(step, 1.0)
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(size_in)[None] - centres[:, None]) / reach)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
