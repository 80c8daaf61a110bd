"""Maps in colours: every class in its own, heat from nothing by yellow to red."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.exchange.classmap import classes_of
from tilescope.exchange.heat import heat_of
from tilescope.exchange.palette import RGB
from tilescope_desktop.model.map_facts import MapFacts, MapKind

#: ``uint32[h, w]``, ``0xAARRGGBB`` with colours multiplied by alpha.
Picture = NDArray[np.uint32]


def painter_of(facts: MapFacts) -> Callable[[NDArray[Any]], Picture]:
    """Return what makes pictures of pixels ``[h, w, bands]`` of a map."""
    colors = [color for _, color in facts.classes]
    if facts.kind is MapKind.CLASSES:
        table = class_words(colors)
        return lambda pixels: table[pixels[..., 0]]
    if facts.kind is MapKind.HEAT:
        return lambda pixels: HEAT_WORDS[pixels[..., 0]]
    if len(colors) == 1:
        return lambda pixels: HEAT_WORDS[heat_of(pixels[..., 0].clip(0, 1))]
    table = class_words(colors)
    return lambda pixels: table[_likeliest(pixels, facts.threshold)]


def class_words(colors: Sequence[RGB]) -> NDArray[np.uint32]:
    """Return ``uint32[65536]``: the colour of each number; 0 and unknown ones are nothing."""
    table = np.zeros(1 << 16, np.uint32)
    for number, (red, green, blue) in enumerate(colors, 1):
        table[number] = 0xFF000000 | red << 16 | green << 8 | blue
    return table


def _likeliest(scores: NDArray[np.float32], threshold: float) -> NDArray[Any]:
    found = classes_of(np.moveaxis(scores, 2, 0), threshold)
    # Where nobody looked all are zero.
    return np.where(scores.any(axis=2), found, 0)


def _heat_words() -> NDArray[np.uint32]:
    """Return ``uint32[256]``: the colour of each probability in 255ths."""
    share = np.arange(256) / 255
    red = np.full(256, 255.0)
    green = 220 * (1 - share) ** 0.7
    alpha = np.clip(share * 1.6, 0, 1)
    channels = [np.round(part * alpha).astype(np.uint32) for part in (red, green, np.zeros(256))]
    words = np.round(255 * alpha).astype(np.uint32) << 24
    return (words | (channels[0] << 16) | (channels[1] << 8) | channels[2]).astype(np.uint32)


HEAT_WORDS = _heat_words()
