"""The objects of a finished run into a project, in the place of those of an earlier one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation, Author
from tilescope.domain.results import Detections, ModelRef
from tilescope.domain.scale import PixelSize
from tilescope.errors import UsageError
from tilescope.exchange.objects import ObjectBatch, object_uuids
from tilescope.exchange.palette import colours_beside
from tilescope.io.source import SlideSource
from tilescope.jobs.project_files import add_classes, check_writable, writable_project
from tilescope.jobs.project_slides import add_slide, identity_of_slide, known_slide
from tilescope.jobs.running.outputs import ResultFrame, Scope
from tilescope.ops import measures, validity
from tilescope.ops.rings import star_shaped, wkb_polygons
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project, RunRecord, Selection

_NOT_MEASURED = ("Centroid X", "Centroid Y", "Length")
_FRACTION = 6


@dataclass(frozen=True, slots=True)
class ProjectResults:
    """Where the objects of a run go.

    Attributes
    ----------
    project
        The project file; made when it is not there.
    slide
        The slide as the user named it.
    model
        Which weights ran.
    scope
        What they ran over.
    """

    project: Path
    slide: Path
    model: ModelRef
    scope: Scope

    def check(self, source: SlideSource) -> None:
        """Make sure, before the run, that a project can take its objects; nothing is changed.

        Raises
        ------
        ProjectError
            When it is busy or damaged, or cannot be written.
        UsageError
            When objects of an earlier, same run are locked, or the slide is not on a disk.
        """
        identity = identity_of_slide(self.slide, source.info)
        check_writable(self.project)
        if not self.project.exists():
            return
        with Project.open(self.project, writable=False) as project:
            record = known_slide(project, identity)
            if record is not None:
                self._earlier(project, record.slide, None)

    def add(
        self, frame: ResultFrame, parameters: Mapping[str, float], token: CancellationToken
    ) -> int:
        """Put the objects of a run into the project and return how many; the run is noted there.

        Objects that the same model found earlier in the same region and areas make room for them;
        what people drew stays. Memory does not grow with the number of objects.

        Raises
        ------
        ProjectError, UsageError
            As ``check``; the project is as it was.
        Cancelled
            When the token is set meanwhile; the project is as it was.
        """
        with writable_project(self.project) as project:
            objects = _Objects(self, frame, parameters, token)
            known = {one.name: one.color for one in project.classes()}
            slide = add_slide(project, self.slide, frame.source.info, frame.pixel_size)
            count = self._replace(project, slide, objects)
            new = [name for name in frame.class_names if name not in known]
            add_classes(project, colours_beside(new, known.values()))
            detail = {**objects.author.detail, "objects": count}
            project.add_run(RunRecord(slide, self.model.id, detail))
        return count

    def _replace(self, project: Project, slide: int, objects: _Objects) -> int:
        earlier = self._earlier(project, slide, objects)
        label = f"run {self.model.id}"
        if earlier is None:
            return project.insert(slide, objects.batches(), label=label)
        return project.replace(earlier, slide, objects.batches(), label=label)

    def _earlier(
        self, project: Project, slide: int, objects: _Objects | None
    ) -> Selection | list[str] | None:
        """Return the objects that make room; a selection when that says it."""
        wanted = Selection(slide=slide, kind="detection")
        keys = np.zeros(0, np.int64) if objects is None else objects.keys()
        mine = others = locked = 0
        for batch in project.objects(wanted):
            found = self._mine(batch, keys)
            mine += len(found)
            others += len(batch) - len(found)
            locked += sum(a.locked for a in found)
        if locked:
            raise UsageError(
                f"{project.path}: {locked:,} objects that {self.model.id} found earlier are "
                "locked; unlock them first, or choose another project"
            )
        if not mine or not others:
            return wanted if mine else None
        return [a.id for batch in project.objects(wanted) for a in self._mine(batch, keys)]

    def _mine(self, batch: Sequence[Annotation], keys: NDArray[np.int64]) -> list[Annotation]:
        """Return the objects that the same run made, or whose ids it needs."""
        halves = _halves([a.id for a in batch])
        taken = np.searchsorted(keys, halves, "right") > np.searchsorted(keys, halves)
        pairs = zip(batch, taken.tolist(), strict=True)
        return [a for a, is_taken in pairs if is_taken or self._is_mine(a)]

    def _is_mine(self, annotation: Annotation) -> bool:
        author = annotation.author
        return (
            author.kind == "model"
            and author.name == self.model.id
            and author.detail.get("sha256") == self.model.sha256
            and author.detail.get("region") == self.scope.text
        )


class _Objects:
    """The objects of a run as a project takes them."""

    def __init__(
        self,
        results: ProjectResults,
        frame: ResultFrame,
        parameters: Mapping[str, float],
        token: CancellationToken,
    ) -> None:
        self._frame = frame
        self._token = token
        self._run_id = frame.run_id
        detail = {
            "version": results.model.version,
            "sha256": results.model.sha256,
            "parameters": dict(parameters),
            "region": results.scope.text,
            **results.scope.detail,
        }
        self.author = Author("model", results.model.id, detail)

    def keys(self) -> NDArray[np.int64]:
        """Return ``int64[n]``, ascending: the first halves of the ids of all objects."""
        count = self._frame.ledger.count_objects()
        step = 1 << 16
        parts = [
            _halves(object_uuids(self._run_id, range(first, min(first + step, count + 1))))
            for first in range(1, count + 1, step)
        ]
        return np.sort(np.concatenate([np.zeros(0, np.int64), *parts]))

    def batches(self) -> Iterator[list[Annotation]]:
        """Yield the objects in order, each measured."""
        for batch in self._frame.batches():
            self._token.raise_if_cancelled()
            yield self._annotations(batch)

    def _annotations(self, batch: ObjectBatch) -> list[Annotation]:
        found = batch.detections
        names = object_uuids(self._run_id, batch.ids)
        shapes = valid_shapes(found)
        kept = [i for i, shape in enumerate(shapes) if shape is not None]
        geometry = [shapes[i] or b"" for i in kept]
        measured = _measured(geometry, found.scores[kept], self._frame.pixel_size)
        classes = found.classes.tolist()
        return [
            Annotation(
                names[i],
                shape,
                "detection",
                found.class_names[classes[i]] if found.class_names else None,
                measurements=numbers,
                author=self.author,
            )
            for i, shape, numbers in zip(kept, geometry, measured, strict=True)
        ]


def _halves(ids: Sequence[str]) -> NDArray[np.int64]:
    data = b"".join([bytes.fromhex(name[:8] + name[9:13] + name[14:18]) for name in ids])
    return np.frombuffer(data, np.int64)


def valid_shapes(found: Detections) -> list[bytes | None]:
    """Return every outline as WKB of a valid polygon, None where it encloses nothing."""
    first = found.rings[found.offsets[:-1]]
    points = np.insert(found.rings, found.offsets[1:], first, axis=0)
    offsets = found.offsets + np.arange(len(found.offsets))
    shapes: list[bytes | None] = [*wkb_polygons(points, offsets)]
    doubtful = np.flatnonzero(star_shaped(points, offsets) == 0)
    if len(doubtful):
        cleaned = validity.clean(
            shapely.from_wkb([shapes[i] for i in doubtful], on_invalid="ignore")
        )
        whole = shapely.to_wkb(cleaned.geometries, byte_order=1, output_dimension=2)
        for i, shape in zip(doubtful.tolist(), whole.tolist(), strict=True):
            shapes[i] = shape
    return shapes


def _measured(
    geometry: Sequence[bytes], scores: NDArray[np.float32], pixel_size: PixelSize | None
) -> Iterator[dict[str, float]]:
    """Yield what is known of every object by name; numbers that are not finite are left out."""
    columns = measures.measure(shapely.from_wkb(np.array(geometry, object)), pixel_size).named()
    names = [name for name in columns if not name.startswith(_NOT_MEASURED)]
    table = np.stack([*(columns[name] for name in names), scores], axis=1).round(_FRACTION)
    names.append("score")
    for row in table.tolist():
        yield {name: v for name, v in zip(names, row, strict=True) if np.isfinite(v)}
