"""Objects on their way into the tables, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation, ObjectKind
from tilescope.domain.annotation_ids import id_bytes, id_text
from tilescope.domain.annotation_rings import Rings
from tilescope.domain.annotation_table import AnnotationTable
from tilescope.errors import UsageError
from tilescope.store.catalogue import Catalogue
from tilescope.store.measures import Measures
from tilescope.store.schema import KINDS, STATE
from tilescope.store.wkb import are_rings, boxes

_NUMBER_OF_KIND = {kind: number for number, kind in enumerate(KINDS)}

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Objects as columns, checked, in the order given.

    Attributes
    ----------
    ids
        ``uint8[n, 16]``: the UUIDs.
    geometry
        The WKB of each.
    boxes
        ``float64[n, 4]``: x0, y0, x1, y1 in level-0 pixels.
    is_ring
        ``bool[n]``: whether an object is one closed ring.
    authors
        ``int64[n]``: numbers of the authors.
    planes
        ``int64[n, 2]``: z and t.
    states
        ``STATE[n]``.
    parents
        The UUID of the parent of each, None where it has none; None when none has one.
    names
        The name of each; None when none has one.
    measures
        What is measured on each.
    """

    ids: NDArray[np.uint8]
    geometry: Sequence[bytes]
    boxes: NDArray[np.float64]
    is_ring: NDArray[np.bool_]
    authors: NDArray[np.int64]
    planes: NDArray[np.int64]
    states: NDArray[np.void]
    parents: Sequence[bytes | None] | None
    names: Sequence[str | None] | None
    measures: Measures

    def __len__(self) -> int:
        return len(self.geometry)

    @classmethod
    def of(cls, parts: Sequence[Sequence[Annotation]], catalogue: Catalogue) -> Columns:
        """Return the columns of one part or more, none of them empty.

        Raises
        ------
        UsageError
            Naming an id that is no UUID, or objects with a geometry that cannot be stored.
        """
        made = [
            _of_table(part, catalogue)
            if isinstance(part, AnnotationTable)
            else _of_objects(part, catalogue)
            for part in parts
        ]
        return made[0] if len(made) == 1 else _joined(made)


def _of_objects(batch: Sequence[Annotation], catalogue: Catalogue) -> Columns:
    ids = np.frombuffer(b"".join([id_bytes(a.id) for a in batch]), np.uint8).reshape(-1, 16)
    shapes = [a.geometry for a in batch]
    # The batch keeps its authors alive, so their addresses are names.
    authors = {id(a.author): a.author for a in batch}
    authors_known = {key: catalogue.author_number(author) for key, author in authors.items()}
    names = dict.fromkeys(a.class_name for a in batch)
    classes = {name: catalogue.class_number(name) for name in names}
    return Columns(
        ids,
        shapes,
        _boxes(shapes, ids),
        are_rings(shapes),
        np.array([authors_known[id(a.author)] for a in batch], np.int64),
        np.array([(a.z, a.t) for a in batch], np.int64),
        _states([(classes[a.class_name], a.kind, a.locked) for a in batch]),
        _told([_parent(a.parent_id) for a in batch]),
        _told([a.name for a in batch]),
        Measures.of(a.measurements for a in batch),
    )


def _of_table(table: AnnotationTable, catalogue: Catalogue) -> Columns:
    which, traits = table.trait_of, table.traits
    numbered = which.tolist()
    return Columns(
        table.ids,
        table.geometry,
        _boxes(table.geometry, table.ids),
        are_rings(table.geometry),
        np.array([catalogue.author_number(t.author) for t in traits], np.int64)[which],
        np.array([(t.z, t.t) for t in traits], np.int64)[which],
        _states([(catalogue.class_number(t.class_name), t.kind, t.locked) for t in traits])[which],
        _told([_parent(t.parent_id) for t in traits], numbered),
        _told([t.name for t in traits], numbered),
        Measures.of_table(table),
    )


def _joined(parts: Sequence[Columns]) -> Columns:
    return Columns(
        np.concatenate([part.ids for part in parts]),
        _joined_shapes([part.geometry for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.is_ring for part in parts]),
        np.concatenate([part.authors for part in parts]),
        np.concatenate([part.planes for part in parts]),
        np.concatenate([part.states for part in parts]),
        _told([p for part in parts for p in part.parents or [None] * len(part)]),
        _told([name for part in parts for name in part.names or [None] * len(part)]),
        Measures.joined([part.measures for part in parts]),
    )


def _boxes(shapes: Sequence[bytes], ids: NDArray[np.uint8]) -> NDArray[np.float64]:
    try:
        return boxes(shapes)
    except ValueError as exc:
        first, last = (id_text(ids[i].tobytes()) for i in (0, -1))
        raise UsageError(f"objects {first} to {last}: {exc}") from exc


def _joined_shapes(parts: Sequence[Sequence[bytes]]) -> Sequence[bytes]:
    rings = [part for part in parts if isinstance(part, Rings)]
    if len(rings) == len(parts):
        return Rings.joined(rings)
    return [shape for part in parts for shape in part]


def _parent(text: str | None) -> bytes | None:
    return None if text is None else id_bytes(text)


def _states(rows: Sequence[tuple[int, ObjectKind, bool]]) -> NDArray[np.void]:
    """Return ``STATE[n]`` of class, kind and lock."""
    states = np.zeros(len(rows), STATE)
    states["class"] = [row[0] for row in rows]
    states["kind"] = [_NUMBER_OF_KIND[row[1]] for row in rows]
    states["locked"] = [row[2] for row in rows]
    return states


def _told(values: list[T | None], which: Sequence[int] | None = None) -> Sequence[T | None] | None:
    """Return the values, of which ``which`` chooses; None when all are None."""
    if all(value is None for value in values):
        return None
    return values if which is None else [values[i] for i in which]
