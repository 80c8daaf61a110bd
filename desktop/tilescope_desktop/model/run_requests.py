"""What the engine is asked for when a model is to run over a slide, and where its results go."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tilescope.domain.geometry import Rect
from tilescope.inference.planner import LAYOUT_VERSION
from tilescope.jobs.request import RunRequest
from tilescope.ops.areas import Areas
from tilescope.plugins.registry import find_model
from tilescope_desktop.model.project_tasks import OpenSlide
from tilescope_desktop.model.run_settings import Extent, RunChoice
from tilescope_desktop.model.stopped_runs import StoppedRun

_MOST_PLACES = 9
_BESIDE = re.compile(r"(?<=-[0-9a-f]{12})-[2-9]$")


def request_of(
    choice: RunChoice,
    slide: OpenSlide,
    um_per_px: float | None,
    folder: Path,
    plane: tuple[int, int] = (0, 0),
    region_l0: Rect | None = None,
    areas: Areas | None = None,
) -> RunRequest:
    """Return what to ask for.

    Parameters
    ----------
    um_per_px
        What the user says of the size of a pixel.
    folder
        The user's data folder.
    plane
        Focal plane and time point, each from 0.

    Raises
    ------
    TilescopeError
        When there is no such model.
    """
    request = RunRequest(
        find_model(choice.model_id),
        slide.path,
        Path(),
        choice.memory_bytes,
        _core_count(),
        provider=choice.provider,
        region_l0=region_l0,
        within=areas,
        um_per_px=um_per_px,
        plane=plane,
        parameters=choice.parameters,
    )
    sha256 = None if areas is None else areas.sha256
    return _placed(request, folder, slide.identity, sha256)


def request_again(stopped: StoppedRun, slide: OpenSlide, folder: Path) -> RunRequest:
    """Return what goes on with a run that stopped, in the right place but without its areas.

    Raises
    ------
    TilescopeError
        When the model is no longer there.
    """
    choice = RunChoice(
        stopped.model_id,
        Extent.SLIDE,
        stopped.memory_bytes,
        stopped.provider,
        stopped.parameters,
    )
    um_per_px, plane = stopped.um_per_px, stopped.plane
    request = request_of(choice, slide, um_per_px, folder, plane, stopped.region_l0)
    placed = _placed(request, folder, slide.identity, stopped.areas_sha256)
    places = (place.out_dir for place in places_of(placed))
    mine = [place for place in places if place.name == stopped.name]
    return replace(placed, out_dir=mine[0]) if mine else placed


def places_of(request: RunRequest) -> Iterator[RunRequest]:
    """Yield where a run may go: to its folder, or to one beside it where that holds another run.

    Runs are the same but for what they ran on, which stays as it was begun. When every folder holds
    another run, what the first one holds is discarded.
    """
    yield request
    folder, name = request.out_dir.parent, _BESIDE.sub("", request.out_dir.name)
    for beside in (name, *(f"{name}-{number}" for number in range(2, _MOST_PLACES + 1))):
        if beside != request.out_dir.name:
            yield replace(request, out_dir=folder / beside)
    yield replace(request, overwrite=True)


def _placed(
    request: RunRequest, folder: Path, identity: str | None, areas_sha256: str | None
) -> RunRequest:
    name = _name_of(request, identity, areas_sha256)
    return replace(request, out_dir=folder / "runs" / name)


def _name_of(request: RunRequest, identity: str | None, areas_sha256: str | None) -> str:
    """Return a folder name that only the same run over the same slide has."""
    said = {
        "slide": identity or str(request.slide.absolute()),
        "sha256": request.model.spec.weights.sha256,
        "version": request.model.spec.version,
        "region": str(request.region_l0),
        "layout": LAYOUT_VERSION,
        "um_per_px": request.um_per_px,
        "parameters": sorted(request.parameters.items()),
        **({} if areas_sha256 is None else {"within": areas_sha256}),
        **({"plane": request.plane} if any(request.plane) else {}),
    }
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]
    return f"{request.model.spec.id}-{digest}"


def _core_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
