"""A click model beside the window: the newest preview wins, no click is dropped.

The model runs in a process of its own, so that nothing it does can end the window.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from tilescope.domain.annotation import Author
from tilescope.domain.clicks import Prompt
from tilescope.errors import ModelProcessEnded, TilescopeError
from tilescope.io.source import SlideSource
from tilescope.jobs.click import ClickReport
from tilescope.jobs.click_apart import ClickProcess, ClickRequest
from tilescope.jobs.clicking.session import ClickOptions
from tilescope.plugins.registry import find_model
from tilescope_desktop.bridge.mailbox import Mailbox
from tilescope_desktop.bridge.work import STOP_S
from tilescope_desktop.model.tools.click import Answer
from tilescope_desktop.model.tools.tool import Draw

Ring = NDArray[np.float64]
Then = Callable[[Answer], None]


@dataclass(frozen=True, slots=True)
class ClickPlace:
    """Where clicks are made.

    Attributes
    ----------
    source
        The open slide; the model's process opens it anew, by ``path``.
    um_per_px
        What the user says of the size of a pixel.
    committed
        Returns the outlines near a prompt, level-0 pixels, that an answer stays clear of; that of
        an object by id is left out. Runs in the desk's thread.
    """

    source: SlideSource
    path: Path
    um_per_px: float | None
    plane: int
    threads: int
    committed: Callable[[Prompt, str | None], Sequence[Ring]] = lambda _prompt, _left_out: ()


@dataclass(frozen=True, slots=True)
class _Task:
    place: ClickPlace
    model_id: str
    prompt: Prompt | None
    then: Then
    beside: bool = False
    instead_of: str | None = None

    @property
    def is_preview(self) -> bool:
        return self.prompt is not None and not self.beside


class ClickDesk(QObject):
    """Answers the click tool.

    Parameters
    ----------
    front
        Returns where clicks are made now, None without a slide; on the window's thread.
    model_id
        The click model that answers clicks from now on; it may be changed.
    """

    failed = Signal(object)

    def __init__(
        self,
        front: Callable[[], ClickPlace | None],
        model_id: str,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.model_id = model_id
        self._front = front
        self._changed = threading.Condition()
        self._clicks: deque[_Task] = deque()
        self._preview: _Task | None = None
        self._is_busy = False
        self._stopped = False
        self._process: ClickProcess | None = None
        self._held: tuple[object, ...] = ()
        self._ended: tuple[object, ...] = ()  # what the model ended its process for
        self._thread: threading.Thread | None = None
        self._mailbox = Mailbox(self)
        self._mailbox.arrived.connect(self._tell)

    @property
    def is_idle(self) -> bool:
        """Tell whether every click is answered."""
        with self._changed:
            return not self._clicks and self._preview is None and not self._is_busy

    def segment(self, prompt: Prompt, then: Then, *, instead_of: str | None = None) -> None:
        """Answer a click, after those before it; an answer comes whatever happens."""
        place = self._front()
        if place is None:
            then(Answer(None, prompt, "open a slide first"))
        else:
            self._ask(_Task(place, self.model_id, prompt, then, beside=True, instead_of=instead_of))

    def preview(self, prompt: Prompt, then: Then) -> None:
        """Show what a click here would give, unless the mouse has moved on or clicks wait."""
        place = self._front()
        if place is None:
            return
        with self._changed:
            self._preview = _Task(place, self.model_id, prompt, then)
            self._start()

    def warm(self) -> None:
        """Open the model for the slide in front."""
        place = self._front()
        if place is not None:
            self._ask(_Task(place, self.model_id, None, lambda _answer: None))

    def close(self) -> None:
        """End the thread; calling it twice is fine."""
        with self._changed:
            self._stopped = True
            self._clicks.clear()
            self._preview = None
            self._await_answer()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(STOP_S)
            self._thread = None
        self._mailbox.close()

    def release(self, source: SlideSource) -> None:
        """Let go of a slide that is about to be closed, once the click at work is answered."""
        with self._changed:
            for task in self._clicks:
                if task.place.source is source:
                    self._mailbox.post(_no_answer(task))
            self._clicks = deque(t for t in self._clicks if t.place.source is not source)
            if self._preview is not None and self._preview.place.source is source:
                self._preview = None
            self._await_answer()
            if self._held and self._held[0] is source:
                self._drop()

    def _await_answer(self) -> None:
        """Wait for the click at work; a model that does not answer is stopped."""
        if not self._changed.wait_for(lambda: not self._is_busy, STOP_S):
            if self._process is not None:
                self._process.kill()
            self._changed.wait_for(lambda: not self._is_busy, STOP_S)

    # -- on the window's thread

    def _ask(self, task: _Task) -> None:
        with self._changed:
            self._preview = None
            self._clicks.append(task)
            self._start()

    def _start(self) -> None:
        if self._thread is None and not self._stopped:
            self._thread = threading.Thread(target=self._work, name="tilescope-click", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _tell(self, letters: list[object]) -> None:
        for letter in letters:
            if isinstance(letter, BaseException):
                self.failed.emit(letter)
            elif isinstance(letter, tuple):
                then, answer = letter
                if answer is not None:
                    then(answer)

    # -- in the thread

    def _work(self) -> None:
        while (task := self._next()) is not None:
            try:
                self._do(task)
            except (TilescopeError, RuntimeError, OSError) as error:
                if isinstance(error, ModelProcessEnded):
                    self._ended = _wanted(task)
                    self._drop()  # the next click starts another
                self._mailbox.post(error)
                self._mailbox.post(_no_answer(task))
            finally:
                with self._changed:
                    self._is_busy = False
                    self._changed.notify_all()
        with self._changed:
            self._drop()

    def _next(self) -> _Task | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._clicks or self._preview)
            if self._stopped:
                return None
            self._is_busy = True
            if self._clicks:
                return self._clicks.popleft()
            task, self._preview = self._preview, None
            return task

    def _do(self, task: _Task) -> None:
        if task.is_preview and _wanted(task) == self._ended:
            self._mailbox.post(_no_answer(task))  # or it ended again for every move of the mouse
            return
        process = self._process_for(task)
        if task.prompt is None:
            return
        near = task.place.committed(task.prompt, task.instead_of) if task.beside else ()
        report = process.segment([task.prompt], committed=near)
        self._mailbox.post((task.then, _answer(task.place, report)))

    def _process_for(self, task: _Task) -> ClickProcess:
        place, wanted = task.place, _wanted(task)
        if self._process is None or self._held != wanted:
            self._drop()
            options = ClickOptions(threads=place.threads, plane=place.plane)
            model = find_model(task.model_id)
            self._process = ClickProcess(ClickRequest(model, place.path, place.um_per_px, options))
            self._process.wait()
            self._held, self._ended = wanted, ()
        return self._process

    def _drop(self) -> None:
        process, self._process, self._held = self._process, None, ()
        if process is not None:
            process.close()


def _answer(place: ClickPlace, report: ClickReport) -> Answer:
    (result,) = report.results
    if result.ring is None:
        return Answer(None, result.prompt, result.reason, place.source)
    author = Author("model", report.model.id, report.record(result))
    z_count = place.source.info.z
    plane = (place.plane % z_count, place.plane // z_count)
    wish = Draw(shapely.Polygon(result.ring), author, plane=plane)
    return Answer(wish, result.prompt, slide=place.source)


def _wanted(task: _Task) -> tuple[object, ...]:
    """Return what a process must have been started for to answer this."""
    place = task.place
    return place.source, place.um_per_px, place.plane, task.model_id


def _no_answer(task: _Task) -> tuple[Then, Answer | None]:
    return task.then, None if task.prompt is None else Answer(None, task.prompt)
