"""Shape and pixel values of the objects of a project, as one edit."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation
from tilescope.domain.scale import PixelSize
from tilescope.domain.slide import SlideInfo
from tilescope.errors import Cancelled, ProjectError, UsageError
from tilescope.exchange.run_lengths import even_odd_ring
from tilescope.exchange.staging import output_errors
from tilescope.io.cache import TileCache
from tilescope.jobs.import_objects import OnCount, ignore_count
from tilescope.jobs.intensity import Probe
from tilescope.jobs.project_files import writable_project
from tilescope.jobs.project_slides import chosen_slide, open_known, pixel_size_of
from tilescope.ops import measures
from tilescope.ops.rings import rings_of_wkb
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.project import Selection

_CACHE_BYTES = 96 << 20
_AREA = 2
_NOT_STORED = ("Centroid X", "Centroid Y")
_COLOURS = {"R": "Red", "G": "Green", "B": "Blue"}

Columns = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class MeasureRequest:
    """What to measure.

    Attributes
    ----------
    project
        The project file.
    slide
        Name or path of a slide of the project; None is its only slide.
    level
        Level of the slide whose pixels are read, 0 is the finest.
    again
        Measure objects that were measured before, too.
    """

    project: Path
    slide: str | None = None
    level: int = 0
    again: bool = False


@dataclass(frozen=True, slots=True)
class MeasureResult:
    """What was measured.

    Attributes
    ----------
    objects
        Objects on the slide that were looked at.
    measured
        Those that were measured now.
    names
        What was measured, by name.
    status
        ``cancelled`` when some are left for another time.
    """

    project: str
    slide: str
    objects: int
    measured: int
    names: tuple[str, ...]
    status: Literal["complete", "cancelled"]
    seconds: float
    peak_rss_bytes: int


def measure_objects(
    request: MeasureRequest, token: CancellationToken, on_count: OnCount = ignore_count
) -> MeasureResult:
    """Measure the objects of a slide that were not measured yet, and return what was done.

    Shapes are in micrometres when the project knows the size of a pixel. When the token is set,
    what is measured by then is kept. Memory does not grow with the number of objects, nor with
    their size.

    Raises
    ------
    UsageError
        When the slide is unknown, has no such level, or is not where it was.
    ProjectError
        When the project is missing, busy, damaged or cannot be written.
    TileReadError
        When pixels cannot be read; nothing is changed then.
    """
    started = time.perf_counter()
    if not request.project.exists():
        raise ProjectError(request.project, "cannot be opened: no such file; check the name")
    cache = TileCache(_CACHE_BYTES)
    with ExitStack() as stack:
        project = stack.enter_context(writable_project(request.project))
        record = chosen_slide(project, request.slide)
        source = stack.enter_context(open_known(project, record, cache))
        _check_level(source.info, request.level)
        probe = Probe(source, cache, request.level, token)
        gauge = _Gauge(probe, source.info, pixel_size_of(record), request.again)
        with output_errors(request.project):
            spool = _Spool(stack.enter_context(tempfile.TemporaryFile()))
        status: Literal["complete", "cancelled"] = "complete"
        try:
            for batch in project.objects(Selection(slide=record.slide)):
                token.raise_if_cancelled()
                ids, columns = gauge.measure(batch)
                with output_errors(request.project):
                    spool.add(ids, columns)
                on_count(gauge.seen)
        except Cancelled:
            status = "cancelled"
        measured = project.measure(spool.batches(), label=f"measure at level {request.level}")
    return MeasureResult(
        project=str(request.project),
        slide=record.name,
        objects=gauge.seen,
        measured=measured,
        names=tuple(gauge.names),
        status=status,
        seconds=round(time.perf_counter() - started, 3),
        peak_rss_bytes=memory.peak_rss_bytes(),
    )


def _check_level(info: SlideInfo, level: int) -> None:
    if not 0 <= level < len(info.levels):
        raise UsageError(f"{info.path} has levels 0 to {len(info.levels) - 1}, no level {level}")


class _Gauge:
    """Measures batches of objects."""

    def __init__(
        self, probe: Probe, info: SlideInfo, pixel_size: PixelSize | None, again: bool
    ) -> None:
        self._probe = probe
        self._bands = tuple(_COLOURS.get(b, b) if info.is_rgb else b for b in info.bands)
        self._planes = (info.z, info.t)
        self._pixel_size = pixel_size
        self._again = again
        unit = measures.measure(np.zeros(0, object), pixel_size).unit
        pixels = f"{self._bands[0]}: Mean"
        self._marks = {1: (f"Length {unit}",), 2: (f"Area {unit}^2", "Circularity", pixels)}
        self.seen = 0
        self.names: dict[str, None] = {}

    def measure(self, batch: Sequence[Annotation]) -> tuple[list[str], Columns]:
        """Return the ids of those objects that had to be measured, and the numbers of each."""
        self.seen += len(batch)
        geometries = shapely.from_wkb(np.array([a.geometry for a in batch], object))
        dimensions = shapely.get_dimensions(geometries)
        pairs = zip(batch, dimensions.tolist(), strict=True)
        wanted = np.array([self._is_wanted(a, dimension) for a, dimension in pairs], bool)
        batch = [batch[i] for i in np.flatnonzero(wanted).tolist()]
        geometries, areal = geometries[wanted], dimensions[wanted] == _AREA
        if not batch:
            return [], {}
        columns = measures.measure(geometries, self._pixel_size).named()
        columns = {n: c for n, c in columns.items() if not n.startswith(_NOT_STORED)}
        columns.update(self._pixels(batch, geometries, areal))
        self.names.update(dict.fromkeys(columns))
        return [a.id for a in batch], columns

    def _is_wanted(self, annotation: Annotation, dimension: int) -> bool:
        if self._again or dimension == 0:
            return dimension > 0
        return any(mark not in annotation.measurements for mark in self._marks[dimension])

    def _pixels(
        self, batch: Sequence[Annotation], geometries: NDArray[Any], areal: NDArray[np.bool_]
    ) -> Columns:
        columns: Columns = {}
        z_count, t_count = self._planes
        planes = np.array([a.t * z_count + a.z for a in batch])
        inside = np.array([a.z < z_count and a.t < t_count for a in batch]) & areal
        for plane in np.unique(planes[inside]).tolist():
            chosen = np.flatnonzero(inside & (planes == plane))
            rings = _even_odd_rings([batch[i].geometry for i in chosen.tolist()])
            for name, values in self._probe.measure(rings, plane).named(self._bands).items():
                column = columns.setdefault(name, np.full(len(batch), np.nan))
                column[chosen] = values
        return columns


def _even_odd_rings(areas: Sequence[bytes]) -> list[NDArray[np.float64]]:
    """Return one ring for each area that an even-odd fill fills alike; nearly all have no more."""
    plain, points, offsets = rings_of_wkb(areas)
    rings = dict(zip(plain.tolist(), np.split(points, offsets[1:-1]), strict=True))
    return [
        rings[i] if i in rings else even_odd_ring(shapely.from_wkb(area))
        for i, area in enumerate(areas)
    ]


class _Spool:
    """Numbers that wait on the disk: while the project is changed it cannot be read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._heads: list[tuple[str, ...]] = []

    def add(self, ids: list[str], columns: Columns) -> None:
        """Append the numbers of some objects."""
        if not ids:
            return
        self._heads.append(tuple(columns))
        np.save(self._file, np.array(ids, "S36"), allow_pickle=False)
        np.save(self._file, np.stack([*columns.values()], axis=1), allow_pickle=False)

    def batches(self) -> Iterator[Mapping[str, Mapping[str, float]]]:
        """Yield them again, without those that are not finite."""
        self._file.seek(0)
        for names in self._heads:
            ids = np.load(self._file, allow_pickle=False).tolist()
            table = np.load(self._file, allow_pickle=False)
            finite = np.isfinite(table).tolist()
            rows = zip(ids, table.tolist(), finite, strict=True)
            yield {
                name.decode(): {n: v for n, v, ok in zip(names, row, good, strict=True) if ok}
                for name, row, good in rows
            }
