"""Models that do what no plugin should; other processes import them by name."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Size
from tilescope.domain.manifest import TileSpec
from tilescope.plugins.api import ClassMap
from tilescope.plugins.registry import InstalledModel
from tilescope.testing.toy_tasks import ClassAdapter, task_model

Outputs = Mapping[str, NDArray[np.float32]]


class Chatty(ClassAdapter):
    """Prints where others speak."""

    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> ClassMap:
        print("decoding")
        return super().decode(outputs, parameters)


class Crashing(ClassAdapter):
    """Reads memory that is not there."""

    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> ClassMap:
        ctypes.string_at(0)
        return super().decode(outputs, parameters)


class Leaving(ClassAdapter):
    """Ends the process it is in."""

    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> ClassMap:
        os._exit(7)


class Hanging(ClassAdapter):
    """Never comes back, and leaves a file named by the variable of this name when it begins."""

    MARK = "HANGING_MARK"

    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> ClassMap:
        Path(os.environ[self.MARK]).touch()
        threading.Event().wait()
        return super().decode(outputs, parameters)


class Raising(ClassAdapter):
    """Raises what only its own module knows."""

    class Odd(Exception):
        pass

    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> ClassMap:
        raise Raising.Odd("no such class")


def faulty(folder: Path, adapter: type[ClassAdapter]) -> InstalledModel:
    tile = TileSpec(Size(128, 128), 16, 0, 8, peak_bytes_per_px=64)
    return task_model(folder, "semantic", adapter, tile=tile)
