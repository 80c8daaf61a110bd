"""The ledger of a run whose result is a map: every block's part of it, in the same SQLite file.

A block that no neighbour changes is stored as it will be written. Blocks that are blended with
their neighbours are kept raw until the last of the neighbours is there; a blended part and the
block that completed it are one transaction, so a killed run continues with the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tilescope.store.run_ledger import RunLedger, TileState

_TABLES = """
CREATE TABLE part (
    tile INTEGER PRIMARY KEY, data BLOB NOT NULL, counts BLOB NOT NULL,
    provisional INTEGER NOT NULL
);
CREATE TABLE raw (tile INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One block's part of a map.

    Attributes
    ----------
    data
        Its pixels as the caller packs them.
    counts
        ``int64[n]``: pixels of each class, in the order of the caller.
    """

    data: bytes
    counts: NDArray[np.int64]


class MapLedger(RunLedger):
    """An open ledger of a map; used by one thread. Parameters and errors as `RunLedger`."""

    _schema: ClassVar[str] = RunLedger._schema.rstrip() + _TABLES

    def background(self) -> set[int]:
        """Return the blocks that hold nothing but background."""
        rows = self._db.execute("SELECT tile FROM tile WHERE state = ?", (TileState.BACKGROUND,))
        return {row[0] for row in rows}

    def finish_part(self, tile: int, part: Part) -> None:
        """Record a block and its part of the map."""
        self.finish_parts(tile, None, {tile: part}, ())

    def finish_parts(
        self, tile: int, raw: bytes | None, parts: Mapping[int, Part], spent: Iterable[int]
    ) -> None:
        """Record a block, the parts that it completed and the raw blocks that nobody needs now."""
        with self._writing():
            if raw is not None:
                self._db.execute("INSERT OR REPLACE INTO raw VALUES (?, ?)", (tile, raw))
            self._insert_parts(parts, provisional=False)
            self._db.executemany("DELETE FROM raw WHERE tile = ?", [(index,) for index in spent])
            self._db.execute(
                "INSERT OR REPLACE INTO tile (tile, state) VALUES (?, ?)", (tile, TileState.DONE)
            )

    def _insert_parts(self, parts: Mapping[int, Part], *, provisional: bool) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?)",
            [
                (index, part.data, part.counts.astype("<i8").tobytes(), provisional)
                for index, part in parts.items()
            ],
        )

    def add_provisional(self, tile: int, part: Part) -> None:
        """Record a part that lacks a neighbour which failed; the next run makes it anew."""
        with self._writing():
            self._insert_parts({tile: part}, provisional=True)

    def drop_provisional(self) -> None:
        """Forget the parts that lacked a neighbour."""
        with self._writing():
            self._db.execute("DELETE FROM part WHERE provisional")

    def part(self, tile: int) -> bytes | None:
        """Return a block's part of the map, None when there is none."""
        row = self._db.execute("SELECT data FROM part WHERE tile = ?", (tile,)).fetchone()
        return None if row is None else bytes(row[0])

    def parts(self) -> list[int]:
        """Return the blocks whose part is there, ascending."""
        return [row[0] for row in self._db.execute("SELECT tile FROM part ORDER BY tile")]

    def raw(self, tile: int) -> bytes | None:
        """Return a block as it came from the network, None when it is not there."""
        row = self._db.execute("SELECT data FROM raw WHERE tile = ?", (tile,)).fetchone()
        return None if row is None else bytes(row[0])

    def raw_tiles(self) -> set[int]:
        """Return the blocks that are kept as they came from the network."""
        return {row[0] for row in self._db.execute("SELECT tile FROM raw")}

    def total_counts(self, length: int) -> NDArray[np.int64]:
        """Return the pixels of each class over all parts, ``int64[length]``."""
        total = np.zeros(length, np.int64)
        for (blob,) in self._db.execute("SELECT counts FROM part"):
            total += np.frombuffer(blob, "<i8")
        return total
