"""Benchmark ``tiles``: tiles, regions and viewports of vendor slides, against those who read them.

What is timed is the way from the open slide to an RGB array in memory. The places are random in
a slide of thousands of different tiles and no side has a cache that could remember them; only the
viewports, where remembering is the point, are read through caches, of equal size on both sides.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import slides
import tifffile
import zarr
from numpy.typing import NDArray
from pairs import Batch, Side, Spread, Timing, in_threads
from peer_process import PeerGone, PeerProcess
from places import CACHE_BYTES, Place, Places, square
from report import Report, Settings, same_pixels, seconds_of
from slides import TILE

from tilescope.domain.geometry import Rect
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.registry import open_slide
from tilescope.io.source import SlideSource

Pixels = NDArray[Any]
Codec = Callable[..., Pixels]

#: Two decoders of one JPEG may round differently.
GREY_LEVELS = 2


def run(settings: Settings, report: Report) -> None:
    """Measure everything the benchmark ``tiles`` has keys for."""
    jpeg = slides.jpeg_svs(settings.folder, settings.scaled(16384, 2560))
    jpeg2k = slides.jpeg2k_svs(settings.folder, settings.scaled(4096, 768))
    vast = slides.vast_svs(settings.folder, settings.scaled(100_000, 20_000))
    with ExitStack() as stack:
        places = Places(settings, stack.enter_context(open_slide(jpeg)))
        floor = _jpeg_floor(report, places, jpeg)
        _jpeg_peers(report, places, jpeg, floor, stack)
        _pyfast(report, places, jpeg, settings)
        places = Places(settings, stack.enter_context(open_slide(jpeg2k)))
        _jpeg2k(report, places, jpeg2k, stack)
    _opening(report, vast, settings)


class OpenSlideSide:
    """openslide-python: ``read_region`` and on to an RGB array."""

    def __init__(self, openslide: Any, path: Path) -> None:
        self._library = openslide
        self.slide = openslide.OpenSlide(path)
        self.forget(0)

    def forget(self, max_bytes: int) -> None:
        """Begin with an empty cache of ``max_bytes``; with 0 it keeps nothing."""
        self.slide.set_cache(self._library.OpenSlideCache(max_bytes))

    def read_tile(self, place: Place) -> Pixels:
        """Return a tile of level 0."""
        x, y = place[0] * TILE, place[1] * TILE
        return np.asarray(self.slide.read_region((x, y), 0, (TILE, TILE)).convert("RGB"))

    def read_region(self, rect: Rect, level: int = 0) -> Pixels:
        """Return a rectangle of a level."""
        scale = round(self.slide.level_downsamples[level])
        at, size = (rect.x0 * scale, rect.y0 * scale), (rect.width, rect.height)
        return np.asarray(self.slide.read_region(at, level, size).convert("RGB"))

    def sweep(self, level: int, threads: int) -> Side:
        """Return a side that starts every sweep with an empty cache."""

        def run(batch: Batch) -> Timing:
            self.forget(CACHE_BYTES)
            timing = in_threads(lambda rect: self.read_region(rect, level), threads)(batch)
            self.forget(0)
            return timing

        return run


class Floor:
    """The bare codec call on bytes already in memory."""

    def __init__(self, path: Path, codec: Codec, columns: int) -> None:
        self._data, tables = slides.tiff_tile_bytes(path)
        self._codec = codec
        self._columns = columns
        self._more = {"tables": tables} if tables is not None else {}
        self._own = threading.local()

    def decode_all(self, rect: Rect) -> None:
        """Decode every tile that a rectangle touches, and put nothing together."""
        for row in range(rect.y0 // TILE, -(-rect.y1 // TILE)):
            for column in range(rect.x0 // TILE, -(-rect.x1 // TILE)):
                self.decode((column, row))

    @property
    def mean_bytes(self) -> float:
        """Length of an encoded tile."""
        return sum(map(len, self._data)) / len(self._data)

    def decode(self, place: Place) -> Pixels:
        """Return a tile in a new array, as every reader does."""
        return self._codec(self._data[place[1] * self._columns + place[0]], **self._more)

    def decode_into(self, place: Place) -> Pixels:
        """Return a tile in the thread's own array, over the one before."""
        out = getattr(self._own, "out", None)
        if out is None:
            out = self._own.out = np.empty((TILE, TILE, 3), np.uint8)
        data = self._data[place[1] * self._columns + place[0]]
        return self._codec(data, **self._more, out=out)


