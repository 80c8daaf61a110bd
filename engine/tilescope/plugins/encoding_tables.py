"""The tables ``encoding`` and ``decoding`` of a manifest, for the adapter that needs no code."""

from __future__ import annotations

from typing import Any, TypeVar

from tilescope.domain.encoding import (
    Activation,
    Clip,
    Decoding,
    Encoding,
    Linear,
    Standardise,
    Step,
    Stretch,
    Threshold,
    UnitRange,
)
from tilescope.plugins.toml_table import NUMBER, Table

T = TypeVar("T")


def read_encoding(table: Table) -> Encoding:
    """Return the encoding in a table; mistakes are noted in it."""
    colour: Any = table.take("colour", str)
    channels = table.take("channels", int)
    return Encoding(colour, channels, _steps(table))


def read_decoding(table: Table) -> Decoding:
    """Return the decoding in a table; mistakes are noted in it."""
    form: Any = table.take("form", str)
    outputs, first = table.strings("outputs"), table.take("first_label", int, 0)
    return Decoding(form, outputs, _steps(table), first)


def _steps(table: Table) -> tuple[Step, ...]:
    if not table.has("steps"):
        return ()
    built = [part.build(_step) for part in table.tables("steps")]
    return tuple(step for step in built if step is not None)


def _step(table: Table) -> Step:  # noqa: PLR0911 - one per kind
    kind = table.take("kind", str)
    name: Any = kind
    match kind:
        case "unit-range":
            return UnitRange()
        case "linear":
            return Linear(table.numbers("gain"), table.numbers("offset"))
        case "standardise":
            return Standardise(*_scope(table))
        case "stretch":
            low, high = _number(table, "low_percentile"), _number(table, "high_percentile")
            return Stretch(low, high, *_scope(table))
        case "clip":
            return Clip(_number(table, "low"), _number(table, "high"))
        case "sigmoid" | "softmax" | "exp":
            return Activation(name)
        case "threshold":
            return Threshold(_number(table, "at"))
        case other:
            table.raw()  # which keys belong to it is unknown
            msg = (
                f"kind {other!r} is not unit-range, linear, standardise, stretch, clip, sigmoid, "
                "softmax, exp or threshold"
            )
            raise ValueError(msg)


def _scope(table: Table) -> tuple[bool, float]:
    return table.take("per_channel", bool, default=True), table.positive("eps")


def _number(table: Table, name: str) -> float:
    return float(table.take(name, NUMBER))
