"""Everything that is decided before the first block of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.domain.manifest import ModelSpec
from tilescope.domain.scale import AtObjectSize, PixelSize
from tilescope.errors import UsageError
from tilescope.inference.choice import Choice
from tilescope.inference.grid import WorkingGrid
from tilescope.inference.measurements import BatchCost
from tilescope.inference.planner import LAYOUT_VERSION, Block, Plan
from tilescope.inference.schedule import Schedule
from tilescope.inference.session import Session
from tilescope.io.cache import TileCache
from tilescope.io.source import SlideSource
from tilescope.jobs.report import head_sha256
from tilescope.jobs.request import (
    DEFAULT_THRESHOLD,
    DIAMETER_PARAMETER,
    THRESHOLD_PARAMETER,
    RunRequest,
)
from tilescope.jobs.running.decisions import Remembered
from tilescope.jobs.running.fitting import batch_within, fitted
from tilescope.jobs.running.footprint import Footprint
from tilescope.jobs.running.ground import ground_of, is_on
from tilescope.jobs.running.outputs import Scope, region_text
from tilescope.jobs.running.patchwork import Patchwork, sentence
from tilescope.jobs.running.planning import Cut, EarlierTile, Network, Wanted
from tilescope.jobs.running.scale import Measurer, WorkingScale, fixed_scale, object_scale
from tilescope.jobs.running.survey import Survey
from tilescope.jobs.running.tiles_within import tiles_within
from tilescope.ops.areas import Areas
from tilescope.ops.tissue_cells import TissueCells
from tilescope.plugins.api import TileAdapter
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken

_SPOTS = 8
#: Tasks whose result is a probability per class.
_PROBABILITY_TASKS = ("semantic", "classification")
#: Tasks whose result is objects.
_OBJECT_TASKS = ("instances", "detect")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a run works with; owned and closed by whoever made it."""

    source: SlideSource
    cache: TileCache
    session: Session
    adapter: TileAdapter
    network: Network
    choice: Choice


@dataclass(frozen=True, slots=True)
class Settings:
    """The user's choices, checked against the slide and the model.

    ``covered_l0`` is the part of the region that the results are about: all of it, or the
    rectangle around the areas in it.
    """

    pixel_size: PixelSize | None
    diameter_px: float | None
    parameters: dict[str, float]
    scope: Scope
    covered_l0: Rect

    @property
    def region_l0(self) -> Rect:
        """What is cut into blocks."""
        return self.scope.region_l0

    @property
    def areas(self) -> Areas | None:
        """What of the region counts; None is all of it."""
        return self.scope.areas


@dataclass(frozen=True, slots=True)
class Prepared:
    """The decisions of a run.

    ``batch`` is how many tiles are run at once, ``spares_background`` says whether blocks without
    tissue are left out, ``ground`` where objects are looked for, None for a result that is a map;
    ``within`` says which blocks come near the areas, by index; None is all.
    """

    settings: Settings
    survey: Survey
    scale: WorkingScale
    cut: Cut
    footprint: Footprint
    batch: BatchCost | None
    spares_background: bool
    ground: TissueCells | None = None
    within: NDArray[np.bool_] | None = None

    @property
    def plan(self) -> Plan:
        """The blocks."""
        return self.cut.plan

    @property
    def batch_size(self) -> int:
        """How many tiles are run at once."""
        return 1 if self.batch is None else self.batch.tiles

    @property
    def runtime_bytes(self) -> int:
        """What one inference takes at its peak."""
        return self.footprint.runtime_bytes(self.cut.tile, self.batch, self.cut.schedule)

    def remembered(self, memory_bytes: int, provider: str) -> Remembered:
        """Return the decisions for a run that continues this one."""
        return Remembered(
            self.scale,
            self.cut.tile,
            self.cut.is_exact,
            memory_bytes,
            self.survey.contrast,
            provider,
            self.cut.schedule,
            self.batch_size,
        )

    def is_within(self, block: Block) -> bool:
        """Tell whether a block comes near the areas."""
        return self.within is None or bool(self.within[block.index])

    def is_empty(self, block: Block) -> bool:
        """Tell whether a block's core holds nothing that is worth a look."""
        if self.ground is not None:
            return not is_on(self.ground, self.plan, block)
        return self.spares_background and not self.survey.holds_something(self.rect_l0(block))

    def rect_l0(self, block: Block) -> tuple[float, float, float, float]:
        """Return what a block's core covers, in level-0 pixels."""
        f, core = self.plan.grid.factor, block.core
        return core.x0 * f, core.y0 * f, core.x1 * f, core.y1 * f