def _jpeg_floor(report: Report, places: Places, path: Path) -> Floor:
    floor = Floor(path, imagecodecs.jpeg8_decode, places.source.info.levels[0].columns)
    report.peer("imagecodecs", imagecodecs.__version__)
    report.input(path.name, tile_bytes=round(floor.mean_bytes), **_facts(places.source))
    same_pixels(places.read_tile((3, 2)), floor.decode((3, 2)), "the bare codec", within=0)
    ours, bare, into = places.read_tile, floor.decode, floor.decode_into
    for key, a, b, threads in (
        ("jpeg_vs_floor", in_threads(ours, 1), in_threads(bare, 1), 1),
        ("jpeg_2t_vs_floor", in_threads(ours, 2), in_threads(bare, 2), 2),
        ("jpeg_vs_floor_preallocated", in_threads(ours, 1), in_threads(into, 1), 1),
        ("jpeg_2t_vs_1t", in_threads(ours, 2), in_threads(ours, 1), 2),
        ("floor_2t_vs_1t", in_threads(bare, 2), in_threads(bare, 1), 2),
        ("floor_preallocated_2t_vs_1t", in_threads(into, 2), in_threads(into, 1), 2),
    ):
        report.ratio(key, a, b, places.tiles(128), threads=threads)
    a, b = in_threads(places.read_region, 1), in_threads(floor.decode_all, 1)
    report.ratio("regions_vs_floor", a, b, places.regions(24))
    return floor


def _jpeg_peers(report: Report, places: Places, path: Path, floor: Floor, stack: ExitStack) -> None:
    store = stack.enter_context(tifffile.imread(path, aszarr=True, level=0))
    report.peer("tifffile", tifffile.__version__)
    array = zarr.open_array(store, mode="r")

    def read(place: Place) -> Pixels:
        x, y = place[0] * TILE, place[1] * TILE
        return np.asarray(array[y : y + TILE, x : x + TILE])

    same_pixels(places.read_tile((5, 6)), read((5, 6)), "tifffile", within=GREY_LEVELS)
    for threads in (1, 2):
        ours, peer = in_threads(places.read_tile, threads), in_threads(read, threads)
        key = f"jpeg_{threads}t_vs_tifffile"
        report.ratio(key, ours, peer, places.tiles(64), threads=threads)
    keys = ["jpeg_1t_vs_openslide", "jpeg_2t_vs_openslide", "regions_vs_openslide"]
    keys += ["regions_2t_vs_openslide", "jp2k_vs_openslide", "jp2k_2t_vs_openslide"]
    keys += ["jp2k_regions_vs_openslide", "floor_vs_openslide", "floor_regions_vs_openslide"]
    keys += [f"sweep_{a}{b}_vs_openslide" for a in ("fine", "deep") for b in ("", "_2t")]
    openslide = report.module("openslide-python", "openslide", keys)
    if openslide is None:
        return
    report.peer("openslide", openslide.__library_version__)
    peer = OpenSlideSide(openslide, path)
    stack.callback(peer.slide.close)
    _against_openslide(report, places, peer)
    # how far ahead of openslide anyone can get who decodes whole tiles
    for key, bare, theirs, batches in (
        ("floor_vs_openslide", floor.decode, peer.read_tile, places.tiles(128)),
        ("floor_regions_vs_openslide", floor.decode_all, peer.read_region, places.regions(24)),
    ):
        report.ratio(key, in_threads(bare, 1), in_threads(theirs, 1), batches)
    _sweeps(report, places, peer)


def _against_openslide(report: Report, places: Places, peer: OpenSlideSide) -> None:
    within = GREY_LEVELS
    same_pixels(places.read_tile((4, 9)), peer.read_tile((4, 9)), "openslide", within=within)
    rect = square(301, 277)
    same_pixels(places.read_region(rect), peer.read_region(rect), "openslide", within=within)
    for threads in (1, 2):
        ours, theirs = in_threads(places.read_tile, threads), in_threads(peer.read_tile, threads)
        key = f"jpeg_{threads}t_vs_openslide"
        report.ratio(key, ours, theirs, places.tiles(128), threads=threads)
    for key, threads in (("regions_vs_openslide", 1), ("regions_2t_vs_openslide", 2)):
        ours = in_threads(places.read_region, threads)
        theirs = in_threads(peer.read_region, threads)
        report.ratio(key, ours, theirs, places.regions(24), threads=threads)


