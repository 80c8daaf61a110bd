"""Everything that is decided before the first block of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import lcm
from typing import Any

from tilescope.domain.contrast import Contrast
from tilescope.domain.geometry import Rect
from tilescope.domain.manifest import ModelSpec
from tilescope.domain.scale import AtObjectSize, PixelSize
from tilescope.errors import BudgetTooSmall, UsageError
from tilescope.inference.grid import WorkingGrid
from tilescope.inference.planner import (
    LAYOUT_VERSION,
    Block,
    Margins,
    Plan,
    largest_tile_within,
    plan_blocks,
    smallest_tile,
)
from tilescope.inference.receptive import Halo
from tilescope.inference.session import OnnxSession
from tilescope.io.cache import TileCache
from tilescope.io.source import SlideSource
from tilescope.jobs.footprint import Footprint
from tilescope.jobs.report import head_sha256
from tilescope.jobs.request import DIAMETER_PARAMETER, OnProgress, RunProgress, RunRequest
from tilescope.jobs.scale import Measurer, WorkingScale, fixed_scale, object_scale
from tilescope.jobs.survey import Survey, survey_slide
from tilescope.plugins.api import TileAdapter
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken

_SPOTS = 8
#: Tile sides are tried in steps of it, so that a few megabytes more or less of base memory do not
#: change the plan of the same run on the same machine.
_TILE_STEP_PX = 128


@dataclass(frozen=True, slots=True)
class Opened:
    """What a run works with; owned and closed by whoever made it."""

    source: SlideSource
    cache: TileCache
    session: OnnxSession
    adapter: TileAdapter
    halo: Halo


@dataclass(frozen=True, slots=True)
class Settings:
    """The user's choices, checked against the slide and the model."""

    pixel_size: PixelSize | None
    diameter_px: float | None
    parameters: dict[str, float]
    region_l0: Rect


@dataclass(frozen=True, slots=True)
class Prepared:
    """The decisions of a run."""

    settings: Settings
    survey: Survey
    scale: WorkingScale
    plan: Plan
    footprint: Footprint
    tile_px: int

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
    whole = Rect.of_size(info.size)
    region = request.region_l0 or whole
    if not whole.encloses(region):
        where = f"{region.x0},{region.y0},{region.width},{region.height}"
        raise UsageError(
            f"{info.path}: region {where} leaves the slide of {whole.width} x {whole.height} pixels"
        )
    try:
        given = request.um_per_px
        pixel_size = info.pixel_size if given is None else PixelSize(given, given)
        return Settings(pixel_size, diameter, spec.resolved(overrides), region)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc


def identity_of(request: RunRequest, settings: Settings, source: SlideSource) -> dict[str, str]:
    """Return what makes two runs the same run, as text by name."""
    spec, info, region = request.model.spec, source.info, settings.region_l0
    return {
        "model": f"{spec.id} {spec.version}",
        "weights sha256": spec.weights.sha256,
        "slide sha256 of the head": head_sha256(request.slide),
        "slide bytes": str(info.size_bytes),
        "slide size": f"{info.size.width}x{info.size.height}",
        "region": f"{region.x0},{region.y0},{region.width},{region.height}",
        "um per px": _text(None if settings.pixel_size is None else settings.pixel_size.mean_um),
        DIAMETER_PARAMETER: _text(settings.diameter_px),
        "layout of tiles": str(LAYOUT_VERSION),
        **{f"parameter {name}": _text(value) for name, value in settings.parameters.items()},
    }


def _text(value: float | None) -> str:
    return "unset" if value is None else repr(float(value))


@dataclass(frozen=True, slots=True)
class Remembered:
    """Decisions that a resumed run takes over instead of making them again.

    ``memory_bytes`` is the cap under which ``tile_px`` was planned.
    """

    scale: WorkingScale
    tile_px: int
    memory_bytes: int
    contrast: Contrast

    def as_dict(self) -> dict[str, Any]:
        """Return it for the ledger."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Remembered:
        """Return what :meth:`as_dict` gave."""
        contrast = values["contrast"]
        return cls(
            WorkingScale(**values["scale"]),
            values["tile_px"],
            values["memory_bytes"],
            Contrast(contrast["dark_background"], tuple(contrast["low"]), tuple(contrast["high"])),
        )


def prepare(
    request: RunRequest,
    settings: Settings,
    opened: Opened,
    earlier: Remembered | None,
    token: CancellationToken,
    on_progress: OnProgress,
) -> Prepared:
    """Look at the slide, choose the scale and plan the blocks.

    Raises
    ------
    BudgetTooSmall
        When one tile does not fit under the cap.
    UsageError
        When the model needs a pixel size that nobody knows.
    TileReadError
        When the overview of the slide cannot be read.
    """
    spec = request.model.spec
    step = lcm(opened.halo.multiple_of, spec.tile.multiple_of)
    on_progress(RunProgress("survey"))
    survey = survey_slide(opened.source, opened.cache)
    on_progress(RunProgress("scale"))
    scale = earlier.scale if earlier else _scale(settings, spec, survey, opened, step, token)
    halo_px = opened.halo.pixels if opened.halo.pixels is not None else spec.tile.halo_px
    margins = Margins(halo_px, spec.tile.decode_margin_px)
    info = opened.source.info
    footprint = Footprint(
        memory.rss_bytes() - opened.cache.use.size_bytes,
        opened.cache.use.max_bytes,
        spec,
        len(info.bands),
        _value_bytes(info.dtype),
    )
    tile_px = _tile(request, footprint, margins, step, earlier)
    grid = WorkingGrid.over(info.size, scale.factor, step)
    plan = plan_blocks(grid, grid.rect_of(settings.region_l0), margins, tile_px)
    return Prepared(settings, survey, scale, plan, footprint, tile_px)


def _value_bytes(dtype: str) -> int:
    return {"uint8": 1, "uint16": 2}.get(dtype, 4)


def _tile(
    request: RunRequest,
    footprint: Footprint,
    margins: Margins,
    step: int,
    earlier: Remembered | None,
) -> int:
    cap, least = request.memory_bytes, smallest_tile(margins, step)
    if earlier is not None:
        # Under the cap it was planned for it fits, although a process's base differs by a
        # megabyte from one start to the next.
        needed = footprint.bytes_at(earlier.tile_px)
        if cap < earlier.memory_bytes and needed > cap:
            raise BudgetTooSmall(needed, cap)
        return earlier.tile_px
    grain = lcm(step, _TILE_STEP_PX)
    least_px = -(-least // grain) * grain
    try:
        return largest_tile_within(
            cap,
            footprint.bytes_at,
            preferred_px=request.model.spec.tile.size.width,
            least_px=least_px,
            step=grain,
        )
    except BudgetTooSmall:
        raise BudgetTooSmall(footprint.least_cap(least_px), cap) from None


def _scale(
    settings: Settings,
    spec: ModelSpec,
    survey: Survey,
    opened: Opened,
    step: int,
    token: CancellationToken,
) -> WorkingScale:
    info = opened.source.info
    fixed = fixed_scale(spec, info, settings.pixel_size, settings.diameter_px)
    if fixed is not None or not isinstance(spec.sampling, AtObjectSize):
        assert fixed is not None
        return fixed
    measurer = Measurer(
        opened.source,
        opened.cache,
        survey,
        opened.session,
        opened.adapter,
        settings.parameters,
        step,
        token,
        tuple(survey.spots(_SPOTS, settings.region_l0)),
    )
    return object_scale(spec.sampling, measurer, settings.pixel_size)
