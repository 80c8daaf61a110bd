"""The files of a finished run, streamed from its ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.results import Detections, ModelRef
from tilescope.domain.scale import PixelSize
from tilescope.domain.slide import SlideInfo
from tilescope.exchange.coco import write_coco
from tilescope.exchange.geojson import write_geojson
from tilescope.exchange.labels import write_labels
from tilescope.exchange.objects import ObjectBatch
from tilescope.exchange.overview import draw_overview, write_png
from tilescope.exchange.table import write_table
from tilescope.io.cache import TileCache
from tilescope.io.source import SlideSource
from tilescope.jobs.running.result_files import ResultFile
from tilescope.jobs.whole_picture import overview_picture
from tilescope.ops.areas import Areas
from tilescope.store.run_ledger import RunLedger

OVERVIEW_PX = 2048

#: x0, y0, x1, y1 in level-0 pixels.
RectL0 = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Scope:
    """Over what a model runs: a part of the slide, and the areas of it that count, if not all.

    All of it lies on one plane: focal plane and time point, each from 0.

    An object belongs to it when its point (`ops.inner_points`) lies in the region and in an area.
    The left and top edge belong to a region, the right and bottom one do not, so that regions that
    lie side by side share no object; the edge of an area belongs to it.
    """

    region_l0: Rect
    areas: Areas | None = None
    plane: tuple[int, int] = (0, 0)

    def is_all_of(self, size: Size) -> bool:
        """Tell whether everything on a slide belongs to it."""
        return self.areas is None and self.region_l0.encloses(Rect.of_size(size))

    def hold(self, points_l0: NDArray[np.float64], size: Size) -> NDArray[np.bool_]:
        """Return ``bool[n]``: the objects at which of the points ``float64[n, 2]`` belong to it.

        Parameters
        ----------
        size
            Of the slide. What is taken to lie a little beyond its edge belongs to the region there.
        """
        region, (x, y) = self.region_l0, points_l0.T
        inside: NDArray[np.bool_] = (x >= region.x0) | (region.x0 <= 0)
        inside &= (y >= region.y0) | (region.y0 <= 0)
        inside &= (x < region.x1) | (region.x1 >= size.width)
        inside &= (y < region.y1) | (region.y1 >= size.height)
        return inside if self.areas is None else inside & self.areas.contain(points_l0)

    @property
    def areas_text(self) -> str:
        """Which areas they are."""
        if self.areas is None:
            return "no areas"
        noun = "area" if len(self.areas) == 1 else "areas"
        return f"{len(self.areas)} {noun} with sha256 {self.areas.sha256}"

    @property
    def text(self) -> str:
        """What tells runs over other parts of the same slide apart."""
        text = region_text(self.region_l0)
        if self.areas is not None:
            text = f"{text} within {self.areas_text}"
        return f"{text} on {self.plane_text}" if any(self.plane) else text

    @property
    def plane_text(self) -> str:
        """Which plane it is."""
        return "plane z={} t={}".format(*self.plane)

    @property
    def detail(self) -> dict[str, Any]:
        """What is stored of it, besides the text."""
        detail: dict[str, Any] = {}
        if self.areas is not None:
            detail["areas"] = {"count": len(self.areas), "sha256": self.areas.sha256}
        if any(self.plane):
            detail["plane"] = dict(zip("zt", self.plane, strict=True))
        return detail


@dataclass(frozen=True, slots=True)
class ResultFrame:
    """Everything the exporters need of a run; the label image covers ``covered_l0``.

    ``are_boxes`` says that objects are boxes, which may lie in each other; ``failed_l0`` is what
    the tiles cover that failed, of which the run says nothing.
    """

    folder: Path
    source: SlideSource
    cache: TileCache
    ledger: RunLedger
    factor: float
    scope: Scope
    covered_l0: Rect
    pixel_size: PixelSize | None
    class_names: tuple[str, ...]
    model: ModelRef
    are_boxes: bool = False
    failed_l0: tuple[RectL0, ...] = ()

    @property
    def run_id(self) -> UUID:
        """The same for the same model, slide, region and areas."""
        return run_id_of(self.model, self.source.info, self.scope)

    @property
    def image_name(self) -> str:
        """The slide's file name."""
        return Path(self.source.info.path).name

    def in_level0(self, found: Detections) -> Detections:
        """Return outlines of the working grid in level-0 pixels."""
        return Detections(
            found.rings * self.factor,
            found.offsets,
            found.scores,
            found.classes,
            found.class_names,
        )

    def batches(self) -> Iterator[ObjectBatch]:
        """Yield all objects in order."""
        for found, first in self.ledger.objects(self.class_names):
            yield ObjectBatch(self.in_level0(found), first)

    def objects_in(self, rect_l0: Rect) -> tuple[Detections, NDArray[np.uint32]]:
        """Return the objects that may touch a rectangle, and their numbers."""
        found, numbers = self.ledger.objects_in(self._box(rect_l0), self.class_names)
        return self.in_level0(found), numbers

    def outside_near(self, rect_l0: Rect) -> Detections:
        """Return what may touch a rectangle that the model saw, but beyond what it ran over."""
        return self.in_level0(self.ledger.outside_in(self._box(rect_l0), self.class_names))

    def _box(self, rect_l0: Rect) -> tuple[float, float, float, float]:
        f = self.factor
        return rect_l0.x0 / f, rect_l0.y0 / f, rect_l0.x1 / f, rect_l0.y1 / f


