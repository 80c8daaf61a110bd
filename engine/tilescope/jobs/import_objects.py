"""Objects from the file of another program into a project, as one edit."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from tilescope.domain.annotation import Annotation
from tilescope.domain.annotation_table import AnnotationTable, Traits
from tilescope.domain.slide import SlideInfo
from tilescope.errors import UsageError
from tilescope.exchange.findings import Finding, Findings
from tilescope.exchange.formats import Format, SlideFrame, format_of
from tilescope.exchange.palette import RGB
from tilescope.io.address import parse_address
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.jobs.ahead import ahead
from tilescope.jobs.project_files import add_classes, writable_project
from tilescope.jobs.project_slides import (
    CACHE_BYTES,
    add_slide,
    chosen_slide,
    frame_of,
    identity_of_slide,
    known_frame,
    known_planes,
    known_slide,
    pixel_size_of,
)
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.collecting import seldom_collected
from tilescope.store.project import Project

#: Formats whose coordinates depend on where the slide lies on the glass.
_LOOK_AT_SLIDE = frozenset({"ndpa"})

#: The plane that readers give objects of which a file says nothing.
_FIRST = (0, 0)

_STRAY_Z = "names a focal plane that the slide does not have, and was put on focal plane {}"
_STRAY_T = "names a time point that the slide does not have, and was put at time point {}"

OnCount = Callable[[int], None]
_Plane = TypeVar("_Plane", Annotation, Traits)


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """One file into one project.

    Attributes
    ----------
    project
        The project file; made when it is not there.
    file
        The file or folder of another program.
    slide
        Path of the slide that the objects lie on, or its name in the project; None is the
        project's only slide.
    plane
        z and t of the objects of a file that names no plane but the first.
    """

    project: Path
    file: Path
    slide: str | None = None
    plane: tuple[int, int] = _FIRST


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did.

    Attributes
    ----------
    format
        Name of the file's format.
    slide
        Name of the slide in the project.
    objects
        How many were added.
    left_out, changed
        What could not be taken, and what was taken otherwise than the file says, by reason.
    classes
        The classes of the objects with the colours that the file gives them.
    plane
        z and t that the objects were given by the request; None when they were not.
    """

    project: str
    file: str
    format: str
    slide: str
    objects: int
    left_out: tuple[Finding, ...]
    changed: tuple[Finding, ...]
    classes: dict[str, RGB | None]
    plane: tuple[int, int] | None
    seconds: float
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class _Target:
    """The slide that objects go to.

    ``number`` is None while the project does not have it, ``info`` unless it was named by its path.
    ``planes`` tells how many focal planes and time points it has, None while it is away.
    """

    name: str
    number: int | None
    frame: SlideFrame
    info: SlideInfo | None
    planes: Callable[[], tuple[int, int] | None]


def ignore_count(_count: int) -> None:
    """Take how many objects there are and do nothing."""


def import_objects(
    request: ImportRequest, token: CancellationToken, on_count: OnCount = ignore_count
) -> ImportResult:
    """Add the objects of a file to a project and return what became of them.

    When anything goes wrong the project stays as it was.

    Raises
    ------
    AnnotationError
        When the file has no format that can be read, or is broken.
    UsageError
        When it is not clear which slide is meant, or an object is already in the project.
    SlideError
        When the slide cannot be opened.
    ProjectError
        When the project cannot be written.
    Cancelled
        When the token is set meanwhile.
    """
    started = time.perf_counter()
    known = format_of(request.file)
    is_new = not request.project.exists()
    with seldom_collected(), writable_project(request.project) as project:
        target = _target(project, request, known)
        plane = request.plane
        if (target.number is None and not is_new) or plane != _FIRST:
            # A slide that was added cannot be taken back, so the file is read through before;
            # and writers leave out the first plane, also where they name others.
            for batch in _objects(request, known, target.frame, Findings(), token):
                plane = _FIRST if _names_plane(batch) else plane
        before = frozenset(known_class.name for known_class in project.classes())
        findings = Findings()
        # The file is parsed while the database writes.
        read = _objects(request, known, target.frame, findings, token)
        batches = ahead(_placed(read, target, request.plane, plane, findings), token)
        with closing(batches):
            count = _insert(project, target, request, _counted(batches, on_count))
        add_classes(project, _new_colours(findings, before))
    report = findings.report()
    return ImportResult(
        project=str(request.project),
        file=str(request.file),
        format=known.name,
        slide=target.name,
        objects=count,
        left_out=report.left_out,
        changed=report.changed,
        classes=dict(report.classes),
        plane=None if plane == _FIRST else plane,
        seconds=round(time.perf_counter() - started, 3),
        peak_rss_bytes=memory.peak_rss_bytes(),
    )


