"""Objects of a project into a file of another program, streamed."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Rect
from tilescope.errors import OutputError, UsageError
from tilescope.exchange.findings import Finding, Findings
from tilescope.exchange.formats import Format, format_named
from tilescope.jobs.ahead import ahead
from tilescope.jobs.import_objects import OnCount, ignore_count
from tilescope.jobs.project_files import refuse_sources
from tilescope.jobs.project_labels import LabelledObjects
from tilescope.jobs.project_slides import (
    chosen_slide,
    known_frame,
    pixel_size_of,
    sources_of,
)
from tilescope.ops.simplification import simplify
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.collecting import seldom_collected
from tilescope.store.project import Project, Selection, SlideRecord

#: Formats that are told apart by the name of the file, and the names that users know others by.
_ALIASES = {"geojson.gz": "geojson", "tiff-labels": "label-tiff"}
_LOOK_AT_SLIDE = frozenset({"coco", "coco-rle", "dicom"})
#: Formats that hold numbers only.
_TABLES = frozenset({"csv", "parquet"})
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
    simplify_px
        How far from its new outline a vertex may lie that is left out, level-0 pixels; None keeps
        all vertices.
    """

    project: Path
    format: str
    out: Path
    slide: str | None = None
    class_names: tuple[str, ...] = ()
    simplify_px: float | None = None


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export did.

    Attributes
    ----------
    objects
        How many were written.
    left_out, changed
        What the format has no room for, by reason.
    simplify_px, simplify_um
        How far from its new outline a vertex may lie that was left out; None when all were kept,
        and micrometres only when the slide is calibrated.
    """

    project: str
    format: str
    output: str
    slide: str
    objects: int
    left_out: tuple[Finding, ...]
    changed: tuple[Finding, ...]
    simplify_px: float | None
    simplify_um: float | None
    seconds: float
    peak_rss_bytes: int


def export_objects(
    request: ExportRequest, token: CancellationToken, on_count: OnCount = ignore_count
) -> ExportResult:
    """Write the objects of a slide into a file and return what was written.

    Raises
    ------
    UsageError
        When the format, the slide or a class is unknown, ``out`` must not be replaced, or
        outlines cannot be simplified as asked for.
    ProjectError, SlideError
        When the project cannot be read, or a slide that the format needs cannot be opened.
    OutputError
        When the file cannot be written; an older one is as it was.
    Cancelled
        When the token is set meanwhile.
    """
    started = time.perf_counter()
    chosen = format_named(_ALIASES.get(request.format, request.format))
    _check_simplification(request, chosen)
    with Project.open(request.project, writable=False) as project:
        record = chosen_slide(project, request.slide)
        wanted = Selection(slide=record.slide, class_names=_classes(project, request.class_names))
        _check_out(request, chosen, project)
        findings = Findings()
        export = _Export(
            project, record, wanted, chosen, findings, token, on_count, request.simplify_px
        )
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
        simplify_px=request.simplify_px,
        simplify_um=_in_um(request.simplify_px, record),
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
    simplify_px: float | None

    def write(self, out: Path) -> int:
        """Write the file and return how many objects."""
        colours = {known.name: known.color for known in self.project.classes()}
        is_looked_at = self.format.paint is not None or self.format.name in _LOOK_AT_SLIDE
        frame = known_frame(self.project, self.record, is_looked_at=is_looked_at, colours=colours)
        # The database is read while the file is written.
        with seldom_collected(), closing(ahead(self._batches(), self.token)) as batches:
            if self.format.paint is None:
                assert self.format.write is not None
                return self.format.write(out, self._counted(batches), frame, self.findings)
            labelled = LabelledObjects(
                self.project, self.record.slide, self._counted(batches), self.findings
            )
            self.format.paint(out, labelled.objects_in, Rect.of_size(frame.size), frame)
            return len(labelled)

    def _batches(self) -> Generator[list[Annotation], None, None]:
        # Runs in a thread of its own, and so needs a project of its own.
        with Project.open(self.project.path, writable=False) as project:
            for batch in project.objects(self.wanted):
                self.token.raise_if_cancelled()
                yield batch if self.simplify_px is None else _simplified(batch, self.simplify_px)

    def _counted(self, batches: Iterator[list[Annotation]]) -> Iterator[list[Annotation]]:
        count = 0
        for batch in batches:
            yield batch
            count += len(batch)
            self.on_count(count)


def _simplified(batch: list[Annotation], tolerance_px: float) -> list[Annotation]:
    before = shapely.from_wkb(np.array([a.geometry for a in batch], object))
    after = simplify(before, tolerance_px)
    written = shapely.to_wkb(after, byte_order=1).tolist()
    return [replace(a, geometry=wkb) for a, wkb in zip(batch, written, strict=True)]


def _check_simplification(request: ExportRequest, chosen: Format) -> None:
    """Refuse a tolerance that means nothing.

    Raises
    ------
    UsageError
        When it is no length, or the format has no outlines.
    """
    tolerance = request.simplify_px
    if tolerance is None:
        return
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise UsageError(f"--simplify takes a length from 0 pixels on, not {tolerance}")
    if chosen.paint is not None or chosen.name in _TABLES:
        raise UsageError(f"{request.format} has no outlines to simplify; leave out --simplify")


def _in_um(length_px: float | None, record: SlideRecord) -> float | None:
    """Return a length in micrometres; the larger one where pixels are oblong."""
    pixel_size = pixel_size_of(record)
    if length_px is None or pixel_size is None:
        return None
    return length_px * max(pixel_size.um_x, pixel_size.um_y)


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
    refuse_sources(out, sources_of(project))
    makes_folder = chosen.suffixes[0].endswith(".zarr")
    if out.is_dir() and not (makes_folder and _is_zarr(out)):
        raise OutputError(out, "is a folder, which would be replaced; choose another name")
    if out.is_file() and makes_folder:
        raise OutputError(out, "is a file, and this format makes a folder; choose another name")


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _ZARR_FILES)
