"""JSON read value by value, so that a file of any size passes through a bounded buffer."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tilescope.errors import AnnotationError

#: The longest text of one value. Parsed, it can take forty times as much memory.
MOST_VALUE_CHARS = 32 << 20
_CHUNK_BYTES = 4 << 20
_WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_WHITE = " \t\n\r"
_SPACE = re.compile(r"[ \t\n\r]*")
#: A word or an escape that the end of the buffer cuts is shorter than this.
_LONGEST_TOKEN = 16
_LONGEST_ESCAPE = 6


class JsonStream:
    """A cursor in a JSON text.

    Parameters
    ----------
    path
        Named by errors.
    stream
        UTF-8 text, with or without a byte-order mark; stays the caller's.
    most_value_chars
        A longer value is refused.
    """

    def __init__(
        self, path: Path, stream: BinaryIO, *, most_value_chars: int = MOST_VALUE_CHARS
    ) -> None:
        self._path = path
        self._stream = stream
        self._most = most_value_chars
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        # As raw_decode does, without a call in between; typeshed does not know it.
        self._scan: Callable[[str, int], tuple[Any, int]]
        self._scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
        self._text = ""
        self._at = 0
        self._bytes = 0
        self._before = 0
        self._lines = 0
        self._ended = False
        #: The buffer as UTF-8, and one place in both.
        self._seen: bytes | None = None
        self._seen_at = self._seen_bytes = 0

    def peek(self) -> str:
        """Move to the next character that is no white space and return it; empty at the end."""
        while True:
            here = self._text[self._at : self._at + 1]
            if here and here not in _WHITE:
                return here
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at == len(self._text):
                if self._ended:
                    return ""
                self._refill()

    def take(self, character: str) -> None:
        """Move past ``character``.

        Raises
        ------
        AnnotationError
            When something else follows.
        """
        found = self.peek()
        if found != character:
            raise self.error(f"{character!r} is expected here" + self._instead(found))
        self._at += 1

    def value(self) -> Any:  # noqa: ANN401
        """Move past the next value and return it.

        Raises
        ------
        AnnotationError
            When it is broken, cut short, nested too deeply or too long.
        """
        self.peek()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except StopIteration as exc:
                self._refuse_unless_cut("a value is expected", exc.value)
            except json.JSONDecodeError as exc:
                self._refuse_unless_cut(exc.msg, exc.pos)
            except RecursionError:
                raise self.error("values are nested too deeply") from None
            except ValueError:  # a whole number with more digits than Python converts
                raise self.error("a number has too many digits") from None
            else:
                # A number at the end of the buffer may go on in the next chunk: "1", "1.", "1e+".
                if end < len(self._text) - 2 or self._ended or isinstance(value, dict | list):
                    self._at = end
                    return value
            self._refuse_too_long()
            self._refill()

    def ahead(self) -> tuple[bytes, int]:
        """Return what is buffered, as UTF-8, and the place of the cursor in it."""
        if self._seen is None:
            self._seen = self._text[self._at :].encode()
            self._seen_at, self._seen_bytes = self._at, 0
        elif self._at > self._seen_at:
            self._seen_bytes += len(self._text[self._seen_at : self._at].encode())
            self._seen_at = self._at
        return self._seen, self._seen_bytes

    def grow(self) -> bool:
        """Buffer at least twice as much of the next value; False when the text is at its end.

        Raises
        ------
        AnnotationError
            When the value is too long already.
        """
        if self._ended:
            return False
        self._refuse_too_long()
        self._refill()
        return True

    def skip(self, place: int) -> None:
        """Move to a later place in what ``ahead`` returned; whole values lie between."""
        data, start = self.ahead()
        self._at += len(data[start:place].decode())
        self._seen_at, self._seen_bytes = self._at, place

    def members(self) -> Iterator[str]:
        """Yield the names of an object's members; the caller takes the value after each."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            name = self.value()
            if not isinstance(name, str):
                raise self.error("the name of a member is expected here")
            self.take(":")
            yield name
            if self.peek() != ",":
                break
            self.take(",")
        self.take("}")

    def elements(self) -> Iterator[int]:
        """Yield the number, from 0, of each element of an array; the caller takes the element.

        Several elements and the commas between them may be taken, or skipped, at once.
        """
        self.take("[")
        if self.peek() == "]":
            self._at += 1
            return
        number = 0
        while True:
            yield number
            number += 1
            if self.peek() != ",":
                break
            self._at += 1
        self.take("]")

    def error(self, reason: str) -> AnnotationError:
        """Return an error that names the file and where the cursor is."""
        line = self._lines + self._text.count("\n", 0, self._at) + 1
        return AnnotationError(
            self._path, reason, f"line {line:,}, character {self._before + self._at + 1:,}"
        )

    def _refuse_too_long(self) -> None:
        if len(self._text) - self._at > self._most:
            raise self.error(f"one value is longer than {self._most:,} characters")

    def _refuse_unless_cut(self, said: str, at: int) -> None:
        """Raise unless what the scanner says may only be due to the end of the buffer."""
        unended = said.startswith("Unterminated string")
        if not self._ended and (unended or at >= len(self._text) - _LONGEST_TOKEN):
            return
        rest = self._text[at : at + _LONGEST_TOKEN]
        word_cut = any(word.startswith(rest) for word in _WORDS)
        escape_cut = said.startswith("Invalid \\") and len(rest) <= _LONGEST_ESCAPE
        if unended or len(rest) <= 1 or word_cut or escape_cut:
            self._at = len(self._text)
            raise self.error("the file ends in the middle of a value; it may be cut short")
        self._at = at
        raise self.error(f"is not JSON: {said}")

    def _instead(self, found: str) -> str:
        return f", not {found!r}" if found else "; the file may be cut short"

    def _refill(self) -> None:
        """Drop what was read and append at least as much as is left, so that work stays linear."""
        left = len(self._text) - self._at
        self._seen = None
        self._lines += self._text.count("\n", 0, self._at)
        self._before += self._at
        data = self._stream.read(max(_CHUNK_BYTES, left))
        try:
            more = self._decode(data, final=not data)
        except UnicodeDecodeError as exc:
            place = f"byte {self._bytes + exc.start + 1:,}"
            raise AnnotationError(self._path, "is not UTF-8 text", place) from None
        self._bytes += len(data)
        self._text = self._text[self._at :] + more
        self._at = 0
        self._ended = not data
