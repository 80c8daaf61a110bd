"""The open project in a thread of its own, which does everything that is asked of it in order.

The window never waits for a disk; an edit is on it when its ``on_done`` is called. A project whose
file is deleted, moved or replaced by another program goes on in a copy; one that is open to be read
is watched for what whoever writes to it changes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from PySide6.QtCore import QObject, Signal

from tilescope.errors import ProjectError, TilescopeError, UsageError
from tilescope.jobs.project_files import remove_project
from tilescope.store.backup import backups
from tilescope.store.place import is_displaced
from tilescope.store.project import Project
from tilescope_desktop.bridge.mailbox import Mailbox

T = TypeVar("T")

#: How often it is looked, while nothing is asked for, whether the project's file is still there,
#: and whether others changed it.
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class OpenProject:
    """What is known of the open project."""

    path: Path
    writable: bool
    statement: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A project went on in another file, because its own was no longer there."""

    before: Path
    now: OpenProject


@dataclass(frozen=True, slots=True)
class Stranded:
    """A project is in no file: its own is no longer there, and no copy could be made."""

    before: Path
    error: BaseException


@dataclass(frozen=True, slots=True)
class Altered:
    """Others changed the project, which is open to be read."""


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
    """Owns the open project; all callbacks run on the thread that made the desk.

    ``displaced`` gives what became of a project whose file went away: `Moved` or `Stranded`;
    ``altered`` tells that others changed one that is open to be read.

    Parameters
    ----------
    refuge
        Returns where to keep a project whose file is gone, the best place first.
    """

    displaced = Signal(object)
    altered = Signal()

    def __init__(
        self,
        refuge: Callable[[Path], Sequence[Path]] = lambda _path: (),
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._refuge = refuge
        self._is_stranded = False
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._project: Project | None = None  # touched by the thread alone
        self._refusal: BaseException | None = None  # and so are these
        self._mark: int | None = None
        self._thread: threading.Thread | None = None
        self._waiting = 0
        self._counting = threading.Lock()  # jobs and whoever paints objects ask, too
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
        may_replace: bool = False,
    ) -> None:
        """Open a project, or make a new one, in the place of the one that is open.

        A project that another process writes to is opened read-only. When it cannot be opened,
        the one before stays; so does one that is open already.

        Parameters
        ----------
        may_replace
            Whether a new one takes the place of a file that is there, as ``save_as`` does.
        """

        def swap() -> OpenProject:
            self._stay()
            there = self._project
            is_there = there is not None and there.writable and there.path == path.resolve()
            if there is not None and is_there and not is_new:
                return _facts(there)
            is_replaced = is_there and is_new and may_replace
            if is_replaced:
                self._let_go()
            try:
                made = _made(path, may_replace=may_replace) if is_new else _opened(path)
            except BaseException as error:
                if is_replaced:
                    self._reopen(path)
                self._refusal = error
                raise
            return self._take(made)

        self._put(swap, on_done, on_error)

    def save_as(
        self,
        path: Path,
        on_done: Callable[[OpenProject], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Go on in a copy of the project at another place; the file before stays as it is."""

        def move() -> OpenProject:
            there = self._there()
            if there.path == path.resolve() and not is_displaced(there.path):
                return _facts(there)
            return self._go_on_in(path.resolve())

        self._put(move, on_done, on_error)

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

    def edit(
        self,
        run: Callable[[Project], T],
        on_done: Callable[[T], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Have the project changed; if its file is gone, ``displaced`` tells before ``on_done``."""

        def body() -> T:
            self._stay()  # also before, so that nothing is done in a file that is gone
            result = run(self._there())
            self._stay()
            return result

        self._put(body, on_done, on_error)

    def discard(self, path: Path) -> None:
        """Close a project and delete its file, if it is the one that is open."""

        def run() -> None:
            if self._project is not None and self._project.path == path.resolve():
                self._let_go()
                remove_project(path)
                for copy in backups(path):
                    copy.unlink(missing_ok=True)

        self._put(run, _nothing, _nothing)

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

    def lent(self, run: Callable[[Path], T]) -> T:
        """Close the project while ``run`` works on its file, and open it again.

        For other threads than the window's; nobody may ask for anything meanwhile.

        Raises
        ------
        ProjectError
            When the project is in no file now; it stays open.
        """

        def leave() -> Path:
            path = self._there().path
            self._stay()
            if self._is_stranded:
                raise ProjectError(path, "its file is gone; save the project under another name")
            path = self._there().path
            self._let_go()
            return path

        path = self._do_and_wait(leave)
        try:
            return run(path)
        finally:
            self._do_and_wait(lambda: self._reopen(path))

    def close(self) -> None:
        """Do what was asked for, close the project and end the thread."""
        if self._thread is not None:
            self._tasks.put(None)
            self._thread.join()
            self._thread = None
        for letter in self._mailbox.close():
            if isinstance(letter, Moved | Stranded):
                self.displaced.emit(letter)

    # In the thread

    def _work(self) -> None:
        while (task := self._next()) is not None:
            try:
                outcome = _Outcome(task, task.run())
            except BaseException as error:  # noqa: BLE001 - told to whoever asked
                outcome = _Outcome(task, error=error)
            self._mailbox.post(outcome)
        self._shut()

    def _next(self) -> _Task | None:
        while True:
            try:
                return self._tasks.get(timeout=None if self._project is None else _LOOK_S)
            except queue.Empty:
                self._stay()
                self._look_around()

    def _there(self) -> Project:
        if self._project is None:
            raise self._refusal or UsageError("no project is open")
        return self._project

    def _take(self, project: Project) -> OpenProject:
        try:
            self._let_go()
        finally:
            self._project = project
        self._mark = _mark_of(project)
        return _facts(project)

    def _shut(self) -> None:
        self._stay()
        self._let_go()

    def _let_go(self) -> None:
        if self._project is not None:
            self._project.close()
            self._project = None
        self._is_stranded = False

    def _reopen(self, path: Path) -> None:
        try:
            self._take(_opened(path))
        except TilescopeError as error:  # told to whoever asks next
            self._refusal = error

    # What other programs do to the file

    def _stay(self) -> None:
        """Go on in a copy when the file is no longer the one at its path."""
        project = self._project
        if project is None or not is_displaced(project.path):
            return
        failure: BaseException = ProjectError(project.path, "no copy could be made")
        for path in self._refuge(project.path):
            try:
                moved = Moved(project.path, self._go_on_in(path))
            except (TilescopeError, OSError) as error:
                failure = error
            else:
                self._mailbox.post(moved)
                return
        if not self._is_stranded:
            self._is_stranded = True
            self._mailbox.post(Stranded(project.path, failure))

    def _go_on_in(self, path: Path) -> OpenProject:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._there().copy_to(path)
        return self._take(Project.open(path))

    def _look_around(self) -> None:
        """Tell when others have changed a project that is read."""
        project = self._project
        if project is None or project.writable:
            return
        before, self._mark = self._mark, _mark_of(project)
        if self._mark != before:
            self._mailbox.post(Altered())

    # Between the threads

    def _put(
        self,
        run: Callable[[], Any],
        on_done: Callable[[Any], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        with self._counting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="tilescope-project", daemon=True
                )
                self._thread.start()
            self._waiting += 1
        self._tasks.put(_Task(run, on_done, on_error))

    def _do_and_wait(self, run: Callable[[], T]) -> T:
        done: Future[T] = Future()

        def body() -> None:
            try:
                done.set_result(run())
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                done.set_exception(error)

        self._put(body, _nothing, _nothing)
        return done.result()

    def _tell(self, letters: list[_Outcome | Moved | Stranded | Altered]) -> None:
        for outcome in letters:
            if isinstance(outcome, Altered):
                self.altered.emit()
                continue
            if not isinstance(outcome, _Outcome):
                self.displaced.emit(outcome)
                continue
            with self._counting:
                self._waiting -= 1
            if outcome.error is None:
                outcome.task.on_done(outcome.result)
            else:
                outcome.task.on_error(outcome.error)


def _facts(project: Project) -> OpenProject:
    return OpenProject(project.path, project.writable, project.statement)


def _mark_of(project: Project) -> int | None:
    """Return a number that grows with every change; None when it cannot be read now."""
    with suppress(TilescopeError):
        return project.dots(0).mark()
    return None


def _made(path: Path, *, may_replace: bool) -> Project:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ProjectError(
            path, f"its folder cannot be made ({exc.strerror}); choose another place"
        ) from exc
    if may_replace and path.exists():
        with TemporaryDirectory() as folder, Project.create(Path(folder) / path.name) as empty:
            empty.copy_to(path)
        return Project.open(path)
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
