"""Numbered objects on their way to a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.results import Detections
from tilescope.domain.scale import PixelSize
from tilescope.ops import contours


@dataclass(frozen=True, slots=True, eq=False)
class ObjectBatch:
    """Consecutive objects of a result, numbered from 1 in the order of the file.

    Attributes
    ----------
    detections
        The objects, in level-0 pixels.
    first_id
        Number of the first of them; at least 1, since 0 is background in a label image.
    """

    detections: Detections
    first_id: int

    def __post_init__(self) -> None:
        if self.first_id < 1:
            msg = f"objects are numbered from 1, not from {self.first_id}"
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.detections)

    @property
    def ids(self) -> range:
        """The number of every object."""
        return range(self.first_id, self.first_id + len(self))

    def parts(self, size: int) -> Iterator[ObjectBatch]:
        """Yield the same objects, at most ``size`` at a time."""
        d = self.detections
        for a in range(0, len(self), size):
            b = min(a + size, len(self))
            first, last = int(d.offsets[a]), int(d.offsets[b])
            part = Detections(
                d.rings[first:last],
                d.offsets[a : b + 1] - first,
                d.scores[a:b],
                d.classes[a:b],
                d.class_names,
            )
            yield ObjectBatch(part, self.first_id + a)


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """What is measured on each object of a batch, in micrometres when the slide is calibrated.

    Attributes
    ----------
    unit
        ``µm`` or ``px``; areas are in its square.
    centroids
        ``float64[n, 2]``, from the top left of the slide.
    areas, perimeters
        ``float64[n]``.
    """

    unit: str
    centroids: NDArray[np.float64]
    areas: NDArray[np.float64]
    perimeters: NDArray[np.float64]


def measure(detections: Detections, pixel_size: PixelSize | None) -> Measures:
    """Return centroid, area and perimeter of every object; pixels may be oblong."""
    rings, unit = detections.rings, "px"
    if pixel_size is not None:
        rings, unit = rings * np.array([pixel_size.um_x, pixel_size.um_y]), "µm"
    return Measures(
        unit,
        contours.ring_centroids(rings, detections.offsets),
        contours.ring_areas(rings, detections.offsets),
        contours.ring_perimeters(rings, detections.offsets),
    )


def object_uuids(run_id: UUID, ids: range) -> list[str]:
    """Return the name of each object: ``uuid5`` of the run and the number, so always the same.

    ``uuid.uuid5`` gives the same text in three times the time.
    """
    base = hashlib.sha1(run_id.bytes, usedforsecurity=False)
    names = []
    for number in ids:
        digest = base.copy()
        digest.update(b"%d" % number)
        h = digest.hexdigest()
        variant = "89ab"[int(h[16], 16) & 3]
        names.append(f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{variant}{h[17:20]}-{h[20:32]}")
    return names
