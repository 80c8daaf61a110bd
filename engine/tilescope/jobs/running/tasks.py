"""Which kind of run a model's task is."""

from __future__ import annotations

from typing import Any

from tilescope.domain.manifest import Task
from tilescope.errors import UsageError
from tilescope.jobs.request import DEFAULT_FORMATS, FORMATS, RunRequest
from tilescope.jobs.running.events import TaskRun
from tilescope.jobs.running.map_task import MapTask
from tilescope.jobs.running.object_task import ObjectTask
from tilescope.jobs.running.task_context import TaskContext
from tilescope.jobs.running.tile_task import TileTask
from tilescope.store.map_ledger import MapLedger
from tilescope.store.run_ledger import RunLedger

_FORMATS: dict[Task, tuple[str, ...]] = {
    "instances": FORMATS,
    "detect": FORMATS,
    "semantic": ("ome-zarr", "csv", "overview"),
    "classification": ("geojson", "ome-zarr", "csv", "overview"),
}


def check_formats(request: RunRequest) -> None:
    """Make sure that a model can run over a slide, and that its result has the chosen formats.

    Raises
    ------
    UsageError
        Naming what there is instead.
    """
    spec = request.model.spec
    known = _FORMATS.get(spec.task)
    if known is None:
        raise UsageError(
            f"{spec.id} segments what is clicked at and does not run over slides: use "
            f"`tilescope click {spec.id}`"
        )
    foreign = [name for name in request.formats if name not in known]
    if foreign and tuple(request.formats) != DEFAULT_FORMATS:
        raise UsageError(
            f"{spec.id} gives no {' or '.join(foreign)}: choose among {', '.join(known)}"
        )


def check_project(request: RunRequest) -> None:
    """Make sure that a project is only asked to take objects.

    Raises
    ------
    UsageError
        When the model gives none.
    """
    spec = request.model.spec
    if request.project is not None and spec.task in {"semantic", "classification"}:
        raise UsageError(
            f"{spec.id} gives no objects that a project could take: leave out --project"
        )


def formats_of(request: RunRequest) -> tuple[str, ...]:
    """Return the formats to write: what was chosen, as far as the task has it."""
    known = _FORMATS[request.model.spec.task]
    return tuple(name for name in request.formats if name in known)


def ledger_of(task: Task) -> type[RunLedger]:
    """Return the kind of ledger that a task keeps."""
    return MapLedger if task in {"semantic", "classification"} else RunLedger


def task_of(context: TaskContext, ledger: RunLedger) -> TaskRun[Any]:
    """Return what the model's task does with blocks."""
    if not isinstance(ledger, MapLedger):
        return ObjectTask(context, ledger)
    formats = formats_of(context.request)
    if context.spec.task == "semantic":
        return MapTask(context, ledger, formats)
    return TileTask(context, ledger, formats)
