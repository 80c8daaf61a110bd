"""What a plugin says of itself and of its models: frozen values, checked when they are built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Literal, get_args

from tilescope.domain.encoding import Decoding, Encoding
from tilescope.domain.geometry import Size
from tilescope.domain.results import ModelRef
from tilescope.domain.scale import Sampling

Task = Literal["instances", "semantic", "classification", "detect", "click"]
Layout = Literal["NCHW", "NHWC", "NHW", "CHW", "HWC", "NC", "NCA", "NAC", "AC", "A"]
DType = Literal["float32", "float16", "float64", "uint8", "int32", "int64", "bool"]

#: What a graph may take; outputs may have any of `DType`.
INPUT_DTYPES = ("float32", "float16", "uint8")

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
    """One input or output of the graph.

    Attributes
    ----------
    name
        The graph's own name of it.
    layout
        One letter per axis: batch N, channels or classes C, rows H, columns W, candidates A.
    dtype
        Type of its elements.
    channels
        Names of its channels; empty when they have none.
    stride
        Input pixels per element along rows and columns; 1 where the layout has none.
    """

    name: str
    layout: Layout
    dtype: DType
    channels: tuple[str, ...] = ()
    stride: int = 1

    def __post_init__(self) -> None:
        layouts, dtypes = get_args(Layout), get_args(DType)
        _require(self.layout in layouts, f"layout {self.layout!r} is not one of {layouts}")
        _require(self.dtype in dtypes, f"dtype {self.dtype!r} is not one of {dtypes}")
        _require(self.stride >= 1, f"stride {self.stride} is not positive")

    @property
    def spatial_axes(self) -> tuple[int, int] | None:
        """Which axes are rows and columns; None when the tensor is no picture."""
        if "H" not in self.layout:
            return None
        return self.layout.index("H"), self.layout.index("W")


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
    fixed
        True when the graph takes nothing but tiles of exactly ``size``.
    """

    size: Size
    halo_px: int
    decode_margin_px: int
    multiple_of: int
    max_batch: int = 1
    peak_bytes_per_px: float | None = None
    fixed: bool = False

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

    Attributes
    ----------
    encoding, decoding
        For the adapter that comes with Tilescope; None where an adapter of its own knows them.
    card
        The model card as the manifest has it: data, licence of the data, split, seed, date,
        metrics and limits.
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
    encoding: Encoding | None = None
    decoding: Decoding | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(bool(_MODEL_ID.fullmatch(self.id)), f"id {self.id!r} is not lower-case words")
        _require(self.task in get_args(Task), f"task {self.task!r} is not one of {get_args(Task)}")
        _require(bool(_ADAPTER.fullmatch(self.adapter)), f"{self.adapter!r} is not module:Class")
        _require(len(self.classes) > 0, "classes is empty")
        _require(len(self.inputs) == 1, f"{len(self.inputs)} inputs; one is supported")
        _require(len(self.outputs) >= 1, "outputs is empty")
        dtype = self.inputs[0].dtype
        _require(dtype in INPUT_DTYPES, f"an input of {dtype} is not one of {INPUT_DTYPES}")
        named = set(self.decoding.outputs) if self.decoding else set()
        unknown = sorted(named - {tensor.name for tensor in self.outputs})
        _require(not unknown, f"decoding uses {unknown}, which is no output")

    @property
    def layouts(self) -> dict[str, str]:
        """Layouts of the inputs by name."""
        return {tensor.name: tensor.layout for tensor in self.inputs}

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
