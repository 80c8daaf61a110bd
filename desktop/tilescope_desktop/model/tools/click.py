"""The tool that outlines what is clicked at, by a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import shapely

from tilescope.domain.clicks import Clicks, Prompt
from tilescope.domain.geometry import Point
from tilescope_desktop.model.authors import stored_prompt
from tilescope_desktop.model.frame import Frame
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
    slide
        What stands for the slide that was asked about, which may no longer be the one in front.
    project
        What stands for the project that was open then.
    """

    wish: Draw | None
    prompt: Prompt
    reason: str = ""
    slide: object = None
    project: object = None


class Segmenter(Protocol):
    """A click model that answers later, on the window's thread."""

    def segment(
        self, prompt: Prompt, then: Callable[[Answer], None], *, instead_of: str | None = None
    ) -> None:
        """Answer a prompt once; the object stays clear of those that are there.

        Parameters
        ----------
        instead_of
            Id of the object whose place the answer takes, from which it need not stay clear.
        """
        ...

    def preview(self, prompt: Prompt, then: Callable[[Answer], None]) -> None:
        """Answer unless something newer is asked first."""
        ...

    def warm(self) -> None:
        """Get ready for the slide in front, so that the first click is as fast as the tenth."""
        ...

    def stop(self) -> bool:
        """Give up a click that the model should have answered long ago; False without one."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A prompt that waits for its answer, its place, and the object it refines if it does."""

    prompt: Prompt
    at: Point
    target: str | None = None


