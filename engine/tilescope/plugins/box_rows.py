"""Boxes out of the rows of numbers that detectors give."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.encoding import Decoding
from tilescope.ops.nms import suppress
from tilescope.plugins.api import Boxes
from tilescope.plugins.steps import finished

Floats = NDArray[np.float32]

SCORE = "score"
OVERLAP = "overlap"
#: More objects in one tile are noise, and suppression would take minutes.
_MOST_BOXES = 20_000


def boxes_of_rows(
    rows: Floats, decoding: Decoding, parameters: Mapping[str, float], class_count: int
) -> Boxes:
    """Return the boxes in rows of ``float32[n, columns]``; see `Decoding` for the columns.

    Raises
    ------
    ValueError
        When there are other columns than the classes need.
    """
    columns = {"yolo-objectness": 5 + class_count, "yolo-classes": 4 + class_count}
    wanted = columns.get(decoding.form, 6)
    if rows.shape[1] != wanted:
        msg = f"the network gives rows of {rows.shape[1]} numbers, the manifest means {wanted}"
        raise ValueError(msg)
    if decoding.form == "final-boxes":
        classes = np.rint(rows[:, 5]).astype(np.int64) - decoding.first_label
        scores = _scores(rows[:, 4:5], decoding)[:, 0]
        return _kept(rows[:, :4], scores, classes, parameters, class_count)
    scores = _scores(rows[:, 4:], decoding)
    if decoding.form == "yolo-objectness":
        scores = scores[:, 1:] * scores[:, :1]
    half = rows[:, 2:4] / 2
    corners = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1)
    classes = scores.argmax(axis=1)
    found = _kept(corners, scores.max(axis=1, initial=0.0), classes, parameters, class_count)
    stay = suppress(found.corners, found.scores, found.classes, parameters[OVERLAP])
    return Boxes(found.corners[stay], found.scores[stay], found.classes[stay])


def boxes_of_lists(
    outputs: Mapping[str, Floats],
    decoding: Decoding,
    parameters: Mapping[str, float],
    class_count: int,
) -> Boxes:
    """Return the boxes in three outputs: corners ``[n, 4]``, scores ``[n]`` and labels ``[n]``.

    Raises
    ------
    ValueError
        When they are not of one length.
    """
    corners, scores, labels = (outputs[name] for name in decoding.outputs)
    corners = corners.reshape(-1, 4)
    if not len(corners) == scores.size == labels.size:
        msg = f"{len(corners)} boxes, {scores.size} scores and {labels.size} labels"
        raise ValueError(msg)
    shares = _scores(scores.reshape(-1, 1), decoding)[:, 0]
    classes = np.rint(labels.reshape(-1)).astype(np.int64) - decoding.first_label
    return _kept(corners, shares, classes, parameters, class_count)


def _scores(values: Floats, decoding: Decoding) -> Floats:
    """Return scores ``float32[n, classes]`` between 0 and 1."""
    if not decoding.steps or not values.size:
        return np.clip(values, 0.0, 1.0)
    return np.clip(finished(values.T, decoding.steps).T, 0.0, 1.0)


def _kept(
    corners: Floats,
    scores: Floats,
    classes: NDArray[np.int64],
    parameters: Mapping[str, float],
    class_count: int,
) -> Boxes:
    """Return the boxes that have a size, a class and a high enough score."""
    sound = (corners[:, 2:] > corners[:, :2]).all(axis=1)
    known = (classes >= 0) & (classes < class_count)
    index = np.flatnonzero(sound & known & (scores >= parameters[SCORE]))
    if len(index) > _MOST_BOXES:
        index = np.sort(index[np.argsort(-scores[index], kind="stable")[:_MOST_BOXES]])
    return Boxes(
        corners[index].astype(np.float32),
        scores[index].astype(np.float32),
        classes[index].astype(np.uint16),
    )
