"""What a plugin says of the objects it labels, checked before anybody relies on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.plugins.api import Instances


def score_and_class(
    found: Instances, labels: NDArray[np.int32], class_count: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return score and class of the objects of these labels, each ``[n]``.

    Raises
    ------
    ValueError
        When there is no score or class for each, or they make no sense.
    """
    scores, classes = np.asarray(found.scores), np.asarray(found.classes)
    most = int(labels.max(initial=0))
    if scores.ndim != 1 or scores.shape != classes.shape or most > len(scores):
        msg = (
            f"{most} labels, scores of the shape {scores.shape} and classes of the shape "
            f"{classes.shape}"
        )
        raise ValueError(msg)
    if not np.isfinite(scores).all():
        msg = "scores that are not finite numbers"
        raise ValueError(msg)
    if len(classes) and not 0 <= classes.min() <= classes.max() < class_count:
        msg = f"class {classes.max()} of {class_count}"
        raise ValueError(msg)
    return scores[labels - 1], classes[labels - 1]
