"""Users' models in the window: tried out, told about in words, added again with what is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from tilescope.errors import UsageError
from tilescope.jobs.add_model import AddedModel, AddOptions, add_model
from tilescope.jobs.adding.assumption import ModelTaken, Unsettled
from tilescope.runtime.memory import machine_memory_bytes
from tilescope_desktop.bridge.work import Job
from tilescope_desktop.model.model_form import FIELDS, ModelForm, report_lines
from tilescope_desktop.model.notices import subject, words_of
from tilescope_desktop.view.added_dialog import AddedDialog
from tilescope_desktop.view.main_window import MainWindow


class ModelAdding(QObject):
    """Adds models off the window's thread; ``added`` gives the id of each that is stored.

    Parameters
    ----------
    is_running
        Tells whether a run uses the model of an id now.
    """

    added = Signal(str)

    def __init__(self, window: MainWindow, is_running: Callable[[str], bool]) -> None:
        super().__init__(window)
        self._window = window
        self._is_running = is_running

    def add(self, path: Path, *, replaces: bool = False) -> None:
        """Look at a model, try it out, and show what came of it."""
        going = self._window.status.begin(f"Trying out {path.name}…")

        def done(added: AddedModel) -> None:
            self._window.status.end(going)
            self._window.notices.settle(path)
            self._talk(path, replaces).tell(added, AddOptions())

        def failed(error: BaseException) -> None:
            self._window.status.end(going)
            if isinstance(error, ModelTaken) and error.is_stored:
                self._offer_replacing(path, error)
            elif isinstance(error, Unsettled) and any(o in FIELDS for o in error.options):
                self._talk(path, replaces).refuse(error)
            else:
                self._window.notices.fail(error, subject(path))

        self._window.work.start(
            "add-model",
            lambda token, _report: add_model(
                path, AddOptions(), _memory_bytes(), replaces=replaces, token=token
            ),
            done,
            failed,
            on_cancelled=lambda _added: self._window.status.end(going),
        )

    def _talk(self, path: Path, replaces: bool) -> _Talk:
        talk = _Talk(self._window, path, self._is_running, replaces=replaces)
        talk.added.connect(self.added)
        return talk

    def _offer_replacing(self, path: Path, error: ModelTaken) -> None:
        def replace_it() -> None:
            if self._is_running(error.model_id):
                self._window.notices.fail(UsageError(_RUNNING), subject(path))
            else:
                self.add(path, replaces=True)

        self._window.notices.say(
            f"{path.name}: {error}.",
            [("Replace it", replace_it), ("Keep it", lambda: None)],
            ("add-model", subject(path)),
        )


_RUNNING = "the model is running now; wait for the run, or cancel it"


class _Talk(QObject):
    """One dialog about one file, and what is done when the user answers."""

    added = Signal(str)

    def __init__(
        self, window: MainWindow, path: Path, is_running: Callable[[str], bool], *, replaces: bool
    ) -> None:
        self._dialog = AddedDialog(window)
        super().__init__(self._dialog)
        self._work = window.work
        self._path = path
        self._is_running = is_running
        self._replaces = replaces
        self._stored: str | None = None
        self._form = ModelForm()
        self._job: Job | None = None
        self._dialog.again.connect(self._again)
        self._dialog.finished.connect(self._leave)

    def tell(self, added: AddedModel, said: AddOptions) -> None:
        """Say what came of adding it, and ask for what had to be assumed."""
        is_in = added.folder is not None
        if is_in:
            title, headline = "The model was added", f"{added.id} was added."
            if self._stored is not None:
                headline = f"{added.id} was added again with what you said."
            self._stored, self._replaces = added.id, True
            self.added.emit(added.id)
        else:
            title, headline = "The model was not added", f"{added.id} does not work as it is."
            if self._stored is not None:
                headline = f"{added.id} does not work like this; it stays as it was."
        self._form = self._form.about(added, said)
        self._dialog.show_report(title, headline, report_lines(added))
        self._dialog.ask(self._form, "Add again with these" if is_in else "Add with these")
        self._dialog.open()

    def refuse(self, error: Unsettled) -> None:
        """Say what has to be said before it can be added, and ask for it."""
        self._form = self._form.asking(error.options)
        headline = f"{self._path.name} cannot be added before more is said of it."
        self._dialog.show_report("The model was not added", headline, ())
        self._dialog.ask(self._form, "Add with these")
        self._dialog.show_problem(error, self._words(error))
        self._dialog.open()

    def _again(self, said: AddOptions) -> None:
        if said.id is None:
            said = replace(said, id=self._stored)
        if said.id is not None and self._is_running(said.id):
            self._fail(UsageError(_RUNNING))
            return
        replaces = self._replaces
        self._dialog.show_stage("beginning")
        self._job = self._work.start(
            "add-model",
            lambda token, report: add_model(
                self._path,
                said,
                _memory_bytes(),
                replaces=replaces,
                said_by="the form",
                token=token,
                on_stage=report,
            ),
            lambda added: self.tell(added, said),
            self._fail,
            on_report=lambda stage: self._dialog.show_stage(str(stage)),
        )

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, ModelTaken) and error.is_stored:
            self._replaces = True
            error = UsageError(f"{error}; add it once more to replace that")
        self._dialog.show_problem(error, self._words(error))

    def _words(self, error: BaseException) -> str:
        return words_of(error).removeprefix(f"{self._path}: ")

    def _leave(self) -> None:
        if self._job is not None:
            self._job.cancel()


def _memory_bytes() -> int:
    return machine_memory_bytes() // 2
