"""What the rules for single operators share: what they know of the graph, how they are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tilescope.inference.graph import Node
from tilescope.inference.reach import Extent, Field, Unbounded, Value


@dataclass(frozen=True, slots=True)
class Setting:
    """What rules have to know of the graph.

    Attributes
    ----------
    opset
        Version of the operators.
    sizes
        Height and width of an image that the graph takes: the only one, or a very divisible one.
    fixed
        The height and the width where the graph takes no other.
    """

    opset: int
    sizes: tuple[int, int]
    fixed: tuple[int | None, int | None]

    def length_of(self, field: Field, which: int) -> Extent:
        """Return the number of rows or columns of a tensor; a constant where sizes are fixed."""
        reach, fixed = field.reaches[which], self.fixed[which]
        if fixed is not None:
            return Extent(constant=Fraction(reach.length(fixed)))
        return Extent.along(which, 1 / reach.step, reach.extra)

    def value_of(self, number: Extent) -> Extent:
        """Return a number as a constant where sizes are fixed."""
        given = [size or 0 for size in self.fixed]
        fixed = [size is not None for size in self.fixed]
        rows = Fraction(0) if fixed[0] else number.rows
        columns = Fraction(0) if fixed[1] else number.columns
        rest = number.rows * given[0] + number.columns * given[1]
        return Extent(rows, columns, number.constant + rest)


Rule = Callable[[Node, Sequence[Value | None], Setting], Field]


def the_field(values: Sequence[Value | None]) -> Field:
    """Return the first input, which has to be an image.

    Raises
    ------
    Unbounded
        When it is something else.
    """
    first = values[0] if values else None
    if not isinstance(first, Field):
        msg = "what it is applied to is no image"
        raise Unbounded(msg)
    return first


def input_at(values: Sequence[Value | None], place: int) -> Value | None:
    """Return an input, None where it is left out."""
    return values[place] if len(values) > place else None


def axis_of(field: Field, axis: int) -> int | None:
    """Return 0 when a dimension runs down the image, 1 when along it, else None."""
    if field.is_merged and axis == field.axes[0]:
        msg = "rows and columns are one dimension"
        raise Unbounded(msg)
    return field.axes.index(axis) if axis in field.axes else None


def word(node: Node, name: str, usual: str) -> str:
    """Return a text among the attributes.

    Raises
    ------
    Unbounded
        When it is something else.
    """
    value = node.attributes.get(name, usual.encode())
    if not isinstance(value, bytes):
        msg = f"its {name} is no text"
        raise Unbounded(msg)
    return value.decode("ascii", "replace")
