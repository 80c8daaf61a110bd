"""Objects of a project into a file of another program, streamed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Rect
from tilescope.errors import OutputError, UsageError
from tilescope.exchange.findings import Finding, Findings
from tilescope.exchange.formats import Format, format_named
from tilescope.jobs.import_objects import OnCount, ignore_count
from tilescope.jobs.project_labels import LabelledObjects
from tilescope.jobs.project_slides import chosen_slide, known_frame
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project, Selection, SlideRecord

#: Formats that are told apart by the name of the file, and the names that users know others by.
_ALIASES = {"geojson.gz": "geojson", "tiff-labels": "label-tiff"}
_LOOK_AT_SLIDE = frozenset({"coco", "coco-rle", "dicom"})
_ZARR_FILES = ("zarr.json", ".zgroup", ".zattrs")


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Objects of one slide of a project into one file.

    Attributes
    ----------
    project
        The project file.
    format
        Name of a format.
    out
        The file or folder to write; an older one is replaced.
    slide
        Name or path of a slide of the project; None is its only slide.
    class_names
        Only objects of these classes, the empty name for unclassified ones; none is all objects.
    """

    project: Path
    format: str
    out: Path
    slide: str | None = None
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export did.

    Attributes
    ----------
    objects
        How many were written.
    left_out, changed
        What the format has no room for, by reason.
    """

    project: str
    format: str
    output: str
    slide: str
    objects: int
    left_out: tuple[Finding, ...]
    changed: tuple[Finding, ...]
    seconds: float
    peak_rss_bytes: int


def export_objects(
    request: ExportRequest, token: CancellationToken, on_count: OnCount = ignore_count
) -> ExportResult:
    """Write the objects of a slide into a file and return what was written.

    Raises
    ------
    UsageError
        When the format, the slide or a class is unknown, or ``out`` must not be replaced.
    ProjectError, SlideError
        When the project cannot be read, or a slide that the format needs cannot be opened.
    OutputError
        When the file cannot be written; an older one is as it was.
    Cancelled
        When the token is set meanwhile.
    """
    started = time.perf_counter()
    chosen = format_named(_ALIASES.get(request.format, request.format))
    with Project.open(request.project, writable=False) as project:
        record = chosen_slide(project, request.slide)
        wanted = Selection(slide=record.slide, class_names=_classes(project, request.class_names))
        _check_out(request, chosen, project)
        findings = Findings()
        export = _Export(project, record, wanted, chosen, findings, token, on_count)
        count = export.write(request.out)
    report = findings.report()
    return ExportResult(
        project=str(request.project),
        format=request.format,
        output=str(request.out),
        slide=record.name,
        objects=count,
        left_out=report.left_out,
        changed=report.changed,
        seconds=round(time.perf_counter() - started, 3),
        peak_rss_bytes=memory.peak_rss_bytes(),
    )


@dataclass(frozen=True, slots=True)
class _Export:
    project: Project
    record: SlideRecord
    wanted: Selection
    format: Format
    findings: Findings
    token: CancellationToken
    on_count: OnCount

    def write(self, out: Path) -> int:
        """Write the file and return how many objects."""
        colours = {known.name: known.color for known in self.project.classes()}
        is_looked_at = self.format.paint is not None or self.format.name in _LOOK_AT_SLIDE
        frame = known_frame(self.project, self.record, is_looked_at=is_looked_at, colours=colours)
        if self.format.paint is None:
            assert self.format.write is not None
            return self.format.write(out, self._batches(), frame, self.findings)
        labelled = LabelledObjects(self.project, self.record.slide, self._batches(), self.findings)
        self.format.paint(out, labelled.objects_in, Rect.of_size(frame.size), frame)
        return len(labelled)

    def _batches(self) -> Iterator[list[Annotation]]:
        count = 0
        for batch in self.project.objects(self.wanted):
            self.token.raise_if_cancelled()
            yield batch
            count += len(batch)
            self.on_count(count)


def _classes(project: Project, names: tuple[str, ...]) -> tuple[str | None, ...] | None:
    if not names:
        return None
    known = [known_class.name for known_class in project.classes()]
    unknown = [name for name in names if name and name not in known]
    if unknown:
        listed = ", ".join(known) or "none"
        raise UsageError(f"{project.path.name} has no class {unknown[0]!r}, only: {listed}")
    return tuple(name or None for name in names)


def _check_out(request: ExportRequest, chosen: Format, project: Project) -> None:
    """Refuse to replace what is no older export.

    Raises
    ------
    UsageError, OutputError
        Naming what is in the way.
    """
    out = request.out
    if request.format == "geojson.gz" and out.suffix.lower() != ".gz":
        raise UsageError(f"{out}: packed GeoJSON ends in .gz; name it {out.name}.gz")
    sources = {project.path, *(p.resolve() for r in project.slides() for p in (r.path,))}
    if out.resolve() in sources:
        raise UsageError(f"{out} is the project or one of its slides; choose another name")
    makes_folder = chosen.suffixes[0].endswith(".zarr")
    if out.is_dir() and not (makes_folder and _is_zarr(out)):
        raise OutputError(out, "is a folder, which would be replaced; choose another name")
    if out.is_file() and makes_folder:
        raise OutputError(out, "is a file, and this format makes a folder; choose another name")


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _ZARR_FILES)
