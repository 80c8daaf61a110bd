"""What a model plugin implements: the only module under a compatibility promise.

A plugin is a manifest (``plugin.toml``) and an adapter with two pure functions. The adapter turns
arrays into arrays; it owns no thread, session, file or widget, and may be called from any one
thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.contrast import Contrast

__all__ = ["Contrast", "Instances", "TileAdapter", "TileImage"]


@dataclass(frozen=True, slots=True, eq=False)
class TileImage:
    """One tile on the model's working grid.

    Attributes
    ----------
    pixels
        ``[height, width, bands]`` in the slide's dtype (uint8, uint16 or float32).
    contrast
        Whether the slide is dark-field, and the intensity window of each band, taken once for the
        whole slide: a window per tile would make seams.
    """

    pixels: NDArray[Any]
    contrast: Contrast


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """Objects of one tile.

    Attributes
    ----------
    labels
        ``int32[height, width]``: 0 is background, objects are 1 to n.
    scores
        ``float32[n]`` between 0 and 1; element ``i`` belongs to label ``i + 1``.
    classes
        ``uint16[n]``: index into the manifest's classes.
    """

    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    classes: NDArray[np.uint16]


@runtime_checkable
class TileAdapter(Protocol):
    """The two pure functions of an instance segmentation model."""

    def encode(self, tile: TileImage, /) -> Mapping[str, NDArray[np.float32]]:
        """Return the graph's inputs for one tile, ``[1, channels, height, width]`` each."""
        ...

    def decode(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        parameters: Mapping[str, float],
        /,
    ) -> Instances:
        """Return the objects in the graph's outputs for one tile.

        What is decided for a pixel may depend only on outputs at most ``decode_margin`` pixels
        away from it; that is what makes tile-by-tile results equal whole-image results.
        """
        ...
