"""GeoJSON in the dialect that QuPath reads and writes: one feature per line, level-0 pixels."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from tilescope.domain.results import Detections
from tilescope.domain.scale import PixelSize
from tilescope.exchange.objects import ObjectBatch, measure, object_uuids
from tilescope.exchange.palette import class_colour
from tilescope.exchange.rings import on_grid, ring_texts
from tilescope.exchange.staging import staged_file

_PART = 2048


def write_geojson(
    path: Path,
    batches: Iterable[ObjectBatch],
    *,
    run_id: UUID,
    pixel_size: PixelSize | None,
    plane: tuple[int, int] = (0, 0),
) -> int:
    """Write every object as a detection with its area, perimeter and score; return how many.

    Parameters
    ----------
    path
        Appears when it is whole.
    batches
        The objects in order; only one batch at a time is held.
    run_id
        Object names are derived from it and the object's number.
    pixel_size
        Measurements are in micrometres, or in pixels when this is None; coordinates always in
        level-0 pixels with two decimals.
    plane
        Focal plane and time point, from 0; the first one is not written.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    count = 0
    with staged_file(path) as file:
        file.write(b'{"type":"FeatureCollection","features":[')
        for batch in batches:
            for part in batch.parts(_PART):
                separator = b",\n" if count else b"\n"
                file.write(separator + b",\n".join(_features(part, run_id, pixel_size, plane)))
                count += len(part)
        file.write(b"\n]}\n")
    return count


def _features(
    batch: ObjectBatch, run_id: UUID, pixel_size: PixelSize | None, plane: tuple[int, int]
) -> list[bytes]:
    detections = batch.detections
    place = f',"plane":{{"c":-1,"z":{plane[0]},"t":{plane[1]}}}' if any(plane) else ""
    texts = ring_texts(on_grid(detections).closed(), bracketed=True)
    classes = _classifications(detections)
    return [
        (
            f'{{"type":"Feature","id":"{name}","geometry":{{"type":"Polygon","coordinates":[['
        ).encode()
        + text
        + (
            f']]{place}}},"properties":{{"objectType":"detection",{classes[klass]}'
            f'"measurements":{{{measurements}}}}}}}'
        ).encode()
        for name, text, klass, measurements in zip(
            object_uuids(run_id, batch.ids),
            texts,
            detections.classes.tolist(),
            _measurements(detections, pixel_size),
            strict=True,
        )
    ]


def _measurements(detections: Detections, pixel_size: PixelSize | None) -> list[str]:
    """Return the members of each object's measurements."""
    measures = measure(detections, pixel_size)
    names = (f'"Area {measures.unit}^2":', f'"Perimeter {measures.unit}":', '"score":')
    columns = (measures.areas.tolist(), measures.perimeters.tolist(), detections.scores.tolist())
    area, perimeter, score = names
    return [
        f"{area}{a:.4f},{perimeter}{p:.4f},{score}{s:.4f}"
        if math.isfinite(a + p + s)
        # JSON has no word for a number that is not finite.
        else ",".join(
            f"{name}{value:.4f}"
            for name, value in zip(names, (a, p, s), strict=True)
            if math.isfinite(value)
        )
        for a, p, s in zip(*columns, strict=True)
    ]


def _classifications(detections: Detections) -> list[str]:
    """Return the classification member of each class, with the comma after it."""
    if not detections.class_names:
        return [""] * (int(detections.classes.max(initial=0)) + 1)
    members = []
    for index, name in enumerate(detections.class_names):
        value = {"name": name, "color": class_colour(index)}
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        members.append(f'"classification":{text},')
    return members
