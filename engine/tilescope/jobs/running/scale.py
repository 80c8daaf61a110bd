"""How many level-0 pixels one working pixel of a model is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.manifest import ModelSpec
from tilescope.domain.scale import (
    AtObjectSize,
    AtPixelSize,
    FitWithin,
    Native,
    PixelSize,
)
from tilescope.domain.slide import SlideInfo
from tilescope.errors import PixelSizeUnknown
from tilescope.inference.grid import WorkingGrid
from tilescope.inference.session import Session
from tilescope.inference.sizing import SizeReading, choose_diameter
from tilescope.io.cache import TileCache
from tilescope.io.region import read_working
from tilescope.io.source import SlideSource
from tilescope.jobs.running.labelled import score_and_class
from tilescope.jobs.running.survey import Survey, window_around
from tilescope.ops.contours import outlines, ring_areas
from tilescope.plugins.api import Instances, TileAdapter, TileImage
from tilescope.plugins.calling import graph_inputs
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken

_WINDOW_PX = 256
#: Level-0 diameters that are tried on an uncalibrated slide: nuclei from 10x to 63x.
_DIAMETERS_PX = (6.0, 9.0, 13.5, 20.0, 30.0, 45.0, 68.0, 100.0)
#: Diameters a nucleus or cell may have; a calibrated fluorescence slide is searched inside them.
_PLAUSIBLE_UM = (4.0, 32.0)


@dataclass(frozen=True, slots=True)
class WorkingScale:
    """The scale of a run and where it came from.

    Attributes
    ----------
    factor
        Level-0 pixels per working pixel.
    source
        ``pixel-size``, ``object-size``, ``measured``, ``given``, ``native``, ``fit`` or
        ``assumed``.
    diameter_px
        Level-0 diameter of the objects that the scale stands for, when it is about objects.
    """

    factor: float
    source: str
    diameter_px: float | None = None


@dataclass(frozen=True, slots=True)
class Measurer:
    """Runs a model on sampled windows to see how large its objects come out.

    Attributes
    ----------
    multiple_of
        Sides of the windows are multiples of it.
    fixed
        The only input size the model takes, None when it takes any.
    spots
        Level-0 centres of the windows.
    """

    model: InstalledModel
    source: SlideSource
    cache: TileCache
    survey: Survey
    session: Session
    adapter: TileAdapter
    parameters: Mapping[str, float]
    multiple_of: int
    fixed: Size | None
    token: CancellationToken
    spots: tuple[tuple[float, float], ...]
    plane: int = 0

    def __call__(self, factor: float) -> SizeReading:
        """Return what the model finds at ``factor`` level-0 pixels per working pixel.

        Raises
        ------
        TileReadError, InferenceFailed, PluginBroken, Cancelled
            Whatever stands in the way of measuring.
        """
        grid = WorkingGrid.over(self.source.info.size, factor, self.multiple_of)
        diameters, scores, covered, seen = [], [], 0.0, 0
        done: set[Rect] = set()
        for x, y in self.spots:
            rect = self._window(x / factor, y / factor, grid)
            if rect in done:
                continue
            done.add(rect)
            pixels = read_working(self.source, self.cache, rect, factor, plane=self.plane)
            areas, certain = self._found(TileImage(pixels, self.survey.contrast), rect)
            diameters.append(2 * np.sqrt(areas / np.pi))
            scores.append(certain)
            covered += float(areas.sum())
            seen += rect.area
        return SizeReading(
            np.concatenate([np.zeros(0), *diameters]),
            np.concatenate([np.zeros(0), *scores]),
            min(1.0, covered / max(1, seen)),
            max(1, seen),
        )

    def _found(self, tile: TileImage, rect: Rect) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Return area, in working pixels, and score of every object in a window."""
        with self.model.calling("encode"):
            inputs = graph_inputs(self.adapter.encode(tile))
        outputs = self.session.run(inputs, self.token)
        with self.model.calling("decode"):
            found = self.adapter.decode(outputs, self.parameters)
            if not isinstance(found, Instances):
                msg = f"{type(found).__name__} instead of Instances"
                raise TypeError(msg)
            traced = outlines(found.labels)
            scores, _ = score_and_class(found, traced.values, len(self.model.spec.classes))
            areas = ring_areas(traced.rings, traced.offsets) * rect.area / found.labels.size
            return areas, scores

    def _window(self, x: float, y: float, grid: WorkingGrid) -> Rect:
        step = self.multiple_of
        if self.fixed is not None:
            rect = window_around(x, y, max(self.fixed.width, self.fixed.height), grid.size)
            return Rect(rect.x0, rect.y0, rect.x0 + self.fixed.width, rect.y0 + self.fixed.height)
        rect = window_around(x, y, _WINDOW_PX, grid.size)
        width, height = (-(-side // step) * step for side in (rect.width, rect.height))
        return Rect(rect.x0, rect.y0, rect.x0 + width, rect.y0 + height)


def fixed_scale(
    spec: ModelSpec,
    info: SlideInfo,
    region_l0: Rect,
    pixel_size: PixelSize | None,
    diameter_px: float | None,
) -> WorkingScale | None:
    """Return the scale when nothing has to be measured, else None.

    Raises
    ------
    PixelSizeUnknown
        When the model needs micrometres and the slide has none.
    """
    match spec.sampling:
        case Native():
            return WorkingScale(1.0, "native")
        case FitWithin(max_side_px=side):
            longest = max(region_l0.width, region_l0.height)
            return WorkingScale(max(1.0, longest / side), "fit")
        case AtPixelSize(um=um):
            if pixel_size is None:
                raise PixelSizeUnknown(
                    f"{info.path}: {spec.id} works at {um} um/px and the slide does not say its "
                    "pixel size"
                )
            return WorkingScale(um / pixel_size.mean_um, "pixel-size")
        case AtObjectSize() as sampling:
            if diameter_px is not None:
                return WorkingScale(diameter_px / sampling.diameter_px, "given", diameter_px)
            if spec.task == "instances":
                return None
            if pixel_size is None:
                raise PixelSizeUnknown(
                    f"{info.path}: {spec.id} needs to know how large a pixel is and the slide does "
                    "not say",
                    takes_diameter=True,
                )
            diameter = sampling.diameter_um / pixel_size.mean_um
            return WorkingScale(diameter / sampling.diameter_px, "object-size", diameter)
        case unreachable:
            assert_never(unreachable)


def object_scale(
    sampling: AtObjectSize, measurer: Measurer, pixel_size: PixelSize | None
) -> WorkingScale:
    """Return the scale at which the objects come out as large as the model wants them.

    A calibrated bright-field slide is believed: nuclei in tissue are about ``diameter_um``. In
    fluorescence nuclei of cultured cells are twice as large as those of tissue, so calibration
    only bounds the search there.
    """
    if pixel_size is not None and not measurer.survey.contrast.dark_background:
        diameter = sampling.diameter_um / pixel_size.mean_um
        return WorkingScale(diameter / sampling.diameter_px, "object-size", diameter)
    candidates: tuple[float, ...] = _DIAMETERS_PX
    if pixel_size is not None:
        low, high = (um / pixel_size.mean_um for um in _PLAUSIBLE_UM)
        candidates = tuple(float(v) for v in np.geomspace(low, high, 6))
    measured = choose_diameter(
        lambda diameter: measurer(diameter / sampling.diameter_px), candidates, sampling.diameter_px
    )
    if measured is not None:
        return WorkingScale(measured / sampling.diameter_px, "measured", measured)
    if pixel_size is not None:
        diameter = sampling.diameter_um / pixel_size.mean_um
        return WorkingScale(diameter / sampling.diameter_px, "object-size", diameter)
    return WorkingScale(1.0, "assumed", sampling.diameter_px)
