"""The numbers of a finished run that a biologist asks for first."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tilescope.errors import OutputError


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """What the table of a run says of its objects.

    Attributes
    ----------
    count
        Number of objects.
    unit
        ``µm`` or ``px``.
    median_area
        In squared units; None without objects.
    diameters
        10th, 50th and 90th percentile of the diameter of the circle of the same area; None
        without objects.
    """

    count: int
    unit: str
    median_area: float | None
    diameters: tuple[float, float, float] | None


def summarise(table: Path) -> ObjectSummary:
    """Return the summary of an ``objects.csv``.

    Raises
    ------
    OutputError
        When the file is not there or is no table of objects.
    """
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream)
            header = next(reader)
            column = next(i for i, name in enumerate(header) if name.startswith("Area "))
            areas = np.fromiter((float(row[column]) for row in reader), np.float64)
    except (OSError, StopIteration, ValueError, IndexError) as exc:
        raise OutputError(table, f"is not a table of objects ({exc})") from exc
    unit = header[column].removeprefix("Area ").removesuffix("^2")
    if not len(areas):
        return ObjectSummary(0, unit, None, None)
    low, middle, high = np.percentile(2 * np.sqrt(areas / np.pi), [10, 50, 90])
    diameters = (float(low), float(middle), float(high))
    return ObjectSummary(len(areas), unit, float(np.median(areas)), diameters)
