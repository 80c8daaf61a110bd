"""Objects that come from other programs or go to them, as commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from PySide6.QtWidgets import QFileDialog

from tilescope.domain.counts import counted
from tilescope.domain.slide import SlideInfo
from tilescope.errors import TilescopeError, UsageError
from tilescope.jobs.export_objects import ExportRequest, ExportResult, export_objects
from tilescope.jobs.import_objects import (
    ImportRequest,
    ImportResult,
    OnCount,
    import_objects,
)
from tilescope.jobs.project_files import refuse_sources
from tilescope.runtime.cancel import CancellationToken
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.lending import Lender
from tilescope_desktop.bridge.work import Job, Report
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.finding_words import in_a_line, key_of, notice_of
from tilescope_desktop.model.notices import subject
from tilescope_desktop.model.project_tasks import OpenSlide
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.named_file import Kind, completed, kind_meant, titles_of
from tilescope_desktop.view.notice_bar import NoticeBar
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.tool_bench import ToolBench

#: The first is offered first. Qt's dialog puts the last part of the first ending of the chosen kind
#: in place of the one before, so each kind has that part for an ending, too.
_EXPORTS = (
    Kind("geojson", "GeoJSON (*.geojson)", (".geojson", ".json")),
    Kind("geojson.gz", "Packed GeoJSON (*.geojson.gz)", (".geojson.gz", ".gz")),
    Kind("csv", "Table (*.csv)", (".csv",)),
    Kind("parquet", "Table, Parquet (*.parquet)", (".parquet",)),
    Kind("geoparquet", "GeoParquet (*.geo.parquet)", (".geo.parquet", ".parquet")),
    Kind("spatialdata", "SpatialData (*.zarr)", (".zarr",)),
    Kind("coco", "COCO (*.json)", (".json",)),
    Kind("asap", "ASAP (*.xml)", (".xml",)),
    Kind("dicom", "DICOM annotations (*.dcm)", (".dcm",)),
    Kind("label-tiff", "Label image (*.tiff)", (".tiff", ".tif")),
    Kind("ome-zarr", "Label image, OME-Zarr (*.ome.zarr)", (".ome.zarr", ".zarr")),
)
_IMPORTS = "Annotations (*.geojson *.json *.gz *.xml *.ndpa *.dcm);;All files (*)"
_SAY_MS = 8000


@dataclass(eq=False)
class ObjectExchange:
    """Imports and exports of a window, one at a time."""

    window: MainWindow
    annotations: Annotations
    bench: ToolBench
    notices: NoticeBar
    _job: Job | None = None
    _going: object = None
    _imports: list[tuple[Path, Path]] = field(default_factory=list)

    def choose_import(self) -> None:
        """Import a file that the user chooses."""
        name, _ = QFileDialog.getOpenFileName(self.window, "Import objects", "", _IMPORTS)
        if name:
            self.take_objects(Path(name))

    def choose_labels(self) -> None:
        """Import a label image that the user chooses, which is a folder."""
        name = QFileDialog.getExistingDirectory(self.window, "Import an OME-Zarr of labels")
        if name:
            self.take_objects(Path(name))

    def take_objects(self, file: Path, slide: Path | None = None) -> None:
        """Import the objects of a file onto an open slide, by default the one in front.

        What comes while a file is imported is imported after it.
        """
        tab = self.window.tab
        if slide is None and tab is not None:
            slide = tab.path
        if slide is None:
            self.window.show_error(UsageError(f"{file.name}: open the slide it belongs to first"))
            return
        self._imports.append((file, slide))
        if len(self._imports) == 1:
            self._import_next()

    def _import_next(self) -> None:
        """Begin with the first of the files that wait; it waits until it is done."""
        if not self._imports:
            return
        file, slide = self._imports[0]
        tabs = [tab for tab in self.window.all_tabs if subject(tab.path) == subject(slide)]
        if not tabs:
            reason = f"{slide.name} is not open; open it first"
            self.window.show_error(UsageError(f"{file.name} was not imported: {reason}"))
            self._end_import()
            return
        self._import(file, self.window.tab if self.window.tab in tabs else tabs[0])

    def _end_import(self) -> None:
        del self._imports[:1]
        self._import_next()

    def _import(self, file: Path, tab: SlideTab) -> None:
        slide, info, status = str(tab.path), tab.source.info, self.window.status
        going = status.begin(f"Importing {file.name} (Esc cancels)")
        plane = tab.planes.place

        def done(result: ImportResult) -> None:
            onto = "" if tab is self.window.tab else f" on {tab.path.name}"
            where = "" if result.plane is None else f" on {_plane_text(info, plane)}"
            end()
            self.notices.settle(file)
            objects = counted(result.objects, "object")
            self._tell(f"{objects} from {file.name}{onto}{where}", file, result)

        def end() -> None:
            self._end_job(going)
            self._end_import()

        lender = Lender(self.annotations, self.window.work, self.bench.slides[tab])
        job = lender.lend(
            "import",
            lambda path, token, report: import_objects(
                ImportRequest(path, file, slide, plane), token, _counter(report)
            ),
            done,
            lambda n: status.tell(going, f"Importing {file.name}: {_going_on(n)}"),
            end,
        )
        self._begin_job(going, job)
        if job is None:
            self._end_import()

    def choose_export(self) -> None:
        """Export the objects of the slide in front to a file that the user names."""
        tab = self.window.tab
        slide = self.bench.front_slide
        if tab is None or slide is None or not self._has_objects(slide):
            self.window.show_error(UsageError("there are no objects on this slide to export"))
            return
        name, title = QFileDialog.getSaveFileName(
            self.window, "Export objects", f"{tab.path.stem}.geojson", titles_of(_EXPORTS)
        )
        kind = kind_meant(name, title, _EXPORTS)
        out = completed(self.window, name, kind.endings)
        if out is not None:
            self.export(out, kind.name)

    def export(self, out: Path, format_name: str) -> None:
        """Export the objects of the slide in front."""
        tab, project = self.window.tab, self.annotations.project
        if tab is None or project is None:
            return

        status = self.window.status
        going = status.begin(f"Exporting to {out.name} (Esc cancels)")

        def done(result: ExportResult) -> None:
            self._end_job(going)
            self.notices.settle(out)
            objects = counted(result.objects, "object")
            self._tell(f"{objects} to {out.name}", out, result)

        def failed(error: BaseException) -> None:
            self._end_job(going)
            self.notices.fail(error, subject(out))

        request = ExportRequest(project.path, format_name, out, str(tab.path))
        slides = [one.path for one in self.window.all_tabs]

        def run(token: CancellationToken, report: Report) -> ExportResult:
            now = replace(request, project=self._settled(request.project))
            token.raise_if_cancelled()
            refuse_sources(out, slides, "one of the open slides")
            return export_objects(now, token, _counter(report))

        self._begin_job(
            going,
            self.window.work.start(
                "export",
                run,
                done,
                failed,
                lambda n: status.tell(going, f"Exporting to {out.name}: {_going_on(n)}"),
                on_cancelled=lambda _result: self._end_job(going),
            ),
        )

    def cancel(self) -> bool:
        """Stop an import or export; False when there is none."""
        job = self._job
        if job is None or job.token.is_cancelled:
            return False
        job.cancel()
        del self._imports[1:]
        self.window.status.tell(self._going, "Cancelling…")
        return True

    # -- inside -----------------------------------------------------------------------------------

    def _has_objects(self, slide: OpenSlide) -> bool:
        """Tell whether there may be objects on a slide, or are about to be."""
        fresh = self.annotations.fresh
        return slide.number is not None or any(one.slide.is_same(slide) for one in fresh)

    def _settled(self, path: Path) -> Path:
        """Wait until all that was drawn is in the project, and return where that is; any thread.

        One that is lent had everything in it before.
        """
        try:
            return self.annotations.desk.wait(lambda project: project.path)
        except TilescopeError:
            return path

    def _begin_job(self, going: object, job: Job | None) -> None:
        if job is None:
            self.window.status.end(going)
        else:
            self._job, self._going = job, going

    def _end_job(self, going: object) -> None:
        """Say no longer that an import or export goes on, and that it was cancelled if it was."""
        self.window.status.end(going)
        job, self._job = self._job, None
        if job is not None and job.token.is_cancelled:
            self._say("Cancelled; nothing was changed")

    def _tell(self, done: str, file: Path, result: ImportResult | ExportResult) -> None:
        """Say what was done; what of it is not as it was stays to be read."""
        left_out, changed = result.left_out, result.changed
        self._say(done + in_a_line(left_out, changed))
        if left_out or changed:
            self.notices.put(notice_of(file, done, left_out, changed))
        else:
            self.notices.take(key_of(file))

    def _say(self, text: str) -> None:
        self.window.status.showMessage(text, _SAY_MS)


def exchange_commands(exchange: ObjectExchange) -> list[Command]:
    """Return the commands of the File menu that import and export."""

    def has_slide() -> bool:
        return exchange.window.tab is not None

    def has_project() -> bool:
        return exchange.annotations.project is not None

    def command(
        key: str,
        title: str,
        run: Callable[[], None],
        shortcut: str,
        is_enabled: Callable[[], bool],
    ) -> Command:
        return Command(f"project.{key}", title, "File", run, shortcut, is_enabled)

    return [
        command("import", "Import objects…", exchange.choose_import, "Ctrl+I", has_slide),
        command("import-labels", "Import a label image…", exchange.choose_labels, "", has_slide),
        command("export", "Export objects…", exchange.choose_export, "Ctrl+E", has_project),
    ]


def _going_on(count: object) -> str:
    assert isinstance(count, int)  # of ``_counter``
    return f"{counted(count, 'object')} (Esc cancels)"


def _plane_text(info: SlideInfo, plane: tuple[int, int]) -> str:
    """Return a plane by those numbers of it that the slide has several of."""
    axes = (("focal plane", info.z, plane[0]), ("time", info.t, plane[1]))
    return ", ".join(f"{name} {place + 1}" for name, count, place in axes if count > 1)


def _counter(report: Report) -> OnCount:
    def tell(count: int) -> None:
        report(count)

    return tell