def check_settings(request: RunRequest, source: SlideSource) -> Settings:
    """Return the user's choices.

    Raises
    ------
    UsageError
        When one of them makes no sense for this slide or model.
    """
    info, spec = source.info, request.model.spec
    overrides = dict(request.parameters)
    diameter = overrides.pop(DIAMETER_PARAMETER, None)
    if diameter is not None and not (isinstance(spec.sampling, AtObjectSize) and diameter >= 2):
        raise UsageError(f"{DIAMETER_PARAMETER} = {diameter:g} is of no use to {spec.id}")
    threshold = _threshold(spec, overrides)
    whole = Rect.of_size(info.size)
    region = request.region_l0 or whole
    if not whole.encloses(region):
        raise UsageError(
            f"{info.path}: region {region_text(region)} leaves the slide of "
            f"{whole.width} x {whole.height} pixels"
        )
    if not info.has_plane(*request.plane):
        raise UsageError(
            f"{info.path}: there is no focal plane {request.plane[0]} at time point "
            f"{request.plane[1]}; both count from 0, and the slide has {info.z} and {info.t}"
        )
    scope = Scope(region, request.within, request.plane)
    covered = _covered(info.path, scope)
    try:
        given = request.um_per_px
        pixel_size = info.pixel_size if given is None else PixelSize(given, given)
        parameters = {**spec.resolved(overrides), **threshold}
        return Settings(pixel_size, diameter, parameters, scope, covered)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc


def _covered(slide: str, scope: Scope) -> Rect:
    """Return the rectangle around the areas in the region."""
    region = scope.region_l0
    if scope.areas is None:
        return region
    found = scope.areas.bounds_in(region.x0, region.y0, region.x1, region.y1)
    if found is None:
        raise UsageError(
            f"{slide}: none of the {scope.areas_text} lies in {region_text(region)}: give outlines "
            "of this slide in its level-0 pixels"
        )
    x0, y0, x1, y1 = found
    return Rect(floor(x0), floor(y0), ceil(x1), ceil(y1))


def _threshold(spec: ModelSpec, overrides: dict[str, float]) -> dict[str, float]:
    """Take the threshold of classes out of ``overrides``, unless it is the model's own."""
    if spec.task not in _PROBABILITY_TASKS or THRESHOLD_PARAMETER in spec.parameters:
        return {}
    value = overrides.pop(THRESHOLD_PARAMETER, DEFAULT_THRESHOLD)
    if not 0 <= value <= 1:
        raise UsageError(f"parameter {THRESHOLD_PARAMETER} = {value:g} is not in 0..1")
    return {THRESHOLD_PARAMETER: value}


def identity_of(request: RunRequest, settings: Settings, source: SlideSource) -> dict[str, str]:
    """Return what makes two runs the same run, as text by name."""
    spec, info, region = request.model.spec, source.info, settings.region_l0
    return {
        "model": f"{spec.id} {spec.version}",
        "weights sha256": spec.weights.sha256,
        "precision": request.precision,
        "slide sha256 of the head": head_sha256(request.slide),
        "slide bytes": str(info.size_bytes),
        "slide size": f"{info.size.width}x{info.size.height}",
        "region": region_text(region),
        "um per px": _text(None if settings.pixel_size is None else settings.pixel_size.mean_um),
        DIAMETER_PARAMETER: _text(settings.diameter_px),
        "layout of tiles": str(LAYOUT_VERSION),
        **{f"parameter {name}": _text(value) for name, value in settings.parameters.items()},
        **({} if settings.areas is None else {"areas": settings.scope.areas_text}),
        **({"plane": settings.scope.plane_text} if any(settings.scope.plane) else {}),
    }


