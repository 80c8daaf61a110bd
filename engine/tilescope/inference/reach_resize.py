"""How far Resize and Upsample look, in their modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor

from tilescope.inference.graph import Node
from tilescope.inference.reach import Extent, Field, Known, Reach, Unbounded, Value
from tilescope.inference.reach_rules import Setting, axis_of, input_at, the_field, word
from tilescope.inference.reach_sizes import fractions

#: A resize with more phases than this has no simple scale.
_MOST_PHASES = 256


def resize(node: Node, values: Sequence[Value | None], setting: Setting) -> Field:
    """Return what Resize and Upsample make."""
    field, held = the_field(values), node.attributes
    how = _Sampling.of(node, setting.opset)
    scales = _scales(node, values, setting, field)
    axes = list(held.get("axes", range(field.rank)))
    if field.is_merged or len(scales) != len(axes):
        msg = "its scale does not have the rank of its input"
        raise Unbounded(msg)
    if word(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        msg = "its scale depends on the size of the image"
        raise Unbounded(msg)
    reaches = list(field.reaches)
    for axis, scale in zip(axes, scales, strict=True):
        which = axis_of(field, axis % field.rank)
        if which is None and scale != 1:
            msg = "it resizes along another axis than the image's"
            raise Unbounded(msg)
        if which is not None and scale != 1:
            reaches[which] = how.over(reaches[which], scale)
    return replace(field, reaches=(reaches[0], reaches[1]))


def _scales(
    node: Node, values: Sequence[Value | None], setting: Setting, field: Field
) -> list[Fraction]:
    if "scales" in node.attributes:  # Upsample before opset 9
        return fractions(Known(None, tuple(map(Extent.of, node.attributes["scales"])))) or []
    given = fractions(input_at(values, 2 if node.op == "Resize" and setting.opset > 10 else 1))
    if given is not None:
        return given
    sizes = input_at(values, 3)
    if not isinstance(sizes, Known) or sizes.values is None:
        msg = "its scale is computed"
        raise Unbounded(msg)
    axes = list(node.attributes.get("axes", range(field.rank)))
    if len(axes) != len(sizes.values):
        msg = "its sizes do not have the rank of its input"
        raise Unbounded(msg)
    return [
        _ratio(size, field, axis % field.rank, setting)
        for size, axis in zip(sizes.values, axes, strict=True)
    ]


def _ratio(size: Extent | None, field: Field, axis: int, setting: Setting) -> Fraction:
    which = axis_of(field, axis)
    if which is None:
        return Fraction(1)  # batch and channels
    if size is None:
        msg = "the size it resizes to is not known"
        raise Unbounded(msg)
    wanted, length = setting.value_of(size), setting.length_of(field, which)
    parts = ((wanted.rows, length.rows), (wanted.columns, length.columns))
    ratio = next((a / b for a, b in (*parts, (wanted.constant, length.constant)) if b), None)
    if setting.fixed[which] is None and wanted.is_constant:
        msg = "it resizes to a fixed size"
        raise Unbounded(msg)
    if not ratio or wanted != length.times(ratio):
        msg = "its scale depends on the size of the image"
        raise Unbounded(msg)
    return ratio


@dataclass(frozen=True, slots=True)
class _Sampling:
    """Where Resize looks for an element: kind of interpolation and of coordinates."""

    mode: str
    coordinates: str
    rounding: str
    antialias: bool

    @classmethod
    def of(cls, node: Node, opset: int) -> _Sampling:
        held = node.attributes
        old = node.op == "Upsample" or opset < 11
        where = "asymmetric" if old else "half_pixel"
        mode = word(node, "mode", "nearest")
        coordinates = word(node, "coordinate_transformation_mode", where)
        rounding = word(node, "nearest_mode", "floor" if old else "round_prefer_floor")
        if coordinates in {"align_corners", "tf_crop_and_resize"}:
            msg = f"with {coordinates} its scale depends on the size of the image"
            raise Unbounded(msg)
        if mode not in {"nearest", "linear", "cubic"} or coordinates not in _COORDINATES:
            msg = f"resizing {mode}, {coordinates} is not known"
            raise Unbounded(msg)
        return cls(mode, coordinates, rounding, bool(held.get("antialias", 0)))

    def over(self, reach: Reach, scale: Fraction) -> Reach:
        """Return the reach of an image resized by ``scale``."""
        p, q = scale.numerator, scale.denominator
        if p < 1 or max(p, q) > _MOST_PHASES:
            msg = f"its scale {float(scale):g} is no simple fraction"
            raise Unbounded(msg)
        if reach.extra * scale != floor(reach.extra * scale):
            msg = "its scale does not fit the size of its input"
            raise Unbounded(msg)
        lows, highs = [], []
        for phase in range(p):
            first, last = self._taps(_COORDINATES[self.coordinates](Fraction(phase), scale), scale)
            lows.append(first - phase / scale)
            highs.append(last - phase / scale)
        # Beyond a border the first and the last element are repeated.
        reach = reach.holding(0, 0)
        made = reach.through(1 / scale, min(lows), max(highs), int(reach.extra * scale))
        if self.coordinates == "pytorch_half_pixel":
            # One element alone is looked up elsewhere: a tile has to give two.
            made = made.holding(0, 0)
            made = replace(made, from_start=max(made.from_start, made.step))
        return made

    def _taps(self, place: Fraction, scale: Fraction) -> tuple[int, int]:
        """Return the first and the last element that one at ``place`` is made of."""
        if self.mode == "nearest":
            return self._nearest(place, scale)
        if self.antialias and scale < 1:
            support = (1 if self.mode == "linear" else 2) / scale
            return floor(place - support), ceil(place + support)
        below = floor(place)
        if place == below and self.mode == "linear":
            return below, below
        return (below, below + 1) if self.mode == "linear" else (below - 1, below + 2)

    def _nearest(self, place: Fraction, scale: Fraction) -> tuple[int, int]:
        whole = self.rounding in {"floor", "ceil"}
        tie = place.denominator == (1 if whole else 2)
        # A scale like 1/3 is no exact float: which side of a tie is taken depends on the place.
        if tie and scale.denominator & (scale.denominator - 1):
            msg = f"rounding with a scale of {scale} depends on the place in the image"
            raise Unbounded(msg)
        rounded = {
            "floor": floor(place),
            "ceil": ceil(place),
            "round_prefer_floor": ceil(place - Fraction(1, 2)),
            "round_prefer_ceil": floor(place + Fraction(1, 2)),
        }.get(self.rounding)
        if rounded is None:
            msg = f"nearest_mode {self.rounding!r} is not known"
            raise Unbounded(msg)
        return rounded, rounded


_HALF = Fraction(1, 2)
_COORDINATES: Mapping[str, Callable[[Fraction, Fraction], Fraction]] = {
    "half_pixel": lambda x, scale: (x + _HALF) / scale - _HALF,
    "half_pixel_symmetric": lambda x, scale: (x + _HALF) / scale - _HALF,
    "pytorch_half_pixel": lambda x, scale: (x + _HALF) / scale - _HALF,
    "asymmetric": lambda x, scale: x / scale,
    "tf_half_pixel_for_nn": lambda x, scale: (x + _HALF) / scale,
}
