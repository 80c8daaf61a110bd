"""XML read event by event; entities are refused, depth and length are bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from tilescope.errors import AnnotationError

_CHUNK_BYTES = 1 << 18
_LONGEST_TOKEN_BYTES = 8 << 20
_LONGEST_TEXT_CHARS = 100_000
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Begin:
    """An element begins; names are in lower case and without a namespace."""

    name: str
    attributes: Mapping[str, str]
    line: int


@dataclass(frozen=True, slots=True)
class End:
    """An element ends; ``text`` is what stood directly in it, without white space around it."""

    name: str
    text: str


def xml_events(path: Path, stream: BinaryIO) -> Iterator[Begin | End]:
    """Yield the beginning and the end of every element.

    Raises
    ------
    AnnotationError
        When the XML is broken or cut short, declares entities, or is nested too deeply.
    """
    parser = _Parser(path)
    while data := stream.read(_CHUNK_BYTES):
        yield from parser.fed(data, final=False)
    yield from parser.fed(b"", final=True)


class _Parser:
    """Collects what expat calls back with."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._events: list[Begin | End] = []
        self._texts: list[list[str]] = []
        self._bytes = 0
        self._refusal: str | None = None
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = self._entity
        parser.ExternalEntityRefHandler = self._entity
        self._parser = parser

    def fed(self, data: bytes, *, final: bool) -> list[Begin | End]:
        """Parse the next bytes and return what they completed."""
        self._bytes += len(data)
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as exc:
            place = f"line {exc.lineno:,}, character {exc.offset + 1:,}"
            raise AnnotationError(self._path, _said(exc), place) from None
        except _RefusedError as exc:
            raise AnnotationError(self._path, str(exc), self._place()) from None
        except (LookupError, ValueError) as exc:
            raise AnnotationError(self._path, f"its text cannot be decoded: {exc}") from None
        if self._bytes - max(0, self._parser.CurrentByteIndex) > _LONGEST_TOKEN_BYTES:
            reason = f"one element is longer than {_LONGEST_TOKEN_BYTES >> 20} MiB"
            raise AnnotationError(self._path, reason, self._place())
        events, self._events = self._events, []
        return events

    def _place(self) -> str:
        line, column = self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber
        return f"line {line:,}, character {column + 1:,}"

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._texts) >= _DEEPEST:
            raise _RefusedError(f"elements are nested more than {_DEEPEST} deep")
        self._texts.append([])
        lower = {_local(key): value for key, value in attributes.items()}
        self._events.append(Begin(_local(name), lower, self._parser.CurrentLineNumber))

    def _end(self, name: str) -> None:
        self._events.append(End(_local(name), "".join(self._texts.pop()).strip()))

    def _text(self, text: str) -> None:
        texts = self._texts[-1]
        texts.append(text)
        if len(texts) > 1 and sum(map(len, texts)) > _LONGEST_TEXT_CHARS:
            raise _RefusedError(f"one text is longer than {_LONGEST_TEXT_CHARS:,} characters")

    def _entity(self, *_: object) -> int:
        raise _RefusedError("declares entities, which files of annotations never need")


class _RefusedError(Exception):
    """Raised through expat."""


def _local(name: str) -> str:
    return name.rpartition(":")[2].lower()


def _said(exc: expat.ExpatError) -> str:
    said = expat.ErrorString(exc.code) or "unknown error"
    cut = exc.code in (
        expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
        expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
    )
    return f"is not XML: {said}" + ("; the file may be cut short" if cut else "")
