"""``rdf.yaml`` or ``bioimageio.yaml``: a model of the BioImage Model Zoo, versions 0.4 and 0.5.

Specification: bioimage.io model description 0.4.10 and 0.5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import gcd
from pathlib import Path, PurePosixPath
from typing import Any

from tilescope.jobs.adding.model_hints import (
    BadDescription,
    Hints,
    clean_classes,
    clean_text,
    positive,
)
from tilescope.jobs.adding.rdf_steps import read_steps

_VERSION = re.compile(r"0\.[45]\.\d+")
_LETTERS = {"b": "N", "batch": "N", "c": "C", "channel": "C", "y": "H", "x": "W"}
_UM_PER_UNIT = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3}
_PREFERRED_PX = 512
_LARGEST_SIDE = 16384

Values = Mapping[str, Any]


def is_rdf(values: object) -> bool:
    """Tell whether a YAML value describes a model of the zoo."""
    return isinstance(values, dict) and values.get("type") == "model" and "weights" in values


def onnx_source(path: Path, values: Values) -> tuple[str, str | None]:
    """Return the name of the ONNX file in the package, and the sha256 it must have.

    Raises
    ------
    BadDescription
        When there is no ONNX file.
    """
    entry = _table(_table(values.get("weights")).get("onnx"))
    source = entry.get("source")
    if not isinstance(source, str):
        kinds = ", ".join(sorted(map(str, _table(values.get("weights")))))[:200] or "none"
        raise BadDescription(path, f"it has no ONNX weights, only {kinds}; export them to ONNX")
    name = PurePosixPath(source.split("?")[0]).name if "://" in source else source
    sha256 = entry.get("sha256")
    return name, sha256 if isinstance(sha256, str) else None


def test_files(values: Values) -> tuple[str, ...]:
    """Return the names of the test input and the test output, nothing when there are none."""
    found = []
    for listed, tensors in (("test_inputs", "inputs"), ("test_outputs", "outputs")):
        files = values.get(listed)
        first = files[0] if isinstance(files, list) and files else None
        if first is None:
            entries = _tables(values.get(tensors))
            first = entries[0].get("test_tensor") if entries else None
        source = first.get("source") if isinstance(first, dict) else first
        if isinstance(source, str) and "\0" not in source:
            found.append(PurePosixPath(source).name if "://" in source else source)
    return tuple(found) if len(found) == 2 else ()


def read_rdf(path: Path, values: Values) -> Hints:
    """Return what the description says.

    Raises
    ------
    BadDescription
        When it is of another version, takes more than one picture, or volumes.
    """
    version = str(values.get("format_version"))
    if not _VERSION.fullmatch(version):
        raise BadDescription(path, f"format_version {version[:40]!r} is not known; 0.4 and 0.5 are")
    inputs, outputs = _tables(values.get("inputs")), _tables(values.get("outputs"))
    if len(inputs) != 1 or not outputs:
        raise BadDescription(path, f"{len(inputs)} inputs; one picture is what can be fed")
    entry, result = inputs[0], outputs[0]
    layout = _layout(path, entry)
    sides = _sides(entry, layout)
    tile, step = _tile_and_step(sides)
    modern = version.startswith("0.5")
    return Hints(
        source=path.name,
        name=clean_text(values.get("name")),
        version=clean_text(values.get("version")),
        licence=clean_text(values.get("license")),
        description=clean_text(values.get("description")),
        classes=_classes(result),
        um_per_px=_um_per_px(entry) if modern else None,
        tile_px=tile,
        step_px=step,
        halo_px=_halo(result),
        input_layout=layout,
        output_layouts={
            str(o.get("id") or o.get("name")): _layout(path, o, strict=False) for o in outputs
        },
        steps=read_steps(path, entry.get("preprocessing")),
        output_steps=read_steps(path, result.get("postprocessing")) or None,
    )


def _table(value: object) -> Values:
    return value if isinstance(value, dict) else {}


def _tables(value: object) -> list[Values]:
    return [_table(item) for item in value] if isinstance(value, list) else []


def _axes(entry: Values) -> list[Values]:
    """Return one table per axis, whatever version wrote it."""
    axes = entry.get("axes")
    if isinstance(axes, str):
        return [{"type": letter, "id": letter} for letter in axes]
    return _tables(axes)


def _layout(path: Path, entry: Values, *, strict: bool = True) -> str:
    letters = []
    for axis in _axes(entry):
        kind, name = str(axis.get("type")), str(axis.get("id", ""))
        letter = _LETTERS.get(name if kind == "space" else kind)
        if letter is None and strict:
            raise BadDescription(
                path, f"an input has the axis {(name or kind)[:40]!r}; only planes are read"
            )
        letters.append(letter or "?")
    return "".join(letters)


def _sides(entry: Values, layout: str) -> list[Values]:
    """Return for rows and columns what sizes they may have: ``min`` and ``step``."""
    shape = entry.get("shape")
    found: list[Values] = []
    for index, (letter, axis) in enumerate(zip(layout, _axes(entry), strict=True)):
        if letter not in "HW":
            continue
        if isinstance(shape, list) and index < len(shape):
            found.append({"min": shape[index], "step": 0})
        elif isinstance(shape, dict):
            low, step = shape.get("min"), shape.get("step")
            if (
                isinstance(low, list)
                and isinstance(step, list)
                and index < min(len(low), len(step))
            ):
                found.append({"min": low[index], "step": step[index]})
        elif isinstance(axis.get("size"), dict):
            found.append(dict(axis["size"]))
        else:
            found.append({"min": axis.get("size"), "step": 0})
    return found


def _tile_and_step(sides: list[Values]) -> tuple[int | None, int | None]:
    """Return the side of a square tile near 512 pixels, and what it must be a multiple of."""
    least = [positive(side.get("min"), _LARGEST_SIDE) for side in sides]
    steps = [positive(side.get("step"), _LARGEST_SIDE) or 0.0 for side in sides]
    if len(least) != 2 or None in least:
        return None, None
    low, step = int(max(v for v in least if v)), int(max(steps))
    if not step:
        return low, None
    count = max(0, (_PREFERRED_PX - low) // step)
    return low + count * step, gcd(low, step)


def _halo(entry: Values) -> int | None:
    halos = entry.get("halo")
    if not isinstance(halos, list):
        halos = [axis.get("halo", 0) for axis in _axes(entry)]
    found = [int(v) for v in (positive(halo, _LARGEST_SIDE) for halo in halos) if v]
    return max(found, default=None)


def _um_per_px(entry: Values) -> float | None:
    found = []
    for axis in _axes(entry):
        unit = _UM_PER_UNIT.get(str(axis.get("unit")))
        scale = positive(axis.get("scale", 1.0), 1e6)
        if axis.get("type") == "space" and unit and scale:
            found.append(scale * unit)
    return max(found, default=None)


def _classes(entry: Values) -> tuple[str, ...] | None:
    for axis in _axes(entry):
        names = axis.get("channel_names")
        if axis.get("type") != "channel" or not isinstance(names, list):
            continue
        if not all(re.fullmatch(r"channel_?\d+", str(name)) for name in names):
            return clean_classes(names)
    return None
