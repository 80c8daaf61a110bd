"""The working grid: the slide at the pixel size a model wants, addressed by whole pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

from tilescope.domain.geometry import Rect, Size
from tilescope.ops.resample import Scale, scaled_size


@dataclass(frozen=True, slots=True)
class WorkingGrid:
    """A virtual level of the slide.

    Working pixel ``i`` covers level-0 pixels ``[i * factor, (i + 1) * factor)``.

    Attributes
    ----------
    factor
        Level-0 pixels per working pixel; any positive number.
    size
        Working pixels that cover the slide.
    multiple_of
        The canvas is the slide's working size rounded up to it; what lies beyond the slide is
        background. A single run over the whole canvas is what tiling must reproduce.
    """

    factor: float
    size: Size
    multiple_of: int

    @classmethod
    def over(cls, slide: Size, factor: float, multiple_of: int) -> WorkingGrid:
        """Return the grid over a slide of ``slide`` level-0 pixels."""
        return cls(factor, scaled_size(slide, Scale(factor, factor)), multiple_of)

    @property
    def canvas(self) -> Rect:
        """All pixels a network may be given, from the origin."""
        step = self.multiple_of
        return Rect(0, 0, -(-self.size.width // step) * step, -(-self.size.height // step) * step)

    def rect_of(self, rect_l0: Rect) -> Rect:
        """Return the working pixels that a level-0 rectangle touches, cut at the slide."""
        f = self.factor
        touched = Rect(
            floor(rect_l0.x0 / f), floor(rect_l0.y0 / f), ceil(rect_l0.x1 / f), ceil(rect_l0.y1 / f)
        )
        inside = touched.intersect(Rect.of_size(self.size))
        if inside is None:
            msg = f"{rect_l0} lies outside the slide"
            raise ValueError(msg)
        return inside
