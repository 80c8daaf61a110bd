"""The objects of a finished run into a project, in the place of those of an earlier one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation, Author
from tilescope.domain.results import Detections, ModelRef
from tilescope.domain.scale import PixelSize
from tilescope.exchange.objects import ObjectBatch, object_uuids
from tilescope.exchange.palette import colours_beside
from tilescope.io.source import SlideSource
from tilescope.jobs.project_files import add_classes, check_writable, writable_project
from tilescope.jobs.project_slides import (
    add_slide,
    identity_of_slide,
    known_slide,
    pixel_size_of,
)
from tilescope.jobs.running.outputs import ResultFrame, Scope
from tilescope.jobs.running.succession import Succession, succession
from tilescope.ops import measures, validity
from tilescope.ops.rings import star_shaped, wkb_polygons
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Project, RunRecord

_NOT_MEASURED = ("Centroid X", "Centroid Y", "Length")
_FRACTION = 6


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of putting objects into a project.

    Attributes
    ----------
    added
        How many were put in.
    replaced
        How many of the same model made room for them.
    kept
        How many of the same model stayed where it ran, because a person had a hand in them.
    """

    added: int
    replaced: int
    kept: int


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
            When the slide is not on a disk.
        """
        identity = identity_of_slide(self.slide, source.info)
        check_writable(self.project)
        if not self.project.exists():
            return
        with Project.open(self.project, writable=False) as project:
            known_slide(project, identity)

    def add(
        self, frame: ResultFrame, parameters: Mapping[str, float], token: CancellationToken
    ) -> Delivery:
        """Put the objects of a run into the project, as one edit; the run is noted there.

        What the same model found there earlier makes room for them, as `succession` has it; what
        people drew or changed stays.

        Raises
        ------
        ProjectError, UsageError
            As ``check``; the project is as it was.
        Cancelled
            When the token is set meanwhile; the project is as it was.
        """
        with writable_project(self.project) as project:
            known = {one.name: one.color for one in project.classes()}
            slide = add_slide(project, self.slide, frame.source.info, frame.pixel_size)
            record = next(one for one in project.slides() if one.slide == slide)
            # As everything else there is measured, also when it was entered during the run.
            pixel_size = pixel_size_of(record) or frame.pixel_size
            found = project.found_by(self.model.id, slide, self.scope.plane)
            change = succession(found, frame, token)
            objects = _Objects(self, frame, parameters, change, pixel_size, token)
            label = f"run {self.model.id}" + (" (partial)" if frame.failed_l0 else "")
            added = project.replace(change.leaving, slide, objects.batches(), label=label)
            delivery = Delivery(added, len(change.leaving), change.kept)
            new = [name for name in frame.class_names if name not in known]
            add_classes(project, colours_beside(new, known.values()))
            detail = {
                **objects.author.detail,
                "objects": added,
                "replaced": delivery.replaced,
                "kept": delivery.kept,
                **({"failed_tiles": len(frame.failed_l0)} if frame.failed_l0 else {}),
            }
            project.add_run(RunRecord(slide, self.model.id, detail))
        return delivery


class _Objects:
    """The objects of a run as a project takes them."""

    def __init__(
        self,
        results: ProjectResults,
        frame: ResultFrame,
        parameters: Mapping[str, float],
        change: Succession,
        pixel_size: PixelSize | None,
        token: CancellationToken,
    ) -> None:
        self._frame = frame
        self._pixel_size = pixel_size
        self._change = change
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

    def batches(self) -> Iterator[list[Annotation]]:
        """Yield the objects in order, each measured."""
        for batch in self._frame.batches():
            self._token.raise_if_cancelled()
            yield self._annotations(batch)

    def _annotations(self, batch: ObjectBatch) -> list[Annotation]:
        found = batch.detections
        names = self._names(batch)
        shapes = valid_shapes(found)
        stays_away = np.isin(np.array(batch.ids), self._change.left_out)
        kept = [i for i, shape in enumerate(shapes) if shape is not None and not stays_away[i]]
        geometry = [shapes[i] or b"" for i in kept]
        measured = _measured(geometry, found.scores[kept], self._pixel_size)
        classes = found.classes.tolist()
        return [
            Annotation(
                names[i],
                shape,
                "detection",
                found.class_names[classes[i]] if found.class_names else None,
                measurements=numbers,
                author=self.author,
                z=self._frame.scope.plane[0],
                t=self._frame.scope.plane[1],
            )
            for i, shape, numbers in zip(kept, geometry, measured, strict=True)
        ]

    def _names(self, batch: ObjectBatch) -> list[str]:
        """Return the ids of objects: those of the files, unless an object that stays has one."""
        taken = self._change.taken
        names = object_uuids(self._run_id, batch.ids)
        return [str(uuid4()) if name in taken else name for name in names] if taken else names


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
