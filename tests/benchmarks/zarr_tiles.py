"""Benchmark ``zarr``: tiles of OME-Zarr, against the libraries that read Zarr.

Everyone delivers the same array, ``[height, width, bands]``; a peer turns its bands, which OME-Zarr
stores first, by the quickest means it has. Keys that end in ``_as_stored`` leave out the turning
on the peer's side only. The floor never turns anything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import zarr
from numpy.typing import NDArray
from pairs import Batch, Side, Timing, in_threads
from places import CACHE_BYTES, Place, Places, square
from report import Report, Settings, same_pixels
from slides import TILE
from zarr_slides import ZarrCase, ome_zarr

from tilescope.domain.geometry import Rect
from tilescope.io.registry import open_slide

Pixels = NDArray[Any]
Read = Callable[[Rect], Pixels]

#: The keys without a case pool these; the others are there to be seen.
PLAIN = (
    ZarrCase("v05_zstd", "0.5", "zstd"),
    ZarrCase("v05_blosc", "0.5", "blosc-zstd"),
    ZarrCase("v04_zstd", "0.4", "zstd"),
    ZarrCase("v04_blosc", "0.4", "blosc-zstd"),
)
SHARDED = (
    ZarrCase("v05_zstd_sharded", "0.5", "zstd", shard=2048),
    ZarrCase("v05_blosc_sharded", "0.5", "blosc-zstd", shard=2048),
)
OTHERS = (
    ZarrCase("v04_lz4", "0.4", "blosc-lz4"),
    ZarrCase("v05_planar", "0.5", "blosc-zstd", planar=True),
)
REGION_CASE = PLAIN[1]

TILES = 64


def run(settings: Settings, report: Report) -> None:
    """Measure everything the benchmark ``zarr`` has keys for."""
    report.peer("zarr-python", zarr.__version__)
    report.peer("imagecodecs", imagecodecs.__version__)
    tensorstore = report.module("tensorstore", "tensorstore")
    for case in (*PLAIN, *SHARDED, *OTHERS):
        path = ome_zarr(settings.folder, case, settings.scaled(4096, 1024))
        with ExitStack() as stack:
            places = Places(settings, stack.enter_context(open_slide(path)))
            _one_thread(report, places, Peers(path, case, tensorstore))
            if case in PLAIN:
                _headroom(report, places, Peers(path, case, tensorstore))
            if case in {*PLAIN[:2], SHARDED[0]}:
                _two_threads(report, places, Peers(path, case, tensorstore))
            if case == REGION_CASE:
                _regions(report, places, Peers(path, case, tensorstore))
                _sweep(report, places, Peers(path, case, tensorstore, CACHE_BYTES))
    for name, cases in (("zarr", PLAIN), ("sharded", SHARDED)):
        for peer in ("zarr_python", "tensorstore", "floor"):
            for end in ("", "_as_stored") if peer != "floor" else ("",):
                parts = [f"{case.name}_vs_{peer}{end}" for case in cases]
                report.pooled(f"{name}_vs_{peer}{end}", parts)


class Peers:
    """The other ways to read one OME-Zarr, all of its finest level."""

    def __init__(self, path: Path, case: ZarrCase, tensorstore: Any, cache_bytes: int = 0) -> None:
        self.case = case
        self.floor = Floor(path / "0", case)
        self._path = path
        self._tensorstore = tensorstore
        self._cache_bytes = cache_bytes

    def readers(self, *, turned: bool = True) -> dict[str, Read]:
        """Return every library that is there, opened anew, with an empty cache if it has one."""
        found = {"zarr_python": self._zarr_python(turned=turned)}
        if self._tensorstore is not None:
            found["tensorstore"] = self._tensorstore_reader(turned=turned)
        return found

    def _zarr_python(self, *, turned: bool) -> Read:
        array = zarr.open_array(str(self._path / "0"), mode="r")

        def read(rect: Rect) -> Pixels:
            stored = np.asarray(array[:, rect.y0 : rect.y1, rect.x0 : rect.x1])
            return np.ascontiguousarray(np.moveaxis(stored, 0, 2)) if turned else stored

        return read

    def _tensorstore_reader(self, *, turned: bool) -> Read:
        store = self._tensorstore.open(
            {
                "driver": "zarr" if self.case.version == "0.4" else "zarr3",
                "kvstore": {"driver": "file", "path": str(self._path / "0")},
                "context": {"cache_pool": {"total_bytes_limit": self._cache_bytes}},
            }
        ).result()
        seen = store.transpose([1, 2, 0]) if turned else store
        bands = () if turned else (slice(None),)

        def read(rect: Rect) -> Pixels:
            part = seen[(*bands, slice(rect.y0, rect.y1), slice(rect.x0, rect.x1))]
            return np.asarray(part.read(order="C").result())

        return read


@dataclass(frozen=True, slots=True)
class _Stored:
    file: str
    offset: int
    length: int


class Floor:
    """The bare file read and the bare codec call; where the bytes lie is known beforehand."""

    def __init__(self, array: Path, case: ZarrCase) -> None:
        decode = imagecodecs.zstd_decode if case.codec == "zstd" else imagecodecs.blosc_decode
        self._decode: Callable[[bytes], bytes] = decode
        self._case = case
        self._array = array
        self._places: dict[Place, tuple[_Stored, ...]] = {}

    def know(self, places: Batch) -> None:
        """Look up where the chunks of some tiles are stored."""
        for place in places:
            planes = range(3) if self._case.planar else range(1)
            self._places[place] = tuple(self._stored(plane, *place) for plane in planes)

    def read(self, place: Place) -> Pixels:
        """Return a tile as it is stored, bands first."""
        parts = []
        for stored in self._places[place]:
            with open(stored.file, "rb", buffering=0) as file:  # noqa: PTH123 - the quickest
                if stored.offset:
                    file.seek(stored.offset)
                parts.append(self._decode(file.read(stored.length)))
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return np.frombuffer(data, np.uint8).reshape(3, TILE, TILE)

    def read_turned(self, place: Place) -> Pixels:
        """Return a tile with its bands last, turned by numpy."""
        return np.ascontiguousarray(np.moveaxis(self.read(place), 0, 2))

    def _stored(self, plane: int, column: int, row: int) -> _Stored:
        prefix = self._array if self._case.version == "0.4" else self._array / "c"
        if self._case.shard is None:
            file = prefix / str(plane) / str(row) / str(column)
            return _Stored(str(file), 0, file.stat().st_size)
        across = self._case.shard // TILE
        file = prefix / str(plane) / str(row // across) / str(column // across)
        # the index ends the shard: offset and length of every chunk, then its checksum
        index = np.frombuffer(file.read_bytes()[-16 * across**2 - 4 : -4], "<u8").reshape(-1, 2)
        offset, length = index[row % across * across + column % across]
        return _Stored(str(file), int(offset), int(length))


def _one_thread(report: Report, places: Places, peers: Peers) -> None:
    case, info = peers.case, places.source.info
    report.input(
        case.name,
        size_bytes=info.size_bytes,
        chunk=case.chunk,
        shard=case.shard,
        codec=case.codec,
        version=case.version,
    )
    ours = in_threads(places.read_tile, 1)
    for name, read in peers.readers().items():
        same_pixels(places.read_tile((3, 2)), read(_tile((3, 2))), name, within=0)
        key = f"{case.name}_vs_{name}"
        report.ratio(key, ours, in_threads(_by_tile(read), 1), places.tiles(TILES))
    for name, read in peers.readers(turned=False).items():
        key = f"{case.name}_vs_{name}_as_stored"
        report.ratio(key, ours, in_threads(_by_tile(read), 1), places.tiles(TILES))
    peers.floor.know([(3, 2)])
    same_pixels(places.read_tile((3, 2)), peers.floor.read_turned((3, 2)), "the floor", within=0)
    for key, read in (("floor", peers.floor.read), ("floor_turned", peers.floor.read_turned)):
        batches = _known(peers.floor, places)
        report.ratio(f"{case.name}_vs_{key}", ours, in_threads(read, 1), batches)


def _headroom(report: Report, places: Places, peers: Peers) -> None:
    """Measure how far ahead of the peers anyone can get."""
    bare = in_threads(peers.floor.read, 1)
    for peer, read in peers.readers().items():
        key = f"{peers.case.name}_floor_vs_{peer}"
        report.ratio(key, bare, in_threads(_by_tile(read), 1), _known(peers.floor, places))


def _two_threads(report: Report, places: Places, peers: Peers) -> None:
    name = peers.case.name
    one, two = in_threads(places.read_tile, 1), in_threads(places.read_tile, 2)
    report.ratio(f"{name}_2t_vs_1t", two, one, places.tiles(TILES), threads=2)
    bare = peers.floor.read
    report.ratio(
        f"{name}_floor_2t_vs_1t",
        in_threads(bare, 2),
        in_threads(bare, 1),
        _known(peers.floor, places),
        threads=2,
    )
    for peer, read in peers.readers().items():
        key = f"{name}_2t_vs_{peer}"
        report.ratio(key, two, in_threads(_by_tile(read), 2), places.tiles(TILES), threads=2)


def _regions(report: Report, places: Places, peers: Peers) -> None:
    rect = square(301, 277)
    for name, read in peers.readers().items():
        same_pixels(places.read_region(rect), read(rect), name, within=0)
        for threads, end in ((1, ""), (2, "_2t")):
            ours, peer = in_threads(places.read_region, threads), in_threads(read, threads)
            key = f"zarr_regions{end}_vs_{name}"
            report.ratio(key, ours, peer, places.regions(16), threads=threads)


def _sweep(report: Report, places: Places, peers: Peers) -> None:
    for name in peers.readers():
        for threads, end in ((1, ""), (2, "_2t")):
            ours, peer = places.sweep(0, threads), _sweeping(peers, name, threads)
            key = f"zarr_sweep{end}_vs_{name}"
            report.ratio(key, ours, peer, places.sweeps(0, 16), threads=threads)


def _sweeping(peers: Peers, name: str, threads: int) -> Side:
    def run(batch: Batch) -> Timing:
        # opening is not timed: only there the cache of a library is empty
        return in_threads(peers.readers()[name], threads)(batch)

    return run


def _known(floor: Floor, places: Places) -> list[Batch]:
    batches = list(places.tiles(TILES))
    for batch in batches:
        floor.know(batch)
    return batches


def _by_tile(read: Read) -> Callable[[Place], Pixels]:
    return lambda place: read(_tile(place))


def _tile(place: Place) -> Rect:
    x, y = place[0] * TILE, place[1] * TILE
    return Rect(x, y, x + TILE, y + TILE)
