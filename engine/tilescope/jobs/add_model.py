"""A user's model into the model store: looked at, tried out, and only then stored."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from tilescope.domain.encoding import Colour, Form
from tilescope.domain.manifest import Task
from tilescope.errors import ModelError, ModelNotFound, UsageError
from tilescope.jobs.adding.assumption import Assumption, ModelTaken, OptionName, Unsettled
from tilescope.jobs.adding.confined import Ending, Limits, run_confined
from tilescope.jobs.adding.conformance import Check
from tilescope.jobs.adding.graph_input import NORMALISATIONS
from tilescope.jobs.adding.model_trial import REQUEST_NAME, TrialResult, stage_in
from tilescope.plugins.model_store import (
    check_id,
    discard_model,
    models_folder,
    publish_model,
    replace_model,
    staged_model,
)
from tilescope.plugins.registry import STORED, InstalledModel, discover, find_model
from tilescope.runtime.cancel import CancellationToken

_MODULE = "tilescope.jobs.adding.model_trial"
#: Looking at a file and trying it out takes seconds; a file that takes longer is refused.
LONGEST_SECONDS = 300.0
ADDABLE_TASKS: tuple[Task, ...] = ("semantic", "classification", "detect")
BOX_FORMS: tuple[Form, ...] = ("yolo-objectness", "yolo-classes", "final-boxes", "box-lists")
#: Options that are one of a few words, and numbers that lie between two.
CHOICES: Mapping[OptionName, tuple[str, ...]] = {
    "task": ADDABLE_TASKS,
    "normalise": tuple(NORMALISATIONS),
    "colour": get_args(Colour),
    "boxes": BOX_FORMS,
}
#: A number of so many digits is not repeated in a message.
_TOO_LONG = 1e12
RANGES: Mapping[OptionName, tuple[float, float]] = {
    "um_per_px": (0.01, 100),
    "tile_px": (16, 8192),
    "halo_px": (0, 4096),
    "first_label": (0, 1),
}


@dataclass(frozen=True, slots=True)
class AddOptions:
    """What a user says of the model beside its files; None where it is to be found out.

    Raises
    ------
    Unsettled
        When something makes no sense; says which option.
    """

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
        for option, known in CHOICES.items():
            value = getattr(self, option)
            if value is not None and value not in known:
                raise Unsettled(f"{value!r} is not one of {', '.join(known)}", option)
        for option, (least, most) in RANGES.items():
            number = getattr(self, option)
            if number is not None and not least <= number <= most:
                said = f"{number:g}" if abs(number) < _TOO_LONG else "that"
                raise Unsettled(f"{said} is not between {least:g} and {most:g}", option)
        if self.id is not None:
            try:
                check_id(self.id)
            except UsageError as exc:
                raise Unsettled(str(exc), "id") from exc
        if self.classes is not None and not all(self.classes):
            raise Unsettled("a class has no name; write them as a,b,c", "classes")
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise Unsettled("a class is named twice", "classes")


@dataclass(frozen=True, slots=True)
class AddedModel:
    """What came of adding a model.

    Attributes
    ----------
    folder
        Where it is stored; None when it failed a check and is not.
    assumed
        What nobody said and was assumed.
    checks
        What trying it out found.
    """

    id: str
    folder: Path | None
    assumed: tuple[Assumption, ...]
    checks: tuple[Check, ...]


def add_model(
    source: Path,
    options: AddOptions,
    memory_bytes: int,
    *,
    replaces: bool = False,
    said_by: str = "what was said",
    token: CancellationToken | None = None,
    on_stage: Callable[[str], object] = lambda _words: None,
) -> AddedModel:
    """Look at a model in a process of its own, try it out and store it.

    Parameters
    ----------
    source
        An ONNX file, or a folder or zip with one and a description.
    memory_bytes
        What looking at it and trying it out may take.
    replaces
        Whether it takes the place of a model of that id which the user added. That one stays
        until the new one has passed.
    said_by
        Who says what ``options`` say, for messages.
    on_stage
        Told what is being done, in words, as often as that changes.

    Raises
    ------
    ModelError
        When the file is refused or cannot be used; names the file.
    Unsettled
        When it can be used as soon as something else is said of it.
    ModelTaken
        When there is a model of that id.
    Cancelled
        When the token is set; nothing is stored.
    OutputError
        When the store cannot be written.
    """
    if options.id is not None:
        _require_free(options.id, replaces=replaces)
    with staged_model() as staged, tempfile.TemporaryDirectory(dir=staged.parent, prefix=".") as t:
        folder = Path(t)
        request = {
            "source": str(source.absolute()),
            "staged": str(staged),
            "options": asdict(options),
            "said_by": said_by,
        }
        watch = _Watch(folder, token, on_stage)
        result = _tried(folder, request, str(source), memory_bytes, watch.look)
        if result.error is not None or result.model is None:
            raise _failure(_shortened(result.error or "it cannot be used", source), result)
        checks = tuple(result.checks)
        stored = None
        if is_usable(checks):
            is_taken = _require_free(result.model, replaces=replaces)
            store = replace_model if is_taken else publish_model
            stored = store(staged, result.model)
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
        raise _failure(result.error, result)
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


def _require_free(model_id: str, *, replaces: bool) -> bool:
    """Make sure that an id can be used, and tell whether a stored model has it."""
    check_id(model_id)
    stored = {plugin.entry for plugin in discover() if plugin.distribution == STORED}
    try:
        known = find_model(model_id)
    except ModelNotFound:
        if model_id not in stored:
            return False
        source = "your models, where it is broken"
    else:
        source = "your models" if model_id in stored else f"the plugin {known.plugin_id}"
    if not (replaces and model_id in stored):
        raise ModelTaken(model_id, source, is_stored=model_id in stored)
    return True


class _Watch:
    """Looks at a trial while it goes on: how far it is, and whether it is still wanted."""

    def __init__(
        self, folder: Path, token: CancellationToken | None, on_stage: Callable[[str], object]
    ) -> None:
        self._folder = folder
        self._token = token
        self._on_stage = on_stage
        self._told = ""

    def look(self) -> None:
        """Tell of the stage if it is another one.

        Raises
        ------
        Cancelled
            When the token is set.
        """
        if self._token is not None:
            self._token.raise_if_cancelled()
        stage = stage_in(self._folder)
        if stage != self._told:
            self._told = stage
            self._on_stage(stage)


def _failure(words: str, result: TrialResult) -> ModelError:
    return Unsettled(words, *result.options) if result.options else ModelError(words)


def _tried(
    folder: Path,
    request: Mapping[str, object],
    name: str,
    memory_bytes: int,
    on_look: Callable[[], None] = lambda: None,
) -> TrialResult:
    values = {**request, "memory_bytes": memory_bytes}
    (folder / REQUEST_NAME).write_text(json.dumps(values), encoding="utf-8")
    limits = Limits(memory_bytes, LONGEST_SECONDS)
    ending = run_confined(_MODULE, [str(folder)], limits, on_look)
    result = TrialResult.load(folder)
    if ending.breach is not None and result.error is None:
        words, result.options = _breach(ending, result.stage, memory_bytes)
        result.error = f"{name}: {words}"
    return result


def _breach(ending: Ending, stage: str, memory_bytes: int) -> tuple[str, list[OptionName]]:
    """Return what a process that did not end well says, and which options would help."""
    match ending.breach:
        case "time":
            return (
                f"{stage} took more than {LONGEST_SECONDS:.0f} s and was stopped; use a smaller "
                "network, or a smaller tile"
            ), ["tile_px"]
        case "memory":
            return (
                f"{stage} took more than {memory_bytes >> 20} MiB and was stopped; give it more "
                "memory, or a smaller tile"
            ), ["memory", "tile_px"]
        case _:
            said = f" ({ending.said[-200:]})" if ending.said else ""
            return (
                f"{stage} ended the process{said}; the file is damaged, or needs more memory"
            ), ["memory"]


def _shortened(error: str, source: Path) -> str:
    """Return the message with the file as the user named it."""
    return error.replace(str(source.absolute()), str(source))
