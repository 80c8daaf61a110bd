"""A graph ready to run: what every backend offers, and ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.manifest import ModelSpec
from tilescope.errors import Cancelled, GraphMismatch, InferenceFailed, UsageError
from tilescope.inference.named_graph import NamedGraph
from tilescope.inference.onnx_runtime import load_runtime
from tilescope.runtime.cancel import CancellationToken

if TYPE_CHECKING:
    from onnxruntime import RunOptions

Arrays = Mapping[str, NDArray[np.float32]]
Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")

#: What ONNX Runtime calls its providers.
EXECUTION_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cpu-lean": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}


class Session(Protocol):
    """A graph ready to run; not shared between threads.

    Attributes
    ----------
    provider
        Which backend and device runs it, one of `backends.PROVIDERS`.
    precision
        In what it computes.
    keeps_memory
        Whether memory of one inference stays with it for the next.
    """

    provider: str
    precision: Precision
    keeps_memory: bool

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the graph's outputs."""
        ...

    def check(self, spec: ModelSpec) -> None:
        """Compare the graph's tensors with the manifest.

        Raises
        ------
        GraphMismatch
            Naming both.
        """
        ...

    def run(self, inputs: Arrays, token: CancellationToken) -> dict[str, NDArray[np.float32]]:
        """Return every output of the graph by name, in memory of their own.

        Raises
        ------
        Cancelled
            When the token is set before or while the graph runs.
        InferenceFailed
            When the runtime refuses the inputs or runs out of memory.
        """
        ...

    def close(self) -> None:
        """Give back the weights and the threads."""
        ...

    def __enter__(self) -> Self:
        """Return the session."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Close it."""
        ...


class OnnxSession(NamedGraph):
    """A graph in ONNX Runtime that can be stopped in the middle of a run.

    ``cpu`` keeps the memory of its tensors from one tile to the next. ``cpu-lean`` gives it back at
    once and takes about half as much at its peak, but the system has to clear every page anew,
    which can double the time. The memory pattern stays off in both: it takes yet more.

    Parameters
    ----------
    weights
        The bytes of the ONNX file, already checked against the manifest.
    threads
        Threads of one inference.
    provider
        One of `EXECUTION_PROVIDERS`; one that is not there is an error, never a silent fallback.
        Nothing is measured here: ``auto`` is ``cpu``.
    precision
        What the weights are made for, ``fp32`` or ``int8``; the graph itself says how it computes.
    device_bytes
        Bound of what CUDA may take of its own memory; None for no bound.

    Raises
    ------
    UsageError
        When the provider is not available.
    GraphMismatch
        When ONNX Runtime does not accept the graph.
    """

    def __init__(
        self,
        weights: bytes,
        *,
        threads: int,
        provider: str = "cpu",
        precision: Precision = "fp32",
        device_bytes: int | None = None,
    ) -> None:
        ort = load_runtime()
        provider = "cpu" if provider == "auto" else provider
        name = _execution_provider(provider, ort.get_available_providers())
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = provider == "cpu"
        options.enable_mem_pattern = False
        options.log_severity_level = 4
        # Spinning threads take the core that decodes and reads.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings = {}
        if provider == "cuda" and device_bytes is not None:
            settings = {"gpu_mem_limit": str(device_bytes)}
        try:
            self._session: Any = ort.InferenceSession(
                weights, options, providers=[(name, settings)]
            )
        except Exception as exc:  # the runtime's own exceptions have no common base
            raise GraphMismatch(f"ONNX Runtime refuses the graph: {exc}") from exc
        actual = self._session.get_providers()[0]
        if actual != name:
            raise UsageError(f"{name} was asked for and ONNX Runtime uses {actual}")
        self.provider = provider
        self.precision: Precision = precision
        self.keeps_memory = provider == "cpu"
        self._inputs = tuple(item.name for item in self._session.get_inputs())
        self._outputs = tuple(item.name for item in self._session.get_outputs())

    def run(self, inputs: Arrays, token: CancellationToken) -> dict[str, NDArray[np.float32]]:
        """Return every output of the graph by name.

        Raises
        ------
        Cancelled
            When the token is set before or while the graph runs.
        InferenceFailed
            When the runtime refuses the inputs or runs out of memory.
        """
        ort = load_runtime()
        token.raise_if_cancelled()
        options = ort.RunOptions()
        forget = token.on_cancel(lambda: _terminate(options))
        try:
            values = self._session.run(self._outputs, dict(inputs), options)
        except Exception as exc:  # the runtime's own exceptions have no common base
            if token.is_cancelled:
                raise Cancelled from exc
            raise InferenceFailed(str(exc)) from exc
        finally:
            forget()
        return dict(zip(self._outputs, values, strict=True))

    def close(self) -> None:
        """Give back the weights and the threads."""
        self._session = None


def _terminate(options: RunOptions) -> None:
    options.terminate = True


def _execution_provider(provider: str, available: Sequence[str]) -> str:
    name = EXECUTION_PROVIDERS.get(provider)
    if name is None:
        raise UsageError(
            f"provider {provider!r} is not one of {', '.join(EXECUTION_PROVIDERS)} of ONNX Runtime"
        )
    if name not in available:
        raise UsageError(
            f"provider {provider!r} is not available: this onnxruntime has {', '.join(available)}"
        )
    return name
