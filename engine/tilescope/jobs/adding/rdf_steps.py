"""Pre- and postprocessing of the BioImage Model Zoo as steps of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tilescope.domain.encoding import (
    Activation,
    Clip,
    Linear,
    Standardise,
    Step,
    Stretch,
    Threshold,
)
from tilescope.jobs.adding.model_hints import BadDescription, numbers

Values = Mapping[str, Any]

_CHANNEL = {"c", "channel"}


def read_steps(path: Path, values: object) -> tuple[Step, ...]:
    """Return the steps of one tensor.

    Raises
    ------
    BadDescription
        When one is not known or makes no sense.
    """
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise BadDescription(path, "pre- and postprocessing must be lists of steps")
    found = []
    for value in values:
        name = str(value.get("id") or value.get("name"))
        kwargs = value.get("kwargs")
        try:
            step = _step(name, kwargs if isinstance(kwargs, dict) else {})
        except (KeyError, ValueError, TypeError) as exc:
            raise BadDescription(path, f"step {name[:60]!r}: {exc}") from exc
        if step is not None:
            found.append(step)
    return tuple(found)


def _step(name: str, kwargs: Values) -> Step | None:  # noqa: PLR0911 - one per step
    match name:
        case "ensure_dtype":
            return None
        case "scale_linear":
            return Linear(_numbers(kwargs, "gain", 1.0), _numbers(kwargs, "offset", 0.0))
        case "zero_mean_unit_variance" if kwargs.get("mean") is None:
            return Standardise(_is_per_channel(kwargs), float(kwargs.get("eps", 1e-6)))
        case "zero_mean_unit_variance" | "fixed_zero_mean_unit_variance":
            return _fixed(kwargs)
        case "scale_range":
            return Stretch(
                float(kwargs.get("min_percentile", 0.0)),
                float(kwargs.get("max_percentile", 100.0)),
                _is_per_channel(kwargs),
                float(kwargs.get("eps", 1e-6)),
            )
        case "clip":
            return Clip(float(kwargs["min"]), float(kwargs["max"]))
        case "sigmoid":
            return Activation("sigmoid")
        case "softmax":
            return Activation("softmax")
        case "binarize":
            return Threshold(float(kwargs["threshold"]))
        case _:
            msg = "is not known; write a plugin, or export the model with this step inside"
            raise ValueError(msg)


def _is_per_channel(kwargs: Values) -> bool:
    """Tell whether channels are normalised one by one: when the axes named leave them out."""
    axes = kwargs.get("axes")
    return axes is not None and not _CHANNEL & set(map(str, axes))


def _fixed(kwargs: Values) -> Linear:
    mean, deviation = _numbers(kwargs, "mean", 0.0), _numbers(kwargs, "std", 1.0)
    eps = float(kwargs.get("eps", 1e-6))
    gain = tuple(1 / (value + eps) for value in deviation)
    count = max(len(mean), len(gain))
    wide = mean if len(mean) == count else mean * count
    gains = gain if len(gain) == count else gain * count
    return Linear(gains, tuple(-m * g for m, g in zip(wide, gains, strict=True)))


def _numbers(kwargs: Values, name: str, default: float) -> tuple[float, ...]:
    found = numbers(kwargs.get(name, default))
    if found is None:
        msg = f"{name} must be a number or a list of numbers"
        raise ValueError(msg)
    return found
