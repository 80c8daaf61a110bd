"""Which parts of a conversion are done: one line per part, beside the unfinished image.

A line is written after the files of its part, so that whatever kills the process, what the record
names is whole. Lines are not synchronised one by one: after a power failure, start afresh.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any, BinaryIO

from tilescope.errors import OutputError, RunMismatch
from tilescope.exchange.staging import output_errors
from tilescope.io.pyramid_plan import Unit
from tilescope.runtime.closing import Closing

_SCHEMA = 1


class ConversionRecord(Closing):
    """An open record; only one process at a time can hold it.

    Attributes
    ----------
    settings
        What the conversion that began it decided.
    done
        Units that are written, each with its size in bytes.
    """

    def __init__(
        self, path: Path, file: BinaryIO, settings: Mapping[str, Any], done: dict[Unit, int]
    ) -> None:
        self._path = path
        self._file = file
        self.settings = settings
        self.done = done

    @classmethod
    def open(
        cls, path: Path, identity: Mapping[str, str], settings: Mapping[str, Any]
    ) -> ConversionRecord:
        """Return the record at ``path``, a new one when there is none.

        Parameters
        ----------
        path
            The file.
        identity
            What has to be the same for a conversion to go on, each with a word for it.
        settings
            Decisions to remember; those of an earlier conversion win.

        Raises
        ------
        RunMismatch
            When the record is of another conversion.
        OutputError
            When it cannot be written, or another process holds it.
        """
        with output_errors(path):
            file = path.open("a+b")
        try:
            _lock(path, file)
            with output_errors(path):
                earlier, done = _read(file)
                if earlier is None:
                    earlier = {"schema": _SCHEMA, "identity": identity, "settings": settings}
                    file.truncate(0)
                    file.write(json.dumps(earlier).encode() + b"\n")
                    file.flush()
            _check(path.parent, earlier, identity)
        except BaseException:
            file.close()
            raise
        return cls(path, file, earlier["settings"], done)

    def add(self, unit: Unit, size_bytes: int) -> None:
        """Say that the files of a unit are written.

        Raises
        ------
        OutputError
            When the record cannot be written.
        """
        with output_errors(self._path.parent):
            self._file.write(json.dumps([*astuple(unit), size_bytes]).encode() + b"\n")
            self._file.flush()
        self.done[unit] = size_bytes

    def close(self) -> None:
        """Close the file; twice is fine."""
        self._file.close()


def _read(file: BinaryIO) -> tuple[dict[str, Any] | None, dict[Unit, int]]:
    """Return the head and the finished units; cut off a line that was not finished."""
    file.seek(0)
    lines = file.read().split(b"\n")
    file.truncate(file.tell() - len(lines.pop()))
    file.seek(0, os.SEEK_END)
    if not lines:
        return None, {}
    try:
        head = json.loads(lines[0])
        rows = [json.loads(line) for line in lines[1:]]
        done = {Unit(stage, plane, row, col): size for stage, plane, row, col, size in rows}
        known = head["schema"] == _SCHEMA and isinstance(head["identity"], dict)
    except (ValueError, TypeError, KeyError):
        known = False
    return (head, done) if known else ({"identity": {}, "settings": {}}, {})


def _check(folder: Path, earlier: Mapping[str, Any], identity: Mapping[str, str]) -> None:
    before = earlier["identity"]
    if not before:
        raise RunMismatch(folder, ["its record cannot be read"])
    differences = [
        f"{name}: {before.get(name, 'unknown')} there, {value} now"
        for name, value in identity.items()
        if before.get(name) != value
    ]
    if differences:
        raise RunMismatch(folder, differences)


def _lock(path: Path, file: BinaryIO) -> None:
    try:
        import fcntl
    except ImportError:  # Windows refuses to delete or rename what another process has open
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        raise OutputError(path.parent, "another process is writing it; wait for it") from exc
