"""What a tool is: it gets the mouse in level-0 pixels and gives back what is to be done.

A tool knows neither widgets nor projects. It changes nothing itself: each method returns *wishes*,
which the window fulfils in this order, each drawing wish as one undoable edit. Between two events
the window paints the tool's ``preview``. A tool that finds something later, in a thread of its own,
hands its wishes to the window when it has them; nothing else differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation import Author, ObjectKind
from tilescope.domain.geometry import Point
from tilescope.domain.scale import PixelSize
from tilescope_desktop.model.frame import LEVEL, Box, Frame
from tilescope_desktop.model.pointer import Pointer

Line = NDArray[np.float64]
#: How far beside an outline a click still means it, in screen pixels.
REACH_PX = 4.0
#: Why nothing happens to an outline.
LOCKED = "The object is locked: unlock it to change its outline"


@dataclass(frozen=True, slots=True)
class Draw:
    """Add an object.

    Attributes
    ----------
    geometry
        What was drawn, in level-0 pixels; made valid by whoever adds it.
    author
        Who made it; None is the user.
    kind
        What it is for.
    plane
        z and t it lies on; None is the plane that is shown.
    """

    geometry: shapely.Geometry
    author: Author | None = None
    kind: ObjectKind = "annotation"
    plane: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Reshape:
    """Give an object another shape; None removes it, as nothing is left of it.

    Attributes
    ----------
    author
        Who made this shape; None is the user, by hand.
    """

    object_id: str
    geometry: shapely.Geometry | None
    author: Author | None = None


@dataclass(frozen=True, slots=True)
class Pick:
    """Select the object at a place, or none.

    Attributes
    ----------
    reach_px
        How far beside an outline still counts, in level-0 pixels.
    toggles
        Whether the others stay selected, and one that is selected no longer is.
    keeps
        Whether what is selected stays so unless another object is there: a menu is for either.
    """

    at_l0: Point
    reach_px: float
    toggles: bool = False
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class PickBox:
    """Select what lies wholly in a box.

    Attributes
    ----------
    box
        Left, top, right, bottom along the axes of ``frame``, in level-0 pixels.
    """

    box: Box
    adds: bool = False
    frame: Frame = LEVEL


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the user why nothing comes of what was begun."""

    words: str


Wish = Draw | Reshape | Pick | PickBox | Say
Wishes = Sequence[Wish]


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """What is painted while a tool is used, in level-0 pixels but for the ring.

    Attributes
    ----------
    shape
        What would be drawn now.
    is_removal
        Whether it is cut away instead.
    line
        A line that is not closed yet, ``float64[n, 2]``.
    handles
        Places that can be dragged, ``float64[n, 2]``.
    ring
        Radius of a circle around the cursor, in screen pixels.
    text
        A word beside what is drawn, such as a length.
    at
        Where the word stands when nothing is drawn.
    """

    shape: shapely.Geometry | None = None
    is_removal: bool = False
    line: Line | None = None
    handles: Line | None = None
    ring: float | None = None
    text: str = ""
    at: Point | None = None


NOTHING = Preview()


@dataclass(frozen=True, slots=True)
class Selected:
    """An object that is selected."""

    id: str
    geometry: shapely.Geometry
    class_name: str | None = None
    is_locked: bool = False
    author: Author | None = None
    plane: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """What the view shows of the slide.

    Attributes
    ----------
    colors
        ``uint8[height, width, 3]``.
    to_l0
        ``float64[2, 3]``: level-0 x and y are ``to_l0 @ (column, row, 1)``.
    """

    colors: NDArray[np.uint8]
    to_l0: NDArray[np.float64]

    @property
    def l0_per_px(self) -> float:
        """Level-0 pixels per pixel; several of them may be one of the screen's."""
        return float(np.hypot(self.to_l0[0, 0], self.to_l0[1, 0]))

    def place_of(self, at_l0: Point) -> tuple[int, int]:
        """Return column and row of a level-0 point; they may lie outside."""
        offset = np.array([at_l0.x, at_l0.y]) - self.to_l0[:, 2]
        column, row = np.linalg.solve(self.to_l0[:, :2], offset)
        return int(np.floor(column)), int(np.floor(row))

    def outline_l0(self, ring: Line) -> Line:
        """Return a ring in pixels of the view in level-0 pixels."""
        moved: Line = ring @ self.to_l0[:, :2].T + self.to_l0[:, 2]
        return moved