def _sweeps(report: Report, places: Places, peer: OpenSlideSide) -> None:
    width, height = places.viewport.width, places.viewport.height
    deep = max(v.index for v in places.source.info.levels if v.size.width >= 2 * width)
    for name, level in (("fine", 0), ("deep", deep)):
        rect = Rect(TILE, 100, TILE + width, 100 + height)
        ours = read_region(places.source, TileCache(CACHE_BYTES), level, rect)
        same_pixels(ours, peer.read_region(rect, level), "openslide", within=GREY_LEVELS)
        for threads, end in ((1, ""), (2, "_2t")):
            key = f"sweep_{name}{end}_vs_openslide"
            a, b = places.sweep(level, threads), peer.sweep(level, threads)
            report.ratio(key, a, b, places.sweeps(level, 16), threads=threads)


def _pyfast(report: Report, places: Places, path: Path, settings: Settings) -> None:
    """Measure pyFAST in a process of its own: its libraries and ours do not share one well."""
    python = settings.pythons.get("pyfast", Path(sys.executable))
    worker = Path(__file__).with_name("pyfast_worker.py")
    with PeerProcess(python, worker) as peer:
        try:
            report.peer("pyfast", peer.ask("hello")["version"])
            peer.ask("open", path=str(path))
        except PeerGone as gone:
            report.missing("pyfast", str(gone), ["tiles_vs_pyfast"])
            return
        sample = settings.folder / "pyfast-tile.npy"
        peer.ask("save", place=_box((4, 9)), path=str(sample))
        pixels = np.load(sample)
        sample.unlink()
        same_pixels(places.read_tile((4, 9)), pixels, "pyFAST", within=GREY_LEVELS)
        theirs = peer.side("patches", threads=1)
        report.ratio(
            "tiles_vs_pyfast",
            in_threads(places.read_tile, 1),
            lambda batch: theirs([_box(place) for place in batch]),
            places.tiles(64),
        )


def _jpeg2k(report: Report, places: Places, path: Path, stack: ExitStack) -> None:
    floor = Floor(path, imagecodecs.jpeg2k_decode, places.source.info.levels[0].columns)
    report.input(path.name, tile_bytes=round(floor.mean_bytes), **_facts(places.source))
    ours, bare = places.read_tile, floor.decode
    same_pixels(ours((1, 2)), bare((1, 2)), "the bare codec", within=0)
    report.ratio("jp2k_vs_floor", in_threads(ours, 1), in_threads(bare, 1), places.tiles(8))
    report.ratio(
        "jp2k_2t_vs_1t", in_threads(ours, 2), in_threads(ours, 1), places.tiles(8), threads=2
    )
    try:
        import openslide
    except (ImportError, OSError):
        return  # already named as missing
    peer = OpenSlideSide(openslide, path)
    stack.callback(peer.slide.close)
    same_pixels(ours((1, 2)), peer.read_tile((1, 2)), "openslide", within=GREY_LEVELS)
    for key, threads in (("jp2k_vs_openslide", 1), ("jp2k_2t_vs_openslide", 2)):
        a, b = in_threads(ours, threads), in_threads(peer.read_tile, threads)
        report.ratio(key, a, b, places.tiles(8), threads=threads)
    a, b = in_threads(places.read_region, 1), in_threads(peer.read_region, 1)
    report.ratio("jp2k_regions_vs_openslide", a, b, places.regions(2))


def _opening(report: Report, path: Path, settings: Settings) -> None:
    report.input(path.name, size_bytes=path.stat().st_size)
    for key, clock in (("open_ms", time.perf_counter), ("open_cpu_ms", time.process_time)):
        taken = seconds_of(lambda: open_slide(path).close(), 2 * settings.pairs, clock)
        _spread(report, key, taken, 1e3)
    ask = "from tilescope.cli.main import main; main()"
    command = [sys.executable, "-c", ask, "info", str(path), "--json"]
    _spread(report, "info_wall_s", seconds_of(lambda: _quiet(command), settings.pairs))
    bare = [sys.executable, "-c", "pass"]
    _spread(report, "python_start_s", seconds_of(lambda: _quiet(bare), settings.pairs))


def _spread(report: Report, key: str, seconds: list[float], scale: float = 1.0) -> None:
    found = Spread.of([s * scale for s in seconds])
    quartiles = [round(found.lower, 4), round(found.upper, 4)]
    least = round(seconds[0] * scale, 4)
    report.figure(key, found.median, quartiles=quartiles, least=least, times=len(seconds))


def _quiet(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)


def _box(place: Place) -> list[int]:
    return [place[0] * TILE, place[1] * TILE, TILE, TILE]


def _facts(source: SlideSource) -> dict[str, Any]:
    size = source.info.size
    return {"width": size.width, "height": size.height, "size_bytes": source.info.size_bytes}
