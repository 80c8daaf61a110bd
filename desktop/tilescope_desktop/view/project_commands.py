"""Projects, and files that were opened before, as commands."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QFileDialog, QInputDialog, QMenu, QMessageBox

from tilescope.errors import ProjectError, ProjectReadOnly
from tilescope.io.registry import open_slide
from tilescope.jobs.project_slides import identity_of_slide
from tilescope.store.project import Project, SlideRecord
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.loans import ProjectLent
from tilescope_desktop.bridge.project_desk import Moved, OpenProject, Stranded
from tilescope_desktop.model.captions import caption
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.dropped import Over, each
from tilescope_desktop.model.earlier_work import changed_at, moment_text
from tilescope_desktop.model.notices import Notice, subject, subject_of, unkept, words_of
from tilescope_desktop.model.places import PROJECT_SUFFIX
from tilescope_desktop.view.earlier_offers import EarlierOffers
from tilescope_desktop.view.file_opener import FileOpener
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.named_file import completed
from tilescope_desktop.view.notice_bar import NoticeBar
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.snapshot import Snapshot, picture_commands
from tilescope_desktop.view.tool_bench import ToolBench

_PROJECTS = f"Tilescope project (*{PROJECT_SUFFIX})"
#: What failures of edits are known by; the next edit that is saved settles them.
_EDIT = "edit"
#: Nothing settles this: what was refused is not done by what is saved later.
_LENT = "lent"
#: Another project, or none, settles this.
_READ_ONLY = "read-only"
_MISSING, _DISPLACED = "missing", "displaced"
#: Slides of a project that are opened with it; the others wait to be asked for.
_OPENED_WITH = 4


@dataclass(eq=False)
class ProjectDesktop:
    """What a user does with projects; one per window."""

    window: MainWindow
    annotations: Annotations
    bench: ToolBench
    opener: FileOpener
    notices: NoticeBar
    earlier: EarlierOffers = field(init=False)
    _records: list[SlideRecord] = field(default_factory=list)
    _displaced: Notice | None = None
    _left: Hashable = None
    _said: str = ""
    _named: OpenProject | None = None

    def __post_init__(self) -> None:
        self.earlier = EarlierOffers(self.window, self.annotations, self.open)
        self.annotations.saved.connect(self._note_saved)
        self.annotations.said.connect(self._say)
        self.annotations.failed.connect(self.tell_failure)
        self.annotations.edit_failed.connect(self._tell_refusal)
        self.annotations.displaced.connect(self._tell_displaced)
        self.window.before_closing(self._may_let_go)
        self.annotations.project_changed.connect(self._name_window)
        self.annotations.refreshed.connect(self._name_commands)
        self.annotations.slides_found.connect(self._look_for_missing)
        self.bench.ended.connect(self.window.status.unsay)

    # -- projects ---------------------------------------------------------------------------------

    def new(self) -> None:
        """Make a project where the user wants it."""
        name, _ = QFileDialog.getSaveFileName(self.window, "New project", "", _PROJECTS)
        path = completed(self.window, name, (PROJECT_SUFFIX,))
        if path is not None and self._may_let_go():
            self.earlier.end()
            self.annotations.open_project(path, is_new=True, may_replace=True)

    def choose(self) -> None:
        """Open a project that the user chooses."""
        name, _ = QFileDialog.getOpenFileName(self.window, "Open project", "", _PROJECTS)
        if name:
            self.open(Path(name))

    def open(self, path: Path, over: Over = lambda: None) -> None:
        """Open a project and its slides; ``over`` is told when all are there that will be."""
        if not self._may_let_go():
            over()
            return
        self._left = None
        self.earlier.end()
        self.annotations.open_project(
            path, then=lambda records: self._open_slides(records, over), on_failed=over
        )

    def slides_of(self, path: Path) -> list[Path]:
        """Return the slides that are open with a project, none when it is not the open one."""
        project = self.annotations.project
        if project is None or project.path != path.resolve():
            return []
        return [slide.path for slide in self.bench.slides.values()]

    def save_as(self) -> None:
        """Go on in a copy of the project where the user wants it."""
        project = self.annotations.project
        if project is None:
            return
        name, _ = QFileDialog.getSaveFileName(
            self.window, "Save project as", str(project.path), _PROJECTS
        )
        if self._displaced is not None:  # until it is done, also when the user thinks again
            self.notices.put(self._displaced)
        path = completed(self.window, name, (PROJECT_SUFFIX,))
        if path is not None:
            self.annotations.save_as(path, lambda: self._settle(project.path, path))

    def close(self) -> None:
        """Put the project away."""
        if self._may_let_go():
            self.annotations.close_project()
            self._records = []

    def show_slide(self, path: Path, over: Over = lambda: None) -> None:
        """Bring a slide to the front; one that is not open is opened.

        ``over`` is told when it is there, or has failed.
        """
        found = [tab for tab in self.window.all_tabs if subject(tab.path) == subject(path)]

        def note(_tab: SlideTab) -> None:
            # What cannot be opened is not listed to be opened again.
            self.annotations.remembered.note_file(path)
            over()

        if not found:
            self.window.open_slide(path, note, over)
            return
        if self.window.tab not in found:
            self.window.tabs.show_slide(found[0])
            found[0].view.setFocus()
        note(found[0])

    def offer_last(self) -> None:
        """Offer the project that was open when the window was closed, or died."""
        path = self.annotations.remembered.project
        if path is None:
            return
        when = datetime.fromtimestamp(changed_at(path))
        self.earlier.offer(
            path,
            f"{path.stem}: everything you drew is saved, the last change at {moment_text(when)}.",
        )

    def relink(self) -> None:
        """Let the user show where a slide of the project is now."""
        missing = [record for record in self._records if self._place_of(record) is None]
        if not missing:
            self._say("Every slide of the project is where it was")
            return
        names = [record.name for record in missing]
        name = names[0]
        if len(names) > 1:
            name, is_given = QInputDialog.getItem(
                self.window, "Find a slide", "Which slide?", names, 0, editable=False
            )
            if not is_given:
                return
        record = missing[names.index(name)]
        chosen, _ = QFileDialog.getOpenFileName(self.window, f"Where is {record.name}?")
        if chosen:
            self._relink(record, Path(chosen))

    # -- what was opened before -------------------------------------------------------------------

    def fill_recent(self, menu: QMenu) -> None:
        """List files that were opened."""
        menu.clear()
        own = self.annotations.folder
        for path in self.annotations.remembered.recent:
            if path.is_relative_to(own) and not path.exists():
                continue  # nothing came of what it was made for
            action = QAction(caption(path.name), menu)
            action.setToolTip(str(path))
            action.triggered.connect(lambda _checked=False, path=path: self.opener.open([path]))
            menu.addAction(action)
        if menu.isEmpty():
            menu.addAction("Nothing was opened yet").setEnabled(False)
        menu.setToolTipsVisible(True)

    # -- inside -----------------------------------------------------------------------------------

    def _note_saved(self, text: str) -> None:
        """Say when the last edit was saved; what kept one from it is over."""
        self.notices.settle(_EDIT)
        self.window.status.show_saved(text)

    def _tell_refusal(self, error: BaseException) -> None:
        """Tell why an edit was not made; one that came while a job wrote has to be made again."""
        if isinstance(error, ProjectError):
            if not isinstance(error, ProjectReadOnly):
                self.window.status.show_saved("not saved")
            error = error if self.annotations.project is None else unkept(error)
        project = self.annotations.project
        is_read_only = project is not None and not project.writable
        refused = _READ_ONLY if is_read_only else _EDIT
        self.notices.fail(error, _LENT if isinstance(error, ProjectLent) else refused)

    def tell_failure(self, error: BaseException) -> None:
        """Say what went wrong, unless it is with a file that the project is no longer in."""
        if self._left is None or subject_of(error) != self._left:
            self.window.show_error(error)

    def _tell_displaced(self, news: Moved | Stranded) -> None:
        self._leave(news.before)
        gone = f"{news.before} was deleted, moved or replaced by another program."
        if isinstance(news, Moved):
            text = f"{gone} Nothing is lost: the project goes on in {news.now.path}."
        else:
            text = (
                f"{gone} What you draw is not saved: no copy could be made "
                f"({words_of(news.error)}). Save the project elsewhere now."
            )
        self._displaced = Notice(_DISPLACED, text, (("Save as…", self.save_as),), is_failure=True)
        self.notices.put(self._displaced)
        if isinstance(news, Stranded):
            self.window.status.show_saved("not saved")

    def _leave(self, before: Path) -> None:
        self._left = subject(before)  # what is still read from it fails, and is over
        self.notices.settle(before)

    def _settle(self, before: Path, path: Path) -> None:
        """Say no longer that the file was gone: the project is in one that the user chose."""
        self._displaced = None
        self.notices.take(_DISPLACED)
        self._leave(before)
        self._say(f"The project is now {path.name}")

    def _may_let_go(self) -> bool:
        """Ask before a project is given up that is in no file; others are saved."""
        if not self.annotations.is_stranded:
            return True
        answer = QMessageBox.question(
            self.window,
            "The project is not saved",
            "The file of the project is gone, and no copy could be made. Give up what is drawn in "
            "it? Answer No and save it elsewhere to keep it.",
        )
        return answer == QMessageBox.StandardButton.Yes

    def _open_slides(self, records: list[SlideRecord], over: Over = lambda: None) -> None:
        self._records = records
        open_already = {
            slide.number for slide in self.bench.slides.values() if slide.number is not None
        }
        missing, places = [], []
        for record in records[:_OPENED_WITH]:
            place = self._place_of(record)
            if place is None:
                missing.append(record.name)
            elif record.slide not in open_already and not self._is_open(place):
                places.append(place)
        if missing:
            self.notices.say(
                f"Not where it was: {', '.join(missing)}. What was drawn on it is safe.",
                (("Find…", self.relink), ("Later", lambda: None)),
                _MISSING,
            )
        else:
            self.notices.take(_MISSING)

        def open_slide(place: Path, over: Over) -> None:
            self.window.open_slide(place, lambda _tab: over(), over)

        each(places, open_slide, over)

    def _look_for_missing(self) -> None:
        """Say no longer that slides are missing once they are found."""
        if any(notice.key == _MISSING for notice in self.notices.shown):
            desk = self.annotations.desk
            desk.ask(lambda project: project.slides(), self._note_places, lambda _error: None)

    def _note_places(self, records: list[SlideRecord]) -> None:
        self._records = records
        if all(self._place_of(record) is not None for record in records[:_OPENED_WITH]):
            self.notices.take(_MISSING)

    def _is_open(self, path: Path) -> bool:
        return any(tab.path.absolute() == path.absolute() for tab in self.window.all_tabs)

    def _place_of(self, record: SlideRecord) -> Path | None:
        project = self.annotations.project
        if project is None:
            return None
        # Not Path.exists, which raises what a drive says that was taken away.
        places = record.candidates(project.path)
        return next((p for p in places if os.path.exists(p)), None)  # noqa: PTH110

    def _relink(self, record: SlideRecord, path: Path) -> None:
        def identity() -> str:
            with open_slide(path) as source:
                return identity_of_slide(path, source.info)

        def found(text: str) -> None:
            self.annotations.desk.ask(
                lambda project: _relinked(project, record, path, text),
                self._open_slides,
                self.window.show_error,
            )

        self.window.work.start(
            "relink", lambda _token, _report: identity(), found, self.window.show_error
        )

    def _say(self, text: str) -> None:
        self._said = text
        self.window.status.showMessage(text, 8000)

    def _name_window(self) -> None:
        project = self.annotations.project
        before, self._named = self._named, project
        if before is not None and project != before:  # what was said was of the one before
            self.window.status.unsay(self._said)
            self.notices.settle(_READ_ONLY)
        if project is not None:
            self.notices.settle(project.path)
            self.annotations.remembered.note_file(project.path)
        if project is None:
            self.window.setWindowTitle("Tilescope")
            self.window.status.show_saved("")
            return
        mark = "" if project.writable else f" ({_READ_ONLY})"
        self.window.setWindowTitle(f"{project.path.stem}{mark} - Tilescope")
        if not project.writable:
            self._say(project.statement)
            self.window.status.show_saved(_READ_ONLY, project.statement)
        else:
            self.window.status.show_saved(
                "" if self.annotations.is_stranded else "all changes saved"
            )

    def _name_commands(self) -> None:
        for name, word, label in (
            ("edit.undo", "Undo", self.annotations.undo_label),
            ("edit.redo", "Redo", self.annotations.redo_label),
        ):
            action = self.window.findChild(QObject, name)
            if isinstance(action, QAction):
                action.setText(word if label is None else f"{word}: {label}")
        self.window.refresh_commands()


def project_commands(desktop: ProjectDesktop) -> list[Command]:
    """Return the commands of the File menu that concern projects and pictures."""
    annotations, window = desktop.annotations, desktop.window

    def has_project() -> bool:
        return annotations.project is not None

    def has_slide() -> bool:
        return window.tab is not None

    def command(
        key: str,
        title: str,
        run: Callable[[], None],
        shortcut: str = "",
        is_enabled: Callable[[], bool] = lambda: True,
    ) -> Command:
        return Command(f"project.{key}", title, "File", run, shortcut, is_enabled)

    return [
        command("new", "New project…", desktop.new, "Ctrl+N"),
        command("open", "Open project…", desktop.choose, "Ctrl+Shift+P"),
        command("save-as", "Save project as…", desktop.save_as, "", has_project),
        command("close", "Close project", desktop.close, "", has_project),
        command("relink", "Find a slide that was moved…", desktop.relink, "", has_project),
        Command("view.notices", "Go to the notices", "View", desktop.notices.focus, "F7"),
        *picture_commands(Snapshot(window, desktop.bench, annotations), has_slide),
    ]


def _relinked(
    project: Project, record: SlideRecord, path: Path, identity: str
) -> list[SlideRecord]:
    project.relink(record.slide, path, identity)
    return project.slides()
