"""Projects, and objects that come from other programs or go to them, as commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QFileDialog, QInputDialog, QMenu

from tilescope.errors import UsageError
from tilescope.exchange.findings import Finding
from tilescope.io.registry import open_slide
from tilescope.jobs.export_objects import ExportRequest, ExportResult, export_objects
from tilescope.jobs.import_objects import (
    ImportRequest,
    ImportResult,
    OnCount,
    import_objects,
)
from tilescope.jobs.project_slides import identity_of_slide
from tilescope.store.project import Project, SlideRecord
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.work import Job, Report
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.places import PROJECT_SUFFIX
from tilescope_desktop.view.file_opener import FileOpener
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.notice_bar import NoticeBar
from tilescope_desktop.view.snapshot import Snapshot, picture_commands
from tilescope_desktop.view.tool_bench import ToolBench

_PROJECTS = f"Tilescope project (*{PROJECT_SUFFIX})"
#: Formats by the ending of the file's name; the first is offered first.
_EXPORTS = (
    ("geojson", "GeoJSON (*.geojson)", ".geojson"),
    ("geojson.gz", "Packed GeoJSON (*.geojson.gz)", ".geojson.gz"),
    ("csv", "Table (*.csv)", ".csv"),
    ("coco", "COCO (*.json)", ".json"),
    ("asap", "ASAP (*.xml)", ".xml"),
    ("label-tiff", "Label image (*.tiff)", ".tiff"),
)
_IMPORTS = "Annotations (*.geojson *.json *.gz *.xml *.ndpa);;All files (*)"
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
    _records: list[SlideRecord] = field(default_factory=list)
    _job: Job | None = None

    def __post_init__(self) -> None:
        self.annotations.saved.connect(self.window.status.show_saved)
        self.annotations.said.connect(self._say)
        self.annotations.failed.connect(self.window.show_error)
        self.annotations.project_changed.connect(self._name_window)
        self.annotations.refreshed.connect(self._name_commands)

    # -- projects ---------------------------------------------------------------------------------

    def new(self) -> None:
        """Make a project where the user wants it."""
        name, _ = QFileDialog.getSaveFileName(self.window, "New project", "", _PROJECTS)
        if name:
            path = Path(name)
            path = path if path.suffix == PROJECT_SUFFIX else Path(name + PROJECT_SUFFIX)
            self.annotations.open_project(path, is_new=True, then=lambda _slides: None)

    def choose(self) -> None:
        """Open a project that the user chooses."""
        name, _ = QFileDialog.getOpenFileName(self.window, "Open project", "", _PROJECTS)
        if name:
            self.open(Path(name))

    def open(self, path: Path) -> None:
        """Open a project and its slides."""
        self.annotations.open_project(path, then=self._open_slides)

    def close(self) -> None:
        """Put the project away."""
        self.annotations.close_project()
        self._records = []

    def offer_last(self) -> None:
        """Offer the project that was open when the window was closed, or died."""
        path = self.annotations.remembered.project
        if path is None:
            return
        when = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
        self.notices.say(
            f"{path.stem}: everything you drew is saved, the last change at "
            f"{when:%H:%M:%S on %d.%m.%Y}.",
            (
                ("Continue", lambda: self.open(path)),
                ("Not now", lambda: None),
            ),
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

    # -- objects in and out -----------------------------------------------------------------------

    def choose_import(self) -> None:
        """Import a file that the user chooses."""
        name, _ = QFileDialog.getOpenFileName(self.window, "Import objects", "", _IMPORTS)
        if name:
            self.take_objects(Path(name))

    def take_objects(self, file: Path) -> None:
        """Import the objects of a file onto the slide in front."""
        tab = self.window.tab
        if tab is None:
            self.window.show_error(UsageError(f"{file.name}: open the slide it belongs to first"))
            return
        slide = str(tab.path)

        def done(result: ImportResult) -> None:
            self._job = None
            self.window.status.show_saved(f"saved {datetime.now().astimezone():%H:%M:%S}")
            self._say(f"{result.objects:,} objects from {file.name}{_left_out(result.left_out)}")

        self._job = self.annotations.lend(
            self.window.work,
            "import",
            lambda path, token, report: import_objects(
                ImportRequest(path, file, slide), token, _counter(report)
            ),
            done,
            lambda count: self._say(f"Importing {file.name}: {count:,} objects (Esc cancels)"),
        )

    def choose_export(self) -> None:
        """Export the objects of the slide in front to a file that the user names."""
        tab = self.window.tab
        slide = self.bench.front_slide
        if tab is None or slide is None or slide.number is None:
            self.window.show_error(UsageError("there are no objects on this slide to export"))
            return
        titles = ";;".join(title for _, title, _ in _EXPORTS)
        name, title = QFileDialog.getSaveFileName(
            self.window, "Export objects", f"{tab.path.stem}.geojson", titles
        )
        if name:
            kind = next((k for k in _EXPORTS if k[1] == title), _EXPORTS[0])
            out = Path(name)
            self.export(out if out.suffix else out.with_name(out.name + kind[2]), kind[0])

    def export(self, out: Path, format_name: str) -> None:
        """Export the objects of the slide in front."""
        tab, project = self.window.tab, self.annotations.project
        if tab is None or project is None:
            return

        def done(result: ExportResult) -> None:
            self._job = None
            self._say(f"{result.objects:,} objects to {out.name}{_left_out(result.left_out)}")

        request = ExportRequest(project.path, format_name, out, str(tab.path))
        self._job = self.window.work.start(
            "export",
            lambda token, report: export_objects(request, token, _counter(report)),
            done,
            self.window.show_error,
            lambda count: self._say(f"Exporting to {out.name}: {count} objects (Esc cancels)"),
        )

    def cancel(self) -> bool:
        """Stop an import or export; False when there is none."""
        job, self._job = self._job, None
        if job is None or job not in self.window.work.jobs:
            return False
        job.cancel()
        self._say("Cancelled; nothing was changed")
        return True

    def fill_recent(self, menu: QMenu) -> None:
        """List files that were opened."""
        menu.clear()
        for path in self.annotations.remembered.recent:
            action = QAction(path.name, menu)
            action.setToolTip(str(path))
            action.triggered.connect(lambda _checked=False, path=path: self.opener.open([path]))
            menu.addAction(action)
        if menu.isEmpty():
            menu.addAction("Nothing was opened yet").setEnabled(False)
        menu.setToolTipsVisible(True)

    # -- inside -----------------------------------------------------------------------------------

    def _open_slides(self, records: list[SlideRecord]) -> None:
        self._records = records
        open_already = {
            slide.number for slide in self.bench.slides.values() if slide.number is not None
        }
        missing = []
        for record in records[:_OPENED_WITH]:
            place = self._place_of(record)
            if place is None:
                missing.append(record.name)
            elif record.slide not in open_already and not self._is_open(place):
                self.window.open_slide(place)
        if missing:
            self.notices.say(
                f"Not where it was: {', '.join(missing)}. What was drawn on it is safe.",
                (("Find…", self.relink), ("Later", lambda: None)),
            )

    def _is_open(self, path: Path) -> bool:
        return any(tab.path.absolute() == path.absolute() for tab in self.window.all_tabs)

    def _place_of(self, record: SlideRecord) -> Path | None:
        project = self.annotations.project
        if project is None:
            return None
        return next((p for p in record.candidates(project.path) if p.exists()), None)

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
        self.window.status.showMessage(text, 8000)

    def _name_window(self) -> None:
        project = self.annotations.project
        self.window.setWindowTitle(
            "Tilescope" if project is None else f"{project.path.stem} - Tilescope"
        )
        if project is not None and project.statement and not project.writable:
            self._say(project.statement)
        self.window.status.show_saved("" if project is None else "all changes saved")

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
    """Return the commands of the File menu that concern projects, exchange and pictures."""
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
        command("close", "Close project", desktop.close, "", has_project),
        command("relink", "Find a slide that was moved…", desktop.relink, "", has_project),
        command("import", "Import objects…", desktop.choose_import, "Ctrl+I", has_slide),
        command("export", "Export objects…", desktop.choose_export, "Ctrl+E", has_project),
        *picture_commands(Snapshot(window, desktop.bench, annotations), has_slide),
    ]


def _left_out(findings: Sequence[Finding]) -> str:
    count = sum(one.count for one in findings)
    return "" if not count else f"; {count:,} left out: {findings[0].reason}"


def _relinked(
    project: Project, record: SlideRecord, path: Path, identity: str
) -> list[SlideRecord]:
    project.relink(record.slide, path, identity)
    return project.slides()


def _counter(report: Report) -> OnCount:
    def tell(count: int) -> None:
        report(count)

    return tell
