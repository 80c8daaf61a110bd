"""Ids of objects on their way into a project: UUIDs, each once."""

from __future__ import annotations

import os
import re
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.annotation_ids import id_keys, id_texts

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NUCLEUS = UUID("2f1b6d3e-6a0c-5c55-9d4b-0d8a7a0a9a11")
_TIERS = 4


def as_uuid(value: object) -> str | None:
    """Return a UUID as lower-case text with hyphens, or None for anything else."""
    if not isinstance(value, str):
        return None
    text = value.lower()
    return text if _UUID.fullmatch(text) else None


def fresh_ids(n: int) -> list[str]:
    """Return ``n`` random UUIDs; many at once take a quarter of the time of ``uuid.uuid4``."""
    return id_texts(fresh_id_bytes(n).tobytes())


def fresh_id_bytes(n: int) -> NDArray[np.uint8]:
    """Return ``uint8[n, 16]``: random UUIDs of version 4."""
    ids = np.frombuffer(bytearray(os.urandom(16 * n)), np.uint8).reshape(-1, 16)
    ids[:, 6] = ids[:, 6] & 0x0F | 0x40
    ids[:, 8] = ids[:, 8] & 0x3F | 0x80
    return ids


def nucleus_id(cell_id: str) -> str:
    """Return the id of a cell's nucleus: always the same, so that the pair is known again."""
    return str(uuid5(_NUCLEUS, cell_id))


class SeenIds:
    """Which ids a file has brought so far, in sixteen bytes each or less.

    Only keys of 64 bits are kept. Should two ids ever share one, the later of them is taken for a
    repetition and gets another id, which does no harm.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.int64]] = []

    def repeated(self, ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tell which ids, ``uint8[n, 16]``, came before, here or earlier, and remember all."""
        keys = id_keys(ids)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        again = np.zeros(len(keys), bool)
        again[1:] = ordered[1:] == ordered[:-1]
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, ordered), len(run) - 1)
            again |= run[at] == ordered
        self._add(ordered)
        repeated = np.empty(len(keys), bool)
        repeated[order] = again
        return repeated

    def _add(self, run: NDArray[np.int64]) -> None:
        # Sorted runs, each several times as long as the next, are few and cheap to keep so.
        while self._runs and len(self._runs[-1]) < _TIERS * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        if len(run):
            self._runs.append(run)
