"""What the user chose to run, and what the window says of how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tilescope.domain.counts import counted
from tilescope.domain.geometry import Rect
from tilescope.domain.slide import SlideInfo
from tilescope.errors import SlideNotFound
from tilescope.jobs.report import RunReport
from tilescope.jobs.request import RunProgress
from tilescope_desktop.model.readout import rounded
from tilescope_desktop.model.viewport import Viewport


class Extent(StrEnum):
    """Over what a model runs."""

    SLIDE = "Whole slide"
    VIEW = "What is in view"
    SELECTION = "Inside the selection"
    CLASS = "Inside a class"

    @property
    def remark(self) -> str:
        """What it means, in words."""
        return _REMARKS[self]

    @property
    def is_areas(self) -> bool:
        """Whether outlines of the project say where the model runs."""
        return self in {Extent.SELECTION, Extent.CLASS}


_REMARKS = {
    Extent.SLIDE: "All of the slide in front",
    Extent.VIEW: "The rectangle of the slide around what can be seen now",
    Extent.SELECTION: "What lies in the selected outlines",
    Extent.CLASS: "What lies in outlines of one class on this plane of the slide",
}

_STAGES = {
    "survey": "Looking for tissue",
    "scale": "Measuring the size of objects",
    "patches": "Fitting the model into memory",
    "seams": "Joining objects at the seams of tiles",
    "end": "Finishing",
}
_OBJECT_TASKS = ("instances", "detect")
#: What a failure of a tile begins with in a report.
_TILE = "tile "
_GONE = "is no longer there; what was done is kept: put it back, then run the model again to go on"
_FILES = {
    "objects.geojson": "the outlines",
    "objects.csv": "the table of objects",
    "labels.ome.zarr": "the label image",
    "heatmap.ome.zarr": "the heat map",
    "areas.csv": "the table of areas",
    "tiles.csv": "the table of tiles",
    "overview.png": "the overview",
}


@dataclass(frozen=True, slots=True)
class RunChoice:
    """One model and how it is to run.

    Attributes
    ----------
    parameters
        Those that differ from their defaults.
    memory_bytes
        Cap on the whole process, the window included.
    class_name
        Of the areas to run in, for ``Extent.CLASS``; None is what has no class.
    """

    model_id: str
    extent: Extent
    memory_bytes: int
    provider: str = "auto"
    parameters: Mapping[str, float] = field(default_factory=dict)
    class_name: str | None = None


def region_of(extent: Extent, info: SlideInfo, viewport: Viewport | None) -> Rect | None:
    """Return the level-0 rectangle to run over; None is the whole slide, also around areas.

    Raises
    ------
    ValueError
        When nothing of the slide lies in it; the message is for the user.
    """
    if extent is not Extent.VIEW:
        return None
    whole = Rect.of_size(info.size)
    region = None if viewport is None else viewport.bounds_l0.intersect(whole)
    if region is None:
        msg = "The slide is out of view."
        raise ValueError(msg)
    return region


def progress_text(progress: RunProgress) -> str:
    """Return one line on a run: stage, tiles, objects, rate and time left."""
    if progress.stage != "tiles":
        return f"{_stage_words(progress.stage)}…"
    parts = [f"{progress.tiles_done:,} of {counted(progress.tiles_total, 'tile')}"]
    if progress.objects:
        parts.append(counted(progress.objects, "object"))
    if progress.tiles_per_s:
        parts.append(f"{rounded(progress.tiles_per_s, 2)} tiles/s")
    if progress.seconds_left is not None:
        parts.append(f"{_duration(progress.seconds_left)} left")
    return ", ".join(parts)


def _stage_words(stage: str) -> str:
    """Return what a stage does; one that has no words of its own writes a file of that name."""
    return _STAGES.get(stage) or f"Writing {_FILES.get(stage, stage)}"


def report_text(report: RunReport) -> str:
    """Return what came of a run, in words."""
    seconds = _duration(report.seconds.total)
    if report.status == "cancelled":
        return "Cancelled. The same run goes on where it stopped."
    if is_partial(report):
        return _partial_text(report)
    if report.status == "failed":
        first = report.errors[0] if report.errors else "it does not say why"
        return f"Failed: {first}"
    found = counted(report.objects, "object")
    if report.areas:
        found = counted(len(report.areas), "class", "classes")
    blended = ""
    if not report.halo_exact:
        blended = f"; tiles are not exact because of {report.halo_inexact_because}"
    if report.within is not None:
        found += f" inside {counted(report.within['areas'], 'area')}"
    kept = 0 if report.project is None else report.project["kept"]
    as_is = "stays as it is" if kept == 1 else "stay as they are"
    stays = f"; {kept:,} that you changed {as_is}" if kept else ""
    return f"{found} in {seconds} on {report.provider} ({report.precision}){blended}{stays}"


def is_partial(report: RunReport) -> bool:
    """Tell whether only some tiles of a run failed, and what it found in the others is there."""
    is_of_tiles = bool(report.errors) and report.errors[0].startswith(_TILE)
    has_results = bool(report.tiles.done and report.outputs)
    return report.status == "failed" and is_of_tiles and has_results


def _partial_text(report: RunReport) -> str:
    tiles, slide = report.tiles, report.slide["path"]
    cause = report.errors[0].partition(": ")[2].removeprefix(f"{slide}: ")
    what, verb = "the map", "is"
    if report.task in _OBJECT_TASKS:
        what = f"the {counted(report.objects, 'object')}"
        verb = "is" if report.objects == 1 else "are"
    folder = Path(next(iter(report.outputs.values()))).parent
    where = folder if report.project is None else "the project"
    return (
        f"{tiles.failed:,} of {counted(tiles.total, 'tile')} of {Path(slide).name} could not be "
        f"analysed ({cause}); {what} of the others {verb} in {where}"
    )


def failure_of(error: BaseException, slide: Path) -> BaseException:
    """Return why a run over a slide ended, as the user is told of it."""
    name = getattr(error, "path", None) or getattr(error, "filename", None)
    is_about_slide = isinstance(name, str) and Path(name).is_relative_to(slide)
    is_gone = isinstance(error, FileNotFoundError) and is_about_slide
    return SlideNotFound(slide, _GONE) if is_gone else error


def plane_text(info: SlideInfo, plane: tuple[int, int]) -> str:
    """Return the name of a plane, z and t, among those that a slide has."""
    parts = (("focal plane", plane[0], info.z), ("time point", plane[1], info.t))
    return ", ".join(f"{name} {at + 1} of {count}" for name, at, count in parts if count > 1)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
