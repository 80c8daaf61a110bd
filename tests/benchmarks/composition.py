"""Benchmark ``compose``: bands of fluorescence in one picture, against the best numpy found.

Numpy does it in two ways, both with everything made once that can be and nothing allocated since.
*Tables*: each value finds a 64-bit word of four 16-bit lanes, what it adds to alpha, red, green and
blue; lanes add up as words. A single band finds the finished 32-bit word. Floats become an index of
65,536 steps first. *Floats*: windows and colours in single precision, in place. The peer is
whichever was quicker just before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pairs import in_threads
from report import Report, Settings, same_pixels

from tilescope.ops.compose import ChannelStyle, Composer

Pixels = NDArray[Any]
Words = NDArray[np.uint32]

SIDE = 512
BANDS = (1, 4, 7)
CASES = (("uint8", 255, 1.0), ("uint16", 4095, 1.0), ("float32", 3.0, 1.0), ("float32", 3.0, 0.6))

_COLOURS = ((0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 0, 255), (0, 255, 255), (255, 255, 0),
            (255, 255, 255))  # fmt: skip

#: Lanes hold eight bands of 255 levels in steps of 1/16.
_STEP = 16
_FLOAT_STEPS = 65536


def run(settings: Settings, report: Report) -> None:
    """Measure everything the benchmark ``compose`` has keys for."""
    report.peer("numpy", np.__version__)
    side = settings.scaled(SIDE, 64)
    report.input("tiles", side=side, bands=list(BANDS))
    for dtype, top, gamma in CASES:
        bent = "" if gamma == 1 else "_gamma"
        for count in BANDS:
            _one(settings, report, f"{dtype}{bent}_{count}_vs_numpy", (dtype, top, gamma, count))
        for what in BANDS[1:], BANDS:
            keys = [f"{dtype}{bent}_{n}_vs_numpy" for n in what]
            report.pooled(f"{dtype}{bent}_{'all' if 1 in what else 'several'}_vs_numpy", keys)


def _one(settings: Settings, report: Report, key: str, case: tuple[str, float, float, int]) -> None:
    dtype, top, gamma, count = case
    side = settings.scaled(SIDE, 64)
    styles = [ChannelStyle(0.02 * top, 0.7 * top, gamma, c) for c in _COLOURS[:count]]
    chance = np.random.default_rng(settings.seed)
    tiles = [_tile(chance, dtype, top, (side, side, count)) for _ in range(4)]
    out, composer = np.empty((side, side), np.uint32), Composer(styles, dtype)
    peers: list[Callable[[Pixels], Words]] = [Tables(styles, dtype, side), Floats(styles, side)]
    for peer in peers:
        ours = composer(tiles[0]).view(np.uint8)
        same_pixels(ours, peer(tiles[0]).view(np.uint8), type(peer).__name__, within=1)
    best = min(peers, key=lambda peer: _seconds(peer, tiles[0]))
    batch = tiles * settings.scaled(4, 1)
    report.ratio(
        key,
        in_threads(lambda tile: composer(tile, out=out), 1),
        in_threads(best, 1),
        [batch] * (settings.pairs + 1),
    )
    report.figure(f"{key}_by", None, peer=type(best).__name__.lower())


def _tile(chance: np.random.Generator, dtype: str, top: float, shape: tuple[int, ...]) -> Pixels:
    """Return a tile as fluorescence is: mostly dark."""
    return np.minimum(chance.exponential(top / 8, shape), top).astype(dtype)


def _seconds(work: Callable[[Pixels], Words], tile: Pixels) -> float:
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        work(tile)
        taken.append(time.perf_counter() - start)
    return min(taken)


class Tables:
    """Numpy's quickest for integers: look the sums of all colours up at once."""

    def __init__(self, styles: Sequence[ChannelStyle], dtype: str, side: int) -> None:
        self._styles = styles
        self._integer = np.issubdtype(np.dtype(dtype), np.integer)
        count = np.iinfo(dtype).max + 1 if self._integer else _FLOAT_STEPS
        self._tables = [self._table(style, count) for style in styles]
        self._single = _finished(self._tables[0].copy()) if len(styles) == 1 else None
        self._index = np.empty((side, side), np.intp)
        self._unit = np.empty((side, side), np.float32)
        self._sums, self._more = (np.empty((side, side), np.uint64) for _ in range(2))
        self._out = np.empty((side, side), np.uint32)

    def __call__(self, tile: Pixels) -> Words:
        """Return the picture of a tile."""
        if self._single is not None:
            return np.take(self._single, self._indices(tile, 0), out=self._out, mode="clip")
        np.take(self._tables[0], self._indices(tile, 0), out=self._sums, mode="clip")
        for band in range(1, len(self._tables)):
            index = self._indices(tile, band)
            np.take(self._tables[band], index, out=self._more, mode="clip")
            np.add(self._sums, self._more, out=self._sums)
        return _finished(self._sums, self._out)

    def _table(self, style: ChannelStyle, count: int) -> NDArray[np.uint64]:
        values = np.arange(count, dtype=np.float64)
        unit = values / (count - 1)
        if self._integer:
            unit = np.clip((values - style.low) / (style.high - style.low), 0, 1)
        lanes = np.empty((count, 4), np.uint16)
        for lane, colour in enumerate(reversed(style.color)):
            lanes[:, lane] = unit**style.gamma * colour * _STEP + 0.5
        lanes[:, 3] = 255 * _STEP
        return lanes.view(np.uint64)[:, 0]

    def _indices(self, tile: Pixels, band: int) -> Pixels:
        if self._integer:
            return tile[..., band]
        style, unit = self._styles[band], self._unit
        np.subtract(tile[..., band], np.float32(style.low), out=unit)
        np.multiply(unit, np.float32((_FLOAT_STEPS - 1) / (style.high - style.low)), out=unit)
        np.clip(unit, 0, _FLOAT_STEPS - 1, out=unit)
        np.copyto(self._index, unit, casting="unsafe")
        return self._index


