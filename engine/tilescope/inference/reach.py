"""What is known of a tensor before anything runs: its dependence on the image, its shape.

Along one axis of the image element ``i`` of a tensor depends on the input pixels
``[step * i + low, step * i + high]`` (Araujo, Norris and Sim, "Computing Receptive Fields of
Convolutional Neural Networks", Distill 2019), here with exact fractions, because up-sampling
divides the step. For an image of ``n`` pixels, ``n`` a multiple of the period, the tensor has
``n / step + extra`` elements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, lcm

import numpy as np

#: Strides, alignments and reaches beyond these are of no use to any tile.
MOST_STEP = 2**16
_MOST_PIXELS = 2**31
#: Fractions with larger denominators are not what somebody wrote down.
_MOST_DENOMINATOR = 4096
_MOST_BITS = 256


class Unbounded(Exception):
    """A node whose outputs depend on the whole image, or in a way that is not known."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Dependence of one tensor on the input along one axis of the image.

    Attributes
    ----------
    step
        Input pixels per element.
    low, high
        Element ``i`` needs input pixels ``step * i + low`` to ``step * i + high``.
    extra
        Elements there are beyond one per step; negative where a network does not pad.
    period
        A part of the image that begins and ends at multiples of it keeps every stride in phase.
    from_start, from_end
        What is mirrored or repeated beyond a border of the image is made of pixels up to here from
        the border; a part that touches the border has to hold them.
    least
        Pixels that a part must have at least for no tensor on the way to be empty, or smaller than
        what a border mirrors of it.
    """

    step: Fraction = Fraction(1)
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)
    extra: int = 0
    period: int = 1
    from_start: Fraction = Fraction(0)
    from_end: Fraction = Fraction(0)
    least: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        if max(self.step.numerator, self.step.denominator, self.period) > MOST_STEP:
            msg = "its stride is larger than any tile"
            raise Unbounded(msg)
        if max(-self.low, self.high, Fraction(abs(self.extra))) > _MOST_PIXELS:
            msg = "it reaches further than any tile"
            raise Unbounded(msg)

    def through(
        self, stride: Fraction | int, low: Fraction | int, high: Fraction | int, extra: int
    ) -> Reach:
        """Return the reach of a tensor whose element i needs this at stride * i + [low, high].

        ``extra`` is the new tensor's own. A stride of ``q / p`` needs ``q`` elements in step.
        """
        stride = Fraction(stride)
        step = self.step * stride
        unit = (self.step * stride.numerator).numerator
        return replace(
            self,
            step=step,
            low=self.low + self.step * low,
            high=self.high + self.step * high,
            extra=extra,
            period=lcm(self.period, unit, step.numerator),
            least=max(self.least, step * (1 - extra)),
        )

    def holding(self, first: int, last: int) -> Reach:
        """Return the reach when the border repeats elements 0 to ``first`` and ``-1 - last``."""
        end = self.step * (self.extra - 1 - last) + self.low
        return replace(
            self,
            from_start=max(self.from_start, self.step * first + self.high),
            from_end=max(self.from_end, -1 - end),
            least=max(self.least, self.step * (max(first, last) + 1 - self.extra)),
        )

    def join(self, other: Reach) -> Reach:
        """Return the reach of a tensor that combines both element by element.

        Raises
        ------
        Unbounded
            When both have another resolution or another size.
        """
        if self.step != other.step:
            msg = f"tensors of {self.step} and {other.step} pixels per element are combined"
            raise Unbounded(msg)
        if self.extra != other.extra:
            msg = "tensors of different sizes are combined"
            raise Unbounded(msg)
        return Reach(
            self.step,
            min(self.low, other.low),
            max(self.high, other.high),
            self.extra,
            lcm(self.period, other.period),
            max(self.from_start, other.from_start),
            max(self.from_end, other.from_end),
            max(self.least, other.least),
        )

    def length(self, pixels: int) -> int:
        """Return how many elements an image of ``pixels`` pixels gives, a multiple of the period.

        Raises
        ------
        Unbounded
            When it would be no whole number.
        """
        elements = Fraction(pixels) / self.step
        if elements.denominator != 1:
            msg = f"it does not fit an image of {pixels} pixels"
            raise Unbounded(msg)
        return int(elements) + self.extra

    def span(self, first: int, stop: int, pixels: int, period: int) -> tuple[int, int]:
        """Return which input pixels ``[start, stop)`` the elements ``[first, stop)`` need.

        The span is cut at the image of ``pixels`` pixels and begins and ends at multiples of
        ``period``.
        """
        start = floor(self.step * first + self.low)
        end = ceil(self.step * (stop - 1) + self.high) + 1
        if start <= 0:
            end = max(end, ceil(self.from_start) + 1)
        if end >= pixels:
            start = min(start, floor(pixels - 1 - self.from_end))
        return widened((start, end), ceil(self.least), pixels, period)


def widened(span: tuple[int, int], least: int, pixels: int, period: int) -> tuple[int, int]:
    """Return a span cut at an image, of ``least`` pixels if it has them, aligned outwards."""
    start = max(min(span[0], pixels - least), 0) // period * period
    end = -(-min(max(span[1], start + least), pixels) // period) * period
    return start, end


@dataclass(frozen=True, slots=True)
class Extent:
    """A number that depends on the image's size: ``rows * height + columns * width + constant``."""

    rows: Fraction = Fraction(0)
    columns: Fraction = Fraction(0)
    constant: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        for number in (self.rows, self.columns, self.constant):
            if (number.numerator.bit_length() + number.denominator.bit_length()) > _MOST_BITS:
                msg = "one of its numbers is no size of an image"
                raise Unbounded(msg)

    @classmethod
    def of(cls, value: float) -> Extent:
        """Return a number that does not depend on it."""
        return cls(constant=rational(value))

    @classmethod
    def along(cls, which: int, factor: Fraction, constant: int) -> Extent:
        """Return a number that grows with the height, or for ``which`` = 1 with the width."""
        rows, columns = (factor, Fraction(0)) if which == 0 else (Fraction(0), factor)
        return cls(rows, columns, Fraction(constant))

    @property
    def is_constant(self) -> bool:
        """Tell whether it is the same for every image."""
        return self.rows == self.columns == 0

    def __add__(self, other: Extent) -> Extent:
        return Extent(
            self.rows + other.rows, self.columns + other.columns, self.constant + other.constant
        )

    def times(self, factor: Fraction) -> Extent:
        """Return the product with a number that does not depend on the image."""
        return Extent(self.rows * factor, self.columns * factor, self.constant * factor)

    def at(self, height: int, width: int) -> Fraction:
        """Return the value for an image."""
        return self.rows * height + self.columns * width + self.constant


