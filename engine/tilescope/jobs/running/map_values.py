"""What a class map holds of probabilities, and how it is packed for the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.exchange.classmap import class_dtype, classes_of
from tilescope.exchange.heat import above, heat_of
from tilescope.store.map_ledger import Part

#: Rounding of a sigmoid or softmax may leave 0 to 1 by so much.
_SLACK = 1e-3
_RAW_WHITE = 65535


@dataclass(frozen=True, slots=True)
class MapValues:
    """The rule that makes a map of probabilities.

    Attributes
    ----------
    classes
        How many classes the model has; the map of a single class is its probability in 255ths.
    threshold
        Probability from which on a class counts.
    """

    classes: int
    threshold: float

    @property
    def is_heat(self) -> bool:
        """Tell whether the map is the heat of a single class."""
        return self.classes == 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the map's values."""
        return np.dtype(class_dtype(self.classes))

    def of(self, probabilities: NDArray[np.float32]) -> NDArray[Any]:
        """Return the map of ``float32[classes, h, w]``."""
        if self.is_heat:
            return heat_of(probabilities[0])
        return classes_of(probabilities, self.threshold)

    def shown(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the numbers of the classes in a map."""
        return above(values, self.threshold) if self.is_heat else values

    def part(self, values: NDArray[Any]) -> Part:
        """Return a block's map for the ledger, with the pixels of each class, background first."""
        counts = np.bincount(self.shown(values).ravel(), minlength=self.classes + 1)
        return Part(_packed(values), counts.astype(np.int64))

    def unpacked(self, data: bytes, rect: Rect) -> NDArray[Any]:
        """Return the map of a block from the ledger."""
        return _unpacked(data, self.dtype, (rect.height, rect.width))

    def raw(self, probabilities: NDArray[np.float32]) -> bytes:
        """Return probabilities for the ledger, in 65535ths."""
        return _packed(np.rint(probabilities * np.float32(_RAW_WHITE)).astype(np.uint16))

    def probabilities(self, data: bytes, rect: Rect) -> NDArray[np.float32]:
        """Return the probabilities of a block from the ledger."""
        shape = (self.classes, rect.height, rect.width)
        raw = _unpacked(data, np.dtype(np.uint16), shape)
        return raw.astype(np.float32) / np.float32(_RAW_WHITE)

    def checked(self, probabilities: NDArray[Any]) -> NDArray[np.float32]:
        """Return what an adapter gave as probabilities from 0 to 1.

        Raises
        ------
        ValueError
            When it is something else.
        """
        values = np.asarray(probabilities, np.float32)
        if len(values) != self.classes:
            msg = f"{len(values)} probabilities for {self.classes} classes"
            raise ValueError(msg)
        if not np.isfinite(values).all():
            msg = "probabilities that are not finite numbers"
            raise ValueError(msg)
        low, high = float(values.min(initial=0)), float(values.max(initial=0))
        if low < -_SLACK or high > 1 + _SLACK:
            said = f"probabilities from {low:.4g} to {high:.4g}, not from 0 to 1"
            msg = f"{said}: is the activation missing?"
            raise ValueError(msg)
        return values.clip(0, 1)


def _packed(values: NDArray[Any]) -> bytes:
    import imagecodecs

    return bytes(
        imagecodecs.blosc_encode(
            np.ascontiguousarray(values).tobytes(),
            compressor="zstd",
            level=1,
            shuffle=1,
            typesize=values.dtype.itemsize,
            numthreads=1,
        )
    )


def _unpacked(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    import imagecodecs

    return np.frombuffer(imagecodecs.blosc_decode(data, numthreads=1), dtype).reshape(shape)
