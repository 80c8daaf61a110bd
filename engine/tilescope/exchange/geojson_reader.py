"""GeoJSON of QuPath and of other programs, read leniently and feature by feature.

Taken are a FeatureCollection, an array of features, one feature, one geometry, and one feature
per line; also packed by gzip or zip. Coordinates are level-0 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from tilescope.domain.annotation import Annotation, Author, AuthorKind, ObjectKind
from tilescope.exchange.colours import colour_of_rgb_number
from tilescope.exchange.findings import Findings
from tilescope.exchange.geojson_shapes import shapes_of
from tilescope.exchange.identity import as_uuid, fresh_ids, nucleus_id
from tilescope.exchange.intake import Draft, Intake, as_text, batches
from tilescope.exchange.json_stream import MOST_VALUE_CHARS, JsonStream
from tilescope.exchange.opening import unpacked
from tilescope.exchange.palette import RGB

Json = dict[str, Any]
_Drafted = tuple[Draft, Any]

PARENT_KEY = "tilescope:parent"
AUTHOR_KEY = "tilescope:author"

#: Features at a time whose parsed JSON is held: lists that live long cost the garbage collector
#: as much as all the rest.
_PART = 512
#: Children in children.
_DEEPEST = 32
_MOST_MEMBERS = 1000
_KINDS: dict[str, ObjectKind] = {
    "annotation": "annotation",
    "detection": "detection",
    "cell": "cell",
    "tile": "tile",
    # What QuPath called its objects before 0.3.
    "pathannotationobject": "annotation",
    "pathdetectionobject": "detection",
    "pathcellobject": "cell",
    "pathtileobject": "tile",
    "tmacore": "annotation",
    "tmacoreobject": "annotation",
}
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
) -> Iterator[list[Annotation]]:
    """Yield the objects of a file in order, in batches of at most 4096.

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
        parts = (reader.taken(part) for part in batches(reader.drafts(text), _PART))
        yield from batches(chain.from_iterable(parts))


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

    def taken(self, part: list[_Drafted]) -> list[Annotation]:
        """Return the objects that can be taken."""
        drafts = [draft for draft, _ in part]

        def refuse(index: int, reason: str) -> None:
            self._findings.leave_out(reason, drafts[index].place)

        return self.intake.taken(drafts, shapes_of([shape for _, shape in part], refuse))

    def drafts(self, text: JsonStream) -> Iterator[_Drafted]:
        """Yield every object with the value of its geometry."""
        for value in _features(text):
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
        plan = self._plan(tuple(properties))
        said = properties[plan.kind] if plan.kind else None
        kind = _KINDS.get(said) if type(said) is str else None
        if kind is None or plan.children:
            return None
        draft = Draft(place, value.get("id"), kind)
        return self._draft(value, properties, plan, draft), value.get("geometry")

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
            draft = self._draft(value, properties, plan, Draft(place, value.get("id"), kind))
            draft.parent_id = parent_id or draft.parent_id
            yield draft, value.get("geometry")
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
        return _KINDS.get(word, "annotation")

    def _draft(self, value: Json, properties: Json, plan: _Plan, draft: Draft) -> Draft:
        if plan.children or "nucleusGeometry" in value:
            # Its children have to know its id.
            draft.id = as_uuid(draft.id) or fresh_ids(1)[0]
        elif draft.id is not None:
            draft.own_id = not (isinstance(draft.id, str) and draft.id.lower() in _KINDS)
        if plan.class_name and not _is_kind(plan.class_name, properties):
            draft.class_name = self._class(properties[plan.class_name], draft.place)
        if plan.name:
            draft.name = as_text(properties["name"])
        if plan.locked:
            draft.locked = properties[plan.locked] is True
        if plan.measured:
            draft.measurements = self._measurements(properties, plan, draft.place)
        geometry = value.get("geometry")
        if isinstance(geometry, dict) and "plane" in geometry:
            plane = geometry["plane"]
            if isinstance(plane, dict):
                draft.z, draft.t = _plane(plane.get("z")), _plane(plane.get("t"))
        if plan.metadata:
            self._metadata(properties["metadata"], draft)
        return draft

    def _measurements(self, properties: Json, plan: _Plan, place: str) -> Mapping[str, float]:
        given = properties.get("measurements")
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
        return self.intake.measurements(given, place) if given else given

    def _class(self, said: object, place: str) -> str | None:
        if said is None:
            return None
        if isinstance(said, dict):
            name = said.get("name")
            if isinstance(name, str) and name in self._classes:
                return self._classes[name]
            name, colour = _class_name(said), _colour(said)
        else:
            name, colour = _joined(said), None
        if name is None:
            self._findings.leave_out("a class that has no name", place)
        elif colour is not None and len(self._classes) < _MOST_MEMBERS:
            self._classes[name] = name
        return self.intake.meet(name, colour)

    def _metadata(self, metadata: object, draft: Draft) -> None:
        """Take what our own writer puts here; of other programs' notes there is no place."""
        if metadata is None:
            return
        told = dict(metadata) if isinstance(metadata, dict) else {}
        draft.parent_id = as_uuid(told.pop(PARENT_KEY, None))
        draft.author = self._author(told.pop(AUTHOR_KEY, None))
        if told or not isinstance(metadata, dict):
            self._findings.leave_out("the property 'metadata'", draft.place)

    def _author(self, said: object) -> Author | None:
        if not isinstance(said, str):
            return None
        word, _, name = said.partition(":")
        kind = _AUTHORS.get(word)
        if kind is None:
            return None
        if said not in self._authors:
            if len(self._authors) >= _MOST_MEMBERS:
                return None
            self._authors[said] = Author(kind, as_text(name) or "")
        return self._authors[said]


