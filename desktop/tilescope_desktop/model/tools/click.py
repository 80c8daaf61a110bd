"""The tool that outlines what is clicked at, by a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import shapely

from tilescope.domain.clicks import Clicks, Prompt
from tilescope.domain.geometry import Point
from tilescope_desktop.model.pointer import Pointer
from tilescope_desktop.model.tools.tool import (
    NOTHING,
    Draw,
    Preview,
    Reshape,
    Scene,
    Selected,
    Tool,
    Wishes,
    points_of,
)

#: A drag shorter than this, in pixels of the screen, is a click.
_CLICK_PX = 6.0
#: The answer to a prompt whose object was moved or redrawn since is no help for refining it.
_SAME = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a model made of a prompt.

    Attributes
    ----------
    wish
        The object, with its prompt and weights as author; None when there is none.
    prompt
        The prompt with the scale at which the object was found.
    reason
        Why there is none.
    """

    wish: Draw | None
    prompt: Prompt
    reason: str = ""


class Segmenter(Protocol):
    """A click model that answers later, on the window's thread."""

    def segment(self, prompt: Prompt, then: Callable[[Answer], None], *, beside: bool) -> None:
        """Answer a prompt; with ``beside`` the object stays clear of those that are there."""
        ...

    def preview(self, prompt: Prompt, then: Callable[[Answer], None]) -> None:
        """Answer unless something newer is asked first."""
        ...

    def warm(self) -> None:
        """Get ready for the slide in front, so that the first click is as fast as the tenth."""
        ...


class ClickTool(Tool):
    """A click is an object; Shift adds to the selected one, Alt takes away from it.

    A drag with the left button is a box around an object, with the right one a scribble over it.
    While the mouse rests the object under it is shown.
    """

    def __init__(
        self,
        scene: Scene,
        segmenter: Segmenter,
        deliver: Callable[[Wishes], None],
        repaint: Callable[[], None],
    ) -> None:
        super().__init__(scene, "click", "Click to outline")
        self._segmenter = segmenter
        self._deliver = deliver
        self._repaint = repaint
        self._path: list[Point] = []
        self._is_scribble = False
        self._last: tuple[shapely.Geometry, Prompt] | None = None

    @property
    def is_busy(self) -> bool:
        """Tell whether a button is down."""
        return bool(self._path)

    def takes(self, pointer: Pointer) -> bool:
        """Take both buttons."""
        return pointer.is_primary or pointer.is_secondary

    def press(self, pointer: Pointer) -> Wishes:
        """Begin a click, a box or a scribble."""
        self._path = [pointer.at_l0]
        self._is_scribble = pointer.is_secondary
        self._preview = NOTHING
        return ()

    def move(self, pointer: Pointer) -> Wishes:
        """Show the box, the scribble, or the object under the mouse."""
        if self._path:
            self._path.append(pointer.at_l0)
            self._preview = self._drawn(pointer)
        elif not (pointer.has_shift or pointer.has_alt):
            at = pointer.at_l0
            self._segmenter.preview(Prompt.at(at.x, at.y), self._show)
        return ()

    def release(self, pointer: Pointer) -> Wishes:
        """Ask for the object."""
        path, self._path = [*self._path, pointer.at_l0], []
        self._preview = NOTHING
        if len(path) < 2:
            return ()
        is_click = _reach(path) < _CLICK_PX * pointer.l0_per_px
        refined = self._refined(pointer) if is_click and not self._is_scribble else None
        if refined is not None:
            target, prompt = refined
            self._segmenter.segment(
                prompt, lambda answer: self._reshape(target, answer), beside=False
            )
        elif is_click and (pointer.has_shift or pointer.has_alt):
            self._say("select one object to add to it or to take away from it")
        else:
            prompt = self._prompt(path, is_click=is_click)
            self._segmenter.segment(prompt, self._draw, beside=True)
        return ()

    def cancel(self) -> None:
        """Forget the drag and what is shown."""
        super().cancel()
        self._path = []

    # -- prompts ----------------------------------------------------------------------------------

    def _prompt(self, path: list[Point], *, is_click: bool) -> Prompt:
        first, last = path[0], path[-1]
        if self._is_scribble and not is_click:
            return Prompt.over(points_of(path))
        if is_click or first.x == last.x or first.y == last.y:
            return Prompt.at(first.x, first.y)
        (x0, x1), (y0, y1) = sorted((first.x, last.x)), sorted((first.y, last.y))
        return Prompt.in_box(x0, y0, x1, y1)

    def _refined(self, pointer: Pointer) -> tuple[Selected, Prompt] | None:
        """Return the selected object and its prompt with one more point; None without one."""
        if not (pointer.has_shift or pointer.has_alt) or len(self.scene.selected) != 1:
            return None
        target = self.scene.selected[0]
        before = self._prompt_of(target)
        point = points_of([pointer.at_l0])
        clicks = before.clicks
        if pointer.has_alt:
            clicks = replace(clicks, outside=np.concatenate([clicks.outside, point]))
        else:
            clicks = replace(clicks, inside=np.concatenate([clicks.inside, point]))
        return target, replace(before, clicks=clicks)

    def _prompt_of(self, target: Selected) -> Prompt:
        if self._last is not None:
            shape, prompt = self._last
            common = shapely.area(shapely.intersection(shape, target.geometry))
            if common > _SAME * max(shapely.area(shape), shapely.area(target.geometry)):
                return prompt
        inside = shapely.point_on_surface(target.geometry)
        diameter_px = 2 * float(np.sqrt(shapely.area(target.geometry) / np.pi))
        clicks = Clicks(shapely.get_coordinates(inside), np.zeros((0, 2)))
        return Prompt(clicks, diameter_px=diameter_px or None)

    # -- answers ----------------------------------------------------------------------------------

    def _draw(self, answer: Answer) -> None:
        if answer.wish is None:
            self._say(answer.reason)
            return
        self._last = (answer.wish.geometry, answer.prompt)
        self._deliver([answer.wish])

    def _reshape(self, target: Selected, answer: Answer) -> None:
        if answer.wish is None:
            self._say(answer.reason)
            return
        self._last = (answer.wish.geometry, answer.prompt)
        self._deliver([Reshape(target.id, answer.wish.geometry)])

    def _show(self, answer: Answer) -> None:
        if self._path:
            return
        self._preview = NOTHING if answer.wish is None else Preview(shape=answer.wish.geometry)
        self._repaint()

    def _say(self, text: str) -> None:
        self._preview = Preview(text=text)
        self._repaint()

    def _drawn(self, pointer: Pointer) -> Preview:
        if _reach(self._path) < _CLICK_PX * pointer.l0_per_px:
            return NOTHING
        if self._is_scribble:
            return Preview(line=points_of(self._path))
        first, last = self._path[0], self._path[-1]
        return Preview(shape=shapely.box(*_box(first, last)))


def _reach(path: list[Point]) -> float:
    points = points_of(path)
    return float(np.hypot(*(points - points[0]).T).max())


def _box(a: Point, b: Point) -> tuple[float, float, float, float]:
    return min(a.x, b.x), min(a.y, b.y), max(a.x, b.x), max(a.y, b.y)
