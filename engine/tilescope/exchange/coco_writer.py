"""Annotations as COCO JSON: polygons or run lengths in level-0 pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from json import JSONEncoder
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Size
from tilescope.exchange.findings import Findings
from tilescope.exchange.geometry_text import on_hundredths
from tilescope.exchange.losses import note_losses
from tilescope.exchange.palette import RGB
from tilescope.exchange.run_lengths import MOST_PIXELS, packed_counts, runs_of
from tilescope.exchange.staging import staged_file

Segmentation = Literal["polygon", "rle"]

_PART = 2048
_UNCLASSIFIED = "object"
_POLYGONS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


def write_coco(
    path: Path,
    annotations: Iterable[Sequence[Annotation]],
    *,
    image: str,
    size_l0: Size,
    segmentation: Segmentation = "polygon",
    colours: Mapping[str, RGB] | None = None,
    findings: Findings | None = None,
) -> int:
    """Write every area as an annotation of the one image and return how many were written.

    Parameters
    ----------
    path
        Appears when it is whole.
    annotations
        Batches in order; only one is held at a time.
    image
        File name of the slide.
    size_l0
        Level-0 pixels of the slide.
    segmentation
        Polygons, or compressed run lengths. An area with holes has no polygon in COCO and is
        always written as run lengths, where the image is small enough for them.
    colours
        Of classes, kept in the categories.
    findings
        Gets what the format has no room for: points, lines, holes on large images.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    writer = _Records(size_l0, segmentation, Findings() if findings is None else findings)
    images = [{"id": 1, "file_name": image, "width": size_l0.width, "height": size_l0.height}]
    with staged_file(path) as file:
        file.write(f'{{"images":{_json(images)},"annotations":['.encode())
        separator = "\n"
        for batch in annotations:
            for first in range(0, len(batch), _PART):
                for record in writer.records(batch[first : first + _PART]):
                    file.write(f"{separator}{_json(record)}".encode())
                    separator = ",\n"
        file.write(f'\n],"categories":{_json(writer.categories(colours or {}))}}}\n'.encode())
    return writer.count


class _Records:
    def __init__(self, size: Size, segmentation: Segmentation, findings: Findings) -> None:
        self._size = size
        self._findings = findings
        self._prefer_runs = segmentation == "rle"
        self._ids: dict[str, int] = {}
        self.count = 0

    def records(self, part: Sequence[Annotation]) -> Iterator[dict[str, Any]]:
        """Yield a record for each area."""
        geometries = on_hundredths(shapely.from_wkb(np.array([a.geometry for a in part], object)))
        areas, bounds = shapely.area(geometries), shapely.bounds(geometries)
        for annotation, geometry, area, box in zip(part, geometries, areas, bounds, strict=True):
            outline = self._segmentation(annotation, geometry)
            if outline is None:
                continue
            self._note(annotation)
            self.count += 1
            x0, y0, x1, y1 = box.tolist()
            name = annotation.class_name or _UNCLASSIFIED
            record = {
                "id": self.count,
                "image_id": 1,
                "category_id": self._ids.setdefault(name, len(self._ids) + 1),
                "segmentation": outline,
                "area": round(float(area), 2),
                "bbox": [round(v, 2) for v in (x0, y0, x1 - x0, y1 - y0)],
                "iscrowd": 0,
            }
            if "score" in annotation.measurements:
                record["score"] = annotation.measurements["score"]
            yield record

    def categories(self, colours: Mapping[str, RGB]) -> list[dict[str, Any]]:
        """Return the categories of the objects so far."""
        return [
            {"id": number, "name": name, **({"color": colours[name]} if name in colours else {})}
            for name, number in self._ids.items()
        ]

    def _note(self, annotation: Annotation) -> None:
        note_losses(annotation, self._findings)
        if annotation.measurements.keys() - {"score"}:
            self._findings.leave_out("measurements other than the score", annotation.id)
        if annotation.name is not None:
            self._findings.leave_out("the name of an object", annotation.id)

    def _segmentation(
        self, annotation: Annotation, geometry: shapely.Geometry
    ) -> list[list[float]] | dict[str, Any] | None:
        if shapely.get_type_id(geometry) not in _POLYGONS:
            self._findings.leave_out("a point or a line", annotation.id)
            return None
        parts = shapely.get_parts(geometry)
        holes = bool(shapely.get_num_interior_rings(parts).any())
        if holes or self._prefer_runs:
            if self._size.area <= MOST_PIXELS:
                counts = runs_of(geometry, self._size).counts(self._size)
                size = [self._size.height, self._size.width]
                return {"size": size, "counts": packed_counts(counts)}
            self._findings.leave_out(
                "run lengths of an image of more than 4 gigapixels; polygons instead",
                annotation.id,
            )
            if holes:
                self._findings.leave_out("the holes of an area", annotation.id)
        rings = shapely.get_exterior_ring(parts)
        return [np.round(shapely.get_coordinates(r)[:-1], 2).ravel().tolist() for r in rings]


_json = JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
