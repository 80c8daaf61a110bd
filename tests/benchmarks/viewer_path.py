"""The way both viewers go over the slide: every step is a place and a scale."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

#: Size of the window in pixels.
WINDOW = (1920, 1080)
#: One step is shown so long, as on a screen of 60 Hz; what a viewer does not need is left to it.
FRAME_S = 1 / 60

_NEAR = 1.3


@dataclass(frozen=True, slots=True)
class Step:
    """A place in level-0 pixels and how many of them a screen pixel shows."""

    x: float
    y: float
    l0_per_px: float


def steps(side: int) -> list[Step]:
    """Return a pan, a zoom out and in, and a fling, over a slide of ``side`` pixels squared."""
    x = y = side * 0.4
    path: list[Step] = []
    for _ in range(150):
        x, y = x + 23 * _NEAR, y + 11 * _NEAR
        path.append(Step(x, y, _NEAR))
    scale = _NEAR
    for index in range(80):
        scale *= 1.06 if index < 40 else 1 / 1.06
        path.append(Step(x, y, scale))
    speed = 70.0
    while speed > 0.5:
        x, y = x - speed * _NEAR, y + speed * 0.4 * _NEAR
        speed *= 0.95
        path.append(Step(x, y, _NEAR))
    return path


def jumps(side: int, count: int, seed: int) -> list[Step]:
    """Return places far from each other, at scales from close to half the slide."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        scale = math.exp(chance.uniform(math.log(0.8), math.log(12.0)))
        found.append(Step(*(chance.uniform(0.2, 0.8) * side for _ in range(2)), scale))
    return found
