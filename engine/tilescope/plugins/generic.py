"""The adapter that needs no code: a manifest says what to do with any user's network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, assert_never

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.encoding import Decoding, Encoding
from tilescope.domain.manifest import ModelSpec, TensorSpec
from tilescope.plugins.api import Boxes, ClassMap, TileImage, TileScores
from tilescope.plugins.box_rows import boxes_of_lists, boxes_of_rows
from tilescope.plugins.steps import Planes, finished, prepared

Floats = NDArray[np.float32]
Outputs = Mapping[str, NDArray[Any]]

#: Luminance of red, green and blue, Recommendation ITU-R BT.601.
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


class GenericAdapter:
    """Encoder and decoder that a manifest describes; holds nothing but the manifest."""

    def __init__(self, spec: ModelSpec, encoding: Encoding, decoding: Decoding) -> None:
        self._classes = len(spec.classes)
        self._input = spec.inputs[0]
        self._outputs = {tensor.name: tensor for tensor in spec.outputs}
        self._encoding = encoding
        self._decoding = decoding

    @classmethod
    def for_model(cls, spec: ModelSpec) -> Self:
        """Return the adapter of a model.

        Raises
        ------
        ValueError
            When the manifest lacks the table ``encoding`` or ``decoding``.
        """
        if spec.encoding is None or spec.decoding is None:
            msg = f"the manifest of {spec.id} needs the tables encoding and decoding"
            raise ValueError(msg)
        return cls(spec, spec.encoding, spec.decoding)

    def encode(self, tile: TileImage, /) -> Mapping[str, NDArray[Any]]:
        """Return the graph's one input for a tile, in its own layout and dtype.

        Raises
        ------
        ValueError
            When the slide has other bands than the network takes.
        """
        values = prepared(_channels(tile, self._encoding), self._encoding.steps)
        if self._input.dtype == "uint8":
            values = np.clip(np.rint(values, out=values), 0, 255, out=values)
        elif self._input.dtype == "float16":
            limit = float(np.finfo(np.float16).max)
            values = np.clip(values, -limit, limit, out=values)
        return {
            self._input.name: np.ascontiguousarray(
                arranged(values, self._input.layout), self._input.dtype
            )
        }

    def decode(
        self, outputs: Outputs, parameters: Mapping[str, float], /
    ) -> ClassMap | TileScores | Boxes:
        """Return what the outputs say of a tile.

        Raises
        ------
        ValueError
            When they hold NaN, or have another form than the manifest says.
        """
        used = {name: _floats(name, outputs[name]) for name in self._decoding.outputs}
        first = self._outputs[self._decoding.outputs[0]]
        match self._decoding.form:
            case "class-map":
                return ClassMap(self._probabilities(planes_of(used[first.name], first)))
            case "label-map":
                return ClassMap(self._one_hot(planes_of(used[first.name], first)[0]))
            case "tile-scores":
                return TileScores(self._probabilities(used[first.name].reshape(-1)))
            case "box-lists":
                return boxes_of_lists(used, self._decoding, parameters, self._classes)
            case "yolo-objectness" | "yolo-classes" | "final-boxes":
                rows = _rows(used[first.name], first)
                return boxes_of_rows(rows, self._decoding, parameters, self._classes)
            case unreachable:
                assert_never(unreachable)

    def _probabilities(self, values: Floats) -> Floats:
        shares: Floats = np.clip(finished(values, self._decoding.steps), 0.0, 1.0)
        if len(shares) == 1 and self._classes == 2:
            shares = np.concatenate([1 - shares, shares])
        if len(shares) != self._classes:
            msg = f"the network gives {len(shares)} classes, the manifest names {self._classes}"
            raise ValueError(msg)
        return np.ascontiguousarray(shares)

    def _one_hot(self, labels: Floats) -> Floats:
        numbers = np.arange(self._classes, dtype=np.float32) + self._decoding.first_label
        return np.asarray(labels == numbers[:, None, None], np.float32)


def _channels(tile: TileImage, encoding: Encoding) -> Planes:
    """Return the channels that the network takes, with the slide's statistics of each."""
    contrast, pixels = tile.contrast, tile.pixels
    weights = _mixture(tile, encoding)
    bands = np.moveaxis(pixels, 2, 0)
    if (np.count_nonzero(weights, axis=1) == 1).all():  # bands as they are, in some order
        values = np.ascontiguousarray(bands[weights.argmax(axis=1)], np.float32)
    else:
        values = np.tensordot(weights, bands.astype(np.float32), 1)
    low, high = (weights @ np.array(ends, np.float32) for ends in (contrast.low, contrast.high))
    measured = [
        # Bands that are mixed into grey rise and fall together.
        weights @ np.array(moments, np.float32) if moments else None
        for moments in (contrast.mean, contrast.deviation)
    ]
    full_scale = 255.0 if pixels.dtype == np.uint8 else 0.0
    return Planes(values, low, high, measured[0], measured[1], full_scale)


