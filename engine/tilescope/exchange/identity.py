"""Ids of objects on their way into a project: UUIDs, each once."""

from __future__ import annotations

import os
import re
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

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
    digits = os.urandom(16 * n).hex()
    ids = []
    for a in range(0, 32 * n, 32):
        h = digits[a : a + 32]
        variant = "89ab"[int(h[16], 16) & 3]
        ids.append(f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{variant}{h[17:20]}-{h[20:]}")
    return ids


def nucleus_id(cell_id: str) -> str:
    """Return the id of a cell's nucleus: always the same, so that the pair is known again."""
    return str(uuid5(_NUCLEUS, cell_id))


class SeenIds:
    """Which ids a file has brought so far, in sixteen bytes each or less.

    Only hashes are kept. Should two ids ever share one, the later of them is taken for a
    repetition and gets another id, which does no harm.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.int64]] = []

    def repeated(self, ids: list[str]) -> NDArray[np.bool_]:
        """Tell which ids were seen before, here or in an earlier call, and remember all."""
        hashes = np.fromiter(map(hash, ids), np.int64, len(ids))
        known, first = np.unique(hashes, return_index=True)
        repeated = np.ones(len(ids), bool)
        repeated[first] = False
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            repeated |= run[at] == hashes
        self._add(known)
        return repeated

    def _add(self, run: NDArray[np.int64]) -> None:
        # Sorted runs, each several times as long as the next, are few and cheap to keep so.
        while self._runs and len(self._runs[-1]) < _TIERS * len(run):
            run = np.union1d(self._runs.pop(), run)
        if len(run):
            self._runs.append(run)
