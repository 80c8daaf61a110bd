"""Benchmark ``click``: from a click to the outline, on the two sample slides.

A click is timed whole: reading the patch (tiles not read before included), encoding, the network,
as many looks as it takes, decoding, outlining, placing beside what is there. Places are the darkest
or brightest spots near random points, where a person would click. The session is open and warm, as
it is when the tool was chosen; what that takes is told apart.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from report import Report, Settings

import tilescope
from tilescope.domain.clicks import Prompt
from tilescope.domain.geometry import Rect
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.registry import open_slide
from tilescope.io.source import SlideSource
from tilescope.jobs.clicking.session import ClickOptions, ClickSession
from tilescope.plugins.registry import find_model

MODEL = "nuclick-nucleus"
SAMPLES = {"": "CMU-1-Small-Region.svs", "fluorescence_": "fluorescence-nuclei.png"}
THREADS = 2
CLICKS, AT_ONCE = 60, 100
CACHE_BYTES = 256 * 2**20
#: How far around a random point the spot to click on is looked for.
NEAR_PX = 24


def run(settings: Settings, report: Report) -> None:
    """Measure everything the benchmark ``click`` has keys for."""
    folder = Path(tilescope.__file__).parent / "samples"
    report.input("threads", threads=THREADS, cores=os.cpu_count())
    for prefix, name in SAMPLES.items():
        _one(settings, report, folder / name, prefix)


def _one(settings: Settings, report: Report, path: Path, prefix: str) -> None:
    cache = TileCache(CACHE_BYTES)
    with open_slide(path, cache=TileCache(CACHE_BYTES)) as source:
        random = np.random.default_rng(settings.seed)
        count = settings.scaled(CLICKS, 4)
        alone = _places(source, random, count)
        together = _places(source, random, settings.scaled(AT_ONCE, 4))
        started = time.perf_counter()
        session = ClickSession(find_model(MODEL), source, cache, ClickOptions(threads=THREADS))
        report.figure(f"{prefix}open_ms", 1e3 * (time.perf_counter() - started))
        with session:
            seconds = [_timed(session, alone[i : i + 1]) for i in range(count)]
            report.figure(f"{prefix}first_click_ms", 1e3 * seconds[0])
            report.figure(f"{prefix}click_ms_p50", 1e3 * float(np.percentile(seconds, 50)))
            report.figure(f"{prefix}click_ms_p95", 1e3 * float(np.percentile(seconds, 95)))
            report.figure(f"{prefix}hundred_clicks_s", _timed(session, together))


def _timed(session: ClickSession, places: NDArray[np.float64]) -> float:
    prompts = [Prompt.at(float(x), float(y)) for x, y in places]
    started = time.perf_counter()
    session.segment(prompts)
    return time.perf_counter() - started


def _places(source: SlideSource, random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return places on nuclei to click on, ``float64[n, 2]`` in level-0 pixels.

    Of four times as many spots those are taken that differ most from their surroundings: a person
    does not click on glass.
    """
    size, cache = source.info.size, TileCache(CACHE_BYTES)
    found, contrasts = [], []
    for _ in range(4 * count):
        x, y = (int(random.integers(NEAR_PX, n - NEAR_PX)) for n in (size.width, size.height))
        rect = Rect(x - NEAR_PX, y - NEAR_PX, x + NEAR_PX, y + NEAR_PX)
        red = read_region(source, cache, 0, rect)[..., 0].astype(np.float64)
        smooth = red[2:-2, 2:-2] + red[:-4, 2:-2] + red[4:, 2:-2] + red[2:-2, :-4] + red[2:-2, 4:]
        middle = float(np.median(red))
        at = int(smooth.argmin() if middle > 60 else smooth.argmax())
        row, column = np.unravel_index(at, smooth.shape)
        found.append((rect.x0 + 2.5 + float(column), rect.y0 + 2.5 + float(row)))
        contrasts.append(abs(float(smooth[row, column]) / 5.0 - middle))
    return np.array(found)[np.argsort(contrasts)[: -count - 1 : -1]]