def run_id_of(model: ModelRef, info: SlideInfo, scope: Scope) -> UUID:
    """Return what ids of objects are made of, so that they survive a repetition of the run.

    Runs of other weights, over other slides or other parts of a slide do not share any.
    """
    whole = uuid5(NAMESPACE_URL, f"tilescope:{model.sha256}:{info.path}")
    if scope == Scope(Rect.of_size(info.size)):
        return whole
    return uuid5(whole, scope.text)


def region_text(region_l0: Rect) -> str:
    """Return a rectangle as the command line takes it."""
    return f"{region_l0.x0},{region_l0.y0},{region_l0.width},{region_l0.height}"


def object_files(frame: ResultFrame) -> tuple[ResultFile, ...]:
    """Return the files that objects can be written to."""
    return tuple(
        ResultFile(key, key, name, partial(write, frame))
        for key, name, write in (
            ("geojson", "objects.geojson", _geojson),
            ("ome-zarr", "labels.ome.zarr", _labels),
            ("csv", "objects.csv", _csv),
            ("coco", "objects.coco.json", _coco),
            ("overview", "overview.png", _overview),
        )
    )


def _geojson(frame: ResultFrame, path: Path) -> None:
    write_geojson(
        path,
        frame.batches(),
        run_id=frame.run_id,
        pixel_size=frame.pixel_size,
        plane=frame.scope.plane,
    )


def _csv(frame: ResultFrame, path: Path) -> None:
    write_table(
        path,
        frame.batches(),
        image=frame.image_name,
        run_id=frame.run_id,
        pixel_size=frame.pixel_size,
    )


def _coco(frame: ResultFrame, path: Path) -> None:
    write_coco(
        path,
        frame.batches(),
        image=frame.image_name,
        size_l0=frame.source.info.size,
        class_names=frame.class_names,
    )


def _labels(frame: ResultFrame, path: Path) -> None:
    write_labels(
        path,
        frame.objects_in,
        rect_l0=frame.covered_l0,
        pixel_size=frame.pixel_size,
        source=os.path.relpath(Path(frame.source.info.path).resolve(), path.resolve()),
    )


def _overview(frame: ResultFrame, path: Path) -> None:
    plane = frame.source.info.plane_index(*frame.scope.plane)
    picture, factor = overview_picture(frame.source, frame.cache, OVERVIEW_PX, plane)
    write_png(path, draw_overview(picture, frame.batches(), factor=factor))
