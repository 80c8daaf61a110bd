"""What a person pointed at, and the object that was found there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: How far outside a box the points lie that stand for it, as a share of its size and in pixels.
_BOX_MARGIN = 0.06
_BOX_MARGIN_PX = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Clicks:
    """One prompt: everything that was said about one object.

    Attributes
    ----------
    inside, outside
        ``float64[n, 2]``: points on the object and points that are not on it, x then y.
    strokes
        Scribbles over the object, ``float64[k, 2]`` each, x then y along the line.
    """

    inside: NDArray[np.float64]
    outside: NDArray[np.float64]
    strokes: tuple[NDArray[np.float64], ...] = ()

    def __post_init__(self) -> None:
        for points in (self.inside, self.outside, *self.strokes):
            if points.ndim != 2 or points.shape[1] != 2:
                msg = f"points of shape {points.shape} are not [n, 2]"
                raise ValueError(msg)
            if not np.isfinite(points).all():
                msg = "a click is not at a finite place"
                raise ValueError(msg)
        if not len(self.inside) and not any(len(stroke) for stroke in self.strokes):
            msg = "a prompt needs a point or a stroke on the object"
            raise ValueError(msg)

    @property
    def on_object(self) -> NDArray[np.float64]:
        """All points on the object, those of strokes last, ``float64[n, 2]``."""
        return np.concatenate([self.inside, *self.strokes])

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of the box around all points on the object."""
        points = self.on_object
        x, y = (points.min(axis=0) + points.max(axis=0)) / 2
        return float(x), float(y)

    def moved(self, x0: float, y0: float, factor: float) -> Clicks:
        """Return the clicks in a frame that begins at ``x0, y0`` with pixels ``factor`` wide.

        ``x0`` and ``y0`` count in pixels of the new frame.
        """
        corner = np.array([x0, y0], np.float64)
        return Clicks(
            self.inside / factor - corner,
            self.outside / factor - corner,
            tuple(stroke / factor - corner for stroke in self.strokes),
        )


@dataclass(frozen=True, slots=True, eq=False)
class ClickMask:
    """The object of one prompt.

    Attributes
    ----------
    mask
        ``bool[height, width]`` of the patch; all False when nothing was found.
    score
        Mean probability inside the mask, 0 when it is empty.
    doubt
        Why the mask should not be taken for an object, in words; empty when it may.
    """

    mask: NDArray[np.bool_]
    score: float
    doubt: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A prompt on a slide, in level-0 pixels.

    Attributes
    ----------
    clicks
        What was pointed at.
    diameter_px
        About how large the object is, in level-0 pixels; None leaves it to be found out.
    factor
        Level-0 pixels per working pixel of the one look that is wanted. Together with the clicks,
        the weights and the slide it decides the answer; an object that stores it can be made
        again.
    """

    clicks: Clicks
    diameter_px: float | None = None
    factor: float | None = None

    def __post_init__(self) -> None:
        for name in ("diameter_px", "factor"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                msg = f"{name} = {value} is not a positive number"
                raise ValueError(msg)

    @classmethod
    def at(cls, x: float, y: float, *, diameter_px: float | None = None) -> Prompt:
        """Return the prompt of one click."""
        return cls(Clicks(_points([(x, y)]), _points([])), diameter_px)

    @classmethod
    def over(cls, points: NDArray[np.float64]) -> Prompt:
        """Return the prompt of one scribble, ``float64[n, 2]``."""
        return cls(Clicks(_points([]), _points([]), (np.asarray(points, np.float64),)))

    @classmethod
    def in_box(cls, x0: float, y0: float, x1: float, y1: float) -> Prompt:
        """Return the prompt of a box around an object.

        It stands for a click in its middle and eight just outside of its edge; its size says how
        large the object is.

        Raises
        ------
        ValueError
            When the box is empty.
        """
        if not (x0 < x1 and y0 < y1):
            msg = f"the box {x0}, {y0}, {x1}, {y1} is empty"
            raise ValueError(msg)
        size = math.sqrt((x1 - x0) * (y1 - y0))
        away = _BOX_MARGIN * size + _BOX_MARGIN_PX
        xs = (x0 - away, (x0 + x1) / 2, x1 + away)
        ys = (y0 - away, (y0 + y1) / 2, y1 + away)
        edge = [(x, y) for y in ys for x in xs if (x, y) != (xs[1], ys[1])]
        return cls(Clicks(_points([(xs[1], ys[1])]), _points(edge)), size)

    @property
    def key(self) -> tuple[object, ...]:
        """What equal prompts have in common, and no others; can be hashed."""
        clicks = self.clicks
        arrays = (clicks.inside, clicks.outside, *clicks.strokes)
        return (*(a.tobytes() for a in arrays), self.diameter_px, self.factor)

    def adding(self, x: float, y: float) -> Prompt:
        """Return the prompt with one more point on the object."""
        clicks = replace(self.clicks, inside=np.concatenate([self.clicks.inside, [[x, y]]]))
        return replace(self, clicks=clicks)

    def excluding(self, x: float, y: float) -> Prompt:
        """Return the prompt with one more point that is not on the object."""
        clicks = replace(self.clicks, outside=np.concatenate([self.clicks.outside, [[x, y]]]))
        return replace(self, clicks=clicks)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; :meth:`of` makes the same prompt of it."""
        values: dict[str, Any] = {
            "inside": self.clicks.inside.tolist(),
            "outside": self.clicks.outside.tolist(),
            "strokes": [stroke.tolist() for stroke in self.clicks.strokes],
        }
        if self.diameter_px is not None:
            values["diameter_px"] = self.diameter_px
        if self.factor is not None:
            values["factor"] = self.factor
        return values

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Prompt:
        """Return the prompt that :meth:`as_dict` gave.

        Raises
        ------
        ValueError
            When it is none.
        """
        try:
            clicks = Clicks(
                _points(values["inside"]),
                _points(values.get("outside", [])),
                tuple(_points(stroke) for stroke in values.get("strokes", [])),
            )
            return cls(clicks, values.get("diameter_px"), values.get("factor"))
        except (KeyError, TypeError, AttributeError) as exc:
            msg = f"not a prompt: {exc}"
            raise ValueError(msg) from exc


def _points(values: Any) -> NDArray[np.float64]:  # noqa: ANN401 - pairs of numbers in any form
    return np.asarray(values, np.float64).reshape(-1, 2)
