"""What other tools make of a click, for the same pictures and the same clicks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_fill_holes, gaussian_gradient_magnitude, label, watershed_ift

from tilescope.plugins.api import TileImage
from tilescope_nuclick.adapter import picture_planes
from tilescope_training.nuclei.data import TARGET_DIAMETER_PX, resize_labels
from tilescope_training.nuclei.evaluate import contrast_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilescope_training.nuclei.data import Sample
    from tilescope_training.nuclei.evaluate import Predictor

TOLERANCE = 0.2
"""How far from the clicked brightness the wand goes, as a share of the slide's window."""

REACH = 1.25
"""How far from the click wand and watershed look, in usual diameters."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One picture as the peers see it.

    Attributes
    ----------
    signal
        float32[h, w], bright where nuclei are, in the slide's window.
    diameter_px
        Usual diameter of its objects.
    """

    signal: NDArray[np.float32]
    diameter_px: float

    @classmethod
    def of(cls, sample: Sample) -> Scene:
        """Return the scene of a sample."""
        contrast = contrast_of(sample.image, dark_background=sample.dark_background)
        planes = picture_planes(TileImage(sample.image, contrast))
        return cls(np.clip(planes[0], 0.0, 1.0), sample.diameter_px or TARGET_DIAMETER_PX)

    def flood(self, x: float, y: float) -> NDArray[np.bool_]:
        """Return what a wand takes: connected pixels of about the clicked brightness."""
        window, row, column = self._window(x, y)
        piece = self.signal[window]
        near = np.abs(piece - piece[row, column]) <= TOLERANCE
        parts, _ = label(near)
        return self._whole(window, binary_fill_holes(parts == parts[row, column]))

    def watershed(self, x: float, y: float) -> NDArray[np.bool_]:
        """Return the basin of the click in the gradient, against the rim of the window."""
        window, row, column = self._window(x, y)
        slope = gaussian_gradient_magnitude(self.signal[window], 1.0)
        height = np.asarray(np.clip(slope / max(float(slope.max()), 1e-6), 0, 1) * 255, np.uint8)
        markers = np.zeros(height.shape, np.int16)
        markers[[0, -1]] = markers[:, [0, -1]] = 2
        markers[row, column] = 1
        return self._whole(window, watershed_ift(height, markers) == 1)

    def _window(self, x: float, y: float) -> tuple[tuple[slice, slice], int, int]:
        reach = int(np.ceil(REACH * self.diameter_px))
        height, width = self.signal.shape
        row, column = min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)
        top, left = max(0, row - reach), max(0, column - reach)
        window = np.s_[top : row + reach + 1, left : column + reach + 1]
        return window, row - top, column - left

    def _whole(self, window: tuple[slice, slice], piece: NDArray[np.bool_]) -> NDArray[np.bool_]:
        mask = np.zeros(self.signal.shape, np.bool_)
        mask[window] = piece
        return mask


def nuclei_labels(predictor: Predictor, sample: Sample) -> NDArray[np.int32]:
    """Return all objects that a network without clicks finds, int32[h, w]."""
    contrast = contrast_of(sample.image, dark_background=sample.dark_background)
    factor = TARGET_DIAMETER_PX / (sample.diameter_px or TARGET_DIAMETER_PX)
    return resize_labels(predictor.find(sample.image, contrast, factor).labels, sample.labels.shape)


def object_at(labels: NDArray[np.int32], x: float, y: float) -> NDArray[np.bool_]:
    """Return the object under a click, empty where there is none, bool[h, w]."""
    row = min(max(int(y), 0), labels.shape[0] - 1)
    column = min(max(int(x), 0), labels.shape[1] - 1)
    number = int(labels[row, column])
    return (labels == number) & (number > 0)
