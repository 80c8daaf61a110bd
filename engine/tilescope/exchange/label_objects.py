"""Annotations in the form that label images are filled from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation
from tilescope.domain.results import Detections
from tilescope.exchange.run_lengths import even_odd_ring


def as_objects(
    annotations: Sequence[Annotation], numbers: Sequence[int], class_names: tuple[str, ...]
) -> tuple[Detections, NDArray[np.uint32]]:
    """Return the areas among ``annotations`` and their numbers; holes stay empty when filled.

    All rings of an area are joined into one, which an even-odd fill fills as the area. It is fit
    for filling and for nothing else.

    Parameters
    ----------
    annotations
        Objects; points and lines are passed over.
    numbers
        The value in the label image of each, at least 1.
    class_names
        A class that is not among them counts as the first; must not be empty.
    """
    geometries = shapely.from_wkb(np.array([a.geometry for a in annotations], object))
    areas = np.flatnonzero(shapely.get_dimensions(geometries) == 2).tolist()
    places = {name: i for i, name in enumerate(class_names)}
    chosen = [annotations[i] for i in areas]
    classes = [places.get(a.class_name or "", 0) for a in chosen]
    scores = [a.measurements.get("score", np.nan) for a in chosen]
    detections = Detections.of(
        [even_odd_ring(geometries[i]) for i in areas],
        np.array(scores, np.float32),
        np.array(classes, np.uint16),
        class_names,
    )
    return detections, np.array([numbers[i] for i in areas], np.uint32)