def _finished(sums: NDArray[np.uint64], out: Words | None = None) -> Words:
    """Return lanes rounded, cut at white and packed; ``sums`` is used up."""
    words = np.empty(sums.shape, np.uint32) if out is None else out
    lanes = sums.view(np.uint16)
    lanes += _STEP // 2
    lanes >>= _STEP.bit_length() - 1
    np.minimum(lanes, 255, out=lanes)
    np.copyto(words.view(np.uint8), lanes, casting="unsafe")
    return words


class Floats:
    """Numpy's quickest for floats that are not bent: windows and colours in place."""

    def __init__(self, styles: Sequence[ChannelStyle], side: int) -> None:
        self._styles = styles
        self._unit, self._tint = (np.empty((side, side), np.float32) for _ in range(2))
        self._sums = np.empty((3, side, side), np.float32)
        self._out = np.full((side, side), 0xFF000000, np.uint32)
        self._bytes = self._out.view(np.uint8).reshape(side, side, 4)

    def __call__(self, tile: Pixels) -> Words:
        """Return the picture of a tile."""
        self._sums[:] = 0
        for band, style in enumerate(self._styles):
            unit = self._unit
            np.subtract(tile[..., band], np.float32(style.low), out=unit)
            np.multiply(unit, np.float32(1 / (style.high - style.low)), out=unit)
            np.clip(unit, 0, 1, out=unit)
            if style.gamma != 1:
                np.power(unit, np.float32(style.gamma), out=unit)
            for total, colour in zip(self._sums, style.color, strict=True):
                if colour:
                    np.multiply(unit, np.float32(colour), out=self._tint)
                    np.add(total, self._tint, out=total)
        np.minimum(self._sums, 255, out=self._sums)
        np.add(self._sums, np.float32(0.5), out=self._sums)
        for index, total in enumerate(self._sums):
            np.copyto(self._bytes[..., 2 - index], total, casting="unsafe")
        return self._out
