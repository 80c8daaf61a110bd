"""Is what an adapter made of a tile a result that a run can use, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.clicks import ClickMask
from tilescope.domain.geometry import Size
from tilescope.domain.manifest import ModelSpec
from tilescope.plugins.api import Boxes, ClassMap, Instances, TileScores

_KINDS = {
    "instances": Instances,
    "semantic": ClassMap,
    "classification": TileScores,
    "detect": Boxes,
    "click": ClickMask,
}


def result_problem(spec: ModelSpec, result: object, size: Size | None) -> str | None:
    """Return what is wrong with a decoded tile of ``size``, None when nothing is."""
    wanted = _KINDS[spec.task]
    if not isinstance(result, wanted):
        return f"decode gives {type(result).__name__}; a {spec.task} model gives {wanted.__name__}"
    match result:
        case ClassMap(probabilities=shares):
            found = _shares_problem(shares, len(spec.classes)), _size_problem(shares.shape, size)
        case TileScores(probabilities=shares):
            found = _shares_problem(shares, len(spec.classes)), None
        case Instances(labels=labels, scores=scores, classes=classes):
            found = (
                _objects_problem(spec, scores, classes),
                _size_problem(labels.shape, size, exact=True),
            )
        case Boxes(corners=corners, scores=scores, classes=classes):
            found = _objects_problem(spec, scores, classes), _corners_problem(corners, len(scores))
        case ClickMask(mask=mask, score=score):
            found = (
                _shares_problem(np.array([score]), 1),
                _size_problem(mask.shape, size, exact=True),
            )
        case _:
            found = None, None
    return found[0] or found[1]


def object_count(result: object) -> int:
    """Return how many objects a decoded tile holds; maps and scores hold none."""
    return len(result.scores) if isinstance(result, Instances | Boxes) else 0


def _objects_problem(spec: ModelSpec, scores: NDArray[Any], classes: NDArray[Any]) -> str | None:
    if len(scores) != len(classes):
        return f"{len(scores)} scores and {len(classes)} classes"
    if len(classes) and classes.max() >= len(spec.classes):
        return f"an object has the class {classes.max()} of {len(spec.classes)}"
    return _shares_problem(scores, len(scores))


def _corners_problem(corners: NDArray[Any], count: int) -> str | None:
    if corners.shape != (count, 4):
        return f"corners of the shape {corners.shape} for {count} boxes"
    return None if np.isfinite(corners).all() else "a box is not finite"


def _shares_problem(shares: NDArray[Any], count: int) -> str | None:
    if len(shares) != count:
        return f"{len(shares)} classes, the manifest names {count}"
    if shares.size and not (np.isfinite(shares).all() and shares.min() >= 0 and shares.max() <= 1):
        return "probabilities are not between 0 and 1, or NaN"
    return None


def covers(side: int, length_px: int) -> bool:
    """Tell whether ``side`` values can lie on a tile of ``length_px``.

    As many, fewer by a whole number, or, of a network without padding, less a border on each side.
    """
    lack = length_px - side
    return bool(side) and (length_px % side == 0 or (lack % 2 == 0 and 0 < lack < side))


def _size_problem(shape: tuple[int, ...], size: Size | None, *, exact: bool = False) -> str | None:
    if size is None or shape[-2:] == (size.height, size.width):
        return None
    if not exact and covers(shape[-2], size.height) and covers(shape[-1], size.width):
        return None
    got = f"{shape[-1]} x {shape[-2]}"
    return f"a tile of {size.width} x {size.height} px gives a result of {got} px"
