"""What a plugin says of itself and of its models: frozen values, checked when they are built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Literal, get_args

from tilescope.domain.geometry import Size
from tilescope.domain.results import ModelRef
from tilescope.domain.scale import Sampling

Task = Literal["instances"]
Layout = Literal["NCHW", "NHWC"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ADAPTER = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_MODEL_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")


def _is_inside(file: str) -> bool:
    """Tell whether a relative path stays in its folder, on any system."""
    paths = (PurePosixPath(file), PureWindowsPath(file))
    return not any(p.is_absolute() or p.drive or p.root or ".." in p.parts for p in paths)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of the graph; ``channels`` is empty when they have no names."""

    name: str
    layout: Layout
    dtype: str
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(self.layout in get_args(Layout), f"layout {self.layout!r} is not NCHW or NHWC")
        _require(self.dtype == "float32", f"dtype {self.dtype!r} is not float32")


@dataclass(frozen=True, slots=True)
class TileSpec:
    """How the model is tiled, in pixels of its own working grid.

    Attributes
    ----------
    size
        Preferred input size; the planner goes smaller when the memory cap asks for it.
    halo_px
        Declared context on each side; used only where it cannot be computed from the graph.
    decode_margin_px
        How far the decoder looks beyond a pixel to decide what object it belongs to.
    multiple_of
        Input width and height must be multiples of it.
    max_batch
        Largest batch the graph takes.
    peak_bytes_per_px
        Measured peak of the runtime per input pixel; None until the model was probed.
    """

    size: Size
    halo_px: int
    decode_margin_px: int
    multiple_of: int
    max_batch: int = 1
    peak_bytes_per_px: float | None = None

    def __post_init__(self) -> None:
        _require(self.halo_px >= 0, f"halo {self.halo_px} is negative")
        _require(self.decode_margin_px >= 0, f"decode_margin {self.decode_margin_px} is negative")
        _require(self.multiple_of >= 1, f"multiple_of {self.multiple_of} is not positive")
        _require(self.max_batch >= 1, f"max_batch {self.max_batch} is not positive")
        fits = self.size.width % self.multiple_of == 0 and self.size.height % self.multiple_of == 0
        _require(fits, f"tile size {self.size} is not a multiple of {self.multiple_of}")


@dataclass(frozen=True, slots=True)
class WeightsRef:
    """The weights file, relative to its package, with the hash it must have."""

    file: str
    sha256: str
    size_bytes: int

    def __post_init__(self) -> None:
        _require(self.file.endswith(".onnx"), f"weights {self.file!r} are not an ONNX file")
        _require(_is_inside(self.file), f"weights {self.file!r} lie outside the package")
        _require(bool(_SHA256.fullmatch(self.sha256)), "sha256 is not 64 hexadecimal digits")
        _require(self.size_bytes > 0, f"bytes = {self.size_bytes} is not positive")


@dataclass(frozen=True, slots=True)
class GoldenRef:
    """One recorded input and the output that the weights must reproduce within ``atol``."""

    inputs: str
    outputs: str
    atol: float

    def __post_init__(self) -> None:
        for file in (self.inputs, self.outputs):
            _require(_is_inside(file), f"golden file {file!r} lies outside the package")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number the user may change for a run."""

    default: float
    minimum: float
    maximum: float
    title: str

    def __post_init__(self) -> None:
        ordered = self.minimum <= self.default <= self.maximum
        _require(ordered, f"default {self.default} is not in {self.minimum}..{self.maximum}")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model of a plugin.

    ``card`` is the model card as the manifest has it: data, licence of the data, split, seed,
    date, metrics and limits.
    """

    id: str
    version: str
    title: str
    task: Task
    adapter: str
    classes: tuple[str, ...]
    licence: str
    sampling: Sampling
    tile: TileSpec
    weights: WeightsRef
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    golden: GoldenRef | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(bool(_MODEL_ID.fullmatch(self.id)), f"id {self.id!r} is not lower-case words")
        _require(self.task in get_args(Task), f"task {self.task!r} is not one of {get_args(Task)}")
        _require(bool(_ADAPTER.fullmatch(self.adapter)), f"{self.adapter!r} is not module:Class")
        _require(len(self.classes) > 0, "classes is empty")
        _require(len(self.inputs) == 1, f"{len(self.inputs)} inputs; one is supported")
        _require(len(self.outputs) >= 1, "outputs is empty")

    @property
    def ref(self) -> ModelRef:
        """Provenance for results."""
        return ModelRef(self.id, self.version, self.weights.sha256)

    def resolved(self, overrides: Mapping[str, float]) -> dict[str, float]:
        """Return every parameter's value, the default where ``overrides`` has none.

        Raises
        ------
        ValueError
            For an unknown name or a value out of range.
        """
        for name, value in overrides.items():
            known = ", ".join(sorted(self.parameters))
            _require(name in self.parameters, f"{self.id} has no parameter {name!r}, only {known}")
            spec = self.parameters[name]
            _require(
                spec.minimum <= value <= spec.maximum,
                f"parameter {name} = {value:g} is not in {spec.minimum:g}..{spec.maximum:g}",
            )
        return {name: overrides.get(name, spec.default) for name, spec in self.parameters.items()}


@dataclass(frozen=True, slots=True)
class PluginManifest:
    """A plugin: its id, the versions of Tilescope it works with, and its models."""

    schema: int
    id: str
    name: str
    requires: str
    models: tuple[ModelSpec, ...]

    def __post_init__(self) -> None:
        _require(self.schema == 1, f"schema {self.schema} is not 1")
