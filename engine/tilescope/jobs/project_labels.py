"""Objects of a project as label images are painted from: numbered, and found by place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Rect
from tilescope.domain.results import Detections
from tilescope.exchange.findings import Findings
from tilescope.store.project import Project, View

_ALL = 1 << 40
_AREA = 2
#: A class without a name is none to those who read the labels again.
_UNCLASSIFIED = ""


class LabelledObjects:
    """The areas among some objects of a slide, numbered from 1 in the order of ``batches``.

    Sixteen bytes are held of each object.

    Parameters
    ----------
    slide
        Number of the slide in the project.
    batches
        The objects to number; others on the slide are passed over.
    findings
        Gets what cannot be in a label image: points, lines, and what lies on other planes.
    """

    def __init__(
        self,
        project: Project,
        slide: int,
        batches: Iterable[Sequence[Annotation]],
        findings: Findings,
    ) -> None:
        self._project = project
        self._slide = slide
        keys = [np.zeros(0, "S16"), *(_keys_of(batch, findings) for batch in batches)]
        names = np.concatenate(keys)
        self._order = np.argsort(names).astype(np.uint32)
        self._names = names[self._order]
        classes = [known.name for known in project.classes()]
        self._classes = (_UNCLASSIFIED, *classes)
        self._index: dict[str | None, int] = {n: i for i, n in enumerate(classes, 1)}

    def __len__(self) -> int:
        return len(self._names)

    def objects_in(self, rect_l0: Rect) -> tuple[Detections, NDArray[np.uint32]]:
        """Return the numbered objects that may touch a rectangle, and their numbers.

        All rings of an object are joined into one, which an even-odd fill fills as the object.
        """
        view = self._project.in_view(self._slide, rect_l0, _ALL)
        names = _padded(view.ids)
        at = np.minimum(np.searchsorted(self._names, names), max(len(self) - 1, 0))
        chosen = self._names[at] == names if len(self) else np.zeros(len(view), bool)
        index = np.flatnonzero(chosen & (view.dimensions == _AREA))
        numbers = self._order[at[index]] + np.uint32(1)
        classes = [
            self._index.get(view.class_names.get(c), 0) for c in view.classes[index].tolist()
        ]
        detections = Detections.of(
            [_joined(view, i) for i in index.tolist()],
            np.full(len(index), np.nan, np.float32),
            np.array(classes, np.uint16),
            self._classes,
        )
        return detections, numbers


def _padded(ids: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    names: NDArray[np.bytes_] = np.ascontiguousarray(ids).view("S16").ravel()
    return names


def _keys_of(batch: Sequence[Annotation], findings: Findings) -> NDArray[np.bytes_]:
    geometries = shapely.from_wkb([a.geometry for a in batch])
    areal = shapely.get_dimensions(geometries) == _AREA
    kept = []
    for annotation, is_area in zip(batch, areal.tolist(), strict=True):
        if not is_area:
            findings.leave_out("is no area", f"object {annotation.id}")
        elif annotation.z or annotation.t:
            findings.leave_out("lies on another plane than the first", f"object {annotation.id}")
        else:
            kept.append(bytes.fromhex(annotation.id.replace("-", "")))
    return np.array(kept, "S16")


def _joined(view: View, index: int) -> NDArray[np.float64]:
    first, last = view.object_offsets[index : index + 2].tolist()
    ends = view.ring_offsets[first : last + 1].tolist()
    points = view.points[ends[0] : ends[-1]].astype(np.float64)
    if last - first == 1:
        return points
    start = points[:1]
    pieces = []
    for a, b in pairwise(ends):
        pieces += [points[a - ends[0] : b - ends[0]], start]
    return np.concatenate(pieces)
