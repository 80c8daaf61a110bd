"""Objects as files say them, made into annotations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation, Author, ObjectKind
from tilescope.domain.annotation_ids import id_texts
from tilescope.domain.annotation_rings import Rings
from tilescope.domain.annotation_table import AnnotationTable, Traits
from tilescope.exchange.findings import Findings
from tilescope.exchange.identity import SeenIds, as_uuid, fresh_id_bytes
from tilescope.exchange.palette import RGB
from tilescope.ops import validity

#: Objects per batch of every reader.
BATCH = 4096
_LONGEST_TEXT = 1000
_MOST_REMEMBERED = 10_000
_NO_ID = 32 * "0"

#: WKB that is known to be valid, a shapely geometry that may have to be repaired, or None.
Shape = Any

Item = TypeVar("Item")


@dataclass(slots=True)
class Draft:
    """One object before its geometry and its id are settled; the attributes are Annotation's.

    Attributes
    ----------
    place
        Where in the file it is.
    id
        What the file says; anything that is no UUID is replaced.
    own_id
        Whether an id that is no UUID is worth mentioning when it is replaced.
    """

    place: str
    id: object = None
    kind: ObjectKind = "annotation"
    class_name: str | None = None
    name: str | None = None
    measurements: Mapping[str, float] = field(default_factory=dict)
    locked: bool = False
    parent_id: str | None = None
    author: Author | None = None
    z: int = 0
    t: int = 0
    own_id: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class DraftTable:
    """Objects before their geometry and their ids are settled, as columns.

    Attributes
    ----------
    features
        ``int64[n]``: which feature of the file each is.
    ids
        ``uint8[n, 16]``: what the file says.
    is_uuid
        ``bool[n]``: whether it says that; another id is made where it does not.
    own_id
        ``bool[n]``: whether that is worth mentioning.
    traits, trait_of, numbers
        As those of ``AnnotationTable``.
    """

    features: NDArray[np.int64]
    ids: NDArray[np.uint8]
    is_uuid: NDArray[np.bool_]
    own_id: NDArray[np.bool_]
    traits: Sequence[Traits]
    trait_of: NDArray[np.int64]
    numbers: NDArray[np.float64]

    def place(self, index: int) -> str:
        """Return where in the file an object is."""
        return f"feature {self.features[index]}"

    def select(self, keep: NDArray[np.bool_]) -> DraftTable:
        """Return the objects of which ``keep``, ``bool[n]``, is true."""
        sizes = np.array([len(traits.measured) for traits in self.traits], np.int64)
        return DraftTable(
            self.features[keep],
            self.ids[keep],
            self.is_uuid[keep],
            self.own_id[keep],
            self.traits,
            self.trait_of[keep],
            self.numbers[np.repeat(keep, sizes[self.trait_of])],
        )


class Intake:
    """Turns drafts into annotations and notes what could not be taken.

    Parameters
    ----------
    author
        Of every object whose draft names none.
    findings
        Notes are added to it.

    Attributes
    ----------
    author
        The same.
    """

    def __init__(self, author: Author, findings: Findings) -> None:
        self.author = author
        self._findings = findings
        self._seen = SeenIds()
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def taken(self, drafts: Sequence[Draft], shapes: Sequence[Shape]) -> list[Annotation]:
        """Return the objects that can be taken, in order.

        Parameters
        ----------
        drafts
            In the order of the file.
        shapes
            The geometry of each in level-0 pixels; None when the reader has already noted why
            there is none.
        """
        wkb = self._cleaned(shapes, lambda i: drafts[i].place)
        kept = [i for i, whole in enumerate(wkb) if whole is not None]
        if len(kept) < len(wkb):
            drafts, wkb = [drafts[i] for i in kept], [wkb[i] for i in kept]
        author = self.author
        taken = [
            Annotation(
                uuid,
                whole or b"",
                d.kind,
                d.class_name,
                d.name,
                d.measurements,
                d.locked,
                d.parent_id,
                d.author or author,
                d.z,
                d.t,
            )
            for d, whole, uuid in zip(drafts, wkb, self._ids(drafts), strict=True)
        ]
        self._findings.taken += len(taken)
        return taken

    def tabled(self, drafts: DraftTable, shapes: Sequence[Shape]) -> AnnotationTable:
        """Return the objects that can be taken, in order; as ``taken``."""
        kept: Sequence[bytes]
        if isinstance(shapes, Rings):
            kept = shapes
        else:
            wkb = self._cleaned(shapes, drafts.place)
            kept = [whole for whole in wkb if whole is not None]
            if len(kept) < len(wkb):
                drafts = drafts.select(np.array([whole is not None for whole in wkb], bool))
        self._findings.taken += len(kept)
        ids = self._settled(drafts.ids, drafts.is_uuid, drafts.own_id, drafts.place)
        return AnnotationTable(ids, kept, drafts.traits, drafts.trait_of, drafts.numbers)

    def _cleaned(self, shapes: Sequence[Shape], place: Callable[[int], str]) -> list[bytes | None]:
        """Return the WKB of every shape, and note what was repaired or refused."""
        wkb = [shape if isinstance(shape, bytes) else None for shape in shapes]
        doubtful = [i for i, shape in enumerate(shapes) if shape is not None and wkb[i] is None]
        if not doubtful:
            return wkb
        column = np.empty(len(doubtful), object)
        column[:] = [shapes[i] for i in doubtful]
        cleaned = validity.clean(column)
        whole = shapely.to_wkb(cleaned.geometries, byte_order=1, output_dimension=2)
        for i, clean in zip(doubtful, whole.tolist(), strict=True):
            wkb[i] = clean
        for index, reason in cleaned.refused.items():
            self._findings.leave_out(reason, place(doubtful[index]))
        for index, reason in cleaned.changed.items():
            self._findings.change(reason, place(doubtful[index]))
        return wkb

    def measurements(self, given: Mapping[Any, Any], place: str) -> dict[str, float]:
        """Return the finite numbers in ``given``, and note the others."""
        try:
            numbers = list(map(float, given.values()))
            whole = math.isfinite(sum(numbers))
        except (TypeError, ValueError, OverflowError):
            whole = False
        if whole:
            return dict(zip(self._clean_names(tuple(given)), numbers, strict=True))
        kept: dict[str, float] = {}
        for name, value in zip(self._clean_names(tuple(given)), given.values(), strict=True):
            number = as_number(value)
            if number is None:
                self._findings.leave_out("a measurement that is no finite number", place)
            else:
                kept[name] = number
        return kept

    def refuse(self, reason: str, place: str) -> None:
        """Note that an object is left out."""
        self._findings.leave_out(reason, place)

    def meet(self, class_name: str | None, colour: RGB | None = None) -> str | None:
        """Note the class of an object and return its name."""
        if class_name is not None and self._findings.classes.get(class_name) is None:
            self._findings.meet(class_name, colour)
        return class_name

    def _clean_names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return names fit to store; objects with the same names share them."""
        clean = self._names.get(names)
        if clean is None:
            clean = tuple(as_text(name) or "?" for name in names)
            if len(self._names) < _MOST_REMEMBERED:
                self._names[names] = clean
        return clean

    def _ids(self, drafts: Sequence[Draft]) -> list[str]:
        """Return a UUID for every object, the file's own where it is one and comes first."""
        found = [as_uuid(draft.id) for draft in drafts]
        said = "".join([known or _NO_ID for known in found])
        ids = self._settled(
            np.frombuffer(bytes.fromhex(said.replace("-", "")), np.uint8).reshape(-1, 16),
            np.array([known is not None for known in found], bool),
            np.array([draft.own_id for draft in drafts], bool),
            lambda i: drafts[i].place,
        )
        return id_texts(ids.tobytes())

    def _settled(
        self,
        ids: NDArray[np.uint8],
        is_uuid: NDArray[np.bool_],
        own_id: NDArray[np.bool_],
        place: Callable[[int], str],
    ) -> NDArray[np.uint8]:
        """Return ids, each once, and note which of an object's own were replaced."""
        ids = ids.copy()
        ids[~is_uuid] = fresh_id_bytes(int(np.count_nonzero(~is_uuid)))
        for i in np.flatnonzero(~is_uuid & own_id).tolist():
            self._findings.change("an id that is no UUID was replaced", place(i))
        for i in np.flatnonzero(self._seen.repeated(ids)).tolist():
            ids[i] = fresh_id_bytes(1)
            self._findings.change("an id that came before was replaced", place(i))
        return ids


def batches(items: Iterable[Item], size: int = BATCH) -> Iterator[list[Item]]:
    """Yield lists of at most ``size`` items, none of them empty."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def as_text(value: object) -> str | None:
    """Return printable text of a bounded length; None for nothing and for what is no text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    if not value.isprintable():
        # Half of a surrogate pair cannot be stored as UTF-8; zeros and line ends break tables.
        value = "".join(c if c.isprintable() else " " for c in value)
    return value.strip()[:_LONGEST_TEXT] or None


def as_number(value: object) -> float | None:
    """Return a finite number, also when it is written as text; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
