"""The plan of an OME-Zarr pyramid: levels, arrays, and the work cut into units.

A *unit* can be done in any order, by any thread, and again: it makes a square of some levels from
a square of the level below them, chunk by chunk, and is the only writer of its files. Units of one
*stage* cover a few levels; the next stage reads the coarsest of these back. So a thread never holds
more than a few chunks, however wide the slide is, and what an interrupted unit left behind is
simply overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tilescope.domain.geometry import Size
from tilescope.domain.slide import Level, SlideInfo
from tilescope.io.ome_metadata import Compressor, StoredArray, Version, fill_value

#: Levels are added until the longer side is at most this.
_SMALLEST_PX = 512

#: A file of this side holds tens of megabytes of colour.
SHARD_PX = 4096

#: Further levels that a unit makes at once, stored as files of their own or in shards. More would
#: save reading back, less than a tenth of the work; fewer keep all threads busy on small slides.
_DEPTH, _DEPTH_SHARDED = 2, 1


@dataclass(frozen=True, slots=True)
class OutputForm:
    """How a pyramid is stored.

    Attributes
    ----------
    version
        Of OME-Zarr: 0.4 is Zarr 2, 0.5 is Zarr 3.
    chunk_px
        Side of a chunk, even.
    shard_px
        Side of the square whose chunks share a file, rounded down to whole chunks; 0.5 only. None
        gives every chunk a file of its own.
    compressor
        Of chunks; all are lossless.
    """

    version: Version = "0.5"
    chunk_px: int = 512
    shard_px: int | None = None
    compressor: Compressor = "blosc"


@dataclass(frozen=True, slots=True)
class Stage:
    """Levels that are made together.

    Attributes
    ----------
    base
        The level that is read: the slide's level 0, or what an earlier stage wrote.
    top
        The coarsest level that is made.
    from_slide
        Whether the base is read from the slide, and therefore written too.
    """

    base: int
    top: int
    from_slide: bool


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """A square of one stage in one plane; row and column count squares."""

    stage: int
    plane: int
    row: int
    col: int


@dataclass(frozen=True, slots=True)
class PyramidPlan:
    """Everything about a pyramid that is known before the first pixel.

    Attributes
    ----------
    info
        The slide.
    form
        How it is stored.
    levels
        Finest first; ``tile`` is the chunk.
    arrays
        How each level is stored.
    stages
        In the order of work.
    shard_chunks
        Chunks of a shard along y and x, one without shards.
    """

    info: SlideInfo
    form: OutputForm
    levels: tuple[Level, ...]
    arrays: tuple[StoredArray, ...]
    stages: tuple[Stage, ...]
    shard_chunks: int

    @property
    def planes(self) -> int:
        """Number of planes."""
        return self.info.z * self.info.t

    @property
    def block_bytes(self) -> int:
        """Bytes of one chunk with all bands."""
        return self.levels[0].tile.area * len(self.info.bands) * np.dtype(self.info.dtype).itemsize

    @property
    def thread_bytes(self) -> int:
        """Most bytes of arrays that one thread holds, decoding of the slide's tiles left out."""
        chunk_bytes = self.block_bytes // len(self.info.bands) * self.arrays[0].chunk[1]
        depth = max(stage.top - stage.base for stage in self.stages)
        # a block per level and its children's means; beside them one chunk is turned and encoded
        return (depth + 3) * self.block_bytes + 4 * chunk_bytes

    @property
    def unit_px(self) -> int:
        """Side of a unit of the first stage, level-0 pixels."""
        stage = self.stages[0]
        return self.form.chunk_px * self.shard_chunks << (stage.top - stage.base)

    def units(self, stage: int) -> Iterator[Unit]:
        """Yield the units of a stage, row by row."""
        top = self.levels[self.stages[stage].top]
        side = self.shard_chunks
        for plane in range(self.planes):
            for row in range(-(-top.rows // side)):
                for col in range(-(-top.columns // side)):
                    yield Unit(stage, plane, row, col)

    def count_units(self) -> int:
        """Return how many units there are in all."""
        return sum(
            self.planes
            * -(-self.levels[stage.top].rows // self.shard_chunks)
            * -(-self.levels[stage.top].columns // self.shard_chunks)
            for stage in self.stages
        )


def plan_pyramid(
    info: SlideInfo, form: OutputForm, *, first_depth: int | None = None
) -> PyramidPlan:
    """Return the plan of a pyramid.

    Parameters
    ----------
    info
        The slide.
    form
        How it is to be stored.
    first_depth
        Further levels that the units of the first stage make, at most the usual number; fewer make
        these units smaller. The files hold the same; only chunks of a shard change their order.
    """
    levels = _levels(info.size, form.chunk_px)
    shard_chunks = max(1, form.shard_px // form.chunk_px) if form.shard_px else 1
    depth = _DEPTH_SHARDED if form.shard_px else _DEPTH
    first = depth if first_depth is None else min(first_depth, depth)
    arrays = tuple(_stored(info, level, form, shard_chunks) for level in levels)
    return PyramidPlan(info, form, levels, arrays, _stages(len(levels), first, depth), shard_chunks)


def _levels(size: Size, chunk_px: int) -> tuple[Level, ...]:
    """Return levels, each half the one before, rounded up."""
    levels = [Level(0, size, _chunk(size, chunk_px), 1.0, 1.0)]
    while max(levels[-1].size.width, levels[-1].size.height) > _SMALLEST_PX:
        finer = levels[-1]
        half = Size(-(-finer.size.width // 2), -(-finer.size.height // 2))
        downsample = finer.downsample_x * 2
        levels.append(Level(finer.index + 1, half, _chunk(half, chunk_px), downsample, downsample))
    return tuple(levels)


def _chunk(size: Size, chunk_px: int) -> Size:
    return Size(min(chunk_px, size.width), min(chunk_px, size.height))


def _stages(levels: int, first: int, depth: int) -> tuple[Stage, ...]:
    stages = [Stage(0, min(first, levels - 1), from_slide=True)]
    while stages[-1].top < levels - 1:
        base = stages[-1].top
        stages.append(Stage(base, min(base + depth, levels - 1), from_slide=False))
    return tuple(stages)


def _stored(info: SlideInfo, level: Level, form: OutputForm, shard_chunks: int) -> StoredArray:
    # a colour is looked at as a whole; of other bands viewers show a few at a time
    bands = len(info.bands)
    stored = StoredArray(
        shape=(info.t, bands, info.z, level.size.height, level.size.width),
        chunk=(1, bands if info.is_rgb else 1, 1, level.tile.height, level.tile.width),
        dtype=info.dtype,
        fill=fill_value(info),
        compressor=form.compressor,
    )
    if form.shard_px is None:
        return stored
    down, across = min(shard_chunks, level.rows), min(shard_chunks, level.columns)
    shard = (1, bands, 1, level.tile.height * down, level.tile.width * across)
    return replace(stored, shard=shard)
