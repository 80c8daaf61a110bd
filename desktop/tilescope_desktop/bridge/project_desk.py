"""The open project in a thread of its own, which does everything that is asked of it in order.

The window never waits for a disk; an edit is on it when its ``on_done`` is called.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PySide6.QtCore import QObject

from tilescope.errors import ProjectError, TilescopeError, UsageError
from tilescope.store.project import Project
from tilescope_desktop.bridge.mailbox import Mailbox

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenProject:
    """What is known of the open project."""

    path: Path
    writable: bool
    statement: str


@dataclass(frozen=True, slots=True)
class _Task:
    run: Callable[[], Any]
    on_done: Callable[[Any], None]
    on_error: Callable[[BaseException], None]


@dataclass(frozen=True, slots=True)
class _Outcome:
    task: _Task
    result: Any = None
    error: BaseException | None = None


def _nothing(_result: object) -> None:
    """Leave an outcome alone."""


class ProjectDesk(QObject):
    """Owns the open project; all callbacks run on the thread that made the desk."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._project: Project | None = None  # touched by the thread alone
        self._refusal: BaseException | None = None  # and so is this
        self._thread: threading.Thread | None = None
        self._waiting = 0
        self._mailbox = Mailbox(self)
        self._mailbox.arrived.connect(self._tell)

    @property
    def is_idle(self) -> bool:
        """Tell whether everything that was asked for is done."""
        return self._waiting == 0

    def open(
        self,
        path: Path,
        on_done: Callable[[OpenProject], None],
        on_error: Callable[[BaseException], None],
        *,
        is_new: bool = False,
    ) -> None:
        """Open a project, or make a new one, in the place of the one that is open.

        A project that another process writes to is opened read-only. When it cannot be opened,
        the one before stays.
        """

        def swap() -> OpenProject:
            try:
                made = _made(path) if is_new else _opened(path)
            except BaseException as error:
                self._refusal = error
                raise
            if self._project is not None:
                self._project.close()
            self._project = made
            return OpenProject(made.path, made.writable, made.statement)

        self._put(swap, on_done, on_error)

    def shut(self, on_done: Callable[[None], None] = _nothing) -> None:
        """Close the project; the desk stays."""

        def run() -> None:
            self._shut()
            self._refusal = None

        self._put(run, on_done, _nothing)

    def ask(
        self,
        run: Callable[[Project], T],
        on_done: Callable[[T], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Have something done with the project after all that was asked before."""
        self._put(lambda: run(self._there()), on_done, on_error)

    def wait(self, run: Callable[[Project], T]) -> T:
        """Have something done and wait for it; for other threads than the window's."""
        outcome: Future[T] = Future()

        def body() -> None:
            try:
                outcome.set_result(run(self._there()))
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                outcome.set_exception(error)

        self._put(body, _nothing, _nothing)
        return outcome.result()

    def lent(self, path: Path, run: Callable[[], T]) -> T:
        """Close the project while ``run`` works on its file, and open it again.

        For other threads than the window's; nobody may ask for anything meanwhile.
        """
        self._do_and_wait(self._shut)
        try:
            return run()
        finally:
            self._do_and_wait(lambda: self._reopen(path))

    def close(self) -> None:
        """Do what was asked for, close the project and end the thread."""
        if self._thread is not None:
            self._tasks.put(None)
            self._thread.join()
            self._thread = None
        self._mailbox.close()

    # In the thread

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                outcome = _Outcome(task, task.run())
            except BaseException as error:  # noqa: BLE001 - told to whoever asked
                outcome = _Outcome(task, error=error)
            self._mailbox.post(outcome)
        self._shut()

    def _there(self) -> Project:
        if self._project is None:
            raise self._refusal or UsageError("no project is open")
        return self._project

    def _shut(self) -> None:
        if self._project is not None:
            self._project.close()
            self._project = None

    def _reopen(self, path: Path) -> None:
        try:
            self._project = _opened(path)
        except TilescopeError as error:  # told to whoever asks next
            self._refusal = error

    # Between the threads

    def _put(
        self,
        run: Callable[[], Any],
        on_done: Callable[[Any], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name="tilescope-project", daemon=True
            )
            self._thread.start()
        self._waiting += 1
        self._tasks.put(_Task(run, on_done, on_error))

    def _do_and_wait(self, run: Callable[[], None]) -> None:
        done: Future[None] = Future()

        def body() -> None:
            try:
                run()
            finally:
                done.set_result(None)

        self._put(body, _nothing, _nothing)
        done.result()

    def _tell(self, outcomes: list[_Outcome]) -> None:
        for outcome in outcomes:
            self._waiting -= 1
            if outcome.error is None:
                outcome.task.on_done(outcome.result)
            else:
                outcome.task.on_error(outcome.error)


def _made(path: Path) -> Project:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ProjectError(
            path, f"its folder cannot be made ({exc.strerror}); choose another place"
        ) from exc
    return Project.create(path)


def _opened(path: Path) -> Project:
    try:
        project = Project.open(path)
    except TilescopeError:
        # Whoever holds it may still let others read; if not, the reason above is the one to tell.
        with suppress(TilescopeError):
            return Project.open(path, writable=False)
        raise
    if project.writable:
        project.back_up_if_due()
    return project
