"""COCO JSON: polygons, run lengths and boxes of one image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from tilescope.domain.annotation import Annotation, Author
from tilescope.domain.geometry import Size
from tilescope.errors import AnnotationError
from tilescope.exchange.findings import Findings
from tilescope.exchange.intake import Draft, Intake, Shape, as_number, as_text, batches
from tilescope.exchange.json_stream import JsonStream
from tilescope.exchange.opening import unpacked
from tilescope.exchange.palette import RGB
from tilescope.exchange.run_lengths import polygons_of, runs_of_counts, unpacked_counts
from tilescope.exchange.vertices import NoShape, polygon

_PART = 512
_MOST_LISTED = 1_000_000
_MOST_PARTS = 100_000
_LARGEST_SIDE = 2**24
_KNOWN = frozenset(
    {"id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd", "score"}
)


def read_coco(
    path: Path, *, image: str | None = None, findings: Findings | None = None
) -> Iterator[list[Annotation]]:
    """Yield the objects of one image in order, in batches of at most 4096.

    Run lengths become outlines along the edges of pixels; a record without an outline becomes
    its box.

    Parameters
    ----------
    path
        The JSON, plain or packed.
    image
        ``file_name`` of the image, with or without folders; may be left out when the file has
        one image.
    findings
        Gets what could not be taken.

    Raises
    ------
    AnnotationError
        When the file is no COCO JSON, is broken or cut short, or has several images and not the
        one; objects may have been yielded before.
    """
    findings = Findings() if findings is None else findings
    with unpacked(path) as stream:
        tables = _Tables.read(path, JsonStream(path, stream))
    chosen = tables.image(path, image)
    reader = _Reader(path, tables, chosen, findings)
    with unpacked(path) as stream:
        records = reader.drafts(_records(JsonStream(path, stream)))
        parts = (
            reader.intake.taken([draft for draft, _ in part], [shape for _, shape in part])
            for part in batches(records, _PART)
        )
        yield from batches(chain.from_iterable(parts))


@dataclass(frozen=True, slots=True)
class _Image:
    name: str
    size: Size | None


@dataclass(slots=True)
class _Tables:
    """What stands beside the annotations."""

    images: dict[int, _Image] = field(default_factory=dict)
    categories: dict[int, tuple[str, RGB | None]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, text: JsonStream) -> _Tables:
        """Return the tables of a file; they may come before or after the annotations."""
        tables = cls()
        seen = set()
        for name in text.members():
            if name in ("images", "categories", "annotations") and text.peek() == "[":
                seen.add(name)
                for number in text.elements():
                    tables._add(name, text.value(), text, number)
            else:
                text.value()
            if {"images", "categories"} <= seen:
                return tables
        if "annotations" not in seen:
            raise AnnotationError(path, "is JSON, but not COCO: it has no annotations")
        return tables

    def _add(self, table: str, record: Any, text: JsonStream, number: int) -> None:  # noqa: ANN401
        if table == "annotations" or not isinstance(record, dict):
            return
        if number >= _MOST_LISTED:
            raise text.error(f"has more than {_MOST_LISTED:,} {table}")
        key = record.get("id")
        if type(key) is not int:
            return
        if table == "categories":
            self.categories[key] = (as_text(record.get("name")) or str(key), _colour(record))
        else:
            self.images[key] = _Image(str(record.get("file_name", "")), _size(record))

    def category(self, key: object) -> tuple[str | None, RGB | None]:
        """Return name and colour of a category; twice None when it is not listed."""
        return self.categories.get(key, (None, None)) if isinstance(key, int) else (None, None)

    def image(self, path: Path, wanted: str | None) -> int | None:
        """Return the id of the image to read; None for any when the file lists none."""
        if wanted is not None:
            name = _file(wanted)
            for key, image in self.images.items():
                if name in (_file(image.name), _file(image.name).rpartition(".")[0]):
                    return key
            if len(self.images) > 1:
                raise AnnotationError(path, f"has no image called {name!r}{self._listed()}")
        if len(self.images) > 1:
            raise AnnotationError(path, f"has several images; name one of them{self._listed()}")
        return next(iter(self.images), None)

    def _listed(self) -> str:
        names = [_file(image.name) for image in list(self.images.values())[:5]]
        more = ", …" if len(self.images) > len(names) else ""
        return f" ({', '.join(names)}{more})"


class _Reader:
    def __init__(self, path: Path, tables: _Tables, image: int | None, findings: Findings) -> None:
        self.intake = Intake(Author("import", path.name, {"format": "COCO JSON"}), findings)
        self._tables = tables
        self._image = image
        self._findings = findings
        self._count = 0

    def drafts(self, records: Iterator[Any]) -> Iterator[tuple[Draft, Shape]]:
        """Yield every object of the image with its geometry."""
        for record in records:
            self._count += 1
            place = f"annotation {self._count:,}"
            if not isinstance(record, dict):
                self._findings.leave_out("is no annotation", place)
            elif self._image is not None and record.get("image_id") != self._image:
                self._findings.leave_out("belongs to another image", place)
            else:
                yield self._drafted(record, place)

    def _drafted(self, record: dict[str, Any], place: str) -> tuple[Draft, Shape]:
        draft = Draft(place)
        key = record.get("category_id")
        name, colour = self._tables.category(key)
        if name is None and key is not None:
            self._findings.leave_out("a category that is not listed", place)
        draft.class_name = self.intake.meet(name, colour)
        score = as_number(record.get("score"))
        if score is not None:
            draft.measurements = {"score": score}
            draft.kind = "detection"
        for extra in record.keys() - _KNOWN:
            self._findings.leave_out(f"the member {as_text(extra)!r}", place)
        try:
            return draft, self._shape(record, place)
        except NoShape as exc:
            self._findings.leave_out(str(exc), place)
            return draft, None

    def _shape(self, record: dict[str, Any], place: str) -> shapely.Geometry:
        given = record.get("segmentation")
        if isinstance(given, dict):
            return self._of_runs(given)
        if isinstance(given, list) and given:
            if len(given) > _MOST_PARTS:
                raise NoShape(f"has more than {_MOST_PARTS:,} parts")
            rings = given if isinstance(given[0], list) else [given]
            return _polygons([_ring(ring) for ring in rings])
        shape = _box(record.get("bbox"))
        self._findings.change("an object without an outline became its box", place)
        return shape

    def _of_runs(self, given: dict[str, Any]) -> shapely.Geometry:
        size = given.get("size")
        if (
            not isinstance(size, list)
            or len(size) != 2
            or not all(type(side) is int and 0 < side <= _LARGEST_SIDE for side in size)
        ):
            raise NoShape("has run lengths without the size of their image")
        counts = given.get("counts")
        if isinstance(counts, str):
            counts = unpacked_counts(counts)
        if not isinstance(counts, list):
            raise NoShape("has run lengths that are no list")
        frame = Size(size[1], size[0])
        return polygons_of(runs_of_counts(counts, frame), frame)


def _records(text: JsonStream) -> Iterator[Any]:
    for name in text.members():
        if name == "annotations" and text.peek() == "[":
            for _ in text.elements():
                yield text.value()
        else:
            text.value()


def _ring(value: Any) -> np.ndarray:  # noqa: ANN401
    try:
        numbers = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise NoShape("has coordinates that are no numbers") from None
    if numbers.ndim != 1 or len(numbers) % 2:
        raise NoShape("has coordinates that are no pairs")
    if not np.isfinite(numbers).all():
        raise NoShape("has coordinates that are not finite")
    return numbers.reshape(-1, 2)


def _polygons(rings: list[np.ndarray]) -> shapely.Geometry:
    parts = [polygon(ring) for ring in rings]
    return parts[0] if len(parts) == 1 else shapely.multipolygons(parts)


def _box(value: Any) -> shapely.Geometry:  # noqa: ANN401
    numbers = _ring(value) if isinstance(value, list) else np.zeros((0, 2))
    if len(numbers) != 2:
        raise NoShape("has neither an outline nor a box")
    (x, y), (width, height) = numbers.tolist()
    return shapely.box(x, y, x + width, y + height)


def _file(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _size(record: dict[str, Any]) -> Size | None:
    width, height = record.get("width"), record.get("height")
    if type(width) is int and type(height) is int and width > 0 and height > 0:
        return Size(width, height)
    return None


def _colour(record: dict[str, Any]) -> RGB | None:
    value = record.get("color")
    if isinstance(value, list) and len(value) == 3 and all(type(v) is int for v in value):
        red, green, blue = (min(255, max(0, v)) for v in value)
        return red, green, blue
    return None
