"""What a reader is."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol, Self

from numpy.typing import NDArray

from tilescope.domain.slide import SlideInfo

Pixels = NDArray[Any]


class SlideSource(Protocol):
    """An open slide that hands out decoded tiles; every method may be called from any thread."""

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide."""
        ...

    def read_tile(self, level: int, col: int, row: int, plane: int = 0) -> Pixels:
        """Return one tile, ``[height, width, bands]`` in the slide's dtype, cut at the edge.

        A tile the file leaves out is returned as background.

        Raises
        ------
        TileReadError
            When its bytes cannot be read or decoded.
        IndexError
            When the slide has no such tile or plane.
        """
        ...

    def close(self) -> None:
        """Give back the file; calling it twice is fine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def check_plane(info: SlideInfo, plane: int) -> None:
    """Refuse a plane that the slide does not have.

    Raises
    ------
    IndexError
        With the number of planes.
    """
    if not 0 <= plane < info.z * info.t:
        msg = f"the slide has {info.z * info.t} planes, no plane {plane}"
        raise IndexError(msg)
