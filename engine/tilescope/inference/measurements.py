"""What a model costs in each backend of this machine, measured once and remembered.

One file per weights and machine in the user's cache folder. Nothing of it is trusted: a file that
is not what was written is measured anew.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tilescope.inference.backends import PROVIDERS, provider_states
from tilescope.runtime.places import cache_folder

_FORMAT = 2
_MOST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class BatchCost:
    """Several tiles in one inference.

    Attributes
    ----------
    tiles
        How many.
    seconds_per_tile
        Of one inference, the best of a few, over the tiles.
    bytes_per_px
        Resident memory that the inference takes at its peak, per pixel of one tile.
    """

    tiles: int
    seconds_per_tile: float
    bytes_per_px: float

    def __post_init__(self) -> None:
        sane = self.tiles > 1 and self.seconds_per_tile > 0 and self.bytes_per_px >= 0
        if not (sane and math.isfinite(self.seconds_per_tile + self.bytes_per_px)):
            raise ValueError(f"{self.tiles} tiles, {self.seconds_per_tile} s each")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One tile of a model in one backend.

    Attributes
    ----------
    provider
        Which backend.
    side_px
        Side of the square tile.
    seconds
        Of one inference, the best of a few; infinite when there was none.
    load_bytes
        Resident memory that loading the backend and the model takes.
    bytes_per_px
        Resident memory that an inference takes on top at its peak, per input pixel.
    difference
        Largest difference of its outputs from those of ``cpu``, in units of the larger of one and
        their largest magnitude.
    problem
        Why it cannot be used; empty when it can.
    batches
        What several tiles at once take, of those numbers of tiles that give what each gives alone.
    """

    provider: str
    side_px: int
    seconds: float
    load_bytes: int
    bytes_per_px: float
    difference: float
    problem: str = ""
    batches: tuple[BatchCost, ...] = ()

    def __post_init__(self) -> None:
        if self.provider not in PROVIDERS or not isinstance(self.problem, str):
            raise ValueError(f"{self.provider!r}: {self.problem!r}")
        if self.side_px < 1 or math.isnan(self.difference):
            raise ValueError(f"{self.side_px} px, a difference of {self.difference}")
        sane = self.seconds > 0 and self.load_bytes >= 0 and self.bytes_per_px >= 0
        if not self.problem and not (sane and math.isfinite(self.seconds + self.bytes_per_px)):
            raise ValueError(f"{self.seconds} s, {self.bytes_per_px} bytes per pixel")

    @property
    def seconds_per_tile(self) -> float:
        """The least seconds for a tile, alone or with others."""
        return min([self.seconds, *(cost.seconds_per_tile for cost in self.batches)])

    @property
    def tile_bytes(self) -> int:
        """Bytes that one inference of the tile takes at its peak."""
        return int(self.bytes_per_px * self.side_px**2)


@dataclass(frozen=True, slots=True)
class Remembered:
    """Measurements by provider, and a line about a file that could not be used."""

    measurements: Mapping[str, Measurement]
    complaint: str = ""


@dataclass(frozen=True, slots=True)
class MeasurementStore:
    """The measurements of one model with one number of threads on this machine.

    Attributes
    ----------
    weights_sha256
        Hash of the ONNX file.
    threads
        Threads of one inference.
    precision
        In what it computes.
    folder
        Where the files are.
    """

    weights_sha256: str
    threads: int
    precision: str
    folder: Path

    @classmethod
    def of(cls, weights: bytes, *, threads: int, precision: str) -> MeasurementStore:
        """Return the store of these weights in the user's cache folder."""
        digest = hashlib.sha256(weights).hexdigest()
        return cls(digest, threads, precision, cache_folder() / "measurements")

    @property
    def path(self) -> Path:
        """The file; its name stands for the weights and for everything about the machine."""
        text = json.dumps(self._key(), sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"

    def load(self) -> Remembered:
        """Return what is remembered; nothing when the file is missing or not to be trusted."""
        try:
            with self.path.open("rb") as stream:
                data = stream.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return Remembered({})
        except OSError as exc:
            return Remembered({}, f"{self.path}: {exc.strerror}; measuring again")
        try:
            return Remembered(self._parsed(data))
        except (ValueError, TypeError, KeyError, RecursionError):
            return Remembered({}, f"{self.path}: damaged, ignored; measuring again")

    def save(self, measurements: Mapping[str, Measurement]) -> str:
        """Remember measurements; return a line that says why that failed, empty when it did not.

        Two processes that measure at the same time leave one of the two files, whole.
        """
        values = {
            "format": _FORMAT,
            "key": self._key(),
            "measurements": [asdict(item) for item in measurements.values()],
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as stream:
                    json.dump(values, stream)
                Path(name).replace(self.path)
            except BaseException:
                with suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as exc:
            return f"{self.folder}: {exc.strerror}; measurements are not remembered"
        return ""

    def _parsed(self, data: bytes) -> dict[str, Measurement]:
        if len(data) > _MOST_BYTES:
            raise ValueError(len(data))
        values = json.loads(data)
        if values["format"] != _FORMAT or values["key"] != self._key():
            raise ValueError(values["format"])
        found = [_measurement(item) for item in values["measurements"]]
        return {item.provider: item for item in found}

    def _key(self) -> dict[str, Any]:
        return {
            "weights": self.weights_sha256,
            "threads": self.threads,
            "precision": self.precision,
            "machine": machine(),
        }


def _measurement(values: dict[str, Any]) -> Measurement:
    batches = tuple(BatchCost(**item) for item in values.pop("batches"))
    return Measurement(**values, batches=batches)


def machine() -> dict[str, Any]:
    """Return what decides how fast a backend is here: processor, cores and library versions."""
    libraries = {name: state.reason for name, state in provider_states().items()}
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "libraries": libraries,
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
