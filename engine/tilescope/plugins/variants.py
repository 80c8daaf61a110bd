"""Other forms of a model's weights, made on this machine: beside the user's own models.

::

    MODELS/.variants/<sha256 of the weights>/int8.onnx
                                             int8.json    what it is worth
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tilescope.errors import OutputError, WeightsError
from tilescope.plugins.model_store import FOLDER_VARIABLE, models_folder

_FORMAT = 1
_MOST_RECORD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Variant:
    """A model's weights in another precision, accepted because it gives the same results.

    Attributes
    ----------
    weights_sha256
        Of the weights it was made from.
    precision
        ``int8``, or ``bf16`` whose weights are the same.
    sha256
        Of its own file.
    losses
        Per provider, the share of results that differ on tiles it was not calibrated with.
    tolerance
        The loss that was allowed.
    """

    weights_sha256: str
    precision: str
    sha256: str
    losses: Mapping[str, float]
    tolerance: float

    def __post_init__(self) -> None:
        if not all(isinstance(v, str) for v in (self.weights_sha256, self.precision, self.sha256)):
            raise ValueError(self.precision)
        if not isinstance(self.losses, dict) or not 0 <= self.tolerance <= 1:
            raise ValueError(f"a loss of {self.losses} of {self.tolerance}")
        if not all(0 <= loss <= self.tolerance for loss in self.losses.values()):
            raise ValueError(f"a loss of {self.losses} of {self.tolerance}")

    @property
    def path(self) -> Path:
        """Its ONNX file."""
        return _folder(self.weights_sha256) / f"{self.precision}.onnx"

    def verified_weights(self) -> bytes:
        """Return the bytes of its file after checking their hash.

        Raises
        ------
        WeightsError
            When the file is missing or another one than was accepted.
        """
        remedy = "make it again with 'tilescope models quantize'"
        try:
            data = self.path.read_bytes()
        except OSError as exc:
            raise WeightsError(f"{self.path}: {exc.strerror}; {remedy}") from exc
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise WeightsError(f"{self.path}: is not the file that was accepted; {remedy}")
        return data


def find_variant(weights_sha256: str, precision: str) -> Variant | None:
    """Return what is known of a variant, None when there is none.

    Raises
    ------
    WeightsError
        When its record is damaged.
    """
    path = _folder(weights_sha256) / f"{precision}.json"
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_RECORD_BYTES)
    except OSError:
        return None
    found = _parsed(data)
    if found is None or (found.weights_sha256, found.precision) != (weights_sha256, precision):
        raise WeightsError(f"{path}: is damaged; make it again with 'tilescope models quantize'")
    return found


def _parsed(data: bytes) -> Variant | None:
    try:
        values = json.loads(data)
        return Variant(**values) if values.pop("format") == _FORMAT else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def save_variant(
    weights_sha256: str,
    precision: str,
    data: bytes,
    losses: Mapping[str, float],
    tolerance: float,
) -> Variant:
    """Keep an accepted variant; its record comes last, so that an unfinished one is none.

    Raises
    ------
    OutputError
        When the store cannot be written.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    variant = Variant(weights_sha256, precision, sha256, dict(losses), tolerance)
    record = json.dumps({"format": _FORMAT, **asdict(variant)}).encode()
    folder = _folder(weights_sha256)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{precision}.json").unlink(missing_ok=True)
        _write(folder / f"{precision}.onnx", data)
        _write(folder / f"{precision}.json", record)
    except OSError as exc:
        remedy = f"name another folder in the variable {FOLDER_VARIABLE}"
        raise OutputError(folder, f"cannot be written: {exc.strerror}; {remedy}") from exc
    return variant


def _folder(weights_sha256: str) -> Path:
    return models_folder() / ".variants" / weights_sha256


def _write(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
