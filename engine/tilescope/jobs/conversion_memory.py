"""How a memory cap is shared out among the threads of a conversion, and its cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilescope.domain.slide import SlideInfo
from tilescope.errors import BudgetTooSmall
from tilescope.io.pyramid_plan import OutputForm, PyramidPlan, plan_pyramid
from tilescope.io.source import SlideSource
from tilescope.runtime import memory

_MIB = 2**20
#: Decoding one tile of the slide: its stored bytes, the decoder's buffers, the result.
_DECODED_TILES = 3
#: Tiles of the slide that a thread's neighbouring chunks have in common.
_SHARED_TILES = 2
_CACHE_LIMITS = (16 * _MIB, 512 * _MIB)
#: Thread stacks, codecs that are not loaded yet, a reader's own cache, holes in the heap.
_SLACK_BYTES = 48 * _MIB
#: A process's base differs by a few megabytes from one start to the next.
_MARGIN_BYTES = 8 * _MIB


@dataclass(frozen=True, slots=True)
class MemoryShare:
    """What a cap allows.

    Attributes
    ----------
    threads
        At least one.
    cache_bytes
        For tiles of the slide.
    first_depth
        For :func:`~tilescope.io.pyramid_plan.plan_pyramid`.
    """

    threads: int
    cache_bytes: int
    first_depth: int


def share_memory(
    source: SlideSource, form: OutputForm, cap_bytes: int, threads: int
) -> MemoryShare:
    """Return how many threads can work under a cap on the memory of the whole process.

    Reads the slide's first tile, so that its decoder is loaded and counted.

    Raises
    ------
    BudgetTooSmall
        When it is too little for one thread.
    TileReadError
        When the first tile cannot be read.
    """
    info, plan = source.info, plan_pyramid(source.info, form)
    tile_bytes = info.levels[0].tile.area * _pixel_bytes(info)
    thread_bytes = plan.thread_bytes + _DECODED_TILES * tile_bytes
    least_cache, largest_cache = _CACHE_LIMITS
    shared_bytes = _SHARED_TILES * tile_bytes
    alone = thread_bytes + max(least_cache, shared_bytes)
    # a tile that does not fit must not be read, and its decoder counts once it is loaded
    _free_bytes(cap_bytes, alone)
    source.read_tile(0, 0, 0)
    free_bytes = _free_bytes(cap_bytes, alone)
    count = 1
    while count < threads and free_bytes >= (count + 1) * thread_bytes + max(
        least_cache, (count + 1) * shared_bytes
    ):
        count += 1
    useful = max(least_cache, count * shared_bytes, min(largest_cache, _row_bytes(info, plan)))
    cache_bytes = min(free_bytes - count * thread_bytes, useful)
    return MemoryShare(count, cache_bytes, _first_depth(info, plan, cache_bytes))


def _row_bytes(info: SlideInfo, plan: PyramidPlan) -> int:
    """Return the bytes of the tiles that a row of units has in common with the next."""
    tile = info.levels[0].tile
    height = tile.height if tile.width <= plan.unit_px else tile.height + plan.unit_px
    return info.size.width * height * _pixel_bytes(info)


def _first_depth(info: SlideInfo, plan: PyramidPlan, cache_bytes: int) -> int:
    """Return a depth at which a row of units finds its tiles in the cache.

    Tiles wider than a unit, such as strips, would otherwise be decoded once for each unit.
    """
    tile, stage = info.levels[0].tile, plan.stages[0]
    depth = stage.top - stage.base
    if tile.width <= plan.unit_px:
        return depth
    row_bytes = info.size.width * _pixel_bytes(info)
    while depth and row_bytes * (plan.unit_px >> (stage.top - depth)) > cache_bytes:
        depth -= 1
    return depth


def _pixel_bytes(info: SlideInfo) -> int:
    return len(info.bands) * np.dtype(info.dtype).itemsize


def _free_bytes(cap_bytes: int, least_bytes: int) -> int:
    """Return what a cap leaves beside what the process takes now, at least ``least_bytes``."""
    taken_bytes = memory.rss_bytes() + _SLACK_BYTES
    if cap_bytes < taken_bytes + least_bytes:
        needed_bytes = taken_bytes + least_bytes + _MARGIN_BYTES
        raise BudgetTooSmall(needed_bytes, cap_bytes, "converting this slide")
    return cap_bytes - taken_bytes
