"""A user's model into the model store: looked at, tried out, and only then stored."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from tilescope.domain.encoding import Colour, Form
from tilescope.domain.manifest import Task
from tilescope.errors import ModelError, ModelNotFound, UsageError
from tilescope.jobs.adding.confined import Ending, Limits, run_confined
from tilescope.jobs.adding.conformance import Check
from tilescope.jobs.adding.graph_input import NORMALISATIONS
from tilescope.jobs.adding.model_trial import REQUEST_NAME, TrialResult
from tilescope.plugins.model_store import (
    check_id,
    discard_model,
    models_folder,
    publish_model,
    staged_model,
)
from tilescope.plugins.registry import STORED, InstalledModel, discover, find_model

_MODULE = "tilescope.jobs.adding.model_trial"
#: Looking at a file and trying it out takes seconds; a file that takes longer is refused.
LONGEST_SECONDS = 300.0
ADDABLE_TASKS: tuple[Task, ...] = ("semantic", "classification", "detect")
BOX_FORMS: tuple[Form, ...] = ("yolo-objectness", "yolo-classes", "final-boxes", "box-lists")


@dataclass(frozen=True, slots=True)
class AddOptions:
    """What a user says of the model beside its files; None where it is to be found out."""

    id: str | None = None
    task: str | None = None
    classes: tuple[str, ...] | None = None
    um_per_px: float | None = None
    normalise: str | None = None
    colour: str | None = None
    tile_px: int | None = None
    halo_px: int | None = None
    boxes: str | None = None
    first_label: int | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        for option, value, known in (
            ("--task", self.task, ADDABLE_TASKS),
            ("--normalise", self.normalise, tuple(NORMALISATIONS)),
            ("--colour", self.colour, get_args(Colour)),
            ("--boxes", self.boxes, BOX_FORMS),
        ):
            if value is not None and value not in known:
                raise UsageError(f"{option} {value!r} is not one of {', '.join(known)}")
        if self.id is not None:
            check_id(self.id)
        if self.classes is not None and not all(self.classes):
            raise UsageError("--classes has an empty name; write them as a,b,c")


@dataclass(frozen=True, slots=True)
class AddedModel:
    """What came of adding a model.

    Attributes
    ----------
    folder
        Where it is stored; None when it failed a check and is not.
    assumed
        What nobody said and was assumed, in words.
    checks
        What trying it out found.
    """

    id: str
    folder: Path | None
    assumed: tuple[str, ...]
    checks: tuple[Check, ...]


def add_model(source: Path, options: AddOptions, memory_bytes: int) -> AddedModel:
    """Look at a model in a process of its own, try it out and store it.

    Parameters
    ----------
    source
        An ONNX file, or a folder or zip with one and a description.
    memory_bytes
        What looking at it and trying it out may take.

    Raises
    ------
    ModelError
        When the file is refused or cannot be used; names the file.
    UsageError
        When there is a model of that id.
    OutputError
        When the store cannot be written.
    """
    if options.id is not None:
        _require_free(options.id)
    with staged_model() as staged, tempfile.TemporaryDirectory(dir=staged.parent, prefix=".") as t:
        folder = Path(t)
        request = {
            "source": str(source.absolute()),
            "staged": str(staged),
            "options": asdict(options),
        }
        result = _tried(folder, request, str(source), memory_bytes)
        if result.error is not None or result.model is None:
            raise ModelError(_shortened(result.error or "it cannot be used", source))
        checks = tuple(result.checks)
        stored = None
        if is_usable(checks):
            _require_free(result.model)
            stored = publish_model(staged, result.model)
    return AddedModel(result.model, stored, tuple(result.assumed), checks)


def is_usable(checks: Sequence[Check]) -> bool:
    """Tell whether nothing failed; warnings are none."""
    return all(check.verdict != "failed" for check in checks)


def try_model(model: InstalledModel, memory_bytes: int) -> tuple[Check, ...]:
    """Try an installed model out in a process of its own and return the findings.

    Raises
    ------
    WeightsError, PluginBroken
        When it cannot be loaded.
    ModelError
        When it takes more than it may.
    """
    model.verified_weights()
    with tempfile.TemporaryDirectory() as folder:
        result = _tried(Path(folder), {"model": model.spec.id}, model.spec.id, memory_bytes)
    if result.error is not None:
        raise ModelError(result.error)
    return tuple(result.checks)


def remove_model(model_id: str) -> Path:
    """Delete a stored model, a broken one too, and return where it was.

    Raises
    ------
    UsageError
        When it came with a plugin.
    ModelNotFound
        When there is none of that id.
    OutputError
        When the store cannot be written.
    """
    check_id(model_id)
    for plugin in discover():
        if plugin.distribution == STORED and plugin.entry == model_id:
            folder = models_folder() / model_id
            discard_model(folder)
            return folder
    model = find_model(model_id)
    raise UsageError(
        f"{model_id} comes with the plugin {model.plugin_id} and was not added by you; "
        "uninstall the plugin instead"
    )


def _require_free(model_id: str) -> None:
    check_id(model_id)
    stored = {plugin.entry for plugin in discover() if plugin.distribution == STORED}
    try:
        known = find_model(model_id)
    except ModelNotFound:
        if model_id not in stored:
            return
        source = "your models, where it is broken"
    else:
        source = "your models" if model_id in stored else f"the plugin {known.plugin_id}"
    raise UsageError(
        f"a model {model_id!r} is in {source} already: give another --id"
        + (f", or 'tilescope models remove {model_id}' first" if model_id in stored else "")
    )


def _tried(
    folder: Path, request: Mapping[str, object], name: str, memory_bytes: int
) -> TrialResult:
    values = {**request, "memory_bytes": memory_bytes}
    (folder / REQUEST_NAME).write_text(json.dumps(values), encoding="utf-8")
    ending = run_confined(_MODULE, [str(folder)], Limits(memory_bytes, LONGEST_SECONDS))
    result = TrialResult.load(folder)
    if ending.breach is not None and result.error is None:
        result.error = f"{name}: {_breach_words(ending, result.stage, memory_bytes)}"
    return result


def _breach_words(ending: Ending, stage: str, memory_bytes: int) -> str:
    match ending.breach:
        case "time":
            return (
                f"{stage} took more than {LONGEST_SECONDS:.0f} s and was stopped; use a smaller "
                "network, or --tile with a smaller tile"
            )
        case "memory":
            return (
                f"{stage} took more than {memory_bytes >> 20} MiB and was stopped; give more with "
                "--memory, or use --tile with a smaller tile"
            )
        case _:
            said = f" ({ending.said[-200:]})" if ending.said else ""
            return f"{stage} ended the process{said}; the file is damaged, or needs more --memory"


def _shortened(error: str, source: Path) -> str:
    """Return the message with the file as the user named it."""
    return error.replace(str(source.absolute()), str(source))
