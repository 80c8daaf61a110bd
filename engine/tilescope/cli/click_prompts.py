"""Prompts from options and files, and what is printed of their answers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from tilescope.cli.exits import ALL_GOOD, SOME_FAILED, say
from tilescope.cli.run import cancelled_by_interrupt, core_count, parameter
from tilescope.domain.clicks import Prompt
from tilescope.domain.counts import counted
from tilescope.errors import AnnotationError, UsageError
from tilescope.jobs.click import ClickReport, click, write_clicks
from tilescope.jobs.clicking.session import ClickOptions
from tilescope.plugins.registry import find_model

_POINT, _BOX = 2, 4
_LARGEST_SCRIBBLE_BYTES = 16 * 2**20
_LINES = {"LineString": 0, "MultiLineString": 1}


@dataclass(frozen=True, slots=True)
class ClickSettings:
    """The options that are no prompts."""

    um_per_px: float | None = None
    diameter_px: float | None = None
    parameters: tuple[str, ...] = ()
    overlap: bool = False
    threads: int | None = None
    as_json: bool = False


def prompts_of(options: Iterable[tuple[str, Any]]) -> list[Prompt]:
    """Return the prompts that the options ask for, in their order.

    Raises
    ------
    UsageError
        For a value that is no point or box, or a ``--not`` or ``--also`` before any object.
    AnnotationError
        For a scribble file that cannot be read.
    """
    prompts: list[Prompt] = []
    for name, value in options:
        if name == "at":
            prompts.append(Prompt.at(*_numbers("--at", value, _POINT)))
        elif name == "box":
            prompts.append(_box(value))
        elif name == "scribble":
            prompts += [Prompt.over(line) for line in read_scribbles(value)]
        else:
            option = "--not" if name == "not_" else "--also"
            x, y = _numbers(option, value, _POINT)
            if not prompts:
                raise UsageError(f"{option} {value}: it belongs to the --at before it; none is")
            last = prompts[-1]
            prompts[-1] = last.excluding(x, y) if name == "not_" else last.adding(x, y)
    if not prompts:
        raise UsageError("nothing was pointed at: give --at X,Y, --box X0,Y0,X1,Y1 or --scribble")
    return prompts


def _numbers(option: str, text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        wanted = "X,Y" if count == _POINT else "X0,Y0,X1,Y1"
        raise UsageError(f"{option} {text!r} is not {wanted} in level-0 pixels")
    return numbers


def _box(text: str) -> Prompt:
    x0, y0, x1, y1 = _numbers("--box", text, _BOX)
    try:
        return Prompt.in_box(x0, y0, x1, y1)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc


def read_scribbles(path: Path) -> list[NDArray[np.float64]]:
    """Return the lines of a file, ``float64[n, 2]`` each, in level-0 pixels.

    GeoJSON gives one line per LineString; in a text every row is ``X,Y``, and an empty row begins
    another line.

    Raises
    ------
    AnnotationError
        When there is no such file, it is too large, or it holds no line.
    """
    try:
        if path.stat().st_size > _LARGEST_SCRIBBLE_BYTES:
            raise AnnotationError(path, "is larger than 16 MiB; that is no scribble")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise AnnotationError(path, f"cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise AnnotationError(path, "is neither GeoJSON nor rows of X,Y") from exc
    try:
        lines = _geojson_lines(text) if text.lstrip().startswith("{") else _text_lines(text)
        arrays = [np.asarray(line, np.float64)[:, :2] for line in lines if line]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as exc:
        raise AnnotationError(path, f"is neither GeoJSON nor rows of X,Y: {exc}") from exc
    if not arrays or not all(a.shape[1] == _POINT and np.isfinite(a).all() for a in arrays):
        raise AnnotationError(path, "holds no line of finite points")
    return arrays


def _geojson_lines(text: str) -> list[Any]:
    root = json.loads(text)
    items = root["features"] if root.get("type") == "FeatureCollection" else [root]
    geometries = [item.get("geometry") or item for item in items]
    lines: list[Any] = []
    for geometry in geometries:
        depth = _LINES.get(geometry.get("type"))
        if depth is not None:
            lines += geometry["coordinates"] if depth else [geometry["coordinates"]]
    return lines


def _text_lines(text: str) -> list[list[list[float]]]:
    lines: list[list[list[float]]] = [[]]
    for row in text.splitlines():
        if row.strip():
            lines[-1].append([float(part) for part in row.split(",")])
        elif lines[-1]:
            lines.append([])
    return lines


def click_objects(
    model_id: str, slide: Path, output: Path, prompts: Sequence[Prompt], settings: ClickSettings
) -> int:
    """Write the objects of the prompts, say what became of each, and return the exit code."""
    options = ClickOptions(
        settings.diameter_px,
        dict(map(parameter, settings.parameters)),
        threads=settings.threads or core_count(),
    )
    with cancelled_by_interrupt() as token:
        report = click(
            find_model(model_id),
            slide,
            prompts,
            options,
            um_per_px=settings.um_per_px,
            allow_overlap=settings.overlap,
            token=token,
        )
    count = write_clicks(output, report)
    for number, result in enumerate(report.results, 1):
        if not result.is_found:
            x, y = result.prompt.clicks.middle
            say(f"{slide}: prompt {number} at {x:g},{y:g}: {result.status}: {result.reason}")
    if settings.as_json:
        typer.echo(json.dumps(_described(slide, output, report), ensure_ascii=False))
    else:
        typer.echo(
            f"{slide.name}: {count:,} of {counted(len(prompts), 'object')} found, in {output}"
        )
        typer.echo(f"  weights {report.model.id} {report.model.version}: {report.licence}")
    return ALL_GOOD if count == len(prompts) else SOME_FAILED


def _described(slide: Path, output: Path, report: ClickReport) -> dict[str, Any]:
    return {
        "slide": str(slide),
        "output": str(output),
        "model": asdict(report.model),
        "licence": report.licence,
        "objects": len(report.found),
        "diameter_px": report.diameter_px,
        "prompts": [
            {
                "status": result.status,
                "reason": result.reason,
                "score": round(result.score, 4),
                "whole": result.whole,
                **result.prompt.as_dict(),
            }
            for result in report.results
        ],
    }