def _target(project: Project, request: ImportRequest, known: Format) -> _Target:
    """Return the slide that the request means, which need not be in the project yet."""
    if request.slide is None or not _is_there(request.slide):
        record = chosen_slide(project, request.slide)
        frame = known_frame(project, record, is_looked_at=known.name in _LOOK_AT_SLIDE)
        planes = cache(partial(known_planes, project, record))
        return _Target(record.name, record.slide, frame, None, planes)
    path = Path(request.slide)
    with open_slide(path, cache=TileCache(CACHE_BYTES)) as source:
        info = source.info
    record_there = known_slide(project, identity_of_slide(path, info))
    if record_there is None:
        frame = frame_of(path, info, info.pixel_size)
        return _Target(path.name, None, frame, info, lambda: (info.z, info.t))
    frame = frame_of(path, info, pixel_size_of(record_there))
    return _Target(record_there.name, record_there.slide, frame, info, lambda: (info.z, info.t))


def _is_there(slide: str) -> bool:
    address = parse_address(slide)
    return address.url is not None or address.path.exists()


def _objects(
    request: ImportRequest,
    known: Format,
    frame: SlideFrame,
    findings: Findings,
    token: CancellationToken,
) -> Generator[Sequence[Annotation], None, None]:
    assert known.read is not None  # what is known by its content can be read
    for batch in known.read(request.file, frame, findings):
        token.raise_if_cancelled()
        yield batch


def _placed(
    batches: Iterable[Sequence[Annotation]],
    target: _Target,
    wanted: tuple[int, int],
    plane: tuple[int, int],
    findings: Findings,
) -> Generator[Sequence[Annotation], None, None]:
    """Yield objects on planes that the slide has.

    Parameters
    ----------
    wanted
        z and t of objects that name others than the slide has.
    plane
        z and t of all of them, unless it is the first: then they lie where the file says.
    """
    for batch in batches:
        if plane != _FIRST:
            yield _on_plane(batch, plane)
            continue
        counts = target.planes() if _names_plane(batch) else None
        yield batch if counts is None else _within(batch, counts, wanted, findings)


def _names_plane(batch: Sequence[Annotation]) -> bool:
    """Tell whether an object lies beyond the first plane."""
    said = batch.traits if isinstance(batch, AnnotationTable) else batch
    return any((one.z, one.t) != _FIRST for one in said)


def _on_plane(batch: Sequence[Annotation], plane: tuple[int, int]) -> Sequence[Annotation]:
    z, t = plane
    if isinstance(batch, AnnotationTable):
        return replace(batch, traits=[replace(one, z=z, t=t) for one in batch.traits])
    return [replace(one, z=z, t=t) for one in batch]


def _within(
    batch: Sequence[Annotation],
    counts: tuple[int, int],
    wanted: tuple[int, int],
    findings: Findings,
) -> Sequence[Annotation]:
    """Put objects on ``wanted`` where the slide does not have what they name, and note it."""
    table = batch if isinstance(batch, AnnotationTable) else None
    said = batch if table is None else table.traits
    owner = np.arange(len(batch)) if table is None else table.trait_of
    depth, times = counts
    if all(one.z < depth and one.t < times for one in said):
        return batch
    z, t = min(wanted[0], depth - 1), min(wanted[1], times - 1)
    for reason, is_stray in (
        (_STRAY_Z.format(z + 1), [one.z >= depth for one in said]),
        (_STRAY_T.format(t + 1), [one.t >= times for one in said]),
    ):
        strays = np.flatnonzero(np.array(is_stray, bool)[owner])
        if strays.size:
            findings.change(reason, f"object {batch[int(strays[0])].id}", int(strays.size))

    def fit(plane: _Plane) -> _Plane:
        return replace(
            plane,
            z=plane.z if plane.z < depth else z,
            t=plane.t if plane.t < times else t,
        )

    if table is not None:
        return replace(table, traits=[fit(one) for one in table.traits])
    return [fit(one) for one in batch]


def _counted(
    batches: Iterable[Sequence[Annotation]], on_count: OnCount
) -> Iterator[Sequence[Annotation]]:
    count = 0
    for batch in batches:
        yield batch
        count += len(batch)
        on_count(count)


def _insert(
    project: Project,
    target: _Target,
    request: ImportRequest,
    batches: Iterable[Sequence[Annotation]],
) -> int:
    number = target.number
    if target.info is not None:  # a slide that moved is linked anew
        number = add_slide(project, Path(request.slide or ""), target.info)
    assert number is not None
    try:
        return project.insert(number, batches, label=f"import {request.file.name}")
    except UsageError as exc:
        raise UsageError(f"{request.file} into {request.project}: {exc}") from exc


def _new_colours(findings: Findings, known: frozenset[str]) -> dict[str, RGB | None]:
    """Return the colours of classes that the project did not have."""
    return {name: c for name, c in findings.classes.items() if name not in known}
