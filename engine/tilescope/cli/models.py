"""``tilescope models`` and ``tilescope plugins``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tilescope.cli.run import core_count
from tilescope.domain.counts import counted
from tilescope.errors import ModelError, UsageError
from tilescope.plugins.registry import InstalledModel, discover, find_model, installed_models

if TYPE_CHECKING:
    from tilescope.jobs.add_model import AddOptions
    from tilescope.jobs.adding.assumption import OptionName
    from tilescope.jobs.adding.conformance import Check

#: The flag of an option, and what it does about what was assumed.
_FLAGS: Mapping[OptionName, tuple[str, str]] = {
    "id": ("--id", "names it"),
    "task": ("--task", "names it"),
    "classes": ("--classes a,b,c", "names them"),
    "um_per_px": ("--um-per-px", "gives the pixel size that the model was trained on"),
    "normalise": ("--normalise", "imagenet, zero-mean, percentile, 0-255 or none changes it"),
    "colour": ("--colour", "changes it"),
    "tile_px": ("--tile", "changes it"),
    "halo_px": ("--halo", "changes it"),
    "boxes": ("--boxes", "changes it"),
    "first_label": ("--first-label", "0 or 1"),
    "licence": ("--licence", "names it"),
    "memory": ("--memory", "gives more"),
}


def print_models(*, as_json: bool) -> None:
    """Print one line, or one JSON element, per installed model."""
    rows = [_row(model) for model in installed_models()]
    if as_json:
        typer.echo(json.dumps({"models": rows}, ensure_ascii=False))
        return
    for row in rows:
        typer.echo(f"{row['id']} {row['version']}  {row['title']}  [{row['weights']}]")
        typer.echo(f"    {row['task']}; classes: {', '.join(row['classes'])}; {row['licence']}")
    if not rows:
        typer.echo("no models are installed")


def _row(model: InstalledModel) -> dict[str, Any]:
    spec = model.spec
    return {
        "id": spec.id,
        "version": spec.version,
        "title": spec.title,
        "task": spec.task,
        "classes": list(spec.classes),
        "licence": spec.licence,
        "plugin": model.plugin_id,
        "weights": model.weights_state(),
        "sha256": spec.weights.sha256,
    }


def print_model(model_id: str, *, as_json: bool) -> None:
    """Print everything the manifest says of a model."""
    from tilescope.plugins.writing import decoding_values, encoding_values, sampling_values

    model = find_model(model_id)
    spec = model.spec
    values = {
        **asdict(spec),
        "sampling": sampling_values(spec.sampling),
        "encoding": None if spec.encoding is None else encoding_values(spec.encoding),
        "decoding": None if spec.decoding is None else decoding_values(spec.decoding),
        "plugin": model.plugin_id,
        "state": model.weights_state(),
    }
    if as_json:
        typer.echo(json.dumps(values, ensure_ascii=False, default=str))
        return
    _print_tree(values, "")


def _print_tree(values: dict[str, Any], indent: str) -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            typer.echo(f"{indent}{key}:")
            _print_tree(value, indent + "  ")
        elif isinstance(value, list | tuple):
            typer.echo(f"{indent}{key}: {', '.join(str(item) for item in value)}")
        else:
            typer.echo(f"{indent}{key}: {value}")


def add_model(source: Path, options: AddOptions, memory: str | None, *, as_json: bool) -> None:
    """Store a user's model and print what was assumed and what trying it out found.

    Raises
    ------
    ModelError
        When it is refused, or fails a check and is not stored.
    """
    from tilescope.jobs.add_model import add_model as add

    added = add(source, options, _trial_memory(memory), said_by="the command line")
    assumed = [_with_flag(one.words, one.option) for one in added.assumed]
    if as_json:
        values = {
            "model": added.id,
            "added": added.folder is not None,
            "folder": None if added.folder is None else str(added.folder),
            "assumed": assumed,
            "checks": [_check_values(check) for check in added.checks],
        }
        typer.echo(json.dumps(values, ensure_ascii=False))
    else:
        _print_checks(added.checks)
        for words in assumed:
            typer.echo(f"assumed: {words}")
    if added.folder is None:
        raise ModelError(f"{source}: was not added: {_failures(added.checks)}")
    if not as_json:
        typer.echo(f"added {added.id} to {added.folder}")
        typer.echo(f"try it: tilescope run {added.id} SLIDE -o OUT")


def remove_model(model_id: str, *, as_json: bool) -> None:
    """Delete a stored model and print where it was."""
    from tilescope.jobs.add_model import remove_model as remove

    folder = remove(model_id)
    if as_json:
        typer.echo(json.dumps({"model": model_id, "removed": str(folder)}, ensure_ascii=False))
        return
    typer.echo(f"removed {model_id} from {folder.parent}")


def test_model(model_id: str, memory: str | None, *, as_json: bool) -> None:
    """Run the golden pair, try the model out, and print what was found.

    Raises
    ------
    GoldenMismatch
        When the outputs are further off than the manifest allows.
    ModelError
        When a check failed.
    """
    from tilescope.jobs.add_model import is_usable, try_model
    from tilescope.jobs.check_model import check_golden

    model = find_model(model_id)
    golden = None if model.spec.golden is None else check_golden(model)
    with told_by_flags():
        checks = try_model(model, _trial_memory(memory))
    if as_json:
        values = {
            "model": model_id,
            "difference": None if golden is None else golden.difference,
            "allowed": None if golden is None else golden.allowed,
            "checks": [_check_values(check) for check in checks],
        }
        typer.echo(json.dumps(values))
    else:
        if golden is not None:
            typer.echo(
                f"{model_id}: reproduces its golden output, largest difference "
                f"{golden.difference:.2g} (allowed {golden.allowed:g})"
            )
        _print_checks(checks)
    if not is_usable(checks):
        raise ModelError(f"{model_id}: {_failures(checks)}")


def _trial_memory(memory: str | None) -> int:
    from tilescope.runtime.memory import machine_memory_bytes, parse_size

    return machine_memory_bytes() // 2 if memory is None else parse_size(memory)


def _print_checks(checks: Sequence[Check]) -> None:
    for check in checks:
        typer.echo(f"{check.verdict:>7}  {check.name}: {_with_flag(check.words, check.option)}")


def _check_values(check: Check) -> dict[str, str]:
    return {
        "name": check.name,
        "verdict": check.verdict,
        "words": _with_flag(check.words, check.option),
    }


def _failures(checks: Sequence[Check]) -> str:
    return "; ".join(f"{c.name}: {c.words}" for c in checks if c.verdict == "failed")


def _with_flag(words: str, option: OptionName | None) -> str:
    return words if option is None else f"{words} ({' '.join(_FLAGS[option])})"


@contextmanager
def told_by_flags() -> Iterator[None]:
    """Name the flags that would help in errors of adding and trying out models."""
    from tilescope.jobs.adding.assumption import ModelTaken, Unsettled

    try:
        yield
    except ModelTaken as exc:
        instead = f", or 'tilescope models remove {exc.model_id}' first" if exc.is_stored else ""
        raise UsageError(f"{exc}: give another --id{instead}") from exc
    except Unsettled as exc:
        flags = ", ".join(_FLAGS[option][0] for option in exc.options)
        raise UsageError(f"{exc} ({flags})") from exc


def probe_model(model_id: str, *, threads: int | None, as_json: bool) -> None:
    """Measure a model on this machine and print memory and speed per tile."""
    from tilescope.jobs.check_model import probe

    result = probe(find_model(model_id), threads=threads or core_count())
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        return
    typer.echo(
        f"{model_id}: {result.tile_px} x {result.tile_px} px in {result.seconds:.2f} s on "
        f"{counted(result.threads, 'thread')} ({result.megapixels_per_s:.2f} megapixels/s), peak "
        f"{result.peak_bytes / 2**20:.0f} MiB ({result.peak_bytes_per_px:.0f} bytes/px); halo "
        f"{result.halo_px} px, {'computed from the graph' if result.halo_exact else 'declared'}"
    )


def print_plugins(*, as_json: bool) -> None:
    """Print every installed plugin and its state."""
    rows: list[dict[str, Any]] = [
        {
            "entry": plugin.entry,
            "distribution": plugin.distribution,
            "state": plugin.state,
            "problem": plugin.problem,
            "id": plugin.manifest.id if plugin.manifest else None,
            "models": [m.id for m in plugin.manifest.models] if plugin.manifest else [],
        }
        for plugin in discover()
    ]
    if as_json:
        typer.echo(json.dumps({"plugins": rows}, ensure_ascii=False))
        return
    for row in rows:
        models = ", ".join(row["models"]) or "no models"
        typer.echo(f"{row['entry']} ({row['distribution']}): {row['state']}; {models}")
        if row["problem"]:
            typer.echo(f"    {row['problem']}")