class Scene(Protocol):
    """What a tool may look at."""

    @property
    def selected(self) -> Sequence[Selected]:
        """The objects that are selected; of very many only the first."""
        ...

    @property
    def pixel_size(self) -> PixelSize | None:
        """Size of a level-0 pixel."""
        ...

    def pixels(self) -> Pixels | None:
        """Return what the view shows."""
        ...


@dataclass
class Tool:
    """A tool that does nothing; others override what they need.

    A tool that returns False for ``takes`` leaves the mouse to the view, which pans.

    Attributes
    ----------
    id, title
        Its stable name and what users call it.
    scene
        What it may look at.
    """

    scene: Scene
    id: str = ""
    title: str = ""
    _preview: Preview = field(default=NOTHING, init=False)

    @property
    def preview(self) -> Preview:
        """What to paint now."""
        return self._preview

    @property
    def is_busy(self) -> bool:
        """Tell whether something is begun and not finished."""
        return False

    def takes(self, pointer: Pointer) -> bool:
        """Tell whether the tool wants this press."""
        return pointer.is_primary

    def refusal(self, pointer: Pointer) -> str:
        """Return why a press does nothing, for the user; empty when there is nothing to say."""
        return ""

    def press(self, pointer: Pointer) -> Wishes:
        """Take a button going down."""
        return ()

    def move(self, pointer: Pointer) -> Wishes:
        """Take a move, with or without a button down."""
        return ()

    def release(self, pointer: Pointer) -> Wishes:
        """Take a button going up."""
        return ()

    def double(self, pointer: Pointer) -> Wishes:
        """Take the second press of a double click; a release follows. To most tools it is one."""
        return self.press(pointer)

    def click(self, pointer: Pointer) -> Wishes:
        """Take a click whose press was left to the view."""
        return ()

    def finish(self) -> Wishes:
        """Complete what is begun, by Enter."""
        return ()

    def step_back(self) -> bool:
        """Take back the last step of what is begun; False when it has no steps."""
        return False

    @property
    def is_pending(self) -> bool:
        """Tell whether there is something that is no edit yet and can be taken back."""
        return self.is_busy

    def take_back(self) -> bool:
        """Take back the last step of what is begun, or all of it, by Backspace or Undo.

        False when nothing is begun: then the keys mean something else.
        """
        if not self.is_busy:
            return False
        if not self.step_back():
            self.cancel()
        return True

    def retract(self) -> bool:
        """Take back what it did last, by Escape; False when there is nothing."""
        return False

    def cancel(self) -> None:
        """Forget what is begun: by Escape, or as another tool is taken."""
        self._preview = NOTHING


class MoveTool(Tool):
    """Leaves drags to the view; a click selects, with Shift it adds to what is selected."""

    def takes(self, pointer: Pointer) -> bool:
        """Take nothing."""
        return False

    def click(self, pointer: Pointer) -> Wishes:
        """Select what is under the mouse, or nothing."""
        reach = REACH_PX * pointer.l0_per_px
        return (Pick(pointer.at_l0, reach, pointer.has_shift or pointer.has_control),)


def length_text(way_l0: Line, pixel_size: PixelSize | None) -> str:
    """Return how long a way over the slide is, in the unit people read."""
    x, y = np.diff(way_l0, axis=0).T
    if pixel_size is None:
        return f"{np.hypot(x, y).sum():.0f} px"
    length_um = float(np.hypot(x * pixel_size.um_x, y * pixel_size.um_y).sum())
    return f"{length_um / 1000:.3f} mm" if length_um >= 1000 else f"{length_um:.1f} µm"


def points_of(points: Sequence[Point]) -> Line:
    """Return points as ``float64[n, 2]``."""
    return np.array([(p.x, p.y) for p in points], np.float64).reshape(-1, 2)
