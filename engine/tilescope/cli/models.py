"""``tilescope models`` and ``tilescope plugins``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import typer

from tilescope.cli.run import core_count
from tilescope.plugins.registry import InstalledModel, discover, find_model, installed_models


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
    model = find_model(model_id)
    values = {**asdict(model.spec), "plugin": model.plugin_id, "state": model.weights_state()}
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


def test_model(model_id: str, *, as_json: bool) -> None:
    """Run the golden pair and print how far off it is.

    Raises
    ------
    GoldenMismatch
        When it is further off than the manifest allows.
    """
    from tilescope.jobs.check_model import check_golden

    result = check_golden(find_model(model_id))
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        return
    typer.echo(
        f"{model_id}: reproduces its golden output, largest difference {result.difference:.2g} "
        f"(allowed {result.allowed:g})"
    )


def probe_model(model_id: str, *, threads: int | None, as_json: bool) -> None:
    """Measure a model on this machine and print memory and speed per tile."""
    from tilescope.jobs.check_model import probe

    result = probe(find_model(model_id), threads=threads or core_count())
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        return
    typer.echo(
        f"{model_id}: {result.tile_px} x {result.tile_px} px in {result.seconds:.2f} s on "
        f"{result.threads} threads ({result.megapixels_per_s:.2f} megapixels/s), peak "
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