class ClickTool(Tool):
    """A click is an object; Shift adds to the selected one, Alt takes away from it.

    A drag with the left button is a box around an object; with the right one, or while
    ``scribbles`` is set, it is a scribble over it. While the mouse rests the object under it is
    shown.

    Parameters
    ----------
    deliver
        Fulfils wishes on the slide of an answer.
    undo
        Takes the newest edit back if it was a click, and tells whether it was.
    say
        Tells where words stay longer than beside the mouse why there is no object.
    """

    def __init__(
        self,
        scene: Scene,
        segmenter: Segmenter,
        deliver: Callable[[Wishes, Answer], None],
        repaint: Callable[[], None],
        undo: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        super().__init__(scene, "click", "Click to outline")
        self.scribbles = False
        self._segmenter = segmenter
        self._deliver = deliver
        self._repaint = repaint
        self._undo = undo
        self._tell = say
        self._path: list[Point] = []
        self._is_scribble = False
        self._waiting: list[_Asked] = []
        self._made = 0

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
        self._is_scribble = pointer.is_secondary or self.scribbles
        self._preview = NOTHING
        return ()

    def move(self, pointer: Pointer) -> Wishes:
        """Show the box, the scribble, or the object under the mouse."""
        if self._path:
            self._path.append(pointer.at_l0)
            self._preview = self._drawn(pointer)
        elif not (pointer.has_shift or pointer.has_alt or self.scribbles):
            at = pointer.at_l0
            if self._is_told_near(pointer):
                return ()
            self._segmenter.preview(Prompt.at(at.x, at.y), self._show)
        return ()

    def release(self, pointer: Pointer) -> Wishes:
        """Ask for the object."""
        path, self._path = [*self._path, pointer.at_l0], []
        self._preview = NOTHING
        if len(path) < 2:
            return ()
        is_click = _reach(path) < _CLICK_PX * pointer.l0_per_px
        if is_click and pointer.is_secondary:
            return ()  # a menu is wanted
        refined = self._refined(pointer) if is_click and not self._is_scribble else None
        if refined is not None:
            self._ask(refined)
        elif is_click and (pointer.has_shift or pointer.has_alt):
            self._say("select one object to add to it or to take away from it", pointer.at_l0)
        else:
            self._ask(_Asked(self._prompt(path, pointer.frame, is_click=is_click), pointer.at_l0))
        return ()

    def begin(self) -> None:
        """Count what can be taken back from now on."""
        self._made = 0

    @property
    def is_pending(self) -> bool:
        """Tell whether a button is down or a click is not answered yet."""
        return self.is_busy or bool(self._waiting)

    def take_back(self) -> bool:
        """Forget the drag, or give up the click that is not answered yet."""
        if self._path:
            self.cancel()
        elif self._waiting:
            self._waiting.pop()
        else:
            return False
        return True

    def retract(self) -> bool:
        """Stop a model that hangs, else give up the newest click, answered or not."""
        if self._segmenter.stop():
            pass
        elif self._waiting:
            self._waiting.pop()
        elif self._made and self._undo():
            self._made -= 1
        else:
            return False
        self._preview = NOTHING
        return True

    def cancel(self) -> None:
        """Forget the drag and what is shown."""
        super().cancel()
        self._path = []

    # -- prompts ----------------------------------------------------------------------------------

    def _prompt(self, path: list[Point], frame: Frame, *, is_click: bool) -> Prompt:
        first, last = path[0], path[-1]
        if self._is_scribble and not is_click:
            return Prompt.over(points_of(path))
        left, top, right, bottom = frame.box(first, last)
        if is_click or left == right or top == bottom:
            return Prompt.at(first.x, first.y)
        prompt = Prompt.in_box(left, top, right, bottom)
        clicks = prompt.clicks
        there = Clicks(frame.to_l0(clicks.inside), frame.to_l0(clicks.outside))
        return replace(prompt, clicks=there)

    def _refined(self, pointer: Pointer) -> _Asked | None:
        """Return the prompt of the selected object with one more point; None without one."""
        if not (pointer.has_shift or pointer.has_alt) or len(self.scene.selected) != 1:
            return None
        target = self.scene.selected[0]
        before, at = self._prompt_of(target), pointer.at_l0
        after = before.excluding(at.x, at.y) if pointer.has_alt else before.adding(at.x, at.y)
        return _Asked(after, at, target.id)

    def _prompt_of(self, target: Selected) -> Prompt:
        waiting = [asked.prompt for asked in self._waiting if asked.target == target.id]
        if waiting:
            return waiting[-1]
        stored = stored_prompt(target.author)
        if stored is not None:
            return stored
        inside = shapely.point_on_surface(target.geometry)
        diameter_px = 2 * float(np.sqrt(shapely.area(target.geometry) / np.pi))
        clicks = Clicks(shapely.get_coordinates(inside), np.zeros((0, 2)))
        return Prompt(clicks, diameter_px=diameter_px or None)

    # -- answers ----------------------------------------------------------------------------------

    def _ask(self, asked: _Asked) -> None:
        self._waiting.append(asked)
        self._segmenter.segment(
            asked.prompt, lambda answer: self._take(asked, answer), instead_of=asked.target
        )

    def _take(self, asked: _Asked, answer: Answer) -> None:
        if asked not in self._waiting:
            return
        self._waiting.remove(asked)
        wish = answer.wish
        if wish is None:
            self._say(answer.reason, asked.at)
            return
        self._made += 1
        if asked.target is None:
            self._deliver([wish], answer)
        else:
            self._deliver([Reshape(asked.target, wish.geometry, wish.author)], answer)

    def _show(self, answer: Answer) -> None:
        if self._path:
            return
        self._preview = NOTHING if answer.wish is None else Preview(shape=answer.wish.geometry)
        self._repaint()

    def _say(self, text: str, at: Point) -> None:
        self._preview = Preview(text=text, at=at)
        self._repaint()
        if text:
            self._tell(text[0].upper() + text[1:])

    def _is_told_near(self, pointer: Pointer) -> bool:
        """Tell whether words stand where the mouse is: a hand that rests shakes a little."""
        at = self._preview.at
        return at is not None and _reach([at, pointer.at_l0]) < _CLICK_PX * pointer.l0_per_px

    def _drawn(self, pointer: Pointer) -> Preview:
        if _reach(self._path) < _CLICK_PX * pointer.l0_per_px:
            return NOTHING
        if self._is_scribble:
            return Preview(line=points_of(self._path))
        first, last = self._path[0], self._path[-1]
        box = shapely.box(*pointer.frame.box(first, last))
        return Preview(shape=pointer.frame.placed(box))


def _reach(path: list[Point]) -> float:
    points = points_of(path)
    return float(np.hypot(*(points - points[0]).T).max())
