"""Areas of classes and classified tiles as tables: comma-separated, UTF-8."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.scale import PixelSize
from tilescope.exchange.staging import staged_file


@dataclass(frozen=True, slots=True)
class ClassArea:
    """How much of a slide a class takes.

    Attributes
    ----------
    name, value
        The class and its number in the map.
    px
        Level-0 pixels.
    um2
        Square micrometres, None when the slide is not calibrated.
    share
        Of the area of all classes, 0 to 1.
    """

    name: str
    value: int
    px: float
    um2: float | None
    share: float


def class_areas(
    class_names: Sequence[str],
    areas_px: NDArray[np.float64],
    pixel_size: PixelSize | None,
) -> list[ClassArea]:
    """Return the area of every class, in their order.

    Parameters
    ----------
    areas_px
        ``float64[classes]``, level-0 pixels.
    """
    total = float(areas_px.sum())
    um2_per_px = None if pixel_size is None else pixel_size.um_x * pixel_size.um_y
    return [
        ClassArea(
            name,
            number,
            px,
            None if um2_per_px is None else px * um2_per_px,
            px / total if total else 0.0,
        )
        for number, (name, px) in enumerate(zip(class_names, areas_px.tolist(), strict=True), 1)
    ]


def write_areas(path: Path, areas: Sequence[ClassArea], *, image: str) -> None:
    """Write one row per class.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    calibrated = any(area.um2 is not None for area in areas)
    header = ["Image", "Classification", "Value", "Area px^2"]
    header += ["Area µm^2"] if calibrated else []
    rows: list[list[object]] = [[*header, "Share"]]
    for area in areas:
        um2 = [f"{area.um2:.3f}"] if area.um2 is not None else []
        rows.append([image, area.name, area.value, f"{area.px:.3f}", *um2, f"{area.share:.6f}"])
    with staged_file(path) as file:
        file.write(_csv(rows))


@dataclass(frozen=True, slots=True, eq=False)
class ScoredTile:
    """A tile that was judged as a whole.

    Attributes
    ----------
    rect_l0
        x0, y0, x1, y1 in level-0 pixels, cut at the slide.
    class_index
        The class it counts for, None when none is likely enough.
    probabilities
        ``float32[classes]``.
    """

    rect_l0: tuple[float, float, float, float]
    class_index: int | None
    probabilities: NDArray[np.float32]

    @property
    def area_px(self) -> float:
        """Level-0 pixels that it covers."""
        x0, y0, x1, y1 = self.rect_l0
        return (x1 - x0) * (y1 - y0)


def write_tiles(
    path: Path, tiles: Iterable[ScoredTile], *, image: str, class_names: Sequence[str]
) -> int:
    """Write one row per tile, in level-0 pixels, and return how many.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    count = 0
    with staged_file(path) as file:
        probabilities = [f"Probability {name}" for name in class_names]
        file.write(_csv([["Image", "x", "y", "w", "h", "Classification", *probabilities]]))
        for tile in tiles:
            x0, y0, x1, y1 = tile.rect_l0
            place = [_short(value) for value in (x0, y0, x1 - x0, y1 - y0)]
            name = "" if tile.class_index is None else class_names[tile.class_index]
            values = [f"{value:.6f}" for value in tile.probabilities.tolist()]
            file.write(_csv([[image, *place, name, *values]]))
            count += 1
    return count


def _short(value: float) -> str:
    """Return a number with at most two decimals, whole ones without any."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
