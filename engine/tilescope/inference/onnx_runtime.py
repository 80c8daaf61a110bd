"""ONNX Runtime, made to keep what it sees to itself."""

from __future__ import annotations

import os
from types import ModuleType

#: From 1.29 on the official packages write a device identifier to the user's cache and report
#: sessions and models to their vendor unless this is set before the library initialises.
TELEMETRY_SWITCH = "ORT_DISABLE_TELEMETRY"


def load_runtime() -> ModuleType:
    """Return the ``onnxruntime`` module with its telemetry off.

    Patient data is analysed here: nothing about it may leave the machine. The environment variable
    is the only complete switch, and it is read once; the call covers Windows, where the variable
    is not read.
    """
    os.environ[TELEMETRY_SWITCH] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    module: ModuleType = onnxruntime
    return module
