"""A click model beside the window: the newest preview wins, no click is dropped.

The model runs in a process of its own, so that nothing it does can end the window, and the window's
thread never waits for it.
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
from PySide6.QtCore import QObject, QTimer, Signal

from tilescope.domain.annotation import Author
from tilescope.domain.clicks import Prompt
from tilescope.errors import ModelProcessEnded
from tilescope.io.source import SlideSource
from tilescope.jobs.click import ClickReport
from tilescope.jobs.click_apart import ClickProcess, ClickRequest
from tilescope.jobs.clicking.session import ClickOptions
from tilescope.plugins.registry import find_model
from tilescope_desktop.bridge.mailbox import Mailbox
from tilescope_desktop.model.tools.click import Answer
from tilescope_desktop.model.tools.tool import Draw

Ring = NDArray[np.float64]
Then = Callable[[Answer], None]

#: From then on it is said that the model does not answer; a slow machine may load it for seconds.
PATIENCE_MS = 8000
#: So long at most the thread may take when the window closes: its process is killed by then.
_END_S = 1.0


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
    project
        What stands for the project that is open.
    """

    source: SlideSource
    path: Path
    um_per_px: float | None
    plane: int
    threads: int
    committed: Callable[[Prompt, str | None], Sequence[Ring]] = lambda _prompt, _left_out: ()
    project: object = None


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


@dataclass(frozen=True, slots=True)
class _Leave:
    """A slide was closed: no process is kept for it."""

    source: SlideSource


