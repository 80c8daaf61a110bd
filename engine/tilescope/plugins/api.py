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

from tilescope.domain.clicks import ClickMask, Clicks
from tilescope.domain.contrast import Contrast

__all__ = [
    "Boxes",
    "ClassMap",
    "ClickAdapter",
    "ClickMask",
    "Clicks",
    "Contrast",
    "Instances",
    "TileAdapter",
    "TileImage",
    "TileScores",
]


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


@dataclass(frozen=True, slots=True, eq=False)
class ClassMap:
    """What every pixel of one tile is: the result of semantic segmentation and of heat maps.

    Attributes
    ----------
    probabilities
        ``float32[classes, height, width]`` between 0 and 1, in the order of the manifest's
        classes; one class means a heat map. A network's map may be coarser than the tile by a
        whole number.
    """

    probabilities: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class TileScores:
    """What one tile is as a whole: the result of tile classification.

    Attributes
    ----------
    probabilities
        ``float32[classes]`` between 0 and 1, in the order of the manifest's classes.
    """

    probabilities: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Boxes found in one tile.

    Attributes
    ----------
    corners
        ``float32[n, 4]``: x0, y0, x1, y1 in pixels of the tile.
    scores
        ``float32[n]`` between 0 and 1.
    classes
        ``uint16[n]``: index into the manifest's classes.
    """

    corners: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.uint16]


TileResult = Instances | ClassMap | TileScores | Boxes


@runtime_checkable
class TileAdapter(Protocol):
    """The two pure functions of a model that runs tile by tile.

    The task in the manifest says what ``decode`` returns: ``instances`` an `Instances`,
    ``semantic`` a `ClassMap`, ``classification`` a `TileScores`, ``detect`` a `Boxes`.
    """

    def encode(self, tile: TileImage, /) -> Mapping[str, NDArray[Any]]:
        """Return the graph's inputs for one tile, in the layout and dtype of the manifest."""
        ...

    def decode(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        parameters: Mapping[str, float],
        /,
    ) -> TileResult:
        """Return what the graph's outputs say of one tile.

        What is decided for a pixel may depend only on outputs at most ``decode_margin`` pixels
        away from it; that is what makes tile-by-tile results equal whole-image results.
        """
        ...


@runtime_checkable
class ClickAdapter(Protocol):
    """The two pure functions of a model that segments what a person points at."""

    def encode(self, patch: TileImage, clicks: Clicks, /) -> Mapping[str, NDArray[Any]]:
        """Return the graph's inputs for one prompt, in the layout and dtype of the manifest.

        ``clicks`` are in pixels of the patch.
        """
        ...

    def decode(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        clicks: Clicks,
        parameters: Mapping[str, float],
        /,
    ) -> ClickMask:
        """Return the object pointed at, an empty mask when there is none."""
        ...
