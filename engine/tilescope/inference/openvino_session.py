"""A graph in OpenVINO: on many processors faster than ONNX Runtime, at more memory."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.errors import Cancelled, GraphMismatch, InferenceFailed, UsageError
from tilescope.inference.named_graph import NamedGraph
from tilescope.inference.session import Arrays, Precision
from tilescope.runtime.cancel import CancellationToken

_HINTS = {"fp32": "f32", "int8": "f32", "bf16": "bf16"}
#: Importing it tells the vendor that it was imported, and writes an identifier to the home.
_TELEMETRY = "openvino_telemetry"
#: The converters, whose import does so; nothing here needs them.
_CONVERTERS = "openvino.tools.ovc"


def load_openvino() -> ModuleType:
    """Return the ``openvino`` module with its telemetry off.

    OpenVINO sends its first message while it is imported, unless its telemetry package cannot be
    imported. That one stays out of reach for the life of the process.

    Raises
    ------
    UsageError
        When OpenVINO is not installed or cannot be loaded.
    """
    modules: dict[str, Any] = sys.modules
    for name in (_TELEMETRY, _CONVERTERS):
        modules.setdefault(name, None)
    try:
        return importlib.import_module("openvino")
    except ImportError as exc:
        raise UsageError(
            f"provider 'openvino' is not available ({exc}): pip install 'tilescope[openvino]'"
        ) from exc
    finally:
        if modules[_CONVERTERS] is None:
            del modules[_CONVERTERS]


def computes_bf16() -> bool:
    """Tell whether this processor computes in bfloat16; elsewhere OpenVINO would use float32."""
    core = load_openvino().Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoSession(NamedGraph):
    """A graph compiled by OpenVINO for the processor.

    Float32 is asked for explicitly: left alone OpenVINO computes in half the precision where the
    processor is faster that way.

    Parameters
    ----------
    weights
        The bytes of the ONNX file, already checked against the manifest.
    threads
        Threads of one inference.
    precision
        ``bf16`` lets the runtime compute in bfloat16; ``int8`` says that the weights are
        quantised, the graph itself says how it computes.

    Raises
    ------
    UsageError
        When OpenVINO is not installed, or the processor has no bfloat16.
    GraphMismatch
        When OpenVINO does not accept the graph.
    """

    def __init__(self, weights: bytes, *, threads: int, precision: Precision = "fp32") -> None:
        openvino = load_openvino()
        if precision == "bf16" and not computes_bf16():
            raise UsageError("precision 'bf16' is not available: this processor has none")
        self.provider = "openvino"
        self.precision: Precision = precision
        self.keeps_memory = True
        self._weights = weights
        self._settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Pinned threads would wait for cores that others use while free ones idle.
            "ENABLE_CPU_PINNING": False,
        }
        self._core = openvino.Core()
        self._tensor_of = openvino.Tensor
        compiled = self._compile()
        self._ports = {
            port.any_name: (port.partial_shape, port.element_type.to_dtype())
            for port in compiled.inputs
        }
        self._inputs = tuple(self._ports)
        self._outputs = tuple(port.any_name for port in compiled.outputs)
        self._request: Any = compiled.create_infer_request()

    def run(self, inputs: Arrays, token: CancellationToken) -> dict[str, NDArray[np.float32]]:
        """Return every output of the graph by name.

        Raises
        ------
        Cancelled
            When the token is set before or while the graph runs.
        InferenceFailed
            When the inputs do not fit the graph or the runtime runs out of memory.
        """
        token.raise_if_cancelled()
        self._check_shapes(inputs)
        if self._request is None:
            self._request = self._compile().create_infer_request()
        request = self._request
        forget = token.on_cancel(request.cancel)
        try:
            # The runtime reads the arrays where they are; they stay alive until it is done.
            arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
            for name, array in arrays.items():
                request.set_tensor(name, self._tensor_of(array, shared_memory=True))
            request.start_async()
            if token.is_cancelled:  # set before there was anything to cancel
                request.cancel()
            request.wait()
            token.raise_if_cancelled()
            values = {name: np.array(request.get_tensor(name).data) for name in self._outputs}
        except Exception as exc:  # the runtime raises bare RuntimeError and more
            # Stopped half-way it keeps the shapes of this tile for the next one.
            self._request = None
            if token.is_cancelled:
                raise Cancelled from exc
            raise InferenceFailed(_reason(exc)) from exc
        finally:
            forget()
        return values

    def close(self) -> None:
        """Give back the weights and the threads."""
        self._request = None

    def _compile(self) -> Any:  # noqa: ANN401 - the library has no types
        try:
            return self._core.compile_model(
                self._core.read_model(self._weights), "CPU", self._settings
            )
        except Exception as exc:  # the runtime raises bare RuntimeError and more
            raise GraphMismatch(f"OpenVINO refuses the graph: {_reason(exc)}") from exc

    def _check_shapes(self, inputs: Arrays) -> None:
        """Refuse what the runtime would read past the end of."""
        if set(inputs) != set(self._ports):
            raise InferenceFailed(f"inputs are {sorted(inputs)}, not {sorted(self._ports)}")
        for name, array in inputs.items():
            wanted, dtype = self._ports[name]
            fits = len(wanted) == array.ndim and array.dtype == dtype
            if not fits or any(
                side.is_static and side.get_length() != length
                for side, length in zip(wanted, array.shape, strict=True)
            ):
                raise InferenceFailed(
                    f"input {name} is {array.dtype} {array.shape}, the graph takes {dtype} {wanted}"
                )


def _reason(error: Exception) -> str:
    """Return what the runtime says without where in its sources it says so."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("Exception from src/")]
    return " ".join(said) or type(error).__name__
