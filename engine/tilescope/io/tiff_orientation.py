"""Which way up the rows and columns of a TIFF page are stored (tag 274, TIFF 6.0, page 36)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size

Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Orientation:
    """What makes stored pixels upright: first swap the axes, then mirror.

    Attributes
    ----------
    swapped
        Stored rows are columns of the upright image.
    mirror_x, mirror_y
        The upright image is mirrored left to right, top to bottom.
    """

    swapped: bool
    mirror_x: bool
    mirror_y: bool

    def upright_size(self, stored: Size) -> Size:
        """Return the size of what is stored in ``stored``, tiles as well as images."""
        return Size(stored.height, stored.width) if self.swapped else stored

    def stored_rect(self, rect: Rect, upright: Size) -> Rect:
        """Return where the pixels of ``rect`` of an upright image of that size are stored."""
        x0, x1, y0, y1 = rect.x0, rect.x1, rect.y0, rect.y1
        if self.mirror_x:
            x0, x1 = upright.width - x1, upright.width - x0
        if self.mirror_y:
            y0, y1 = upright.height - y1, upright.height - y0
        return Rect(y0, x0, y1, x1) if self.swapped else Rect(x0, y0, x1, y1)

    def upright(self, stored: Pixels) -> Pixels:
        """Return ``[h, w, bands]`` upright, contiguous and owned by the caller."""
        turned = stored.swapaxes(0, 1) if self.swapped else stored
        turned = turned[:, ::-1] if self.mirror_x else turned
        return np.ascontiguousarray(turned[::-1] if self.mirror_y else turned)


#: By value of the tag; 1 needs nothing.
_TURNED = {
    2: Orientation(swapped=False, mirror_x=True, mirror_y=False),
    3: Orientation(swapped=False, mirror_x=True, mirror_y=True),
    4: Orientation(swapped=False, mirror_x=False, mirror_y=True),
    5: Orientation(swapped=True, mirror_x=False, mirror_y=False),
    6: Orientation(swapped=True, mirror_x=True, mirror_y=False),
    7: Orientation(swapped=True, mirror_x=True, mirror_y=True),
    8: Orientation(swapped=True, mirror_x=False, mirror_y=True),
}


def orientation_of(value: object) -> Orientation | None:
    """Return what the value of the tag stands for, None when the pixels are upright."""
    return _TURNED.get(value) if isinstance(value, int) else None
