"""What happens to the values of a tile before a network, and to its outputs after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.encoding import (
    Activation,
    ActivationName,
    Clip,
    Linear,
    Standardise,
    Step,
    Stretch,
    Threshold,
    UnitRange,
)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """The channels of one tile, and what each of them is like over the whole slide.

    Attributes
    ----------
    values
        ``float32[channels, height, width]``.
    low, high
        ``float32[channels]``: the slide's intensity window.
    mean, deviation
        ``float32[channels]`` over the slide; None where nobody measured them.
    full_scale
        The value that means white; 0 where only the window can tell.
    """

    values: Floats
    low: Floats
    high: Floats
    mean: Floats | None = None
    deviation: Floats | None = None
    full_scale: float = 0.0

    def moments(self, *, per_channel: bool) -> tuple[Floats, Floats]:
        """Return mean and deviation of each channel, or of all channels together.

        They are the slide's, the same in every tile; where nobody measured them, the tile's own.
        """
        if self.mean is None or self.deviation is None:
            mean = self.values.mean(axis=(1, 2), dtype=np.float64)
            deviation = self.values.std(axis=(1, 2), dtype=np.float64)
        else:
            mean, deviation = self.mean.astype(np.float64), self.deviation.astype(np.float64)
        if not per_channel:
            pooled = mean.mean()
            square = (deviation**2 + mean**2).mean() - pooled**2
            mean, deviation = np.array([pooled]), np.sqrt(np.maximum([square], 0.0))
        return mean.astype(np.float32), deviation.astype(np.float32)

    def mapped(self, zero: Floats, gain: Floats, offset: Floats) -> Planes:
        """Return ``(values - zero) * gain + offset``; each has one entry or one per channel.

        The values are changed in place: a tile's arrays are what a memory cap is planned with.
        """
        ends = np.stack([(self.low - zero) * gain + offset, (self.high - zero) * gain + offset])
        values = self.values
        if zero.any():
            values -= zero[:, None, None]
        values *= gain[:, None, None]
        if offset.any():
            values += offset[:, None, None]
        return Planes(
            values,
            ends.min(axis=0),
            ends.max(axis=0),
            None if self.mean is None else (self.mean - zero) * gain + offset,
            None if self.deviation is None else self.deviation * np.abs(gain),
        )


_NOUGHT = np.zeros(1, np.float32)


def prepared(planes: Planes, steps: Sequence[Step]) -> Floats:
    """Return the channels after all steps, ``float32[channels, height, width]``.

    They are the array that was given, changed, where that is possible.
    """
    for step in steps:
        planes = _after(planes, step)
    return planes.values


def _after(planes: Planes, step: Step) -> Planes:  # noqa: PLR0911 - one per kind
    match step:
        case UnitRange():
            return _to_unit_range(planes)
        case Linear(gain=gain, offset=offset):
            return planes.mapped(_NOUGHT, np.array(gain, np.float32), np.array(offset, np.float32))
        case Standardise(per_channel=per_channel, eps=eps):
            mean, deviation = planes.moments(per_channel=per_channel)
            return planes.mapped(mean, np.reciprocal(deviation + np.float32(eps)), _NOUGHT)
        case Stretch(per_channel=per_channel, eps=eps):
            bottom = planes.low if per_channel else planes.low.min(keepdims=True)
            top = planes.high if per_channel else planes.high.max(keepdims=True)
            return planes.mapped(bottom, np.reciprocal(top - bottom + np.float32(eps)), _NOUGHT)
        case Clip(low=low, high=high):
            ends = {name: np.clip(getattr(planes, name), low, high) for name in ("low", "high")}
            np.clip(planes.values, low, high, out=planes.values)
            return replace(planes, **ends)
        case Activation(name=name):
            return replace(planes, values=activated(planes.values, name))
        case Threshold(at=at):
            return replace(planes, values=(planes.values > at).astype(np.float32))
        case unreachable:
            assert_never(unreachable)


def _to_unit_range(planes: Planes) -> Planes:
    if planes.full_scale:
        return planes.mapped(_NOUGHT, np.array([1 / planes.full_scale], np.float32), _NOUGHT)
    unit = planes.mapped(planes.low, np.reciprocal(planes.high - planes.low), _NOUGHT)
    np.clip(unit.values, 0.0, 1.0, out=unit.values)
    return unit


def finished(values: Floats, steps: Sequence[Step]) -> Floats:
    """Return outputs after all steps; the first axis is that of the classes.

    Steps that need a slide, as standardising does, take the tile's own numbers.
    """
    if not steps:
        return values
    flat = values.reshape(len(values), -1, 1).copy()
    edges = flat.min(axis=(1, 2)), flat.max(axis=(1, 2))
    return prepared(Planes(flat, *edges), steps).reshape(values.shape)


def activated(values: Floats, name: ActivationName) -> Floats:
    """Return probabilities; ``softmax`` is over the first axis."""
    match name:
        case "sigmoid":
            # exp of a large number overflows; tanh does not.
            half: Floats = np.tanh(values * np.float32(0.5))
            return half * np.float32(0.5) + np.float32(0.5)
        case "softmax":
            powers = np.exp(values - values.max(axis=0, keepdims=True))
            shares: Floats = powers / powers.sum(axis=0, keepdims=True)
            return shares
        case "exp":
            exponents: Floats = np.exp(np.minimum(values, np.float32(0.0)))
            return exponents
        case unreachable:
            assert_never(unreachable)
