"""Colours of objects, as eyes see them that lack one kind of cone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tilescope.exchange.palette import RGB, class_colour
from tilescope_desktop.model.object_style import UNCLASSIFIED

#: From linear RGB to what is left of it (Machado, Oliveira and Fernandes 2009, severity 1).
EYES = {
    "all cones": np.eye(3),
    "protanopia": [
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ],
    "deuteranopia": [
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ],
    "tritanopia": [
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ],
}
TO_XYZ = np.array(
    [
        (0.4124564, 0.3575761, 0.1804375),
        (0.2126729, 0.7151522, 0.0721750),
        (0.0193339, 0.1191920, 0.9503041),
    ]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
CLASSES = [class_colour(index) for index in range(7)]
EOSIN, GLASS, HAEMATOXYLIN, BLACK = (230, 190, 215), (240, 240, 240), (110, 70, 150), (0, 0, 0)


def linear(color: RGB) -> NDArray[np.float64]:
    share = np.array(color) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(color: RGB, eye: str) -> NDArray[np.float64]:
    """Return CIELAB of a colour as an eye sees it."""
    seen = np.clip(np.array(EYES[eye]) @ linear(color), 0, 1)
    share = TO_XYZ @ seen / WHITE
    x, y, z = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def difference(a: RGB, b: RGB, eye: str) -> float:
    return float(np.linalg.norm(lab(a, eye) - lab(b, eye)))


def contrast(a: RGB, b: RGB) -> float:
    """Return the contrast of luminances, from 1 to 21."""
    dark, light = sorted(float(TO_XYZ[1] @ linear(color)) for color in (a, b))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("eye", EYES)
def test_no_class_looks_like_another_or_like_none(eye: str) -> None:
    least = min(difference(a, b, eye) for at, a in enumerate(CLASSES) for b in CLASSES[at + 1 :])
    assert least > 15
    assert min(difference(UNCLASSIFIED, one, eye) for one in CLASSES) > 30


@pytest.mark.parametrize("ground", [EOSIN, GLASS, HAEMATOXYLIN, BLACK])
@pytest.mark.parametrize("eye", EYES)
def test_objects_without_a_class_are_seen_on_tissue_glass_and_black(ground: RGB, eye: str) -> None:
    assert difference(UNCLASSIFIED, ground, eye) > 20
    if ground != HAEMATOXYLIN:  # which is as dark, but not as vivid
        assert contrast(UNCLASSIFIED, ground) > 3