def _text(value: float | None) -> str:
    return "unset" if value is None else repr(float(value))


def prepare(
    request: RunRequest,
    settings: Settings,
    opened: Opened,
    survey: Survey,
    earlier: Remembered | None,
    patchwork: Callable[[Schedule | None], Patchwork | None],
    token: CancellationToken,
) -> Prepared:
    """Choose the scale and plan the blocks.

    Parameters
    ----------
    patchwork
        Tells what the network takes patch by patch as an interrupted run did it, or for None as is
        best; None where it cannot be run so. Called only when it does not fit at once.

    Raises
    ------
    BudgetTooSmall
        When one tile does not fit under the cap, not even patch by patch.
    UsageError
        When the model needs a pixel size that nobody knows, or no tile that is judged as a whole
        has its centre in an area.
    GraphMismatch
        When the model's fixed input size leaves no room for its halo.
    TileReadError, InferenceFailed, PluginBroken
        When the slide cannot be read, or the model fails, where its scale is measured.
    """
    scale = earlier.scale if earlier else _scale(request.model, settings, survey, opened, token)
    info, task = opened.source.info, request.model.spec.task
    ground = ground_of(survey, scale.factor) if task in _OBJECT_TASKS else None
    footprint = Footprint(
        memory.rss_bytes() - opened.cache.use.size_bytes,
        opened.cache.use.max_bytes,
        request.model.spec,
        len(info.bands),
        _value_bytes(info.dtype),
        opened.choice.bytes_per_px,
    )
    grid = WorkingGrid.over(info.size, scale.factor, opened.network.step)
    wanted = Wanted(
        opened.network,
        grid,
        grid.rect_of(settings.region_l0),
        request.memory_bytes,
        EarlierTile(earlier.tile, earlier.memory_bytes, earlier.is_exact) if earlier else None,
    )
    cut, footprint = fitted(wanted, footprint, patchwork, earlier)
    batch = batch_within(opened.choice, footprint, cut, request.memory_bytes, earlier)
    # A class map says something of every pixel. Only of a microscope's slide it is known that
    # nothing is where no tissue is; on a page white is a part of what is there.
    spares = task != "semantic" or settings.pixel_size is not None
    within = None
    if settings.areas is not None:
        within = tiles_within(settings.areas, cut, opened.network.spec)
    return Prepared(settings, survey, scale, cut, footprint, batch, spares, ground, within)


def in_patches(request: RunRequest, opened: Opened, prepared: Prepared) -> Opened:
    """Return what a run works with whose network is run patch by patch.

    Raises
    ------
    GraphMismatch
        When the schedule, which may be that of an interrupted run, belongs to another graph.
    """
    schedule, patchwork = prepared.cut.schedule, prepared.footprint.patchwork
    assert schedule is not None
    assert patchwork is not None
    memory.trim()
    session = patchwork.open(schedule, threads=request.threads, precision=request.precision)
    why = f"{sentence(schedule)}; {opened.choice.why}"
    return replace(opened, session=session, choice=replace(opened.choice, why=why))


def _value_bytes(dtype: str) -> int:
    return {"uint8": 1, "uint16": 2}.get(dtype, 4)


def _scale(
    model: InstalledModel,
    settings: Settings,
    survey: Survey,
    opened: Opened,
    token: CancellationToken,
) -> WorkingScale:
    info, spec = opened.source.info, opened.network.spec
    fixed = fixed_scale(spec, info, settings.region_l0, settings.pixel_size, settings.diameter_px)
    if fixed is not None or not isinstance(spec.sampling, AtObjectSize):
        assert fixed is not None
        return fixed
    measurer = Measurer(
        model,
        opened.source,
        opened.cache,
        survey,
        opened.session,
        opened.adapter,
        settings.parameters,
        opened.network.step,
        opened.network.fixed,
        token,
        tuple(survey.spots(_SPOTS, settings.region_l0)),
        info.plane_index(*settings.scope.plane),
    )
    return object_scale(spec.sampling, measurer, settings.pixel_size)
