"""How the bands of a slide are shown at first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.slide import SlideInfo
from tilescope.ops.compose import ChannelStyle
from tilescope_desktop.model.channels import window_of

_RGB = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
#: Blue, green, red, then colours that stay apart for most colour-blind eyes.
_CHANNELS = (
    (64, 128, 255),
    (0, 220, 90),
    (255, 60, 60),
    (255, 200, 0),
    (220, 80, 255),
    (0, 220, 220),
    (255, 255, 255),
)


def full_range(dtype: str) -> tuple[float, float]:
    """Return the window in which nothing is cut, 0-1 for floats."""
    return (0.0, float(np.iinfo(dtype).max)) if dtype.startswith("uint") else (0.0, 1.0)


def default_styles(info: SlideInfo, sample: NDArray[Any] | None = None) -> tuple[ChannelStyle, ...]:
    """Return one style per band: colour as stored, fluorescence windowed to what is there.

    Parameters
    ----------
    sample
        ``[height, width, bands]`` of a coarse level, from which windows are taken; None shows the
        dtype's full range.
    """
    low, high = full_range(info.dtype)
    if info.is_rgb:
        return tuple(ChannelStyle(low, high, color=color) for color in _RGB)
    colors: Sequence[tuple[int, int, int]] = _CHANNELS
    if len(info.bands) == 1:
        colors = _CHANNELS[-1:]
    styles = []
    for index in range(len(info.bands)):
        window = None if sample is None else window_of(sample[..., index], (high - low) / 255)
        styles.append(ChannelStyle(*(window or (low, high)), color=colors[index % len(colors)]))
    return tuple(styles)
