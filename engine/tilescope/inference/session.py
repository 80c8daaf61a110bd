"""One ONNX Runtime session that keeps to its memory and can be stopped in the middle of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.manifest import ModelSpec
from tilescope.errors import Cancelled, GraphMismatch, InferenceFailed, UsageError
from tilescope.inference.onnx_runtime import load_runtime
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.closing import Closing

if TYPE_CHECKING:
    from onnxruntime import RunOptions

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
PROVIDER_CHOICES = ("auto", *_PROVIDERS)


class OnnxSession(Closing):
    """A graph ready to run; not shared between threads.

    The arena and the memory pattern of ONNX Runtime stay off: with them the peak of a run is
    nearly twice as high and is never given back, and no cap on the process could be kept.

    Parameters
    ----------
    weights
        The bytes of the ONNX file, already checked against the manifest.
    threads
        Threads of one inference.
    provider
        ``auto`` (the processor, in this version), ``cpu`` or ``cuda``; a provider that was asked
        for by name and is not there is an error, never a silent fallback.

    Raises
    ------
    UsageError
        When the provider is not available.
    GraphMismatch
        When ONNX Runtime does not accept the graph.
    """

    def __init__(self, weights: bytes, *, threads: int, provider: str = "auto") -> None:
        ort = load_runtime()
        name = _provider(provider, ort.get_available_providers())
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = 4
        # Spinning threads take the core that decodes and reads.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = ort.InferenceSession(weights, options, providers=[name])
        except Exception as exc:  # the runtime's own exceptions have no common base
            raise GraphMismatch(f"ONNX Runtime refuses the graph: {exc}") from exc
        self.provider = self._session.get_providers()[0]
        if self.provider != name:
            raise UsageError(f"{name} was asked for and ONNX Runtime uses {self.provider}")

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        return tuple(item.name for item in self._session.get_inputs())

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the graph's outputs."""
        return tuple(item.name for item in self._session.get_outputs())

    def check(self, spec: ModelSpec) -> None:
        """Compare the graph's tensors with the manifest.

        Raises
        ------
        GraphMismatch
            Naming both.
        """
        for kind, declared, actual in (
            ("inputs", spec.inputs, self.input_names),
            ("outputs", spec.outputs, self.output_names),
        ):
            names = tuple(tensor.name for tensor in declared)
            if set(names) != set(actual):
                raise GraphMismatch(f"{spec.id}: {kind} are {actual}, the manifest says {names}")

    def run(
        self, inputs: Mapping[str, NDArray[np.float32]], token: CancellationToken
    ) -> dict[str, NDArray[np.float32]]:
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
            values = self._session.run(self.output_names, dict(inputs), options)
        except Exception as exc:  # the runtime's own exceptions have no common base
            if token.is_cancelled:
                raise Cancelled from exc
            raise InferenceFailed(str(exc)) from exc
        finally:
            forget()
        return dict(zip(self.output_names, values, strict=True))

    def close(self) -> None:
        """Give back the weights and the threads."""
        self._session = None


def _terminate(options: RunOptions) -> None:
    options.terminate = True


def _provider(choice: str, available: Sequence[str]) -> str:
    name = _PROVIDERS["cpu" if choice == "auto" else choice] if choice in PROVIDER_CHOICES else None
    if name is None:
        raise UsageError(f"provider {choice!r} is not one of {', '.join(PROVIDER_CHOICES)}")
    if name not in available:
        raise UsageError(
            f"provider {choice!r} is not available: this onnxruntime has {', '.join(available)}"
        )
    return name
