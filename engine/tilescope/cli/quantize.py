"""``tilescope models quantize``: less than 32 bits, where the results stay the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

import typer

from tilescope.cli.run import cancelled_by_interrupt, core_count
from tilescope.domain.counts import counted
from tilescope.errors import UsageError
from tilescope.inference.session import Precision
from tilescope.jobs.quantize_model import DEFAULT_TOLERANCE, QuantizeRequest, quantize_model
from tilescope.plugins.registry import find_model
from tilescope.runtime.memory import return_memory_eagerly

_PRECISIONS = ("int8", "bf16")


def quantize(
    model_id: str,
    slides: Sequence[Path],
    *,
    precision: str,
    tolerance: float | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Make a model's variant and print what it is worth.

    Raises
    ------
    UsageError
        When the precision is none of those that can be made.
    GoldenMismatch
        When the results differ more than the tolerance.
    """
    if precision not in _PRECISIONS:
        raise UsageError(f"precision {precision!r} is not one of {', '.join(_PRECISIONS)}")
    return_memory_eagerly()
    request = QuantizeRequest(
        find_model(model_id),
        tuple(slides),
        DEFAULT_TOLERANCE if tolerance is None else tolerance,
        threads or core_count(),
        cast("Precision", precision),
    )
    with cancelled_by_interrupt() as token:
        made = quantize_model(request, token)
    if as_json:
        typer.echo(json.dumps(asdict(made), ensure_ascii=False))
        return
    losses = ", ".join(f"{100 * loss:.2f} % with {name}" for name, loss in made.losses.items())
    typer.echo(
        f"{model_id}: accepted in {precision}; results that differ on "
        f"{counted(made.tiles_judged, 'tile')}: {losses} "
        f"({100 * made.tolerance:g} % is allowed); {made.size_bytes:,} bytes"
    )
    typer.echo(f"  {made.path}")
    typer.echo(f"  use it with: tilescope run {model_id} SLIDE -o DIR --precision {precision}")
