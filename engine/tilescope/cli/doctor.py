"""``tilescope doctor``: what a bug report needs."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import typer

from tilescope import __version__
from tilescope.cli.run import core_count, memory_cap
from tilescope.errors import UsageError
from tilescope.inference.backends import provider_states
from tilescope.inference.openvino_session import computes_bf16, load_openvino
from tilescope.plugins.registry import discover
from tilescope.runtime.memory import machine_memory_bytes

_LIBRARIES = (
    "numpy", "zarr", "numcodecs", "imagecodecs", "tifffile", "openslide-python", "openslide-bin",
    "onnx", "onnxruntime", "openvino", "shapely",
)  # fmt: skip


def print_doctor(*, as_json: bool) -> None:
    """Print the state of the installation."""
    values = examine()
    if as_json:
        typer.echo(json.dumps(values, ensure_ascii=False))
        return
    for key, value in values.items():
        if isinstance(value, dict):
            typer.echo(f"{key}:")
            for name, item in value.items():
                typer.echo(f"  {name}: {item}")
        else:
            typer.echo(f"{key}: {value}")


def examine() -> dict[str, Any]:
    """Return versions, memory, providers, libraries and plugins, each with its state."""
    return {
        "tilescope": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": core_count(),
        "memory_bytes": machine_memory_bytes(),
        "default_memory_cap_bytes": memory_cap(None),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "readers": {"openslide": _openslide()},
        "providers": _providers(),
        "plugins": {p.entry: p.problem or p.state for p in discover()},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _openslide() -> str:
    try:
        import openslide
    except Exception as exc:  # noqa: BLE001 - a missing shared library surfaces in many ways
        return f"not usable: {exc}"
    return f"usable, library {openslide.__library_version__}"


def _providers() -> dict[str, str]:
    """Return what runs models here, and why another provider does not."""
    told = {}
    for provider, state in provider_states().items():
        problem = "" if state.is_usable else state.reason
        if not problem and provider == "openvino":
            problem = _openvino_problem()
        told[provider] = f"not used: {problem}" if problem else f"usable, {state.reason}"
    told["auto"] = "takes what is fastest for a model and fits under the memory cap, see run.json"
    told["cpu-lean"] += "; runs networks patch by patch whose tile does not fit under the cap"
    told["bf16"] = _bf16(told["openvino"])
    return told


def _openvino_problem() -> str:
    try:
        load_openvino()
    except UsageError as exc:
        return str(exc)
    return ""


def _bf16(openvino: str) -> str:
    if not openvino.startswith("usable"):
        return "not used: needs openvino"
    if not computes_bf16():
        return "not used: this processor computes no bfloat16"
    return "usable with openvino, --precision bf16"
