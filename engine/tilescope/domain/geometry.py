"""Points, sizes and half-open rectangles: x to the right, y down, origin at the top left."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """A position; the frame is in the name of whatever holds it (``_l0``: level-0 pixels)."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Size:
    """A width and a height in pixels, both positive."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            msg = f"a size must be positive, not {self.width} x {self.height}"
            raise ValueError(msg)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Rect:
    """A half-open rectangle ``[x0, x1) x [y0, y1)`` of integer pixels; never empty."""

    x0: int
    y0: int
    x1: int
    y1: int

    def __post_init__(self) -> None:
        if self.x0 >= self.x1 or self.y0 >= self.y1:
            msg = f"a rectangle must not be empty: ({self.x0}, {self.y0}, {self.x1}, {self.y1})"
            raise ValueError(msg)

    @classmethod
    def of_size(cls, size: Size) -> Rect:
        """Return the rectangle of ``size`` whose top left is the origin."""
        return cls(0, 0, size.width, size.height)

    @property
    def width(self) -> int:
        """Columns."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Rows."""
        return self.y1 - self.y0

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    def contains(self, x: float, y: float) -> bool:
        """Tell whether the point lies inside; the right and bottom edges do not belong."""
        return self.x0 <= x < self.x1 and self.y0 <= y < self.y1

    def encloses(self, other: Rect) -> bool:
        """Tell whether ``other`` lies wholly inside, edges included."""
        return (
            self.x0 <= other.x0
            and self.y0 <= other.y0
            and other.x1 <= self.x1
            and other.y1 <= self.y1
        )

    def intersect(self, other: Rect) -> Rect | None:
        """Return the common part, or None when there is none."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        x1, y1 = min(self.x1, other.x1), min(self.y1, other.y1)
        return Rect(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def expanded(self, margin: int) -> Rect:
        """Return the rectangle grown by ``margin`` pixels on every side."""
        return Rect(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)

    def translated(self, dx: int, dy: int) -> Rect:
        """Return the rectangle moved by ``(dx, dy)``."""
        return Rect(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)
