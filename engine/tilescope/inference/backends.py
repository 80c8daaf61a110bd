"""Which backends there are, and a session in one of them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from tilescope.errors import UsageError
from tilescope.inference.onnx_runtime import load_runtime
from tilescope.inference.openvino_session import OpenVinoSession
from tilescope.inference.session import (
    EXECUTION_PROVIDERS,
    PRECISIONS,
    OnnxSession,
    Precision,
    Session,
)

PROVIDERS = ("cpu", "cpu-lean", "openvino", "cuda", "directml", "coreml")
PROVIDER_CHOICES = ("auto", *PROVIDERS)

_REMEDIES = {
    "cpu": "install onnxruntime again",
    "cpu-lean": "install onnxruntime again",
    "cuda": "install onnxruntime-gpu in its place",
    "directml": "install onnxruntime-directml in its place (Windows)",
    "coreml": "only onnxruntime for macOS has it",
}
_RUNTIME_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml")


@dataclass(frozen=True, slots=True)
class ProviderState:
    """Whether a provider can be used.

    Attributes
    ----------
    provider
        One of `PROVIDERS`.
    is_usable
        Whether its library is installed and offers it; the device itself may still be missing.
    reason
        The library and its version, or why it cannot be used and what would help.
    """

    provider: str
    is_usable: bool
    reason: str


def provider_states() -> dict[str, ProviderState]:
    """Return the state of every provider, without loading a library that a run may not need."""
    available = load_runtime().get_available_providers()
    library = _library()
    states = {}
    for provider in PROVIDERS:
        if provider == "openvino":
            states[provider] = _openvino_state()
        elif EXECUTION_PROVIDERS[provider] in available:
            states[provider] = ProviderState(provider, True, library)
        else:
            reason = f"{library} does not have it: {_REMEDIES[provider]}"
            states[provider] = ProviderState(provider, False, reason)
    return states


def _library() -> str:
    for package in _RUNTIME_PACKAGES:
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return f"onnxruntime {load_runtime().__version__}"


def _openvino_state() -> ProviderState:
    if find_spec("openvino") is None:
        reason = "openvino is not installed: pip install 'tilescope[openvino]'"
        return ProviderState("openvino", False, reason)
    try:
        return ProviderState("openvino", True, f"openvino {version('openvino')}")
    except PackageNotFoundError:
        return ProviderState("openvino", True, "openvino")


def open_session(
    weights: bytes,
    *,
    threads: int,
    provider: str = "cpu",
    precision: Precision = "fp32",
    device_bytes: int | None = None,
) -> Session:
    """Return a session in the backend that was asked for; never in another one.

    Parameters
    ----------
    weights
        The bytes of the ONNX file, already checked against the manifest.
    threads
        Threads of one inference.
    provider
        One of `PROVIDERS`; ``auto`` is resolved by `choice.choose_provider` beforehand.
    precision
        ``fp32``; ``bf16`` where the backend and the processor have it; ``int8`` for weights that
        are quantised.
    device_bytes
        Bound of what a device may take of its own memory; None for no bound.

    Raises
    ------
    UsageError
        When there is no such provider or precision here; says what would help.
    GraphMismatch
        When the backend does not accept the graph.
    """
    if provider not in PROVIDERS:
        raise UsageError(f"provider {provider!r} is not one of {', '.join(PROVIDER_CHOICES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    state = provider_states()[provider]
    if not state.is_usable:
        raise UsageError(f"provider {provider!r} is not available: {state.reason}")
    if provider == "openvino":
        return OpenVinoSession(weights, threads=threads, precision=precision)
    if precision == "bf16":
        raise UsageError(f"precision 'bf16' is not available with provider {provider!r}")
    return OnnxSession(
        weights,
        threads=threads,
        provider=provider,
        precision=precision,
        device_bytes=device_bytes,
    )