def rational(value: float) -> Fraction:
    """Return the simple fraction that a number in single precision stands for, else itself.

    Raises
    ------
    Unbounded
        When it is not finite.
    """
    if not np.isfinite(value):
        msg = "one of its numbers is not finite"
        raise Unbounded(msg)
    exact = Fraction(value)
    simple = exact.limit_denominator(_MOST_DENOMINATOR)
    return simple if np.float32(float(simple)) == np.float32(value) else exact


@dataclass(frozen=True, slots=True)
class Known:
    """A tensor that does not depend on the image's pixels.

    Attributes
    ----------
    shape
        None where it is not known.
    values
        Its numbers in row-major order, each None where unknown; None for all but small tensors.
    is_integer
        Whether divisions are rounded down.
    """

    shape: tuple[int, ...] | None = None
    values: tuple[Extent | None, ...] | None = None
    is_integer: bool = False

    @property
    def follows_size(self) -> bool:
        """Tell whether a number depends on the image's size."""
        return any(value is not None and not value.is_constant for value in self.values or ())


@dataclass(frozen=True, slots=True)
class Field:
    """A tensor that depends on a bounded part of the image.

    Attributes
    ----------
    shape
        Elements per dimension; None where they are not known and for ``axes``.
    axes
        The dimensions that run down and along the image; the same one twice when both were made
        one.
    reaches
        Down and along the image.
    """

    shape: tuple[int | None, ...]
    axes: tuple[int, int]
    reaches: tuple[Reach, Reach]

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def is_merged(self) -> bool:
        """Tell whether rows and columns are one dimension."""
        return self.axes[0] == self.axes[1]


@dataclass(frozen=True, slots=True)
class Lost:
    """A tensor without a finite reach.

    Attributes
    ----------
    culprit
        Which node lost it, and why.
    by_layout
        Whether the node only moves elements; what needed them so is the better answer.
    like
        An image that has as many elements; None where it is not known.
    is_small
        Whether it has no rows and columns, so that its size hardly matters.
    """

    culprit: str
    by_layout: bool = False
    like: Field | None = None
    is_small: bool = False


Value = Known | Field | Lost
