"""GeoJSON of QuPath and of other programs, read leniently and feature by feature.

Taken are a FeatureCollection, an array of features, one feature, one geometry, and one feature
per line; also packed by gzip or zip. Coordinates are level-0 pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from tilescope.domain.annotation import Annotation, Author, AuthorKind, ObjectKind
from tilescope.domain.annotation_table import AnnotationTable
from tilescope.exchange.findings import Findings
from tilescope.exchange.geojson_members import (
    KINDS,
    class_name_of,
    colour_of,
    is_kind,
    joined,
    plane_of,
)
from tilescope.exchange.geojson_shapes import polygons_of, shapes_of
from tilescope.exchange.identity import as_uuid, fresh_ids, nucleus_id
from tilescope.exchange.intake import Draft, DraftTable, Intake, as_text, batches
from tilescope.exchange.json_stream import MOST_VALUE_CHARS, JsonStream
from tilescope.exchange.lifting import Lifted, lift, strip
from tilescope.exchange.making import MADE_KEY, made_of
from tilescope.exchange.opening import unpacked
from tilescope.exchange.patterns import Matched, Patterns

Json = dict[str, Any]
_Drafted = tuple[Draft, Any]

PARENT_KEY = "tilescope:parent"
AUTHOR_KEY = "tilescope:author"

#: Features at a time that had to be parsed whole.
_PART = 512
#: Runs of features that are parsed without asking for patterns after one had none.
_MOST_RUNS = 128
#: Children in children.
_DEEPEST = 32
_MOST_MEMBERS = 1000
_ROOTS = frozenset({"root", "pathrootobject"})
_CLASS_KEYS = ("classification", "class", "class_name", "className", "label")
_KIND_KEYS = ("objectType", "object_type", "type")
_AUTHORS: dict[str, AuthorKind] = {"user": "user", "model": "model", "import": "import"}
_LOCK_KEYS = ("isLocked", "locked", "is_locked")
_CHILD_KEYS = ("childObjects", "children")
_TAKEN_KEYS = frozenset(
    {
        *_CLASS_KEYS,
        *_KIND_KEYS,
        *_LOCK_KEYS,
        *_CHILD_KEYS,
        *("name", "measurements", "metadata", "isMissing"),
    }
)


def read_geojson(
    path: Path, *, findings: Findings | None = None, most_value_chars: int = MOST_VALUE_CHARS
) -> Iterator[Sequence[Annotation]]:
    """Yield the objects of a file in order, in batches of at most 4096.

    Objects that have nearly all in common come as an ``AnnotationTable``.

    A cell's nucleus becomes an object of its own that follows the cell and names it as parent.

    Parameters
    ----------
    path
        GeoJSON, plain or packed.
    findings
        Gets what could not be taken.
    most_value_chars
        A longer feature is refused.

    Raises
    ------
    AnnotationError
        When the file is no GeoJSON, is broken or cut short; objects may have been yielded before.
    """
    findings = Findings() if findings is None else findings
    author = Author("import", path.name, {"format": "GeoJSON"})
    reader = _Reader(Intake(author, findings), findings)
    with unpacked(path) as stream:
        text = JsonStream(path, stream, most_value_chars=most_value_chars)
        yield from _batches(reader.taken(part) for part in reader.parts(text))


def _batches(parts: Iterable[Sequence[Annotation]]) -> Iterator[Sequence[Annotation]]:
    """Yield tables as they are, and what comes between them in batches."""
    for is_table, run in groupby(parts, lambda part: isinstance(part, AnnotationTable)):
        yield from (filter(len, run) if is_table else batches(chain.from_iterable(run)))  # noqa: B031 - one of them


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which of the keys of a feature's properties say what; None where nothing does."""

    kind: str | None
    class_name: str | None
    locked: str | None
    name: bool
    metadata: bool
    measured: bool
    children: tuple[str, ...]
    extras: tuple[str, ...]

    @classmethod
    def of(cls, keys: tuple[str, ...]) -> _Plan:
        """Return the plan for properties with these keys."""
        kind = _first(_KIND_KEYS, keys)
        class_name = _first(_CLASS_KEYS, keys)
        if class_name is None and "type" in keys:
            class_name = "type"  # where some programs put the class
        extras = tuple(key for key in keys if key not in _TAKEN_KEYS)
        return cls(
            kind,
            class_name,
            _first(_LOCK_KEYS, keys),
            "name" in keys,
            "metadata" in keys,
            "measurements" in keys or bool(extras),
            tuple(key for key in _CHILD_KEYS if key in keys),
            extras,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Features:
    """Features as JSON, and what was lifted out of them."""

    values: list[Any]
    lifted: Lifted = field(default_factory=Lifted.nothing)


def _first(wanted: tuple[str, ...], keys: tuple[str, ...]) -> str | None:
    return next((key for key in wanted if key in keys), None)


class _Reader:
    """Makes drafts of features."""

    def __init__(self, intake: Intake, findings: Findings) -> None:
        self.intake = intake
        self._findings = findings
        self._count = 0
        self._authors: dict[str, Author] = {}
        self._classes: dict[str, str] = {}
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._patterns = Patterns(self._alone, intake.author)

    def taken(self, part: _Features | Matched) -> Sequence[Annotation]:
        """Return the objects that can be taken."""
        if isinstance(part, Matched):
            return self._tabled(part)
        drafts: list[Draft] = []
        geometries = []
        for draft, geometry in self._drafts(part.values):
            drafts.append(draft)
            geometries.append(geometry)

        def refuse(index: int, reason: str) -> None:
            self._findings.leave_out(reason, drafts[index].place)

        return self.intake.taken(drafts, shapes_of(geometries, part.lifted, refuse))

    def _tabled(self, part: Matched) -> AnnotationTable:
        found, n = part.stripped, len(part.stripped)
        own_id = np.zeros(n, bool)
        own_id[[i for i, said in found.other_ids.items() if self._own_id(said)]] = True
        features = np.arange(self._count + 1, self._count + 1 + n)
        self._count += n
        drafts = DraftTable(
            features, found.ids, found.is_uuid, own_id, part.traits, found.text_of, found.numbers
        )

        def refuse(index: int, reason: str) -> None:
            self._findings.leave_out(reason, drafts.place(index))

        return self.intake.tabled(drafts, polygons_of(found.shapes, refuse))

    def _alone(self, value: Json) -> Draft | None:
        """Return the draft of a feature that is one object with nothing to note, else None."""
        findings = Findings()
        plain = _Reader(Intake(self.intake.author, findings), findings)._plain(value, "")
        if plain is None or findings.has_notes:
            return None
        for name, colour in findings.classes.items():
            self._findings.meet(name, colour)
        return plain[0]

    def _drafts(self, features: list[Any]) -> Iterator[_Drafted]:
        """Yield every object with the value of its geometry."""
        for value in features:
            self._count += 1
            place = f"feature {self._count}"
            if type(value) is dict and (plain := self._plain(value, place)):
                yield plain
            else:
                yield from self._feature(value, place, None, 0)

    def _plain(self, value: Json, place: str) -> _Drafted | None:
        """Return the object of a feature without other objects in it, and None for any other."""
        properties = value.get("properties")
        if type(properties) is not dict or "features" in value or "nucleusGeometry" in value:
            return None
        keys = tuple(properties)
        plan = self._plans.get(keys) or self._plan(keys)
        said = properties[plan.kind] if plan.kind else None
        kind = KINDS.get(said) if type(said) is str else None
        if kind is None or plan.children:
            return None
        geometry = value.get("geometry")
        draft = Draft(place, value.get("id"), kind)
        return self._draft(geometry, properties, plan, draft), geometry

    def _feature(
        self, value: object, place: str, parent_id: str | None, depth: int
    ) -> Iterator[_Drafted]:
        if not isinstance(value, dict):
            self._findings.leave_out("is no feature", place)
            return
        if isinstance(value.get("features"), list):
            yield from self._all(value["features"], place, parent_id, depth)
            return
        properties = value.get("properties")
        if not isinstance(properties, dict):
            properties = {}
        plan = self._plan(tuple(properties))
        kind = self._kind(value, properties, plan, place)
        if kind is not None:
            geometry = value.get("geometry")
            draft = Draft(place, value.get("id"), kind)
            if plan.children or "nucleusGeometry" in value:
                # Its children have to know its id.
                draft.id = as_uuid(draft.id) or fresh_ids(1)[0]
            draft = self._draft(geometry, properties, plan, draft)
            draft.parent_id = parent_id or draft.parent_id
            yield draft, geometry
            parent_id = draft.id if isinstance(draft.id, str) else None
            if "nucleusGeometry" in value and parent_id:
                yield _nucleus(draft, parent_id), value["nucleusGeometry"]
        for key in plan.children:
            yield from self._all(properties[key], place, parent_id, depth)

    def _all(
        self, values: object, place: str, parent_id: str | None, depth: int
    ) -> Iterator[_Drafted]:
        if depth >= _DEEPEST:
            self._findings.leave_out(f"is nested more than {_DEEPEST} deep", place)
        elif isinstance(values, list):
            for number, value in enumerate(values, 1):
                yield from self._feature(value, f"{place}, child {number:,}", parent_id, depth + 1)

    def parts(self, text: JsonStream) -> Iterator[_Features | Matched]:
        """Yield the features of a text; a text may hold several values, one per line."""
        whole: list[Any] = []
        for run in self._runs(text):
            if isinstance(run, _Features) and not len(run.lifted):
                whole.extend(run.values)
                if len(whole) < _PART:
                    continue
            if whole:
                yield _Features(whole)
                whole = []
            if isinstance(run, Matched) or len(run.lifted):
                yield run
        if whole:
            yield _Features(whole)

    def _runs(self, text: JsonStream) -> Iterator[_Features | Matched]:
        if not text.peek():
            raise text.error("is empty")
        while first := text.peek():
            if first == "[":
                yield from self._elements(text)
            elif first == "{":
                yield from self._object(text)
            else:
                raise text.error(f"GeoJSON begins with {{ or [, not with {first!r}")

    def _elements(self, text: JsonStream) -> Iterator[_Features | Matched]:
        """Yield the features of an array, as many at a time as are buffered."""
        broken = idle = pause = 0
        for _ in text.elements():
            if not broken and text.peek() == "{":
                if idle:
                    idle -= 1
                elif (found := strip(text)) and (matched := self._patterns.match(found[0])):
                    text.skip(found[1])
                    pause = 0
                    yield matched
                    continue
                else:
                    idle = pause = min(_MOST_RUNS, 2 * pause + 1)
                values, lifted, broken = lift(text)
                if values:
                    yield _Features(values, lifted)
                    continue
            # One by one what is wrong shows, and where.
            yield _Features([text.value()])
            broken = max(0, broken - 1)

    def _object(self, text: JsonStream) -> Iterator[_Features | Matched]:
        """Yield the features of a collection, or the one feature or geometry that it is."""
        members: Json = {}
        collected = False
        for name in text.members():
            if name == "features" and text.peek() == "[":
                collected = True
                yield from self._elements(text)
            elif len(members) < _MOST_MEMBERS:
                members[name] = text.value()
            else:
                raise text.error(f"one object has more than {_MOST_MEMBERS:,} members")
        if collected:
            return
        if "geometry" in members:
            yield _Features([members])
        elif "coordinates" in members or "geometries" in members:
            yield _Features([{"geometry": members}])
        else:
            raise text.error("is JSON, but not GeoJSON: it has neither features nor a geometry")

    def _own_id(self, said: object) -> bool:
        """Tell whether an id is one, and not what QuPath once called its kinds of objects."""
        return said is not None and not (isinstance(said, str) and said.lower() in KINDS)

    def _plan(self, keys: tuple[str, ...]) -> _Plan:
        """Return where to look in properties with these keys; objects of a file have the same."""
        plan = self._plans.get(keys)
        if plan is None:
            plan = _Plan.of(keys)
            if len(self._plans) < _MOST_MEMBERS:
                self._plans[keys] = plan
        return plan

    def _kind(self, value: Json, properties: Json, plan: _Plan, place: str) -> ObjectKind | None:
        """Return what the object is; None when it is none."""
        said = properties[plan.kind] if plan.kind else None
        if not isinstance(said, str):
            said = value.get("id")
        word = said.replace("_", "").lower() if isinstance(said, str) else ""
        if word in _ROOTS:
            self._findings.leave_out("is the root of a hierarchy, not an object", place)
            return None
        if word.startswith("tmacore"):
            self._findings.change("a core of a tissue array became an annotation", place)
        return KINDS.get(word, "annotation")

    def _draft(self, geometry: object, properties: Json, plan: _Plan, draft: Draft) -> Draft:
        draft.own_id = self._own_id(draft.id)
        if plan.class_name:
            self._classify(properties[plan.class_name], plan.class_name == "type", draft)
        if plan.name:
            draft.name = as_text(properties["name"])
        if plan.locked:
            draft.locked = properties[plan.locked] is True
        if plan.measured:
            draft.measurements = self._measurements(properties, plan, draft.place)
        if type(geometry) is dict and "plane" in geometry:
            plane = geometry["plane"]
            if isinstance(plane, dict):
                draft.z, draft.t = plane_of(plane.get("z")), plane_of(plane.get("t"))
        if plan.metadata:
            self._metadata(properties["metadata"], draft)
        return draft

    def _measurements(self, properties: Json, plan: _Plan, place: str) -> Mapping[str, float]:
        given = properties.get("measurements")
        if plan.extras or type(given) is not dict:
            given = self._with_extras(given, properties, plan, place)
        return self.intake.measurements(given, place) if given else given

    def _with_extras(
        self, given: object, properties: Json, plan: _Plan, place: str
    ) -> dict[str, Any]:
        """Return measurements in any form, and numbers that stand beside them."""
        if isinstance(given, list):
            given = {
                str(entry["name"]): entry.get("value")
                for entry in given
                if isinstance(entry, dict) and "name" in entry
            }
        elif not isinstance(given, dict):
            given = {}
        for key in plan.extras:
            extra = properties[key]
            if isinstance(extra, int | float) and not isinstance(extra, bool):
                given.setdefault(key, extra)
            else:
                self._findings.leave_out(f"the property {as_text(key)!r}", place)
        return given

    def _classify(self, said: object, may_be_kind: bool, draft: Draft) -> None:
        if type(said) is dict:
            name = said.get("name")
            known = self._classes.get(name) if type(name) is str else None
            if known is not None:
                draft.class_name = known
                return
        if not (may_be_kind and is_kind(said)):
            draft.class_name = self._class(said, draft.place)

    def _class(self, said: object, place: str) -> str | None:
        if said is None:
            return None
        if isinstance(said, dict):
            name, colour = class_name_of(said), colour_of(said)
        else:
            name, colour = joined(said), None
        if name is None:
            self._findings.leave_out("a class that has no name", place)
        elif colour is not None and len(self._classes) < _MOST_MEMBERS:
            self._classes[name] = name
        return self.intake.meet(name, colour)

    def _metadata(self, metadata: object, draft: Draft) -> None:
        """Take what our own writer puts here; of other programs' notes there is no place."""
        if metadata is None:
            return
        taken = 0
        if isinstance(metadata, dict):
            if PARENT_KEY in metadata:
                draft.parent_id = as_uuid(metadata[PARENT_KEY])
                taken = 1
            if AUTHOR_KEY in metadata:
                draft.author = self._author(metadata[AUTHOR_KEY])
                taken += 1
            if MADE_KEY in metadata and draft.author is not None:
                detail = made_of(metadata[MADE_KEY])
                taken += detail is not None
                draft.author = replace(draft.author, detail=detail or {})
            if len(metadata) == taken:
                return
        self._findings.leave_out("the property 'metadata'", draft.place)

    def _author(self, said: object) -> Author | None:
        if not isinstance(said, str):
            return None
        if said in self._authors:
            return self._authors[said]
        word, _, name = said.partition(":")
        kind = _AUTHORS.get(word)
        if kind is None or len(self._authors) >= _MOST_MEMBERS:
            return None
        self._authors[said] = Author(kind, as_text(name) or "")
        return self._authors[said]


def _nucleus(cell: Draft, cell_id: str) -> Draft:
    return Draft(
        f"{cell.place}, nucleus",
        nucleus_id(cell_id),
        "detection",
        cell.class_name,
        "nucleus",
        parent_id=cell_id,
        author=cell.author,
        z=cell.z,
        t=cell.t,
    )
