"""The keys of a Zarr 3 pyramid: what exists, what lies in which folder; reads nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tilescope.io.ome_metadata import Extent

METADATA = "zarr.json"

_CHUNKS = "c"
_AXES = 5
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class PyramidKeys:
    """Keys of a group whose arrays are called ``0``, ``1``…, each with all its chunks.

    Attributes
    ----------
    grids
        Number of chunks of each array along t, c, z, y, x.
    """

    grids: Sequence[Extent]

    def array_of(self, key: str) -> int | None:
        """Return the array whose metadata ``key`` holds, -1 for the group, None for no metadata."""
        if key == METADATA:
            return -1
        array, _, name = key.partition("/")
        return self._array(array) if name == METADATA else None

    def place_of(self, key: str) -> tuple[int, Extent] | None:
        """Return array and indices of the chunk that ``key`` holds, None when it is none."""
        name, *rest = key.split("/")
        array = self._array(name)
        if array is None or len(rest) != 1 + _AXES or rest[0] != _CHUNKS:
            return None
        if not self._is_inside(array, rest[1:]):
            return None
        t, c, z, y, x = map(int, rest[1:])
        return array, (t, c, z, y, x)

    def children(self, folder: Sequence[str]) -> Iterator[str]:
        """Yield the names in a folder, which is given by its parts; none when it is no folder."""
        if not folder:
            yield METADATA
            yield from map(str, range(len(self.grids)))
            return
        array = self._array(folder[0])
        if array is None:
            return
        if len(folder) == 1:
            yield from (METADATA, _CHUNKS)
        elif folder[1] == _CHUNKS and len(folder) < 2 + _AXES:
            indices = folder[2:]
            if self._is_inside(array, indices):
                yield from map(str, range(self.grids[array][len(indices)]))

    def beginning_with(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with ``prefix`` without visiting the branches of others."""
        return self._walk((), prefix)

    def _walk(self, folder: tuple[str, ...], prefix: str) -> Iterator[str]:
        for name in self.children(folder):
            path = "/".join((*folder, name))
            if name == METADATA or len(folder) == 1 + _AXES:
                if path.startswith(prefix):
                    yield path
            elif f"{path}/".startswith(prefix) or prefix.startswith(f"{path}/"):
                yield from self._walk((*folder, name), prefix)

    def _array(self, name: str) -> int | None:
        if not _NUMBER.fullmatch(name) or int(name) >= len(self.grids):
            return None
        return int(name)

    def _is_inside(self, array: int, indices: Sequence[str]) -> bool:
        """Tell whether these are numbers of chunks along the first axes."""
        return all(
            _NUMBER.fullmatch(text) is not None and int(text) < count
            for text, count in zip(indices, self.grids[array], strict=False)
        )
