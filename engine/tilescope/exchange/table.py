"""Objects as a table: comma-separated, UTF-8, one row each, the unit in the column's name."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.scale import PixelSize
from tilescope.exchange.objects import ObjectBatch, measure, object_uuids
from tilescope.exchange.staging import staged_file

_PART = 16384


def write_table(
    path: Path,
    batches: Iterable[ObjectBatch],
    *,
    image: str,
    run_id: UUID,
    pixel_size: PixelSize | None,
) -> int:
    """Write one row per object and return how many; the columns are named as QuPath names them.

    ``Name`` is the object's number, which is its value in the label image; ``Object ID`` its id
    in the GeoJSON of the same run.

    Parameters
    ----------
    path
        Appears when it is whole.
    batches
        The objects in order; only one batch at a time is held.
    image
        Name of the slide, repeated in every row.
    run_id
        Object ids are derived from it and the object's number.
    pixel_size
        Lengths are in micrometres, or in pixels when this is None.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    count = 0
    with staged_file(path) as file:
        file.write(csv_bytes([_header("px" if pixel_size is None else "µm")]))
        for batch in batches:
            for part in batch.parts(_PART):
                file.write(csv_bytes(_rows(part, image, run_id, pixel_size)))
                count += len(part)
    return count


def _header(unit: str) -> tuple[str, ...]:
    return (
        "Image",
        "Object ID",
        "Object type",
        "Name",
        "Classification",
        f"Centroid X {unit}",
        f"Centroid Y {unit}",
        f"Area {unit}^2",
        f"Perimeter {unit}",
        "Score",
    )


def _rows(
    batch: ObjectBatch, image: str, run_id: UUID, pixel_size: PixelSize | None
) -> Iterable[tuple[object, ...]]:
    detections = batch.detections
    measures = measure(detections, pixel_size)
    names = detections.class_names
    for uuid, number, klass, x, y, area, perimeter, score in zip(
        object_uuids(run_id, batch.ids),
        batch.ids,
        detections.classes.tolist(),
        _decimals(measures.centroids[:, 0], 2),
        _decimals(measures.centroids[:, 1], 2),
        _decimals(measures.areas, 3),
        _decimals(measures.perimeters, 3),
        _decimals(detections.scores, 4),
        strict=True,
    ):
        label = names[klass] if names else ""
        yield (image, uuid, "Detection", number, label, x, y, area, perimeter, score)


def _decimals(values: NDArray[np.floating], places: int) -> list[str]:
    """Return each number as text; an empty cell where it is not finite."""
    return [f"{v:.{places}f}" if math.isfinite(v) else "" for v in values.tolist()]


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """Return the lines of a table."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
