"""What is known of a slide once it is open."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from tilescope.domain.geometry import Size
from tilescope.domain.scale import PixelSize


@dataclass(frozen=True, slots=True, order=True)
class SlideId:
    """Identity of a slide's content: path, size, modification time and series, hashed.

    The path alone would serve the pixels of yesterday's file after it was replaced.
    """

    value: str

    @classmethod
    def of(cls, uri: str, *, size_bytes: int, mtime_ns: int, series: int = 0) -> SlideId:
        """Return the identity of series ``series`` of the file at ``uri``."""
        text = f"{uri}\0{size_bytes}\0{mtime_ns}\0{series}"
        return cls(hashlib.sha256(text.encode()).hexdigest()[:32])


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of the pyramid.

    Attributes
    ----------
    index
        0 is the finest level.
    size
        Pixels of this level.
    tile
        Tile size of this level; edge tiles are cut at ``size``.
    downsample_x, downsample_y
        Level-0 pixels per pixel of this level.
    """

    index: int
    size: Size
    tile: Size
    downsample_x: float
    downsample_y: float

    @property
    def columns(self) -> int:
        """Tiles per row."""
        return -(-self.size.width // self.tile.width)

    @property
    def rows(self) -> int:
        """Tiles per column."""
        return -(-self.size.height // self.tile.height)


@dataclass(frozen=True, slots=True)
class SlideInfo:
    """Everything about an open slide but its pixels.

    Attributes
    ----------
    id
        Identity for caches and run ledgers.
    path, size_bytes
        Where it was read from, and how large the file (or folder) is.
    format, reader
        Vendor format as a word (``aperio``, ``ome-zarr``…) and the reader that opened it.
    levels
        Finest first; at least one.
    bands
        Name of each band of a tile's last axis, ``("R", "G", "B")`` for colour.
    dtype
        ``uint8``, ``uint16`` or ``float32``.
    z, t
        Number of focal planes and of time points; plane ``t * z + z_index`` is addressed by index.
    pixel_size, pixel_size_source
        None when the file does not say or says something implausible; the source names the tag.
    objective_power
        Magnification of the objective, None when unknown.
    background
        Value of each band outside the slide and in missing tiles.
    associated
        Names of label, macro and thumbnail images.
    properties
        Vendor metadata as text.
    icc_profile
        The ICC profile of the stored colours as the file holds it, None when it has none. Pixels
        are handed out as stored; nothing applies it.
    """

    id: SlideId
    path: str
    size_bytes: int
    format: str
    reader: str
    levels: tuple[Level, ...]
    bands: tuple[str, ...]
    dtype: str
    background: tuple[int, ...]
    z: int = 1
    t: int = 1
    pixel_size: PixelSize | None = None
    pixel_size_source: str | None = None
    objective_power: float | None = None
    associated: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    icc_profile: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.levels:
            msg = "a slide has at least one level"
            raise ValueError(msg)
        if len(self.background) != len(self.bands):
            msg = f"{len(self.background)} background values for {len(self.bands)} bands"
            raise ValueError(msg)

    @property
    def size(self) -> Size:
        """Level-0 pixels."""
        return self.levels[0].size

    def has_plane(self, z: int, t: int) -> bool:
        """Tell whether there is such a focal plane and time point, each from 0."""
        return 0 <= z < self.z and 0 <= t < self.t

    def plane_index(self, z: int, t: int) -> int:
        """Return the index of a plane."""
        return t * self.z + z

    @property
    def is_rgb(self) -> bool:
        """Tell whether the bands are red, green and blue."""
        return self.bands == ("R", "G", "B")