def _mixture(tile: TileImage, encoding: Encoding) -> Floats:
    """Return how channels are made of bands, ``float32[channels, bands]``."""
    bands = tile.pixels.shape[2]
    every = np.eye(bands, dtype=np.float32)
    if encoding.colour == "grey":
        if bands == 3 and not tile.contrast.dark_background:
            return _LUMINANCE[None]
        widths = np.subtract(tile.contrast.high, tile.contrast.low)
        return every[[int(widths.argmax())]]
    if encoding.colour in {"rgb", "bgr"} and bands in {1, 3}:
        colours = every if bands == 3 else np.ones((3, 1), np.float32)
        return colours[::-1] if encoding.colour == "bgr" else colours
    if bands != encoding.channels:
        msg = f"the network takes {encoding.channels} channels and the slide has {bands} bands"
        raise ValueError(msg)
    return every


def arranged(values: Floats, layout: str) -> Floats:
    """Return ``float32[channels, height, width]`` in the layout of a tensor."""
    match layout:
        case "NCHW":
            return values[None]
        case "NHWC":
            return np.moveaxis(values, 0, 2)[None]
        case "HWC":
            return np.moveaxis(values, 0, 2)
        case "CHW" | "NHW":
            return values
        case other:
            msg = f"a tensor of the layout {other} is no picture"
            raise ValueError(msg)


def _floats(name: str, values: NDArray[Any]) -> Floats:
    floats = values.astype(np.float32, copy=False)
    if not np.isfinite(floats).all():
        msg = f"the network's output {name!r} holds NaN or infinite values"
        raise ValueError(msg)
    return floats


def planes_of(values: Floats, tensor: TensorSpec) -> Floats:
    """Return a tensor as ``float32[channels, height, width]``."""
    _require_axes(values, tensor)
    match tensor.layout:
        case "NCHW":
            return np.squeeze(values, 0)
        case "NHWC":
            return np.moveaxis(np.squeeze(values, 0), 2, 0)
        case "HWC":
            return np.moveaxis(values, 2, 0)
        case "CHW" | "NHW":
            return values
        case other:
            msg = f"a tensor of the layout {other} is no picture"
            raise ValueError(msg)


def _rows(values: Floats, tensor: TensorSpec) -> Floats:
    """Return an output as ``float32[candidates, columns]``."""
    _require_axes(values, tensor)
    match tensor.layout:
        case "NAC":
            return np.squeeze(values, 0)
        case "NCA":
            return np.swapaxes(np.squeeze(values, 0), 0, 1)
        case "AC":
            return values
        case other:
            msg = f"an output of the layout {other} is no list of boxes"
            raise ValueError(msg)


def _require_axes(values: Floats, tensor: TensorSpec) -> None:
    if values.ndim != len(tensor.layout):
        msg = f"the output {tensor.name!r} has the shape {values.shape}, not {tensor.layout}"
        raise ValueError(msg)
