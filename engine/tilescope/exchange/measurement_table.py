"""Annotations and their measurements as a table: comma-separated, UTF-8, one row each."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.domain.scale import PixelSize
from tilescope.exchange.staging import output_errors, staged_file
from tilescope.exchange.table import csv_bytes
from tilescope.ops.measures import measure

#: What every row begins with, named and ordered as QuPath does.
IDENTITY_COLUMNS = (
    "Image",
    "Object ID",
    "Object type",
    "Name",
    "Classification",
    "Parent",
    "ROI",
)
#: Where objects lie, counted from 1; written once one lies beyond the first plane.
_PLANES = ("Focal plane", "Time")
_PART = 4096
_COPIED_LINES = 10_000


def write_measurements(
    path: Path,
    annotations: Iterable[Sequence[Annotation]],
    *,
    image: str,
    pixel_size: PixelSize | None,
) -> int:
    """Write one row per object and return how many.

    Shape is measured here; where an object brings a measurement of the same name, that one is
    written. Which names there are is known only at the end, so rows wait in a temporary file.
    Focal plane and time, counted from 1, are columns where an object lies beyond the first.

    Parameters
    ----------
    path
        Appears when it is whole.
    annotations
        Batches in order; only one is held at a time.
    image
        Name of the slide, repeated in every row.
    pixel_size
        Lengths are in micrometres, or in pixels when this is None.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    rows = _Rows(image, pixel_size)
    segments: list[tuple[int, int]] = []
    with output_errors(path):
        spool = tempfile.TemporaryFile()  # noqa: SIM115
    with spool:
        for batch in annotations:
            for first in range(0, len(batch), _PART):
                lines = rows.lines(batch[first : first + _PART])
                with output_errors(path):
                    spool.write(csv_bytes(lines))
                segments.append((len(lines), rows.width))
        with output_errors(path):
            spool.seek(0)
        with staged_file(path) as file:
            file.write(csv_bytes([rows.header]))
            for count, width in segments:
                missing = rows.missing(width)
                for block in _lines(spool, count):
                    file.write(block.replace(b"\n", missing + b"\n") if missing else block)
    return sum(count for count, _ in segments)


class _Rows:
    def __init__(self, image: str, pixel_size: PixelSize | None) -> None:
        self._image = image
        self._pixel_size = pixel_size
        self._shape_names = tuple(measure(np.zeros(0, object), pixel_size).named())
        self._places: dict[str, int] = {name: i for i, name in enumerate(self._shape_names)}

    @property
    def header(self) -> tuple[str, ...]:
        """The names of all columns met so far."""
        return (*IDENTITY_COLUMNS, *self._places)

    @property
    def width(self) -> int:
        """How many columns there are so far."""
        return len(IDENTITY_COLUMNS) + len(self._places)

    def missing(self, width: int) -> bytes:
        """Return what lines lack that were made when there were ``width`` columns."""
        # Nothing that was made before a plane was met lies beyond the first.
        cells = ["1" if name in _PLANES else "" for name in self.header[width:]]
        return "".join(f",{cell}" for cell in cells).encode()

    def lines(self, part: Sequence[Annotation]) -> list[list[str]]:
        """Return a row for each object; one line each, all of the width after the call."""
        for annotation in part:
            beyond = [name for name, place in _planes(annotation) if place > 1]
            for name in (*beyond, *annotation.measurements):
                self._places.setdefault(name, len(self._places))
        geometries = shapely.from_wkb(np.array([a.geometry for a in part], object))
        shaped = np.stack([*measure(geometries, self._pixel_size).named().values()], axis=1)
        kinds = [geometry.geom_type for geometry in geometries]
        return [
            [*self._identity(annotation, kind), *self._cells(annotation, measured)]
            for annotation, kind, measured in zip(part, kinds, shaped.tolist(), strict=True)
        ]

    def _identity(self, annotation: Annotation, kind: str) -> list[str]:
        texts = (
            self._image,
            annotation.id,
            annotation.kind.capitalize(),
            annotation.name,
            annotation.class_name,
            annotation.parent_id,
            kind,
        )
        return [_one_line(text or "") for text in texts]

    def _cells(self, annotation: Annotation, measured: list[float]) -> list[str]:
        cells = [_decimal(value) for value in measured]
        cells += [""] * (len(self._places) - len(cells))
        for name, place in _planes(annotation):
            if name in self._places:
                cells[self._places[name]] = str(place)
        for name, value in annotation.measurements.items():
            cells[self._places[name]] = _decimal(value)
        return cells


def _planes(annotation: Annotation) -> zip[tuple[str, int]]:
    return zip(_PLANES, (annotation.z + 1, annotation.t + 1), strict=True)


def _lines(spool: BinaryIO, count: int) -> Iterable[bytes]:
    """Yield ``count`` lines, many at a time."""
    while count:
        block = [spool.readline() for _ in range(min(count, _COPIED_LINES))]
        count -= len(block)
        yield b"".join(block)


def _decimal(value: float) -> str:
    """Return a number as short as seven digits say it; an empty cell where it is not finite."""
    return f"{value:.7g}" if math.isfinite(value) else ""


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
