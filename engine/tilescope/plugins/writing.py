"""Writing ``plugin.toml``: what is written here is read back as the same manifest."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tilescope.domain.encoding import (
    Activation,
    Clip,
    Decoding,
    Encoding,
    Linear,
    Standardise,
    Step,
    Stretch,
    Threshold,
    UnitRange,
)
from tilescope.domain.manifest import ModelSpec, PluginManifest, TensorSpec, TileSpec
from tilescope.domain.scale import AtObjectSize, AtPixelSize, FitWithin, Native, Sampling


def manifest_text(manifest: PluginManifest) -> str:
    """Return the manifest as TOML."""
    lines = _assignments(
        {
            "schema": manifest.schema,
            "id": manifest.id,
            "name": manifest.name,
            "requires": manifest.requires,
        }
    )
    for model in manifest.models:
        lines += ["", "[[model]]", *_assignments(_model(model))]
    return "\n".join(lines) + "\n"


def _model(spec: ModelSpec) -> dict[str, Any]:
    weights, golden = spec.weights, spec.golden
    values: dict[str, Any] = {
        "id": spec.id,
        "version": spec.version,
        "title": spec.title,
        "task": spec.task,
        "adapter": spec.adapter,
        "classes": spec.classes,
        "licence": spec.licence,
        "sampling": sampling_values(spec.sampling),
        "tile": _tile(spec.tile),
        "weights": {"file": weights.file, "sha256": weights.sha256, "bytes": weights.size_bytes},
    }
    if golden is not None:
        values["golden"] = {
            "inputs": golden.inputs,
            "outputs": golden.outputs,
            "atol": golden.atol,
        }
    values["inputs"] = [_tensor(tensor) for tensor in spec.inputs]
    values["outputs"] = [_tensor(tensor) for tensor in spec.outputs]
    if spec.encoding is not None:
        values["encoding"] = encoding_values(spec.encoding)
    if spec.decoding is not None:
        values["decoding"] = decoding_values(spec.decoding)
    if spec.parameters:
        values["parameters"] = {
            name: {"default": p.default, "min": p.minimum, "max": p.maximum, "title": p.title}
            for name, p in spec.parameters.items()
        }
    if spec.card:
        values["card"] = dict(spec.card)
    return values


def _tensor(tensor: TensorSpec) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "layout": tensor.layout,
        "dtype": tensor.dtype,
        "channels": tensor.channels,
        "stride": tensor.stride,
    }


def _tile(tile: TileSpec) -> dict[str, Any]:
    values = {
        "size": [tile.size.width, tile.size.height],
        "halo": tile.halo_px,
        "decode_margin": tile.decode_margin_px,
        "multiple_of": tile.multiple_of,
        "max_batch": tile.max_batch,
        "fixed": tile.fixed,
    }
    if tile.peak_bytes_per_px is not None:
        values["peak_bytes_per_px"] = tile.peak_bytes_per_px
    return values


def sampling_values(sampling: Sampling) -> dict[str, Any]:
    """Return the table ``sampling`` of a manifest."""
    match sampling:
        case Native():
            return {"kind": "native"}
        case AtPixelSize(um=um):
            return {"kind": "pixel-size", "um": um}
        case AtObjectSize(diameter_px=pixels, diameter_um=um):
            return {"kind": "object-size", "diameter_px": pixels, "diameter_um": um}
        case FitWithin(max_side_px=side):
            return {"kind": "fit-within", "max_side": side}


def encoding_values(encoding: Encoding) -> dict[str, Any]:
    """Return the table ``encoding`` of a manifest."""
    return {
        "colour": encoding.colour,
        "channels": encoding.channels,
        "steps": [_step(step) for step in encoding.steps],
    }


def decoding_values(decoding: Decoding) -> dict[str, Any]:
    """Return the table ``decoding`` of a manifest."""
    return {
        "form": decoding.form,
        "outputs": decoding.outputs,
        "steps": [_step(step) for step in decoding.steps],
        "first_label": decoding.first_label,
    }


def _step(step: Step) -> dict[str, Any]:  # noqa: PLR0911 - one per kind
    match step:
        case UnitRange():
            return {"kind": "unit-range"}
        case Linear(gain=gain, offset=offset):
            return {"kind": "linear", "gain": gain, "offset": offset}
        case Standardise(per_channel=each, eps=eps):
            return {"kind": "standardise", "per_channel": each, "eps": eps}
        case Stretch(low_percentile=low, high_percentile=high, per_channel=each, eps=eps):
            return {
                "kind": "stretch",
                "low_percentile": low,
                "high_percentile": high,
                "per_channel": each,
                "eps": eps,
            }
        case Clip(low=low, high=high):
            return {"kind": "clip", "low": low, "high": high}
        case Activation(name=name):
            return {"kind": name}
        case Threshold(at=at):
            return {"kind": "threshold", "at": at}


def _assignments(values: Mapping[str, Any]) -> list[str]:
    return [f"{_key(name)} = {_value(value)}" for name, value in values.items()]


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if plain else _text(name)


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value) if math.isfinite(value) else str(value)
        case str():
            return _text(value)
        case Mapping():
            inside = ", ".join(_assignments(value))
            return f"{{ {inside} }}" if inside else "{}"
        case Sequence():
            return "[" + ", ".join(_value(item) for item in value) + "]"
        case _:
            msg = f"{value!r} has no place in a manifest"
            raise ValueError(msg)


def _text(value: str) -> str:
    # JSON escapes what TOML wants escaped, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
