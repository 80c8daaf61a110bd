"""Annotations as GeoJSON in the dialect that QuPath reads and writes, one feature per line."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from json import JSONEncoder
from json.encoder import encode_basestring as _json
from operator import add
from pathlib import Path

from tilescope.domain.annotation import Annotation, Author
from tilescope.exchange.geojson_reader import AUTHOR_KEY, PARENT_KEY
from tilescope.exchange.geometry_text import geometry_texts
from tilescope.exchange.identity import nucleus_id
from tilescope.exchange.making import MADE_KEY, made_text
from tilescope.exchange.palette import RGB, class_colour
from tilescope.exchange.staging import staged_file

_PART = 2048
_GZIP_LEVEL = 6
_MOST_REMEMBERED = 10_000


def write_geojson(
    path: Path,
    annotations: Iterable[Sequence[Annotation]],
    *,
    colours: Mapping[str, RGB] | None = None,
) -> int:
    """Write every object as a feature and return how many objects there were.

    A nucleus that follows its cell becomes the ``nucleusGeometry`` of the cell. Parent and author
    are told in ``metadata``, where QuPath keeps them.

    Parameters
    ----------
    path
        Appears when it is whole; packed when it ends in ``.gz``. Coordinates are level-0 pixels
        with two decimals.
    annotations
        Batches in order; only one is held at a time.
    colours
        Of classes; a class that is not in it gets a colour of its own.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    lines = _Features(dict(colours or {}))
    with staged_file(path) as file:
        for block in _packed(lines.blocks(annotations), path.suffix.lower() == ".gz"):
            file.write(block)
    return lines.count


def _packed(blocks: Iterable[bytes], pack: bool) -> Iterator[bytes]:
    if not pack:
        yield from blocks
        return
    buffer = _Buffer()
    # No time in the head, so that the same objects give the same bytes.
    with gzip.GzipFile("", "wb", _GZIP_LEVEL, fileobj=buffer, mtime=0) as stream:
        for block in blocks:
            stream.write(block)
            yield buffer.taken()
    yield buffer.taken()


class _Buffer:
    """What gzip has packed so far."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing; gzip asks for it."""

    def taken(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


class _Features:
    """Makes features of annotations."""

    def __init__(self, colours: dict[str, RGB]) -> None:
        self._colours = colours
        self._classes: dict[str | None, str] = {None: ""}
        self._labels: dict[tuple[str, ...], list[str]] = {}
        self._author: Author | None = None
        self._author_notes: tuple[str, ...] = ()
        self.count = 0

    def blocks(self, annotations: Iterable[Sequence[Annotation]]) -> Iterator[bytes]:
        """Yield the file piece by piece."""
        yield b'{"type":"FeatureCollection","features":['
        separator = b"\n"
        for batch in annotations:
            for first in range(0, len(batch), _PART):
                part = batch[first : first + _PART]
                # A nucleus that begins a part is told by itself.
                yield separator + b",\n".join(self._features(part))
                separator = b",\n"
                self.count += len(part)
        yield b"\n]}\n"

    def _features(self, part: Sequence[Annotation]) -> list[bytes]:
        texts = geometry_texts([annotation.geometry for annotation in part])
        lines: list[bytes] = []
        for i, (annotation, text) in enumerate(zip(part, texts, strict=True)):
            if annotation.z or annotation.t:
                plane = f',"plane":{{"c":-1,"z":{annotation.z},"t":{annotation.t}}}}}'
                text = text[:-1] + plane.encode()  # noqa: PLW2901
            if i and annotation.parent_id is not None and _is_nucleus(annotation, part[i - 1]):
                nucleus = b',"nucleusGeometry":' + text + b',"properties":{"objectType":"cell"'
                lines[-1] = lines[-1].replace(b',"properties":{"objectType":"cell"', nucleus, 1)
                continue
            head = f'{{"type":"Feature","id":{_json(annotation.id)},"geometry":'
            lines.append(head.encode() + text + self._properties(annotation).encode())
        return lines

    def _properties(self, annotation: Annotation) -> str:
        members = f',"properties":{{"objectType":"{annotation.kind}"'
        if annotation.name is not None:
            members += f',"name":{_json(annotation.name)}'
        members += self._classification(annotation.class_name)
        if annotation.locked:
            members += ',"isLocked":true'
        if annotation.measurements:
            members += f',"measurements":{{{self._numbers(annotation.measurements)}}}'
        if annotation.author is not self._author:  # neighbours mostly have the same
            self._author, self._author_notes = annotation.author, _notes_on(annotation.author)
        notes = self._author_notes
        if annotation.parent_id is not None:
            notes = (f'"{PARENT_KEY}":{_json(annotation.parent_id)}', *notes)
        if notes:
            members += f',"metadata":{{{",".join(notes)}}}'
        return members + "}}"

    def _numbers(self, measurements: Mapping[str, float]) -> str:
        """Return the members of an object of numbers, without those that are not finite."""
        names = tuple(measurements)
        labels = self._labels.get(names)
        if labels is None:
            labels = [_json(name) + ":" for name in names]
            if len(self._labels) < _MOST_REMEMBERED:
                self._labels[names] = labels
        values = list(map(float, measurements.values()))
        if math.isfinite(sum(values)):
            return ",".join(map(add, labels, map(repr, values)))
        # JSON has no word for what is not finite.
        finite = (pair for pair in zip(labels, values, strict=True) if math.isfinite(pair[1]))
        return ",".join([label + repr(v) for label, v in finite])

    def _classification(self, name: str | None) -> str:
        text = self._classes.get(name)
        if text is None and name is not None:
            colour = self._colours.get(name) or class_colour(len(self._classes) - 1)
            text = f',"classification":{_encode({"name": name, "color": colour})}'
            self._classes[name] = text
        return text or ""


def _notes_on(author: Author) -> tuple[str, ...]:
    """Return the members that tell who made an object, and of what."""
    if author.kind == "import" or not author.name:
        return ()
    who = f'"{AUTHOR_KEY}":{_json(f"{author.kind}:{author.name}")}'
    made = made_text(author.detail)
    return (who,) if made is None else (who, f'"{MADE_KEY}":{_json(made)}')


def _is_nucleus(annotation: Annotation, before: Annotation) -> bool:
    return (
        before.kind == "cell"
        and annotation.parent_id == before.id
        and annotation.id == nucleus_id(before.id)
        and not annotation.measurements
    )


_encode = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