def _features(text: JsonStream) -> Iterator[object]:
    """Yield the features of a text one by one; a text may hold several values, one per line."""
    if not text.peek():
        raise text.error("is empty")
    while first := text.peek():
        if first == "[":
            for _ in text.elements():
                yield _element(text)
        elif first == "{":
            yield from _object(text)
        else:
            raise text.error(f"GeoJSON begins with {{ or [, not with {first!r}")


def _element(text: JsonStream) -> object:
    """Return the next feature; the coordinates of an area are left as text."""
    value, coordinates = text.lifted("coordinates")
    if coordinates is not None:
        geometry = value.get("geometry")
        if not isinstance(geometry, dict) or geometry.get("coordinates") != 0:
            msg = "the coordinates of a feature are not in its geometry"
            raise text.error(msg)
        geometry["coordinates"] = coordinates
    return value


def _object(text: JsonStream) -> Iterator[object]:
    """Yield the features of a collection, or the one feature or geometry that it is."""
    members: Json = {}
    collected = False
    for name in text.members():
        if name == "features" and text.peek() == "[":
            collected = True
            for _ in text.elements():
                yield _element(text)
        elif len(members) < _MOST_MEMBERS:
            members[name] = text.value()
        else:
            raise text.error(f"one object has more than {_MOST_MEMBERS:,} members")
    if collected:
        return
    if "geometry" in members:
        yield members
    elif "coordinates" in members or "geometries" in members:
        yield {"geometry": members}
    else:
        raise text.error("is JSON, but not GeoJSON: it has neither features nor a geometry")


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


def _is_kind(key: str, properties: Json) -> bool:
    """Tell whether ``type`` says what the object is, and not its class."""
    said = properties[key]
    return key == "type" and isinstance(said, str) and said.replace("_", "").lower() in _KINDS


def _plane(value: object) -> int:
    return value if type(value) is int and 0 <= value < 2**31 else 0


def _class_name(said: Json) -> str | None:
    return _joined(said.get("name")) or _joined(said.get("names"))


def _joined(said: object) -> str | None:
    """Return the name of a class; one derived from others lists them from the general on."""
    if isinstance(said, list):
        return ": ".join(filter(None, map(as_text, said))) or None
    return as_text(said)


def _colour(said: Json) -> RGB | None:
    """Return a colour given as a list, or packed into one whole number as Java does."""
    value = said.get("color", said.get("colorRGB"))
    if type(value) is int:
        return colour_of_rgb_number(value)
    if isinstance(value, list) and len(value) >= 3 and all(type(v) is int for v in value[:3]):
        red, green, blue = (min(255, max(0, v)) for v in value[:3])
        return red, green, blue
    return None
