"""A network in 8-bit integers, with ranges taken from real tiles."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilescope.errors import GraphMismatch
from tilescope.inference.onnx_runtime import load_runtime
from tilescope.inference.session import Arrays

if TYPE_CHECKING:
    from onnx import ModelProto

#: Their products are what 8 bits are good for; what lies between them follows where it can.
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_OPERATORS = [*_LAYERS, "MaxPool", "Concat", "Relu", "Add"]
#: Quantisation per channel needs the operators of this version.
_LEAST_OPSET = 13


@dataclass(frozen=True, slots=True)
class Kept:
    """How many layers with weights stay in float32, from the inputs on and up to the outputs.

    Rounding does most harm there: in what all others build on, and in what shows in every pixel.
    """

    first: int
    last: int


#: From the quickest to the most careful; the last layer always stays.
LADDER = (Kept(0, 1), Kept(0, 3), Kept(2, 3))


def quantised(weights: bytes, tiles: Sequence[Arrays], kept: Kept) -> bytes:
    """Return an ONNX file most of whose layers compute in 8-bit integers.

    Static quantisation: weights per channel, activations per tensor with the range that they have
    on the calibration tiles; float32 goes in and comes out. Weights take 7 of their 8 bits, because
    processors without VNNI add pairs of products in 16.

    Parameters
    ----------
    weights
        The bytes of the ONNX file.
    tiles
        The graph's inputs for some typical tiles.
    kept
        What stays in float32.

    Raises
    ------
    GraphMismatch
        When the graph cannot be quantised.
    ValueError
        When there is no tile.
    """
    if not tiles:
        msg = "calibration needs at least one tile"
        raise ValueError(msg)
    load_runtime()
    with tempfile.TemporaryDirectory(prefix="tilescope-quantise-") as made, _quiet():
        folder = Path(made)
        try:
            return _quantised(weights, tiles, kept, folder)
        except Exception as exc:  # the quantiser raises whatever comes
            reason = " ".join(str(exc).split())[:300] or type(exc).__name__
            raise GraphMismatch(f"the graph cannot be quantised: {reason}") from exc


def _quantised(weights: bytes, tiles: Sequence[Arrays], kept: Kept, folder: Path) -> bytes:
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Tiles(CalibrationDataReader):  # type: ignore[misc] # the library has no types
        def __init__(self) -> None:
            self._rest = iter(tiles)

        def get_next(self) -> dict[str, Any] | None:
            tile = next(self._rest, None)
            return None if tile is None else dict(tile)

    given, folded, made = (folder / name for name in ("given.onnx", "folded.onnx", "int8.onnx"))
    graph = onnx.load_from_string(weights)
    if _opset(graph) < _LEAST_OPSET:
        graph = onnx.version_converter.convert_version(graph, _LEAST_OPSET)
    onnx.save(graph, given)
    quant_pre_process(given, folded, skip_symbolic_shape=True)
    model = onnx.load(folded)
    for index, node in enumerate(model.graph.node):
        node.name = f"n{index}"  # names are optional, and the quantiser excludes by name
    onnx.save(model, folded)
    quantize_static(
        folded,
        made,
        Tiles(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=_OPERATORS,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=_float_nodes(model, kept),
        calibrate_method=CalibrationMethod.MinMax,
        # The mean of the tiles' ranges: one odd tile does not coarsen the steps of all others.
        extra_options={"CalibMovingAverage": True},
    )
    if not any(node.op_type == "QuantizeLinear" for node in onnx.load(made).graph.node):
        msg = "it has too few layers to keep some and change the others"
        raise ValueError(msg)
    return made.read_bytes()


def _opset(graph: ModelProto) -> int:
    return max(int(item.version) for item in graph.opset_import if item.domain in {"", "ai.onnx"})


def _float_nodes(model: ModelProto, kept: Kept) -> list[str]:
    """Return the names of the nodes that stay in float32."""
    nodes = list(model.graph.node)
    layers = [i for i, node in enumerate(nodes) if node.op_type in _LAYERS]
    if not layers:
        return []
    chosen = {*layers[: kept.first], *layers[-kept.last :], *range(layers[-1], len(nodes))}
    return [nodes[i].name for i in sorted(chosen)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice to those who use it by hand off stderr."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