class ClickDesk(QObject):
    """Answers the click tool.

    ``unanswered`` gives the id of a model that has not answered a click for `PATIENCE_MS`, and None
    when none is waited for that long any more.

    Parameters
    ----------
    front
        Returns where clicks are made now, None without a slide; on the window's thread.
    model_id
        The click model that answers clicks from now on; it may be changed.
    """

    failed = Signal(object)
    unanswered = Signal(object)

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
        self._clicks: deque[_Task | _Leave] = deque()
        self._preview: _Task | None = None
        self._at_work: _Task | _Leave | None = None
        self._is_given_up = False  # what is at work
        self._is_quiet = False  # nothing is said of that
        self._stopped = False
        self._process: ClickProcess | None = None
        self._held: tuple[object, ...] = ()
        self._ended: tuple[object, ...] = ()  # what the model ended its process for
        self._thread: threading.Thread | None = None
        self._mailbox = Mailbox(self)
        self._mailbox.arrived.connect(self._tell)
        self._asked = 0  # clicks, as far as the window knows not answered
        self._is_overdue = False
        self._patience = QTimer(self, singleShot=True)
        self._patience.timeout.connect(self._tell_overdue)

    @property
    def is_idle(self) -> bool:
        """Tell whether every click is answered."""
        with self._changed:
            return not self._clicks and self._preview is None and self._at_work is None

    def segment(self, prompt: Prompt, then: Then, *, instead_of: str | None = None) -> None:
        """Answer a click, after those before it; an answer comes whatever happens."""
        place = self._front()
        if place is None:
            then(Answer(None, prompt, "open a slide first"))
        else:
            self._asked += 1
            if not self._patience.isActive():
                self._patience.start(PATIENCE_MS)
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

    def stop(self) -> bool:
        """Give up the click at work if its model is overdue, and tell whether it is.

        Its process is ended; clicks after it are answered by another.
        """
        if not self._is_overdue:
            return False
        with self._changed:
            is_stuck = self._at_work is not None
            if is_stuck:
                self._give_up(quietly=False)
        self._begin_patience()
        return is_stuck

    def close(self) -> None:
        """End the process, whatever it does, and the thread; calling it twice is fine."""
        with self._changed:
            self._stopped = True
            self._clicks.clear()
            self._preview = None
            self._give_up(quietly=True)
            self._changed.notify_all()
        self._patience.stop()
        self._mailbox.close()
        if self._thread is not None:
            self._thread.join(_END_S)

    def release(self, source: SlideSource) -> None:
        """Give up what is asked about a slide that is about to be closed."""
        with self._changed:
            kept: deque[_Task | _Leave] = deque()
            for task in self._clicks:
                if isinstance(task, _Task) and task.place.source is source:
                    self._mailbox.post(_no_answer(task))
                else:
                    kept.append(task)
            self._clicks = kept
            if _is_about(self._preview, source):
                self._preview = None
            if _is_about(self._at_work, source):
                self._give_up(quietly=not self._is_overdue)
            if self._thread is not None:
                self._clicks.append(_Leave(source))
                self._changed.notify_all()

    def _give_up(self, *, quietly: bool) -> None:
        """End the process, whatever it does; the lock is held."""
        self._is_given_up, self._is_quiet = True, quietly
        if self._process is not None:
            self._process.kill()

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
                task, answer = letter
                self._asked -= task.beside
                self._begin_patience()
                if answer is not None:
                    task.then(answer)

    def _begin_patience(self) -> None:
        """Wait for the next click anew: one was answered or given up."""
        if self._asked:
            self._patience.start(PATIENCE_MS)
        else:
            self._patience.stop()
        if self._is_overdue:
            self._is_overdue = False
            self.unanswered.emit(None)

    def _tell_overdue(self) -> None:
        if not self._mailbox.is_empty:
            return  # it was this thread that had no time
        self._is_overdue = True
        with self._changed:
            task = self._at_work
        self.unanswered.emit(task.model_id if isinstance(task, _Task) else self.model_id)

    # -- in the thread

    def _work(self) -> None:
        while (task := self._next()) is not None:
            try:
                self._do(task)
            except Exception as error:  # noqa: BLE001 - told by the window
                self._fail(task, error)
            finally:
                self._end_task()
        self._drop()

    def _fail(self, task: _Task | _Leave, error: BaseException) -> None:
        with self._changed:
            is_quiet = self._is_given_up and self._is_quiet
        if isinstance(error, ModelProcessEnded):
            self._drop()  # the next click starts another
        if isinstance(task, _Leave):
            return
        if isinstance(error, ModelProcessEnded) and not is_quiet:
            self._ended = _wanted(task)
        if not is_quiet:
            self._mailbox.post(error)
        self._mailbox.post(_no_answer(task))

    def _next(self) -> _Task | _Leave | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._clicks or self._preview)
            if self._stopped:
                return None
            self._is_given_up = self._is_quiet = False
            if self._clicks:
                self._at_work = self._clicks.popleft()
            else:
                self._at_work, self._preview = self._preview, None
            return self._at_work

    def _end_task(self) -> None:
        while True:
            with self._changed:
                if not self._is_given_up:
                    self._at_work = None
                    return
                self._is_given_up = False
            self._drop()  # it was killed, perhaps after it had answered

    def _do(self, task: _Task | _Leave) -> None:
        if isinstance(task, _Leave):
            if self._held and self._held[0] is task.source:
                self._drop()
            return
        if task.is_preview and _wanted(task) == self._ended:
            self._mailbox.post(_no_answer(task))  # or it ended again for every move of the mouse
            return
        process = self._process_for(task)
        if task.prompt is None:
            return
        near = task.place.committed(task.prompt, task.instead_of) if task.beside else ()
        report = process.segment([task.prompt], committed=near)
        self._mailbox.post((task, _answer(task.place, report)))

    def _process_for(self, task: _Task) -> ClickProcess:
        place, wanted = task.place, _wanted(task)
        if self._process is None or self._held != wanted:
            self._drop()
            options = ClickOptions(threads=place.threads, plane=place.plane)
            model = find_model(task.model_id)
            process = ClickProcess(ClickRequest(model, place.path, place.um_per_px, options))
            with self._changed:
                self._process = process
                if self._is_given_up:
                    process.kill()
            process.wait()
            self._held, self._ended = wanted, ()
        return self._process

    def _drop(self) -> None:
        with self._changed:
            process, self._process, self._held = self._process, None, ()
        if process is not None:
            process.close()


def _answer(place: ClickPlace, report: ClickReport) -> Answer:
    (result,) = report.results
    if result.ring is None:
        return Answer(None, result.prompt, result.reason, place.source, place.project)
    author = Author("model", report.model.id, report.record(result))
    z_count = place.source.info.z
    plane = (place.plane % z_count, place.plane // z_count)
    wish = Draw(shapely.Polygon(result.ring), author, plane=plane)
    return Answer(wish, result.prompt, slide=place.source, project=place.project)


def _wanted(task: _Task) -> tuple[object, ...]:
    """Return what a process must have been started for to answer this."""
    place = task.place
    return place.source, place.um_per_px, place.plane, task.model_id


def _is_about(task: _Task | _Leave | None, source: SlideSource) -> bool:
    return isinstance(task, _Task) and task.place.source is source


def _no_answer(task: _Task) -> tuple[_Task, Answer | None]:
    return task, None if task.prompt is None else Answer(None, task.prompt)
