"""What the engine is asked for when a model is to run over a slide, and where its results go."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

from tilescope.domain.geometry import Rect
from tilescope.inference.planner import LAYOUT_VERSION
from tilescope.jobs.request import RunRequest
from tilescope.ops.areas import Areas
from tilescope.plugins.registry import find_model
from tilescope_desktop.model.run_settings import Extent, RunChoice
from tilescope_desktop.model.stopped_runs import StoppedRun


def request_of(
    choice: RunChoice,
    slide: Path,
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
        slide,
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
    return _placed(request, folder, None if areas is None else areas.sha256)


def request_again(stopped: StoppedRun, slide: Path, folder: Path) -> RunRequest:
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
    return _placed(request, folder, stopped.areas_sha256)


def _placed(request: RunRequest, folder: Path, areas_sha256: str | None) -> RunRequest:
    return replace(request, out_dir=folder / "runs" / _name_of(request, areas_sha256))


def _name_of(request: RunRequest, areas_sha256: str | None) -> str:
    """Return a folder name that only the same run over the same slide has."""
    said = {
        "slide": str(request.slide.absolute()),
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
