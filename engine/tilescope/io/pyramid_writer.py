"""A slide as an OME-Zarr pyramid, written with bounded memory.

Level 0 comes from the slide; every further level is the 2 x 2 means of the level before, whatever
levels the slide itself has.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.io.chunk_files import ChunkFiles
from tilescope.io.ome_metadata import (
    ChannelWindow,
    array_document,
    array_document_v2,
    channel_windows,
    group_document,
    image_attributes,
    json_bytes,
)
from tilescope.io.pyramid_plan import PyramidPlan, Stage, Unit
from tilescope.ops.resample import halve
from tilescope.runtime.cancel import CancellationToken

Pixels = NDArray[Any]

#: Gives the level-0 pixels of a rectangle of one plane.
ReadLevel0 = Callable[[Rect, int], Pixels]


class PyramidWriter:
    """Writes the units and the metadata of a plan into a folder.

    Parameters
    ----------
    folder
        Becomes the group; must exist.
    plan
        What to write.
    read
        Gives level-0 pixels; called from the threads that write units.
    """

    def __init__(self, folder: Path, plan: PyramidPlan, read: ReadLevel0) -> None:
        self._folder = folder
        self._plan = plan
        self._read = read
        below = () if plan.form.version == "0.4" else ("c",)
        self._files = [
            ChunkFiles(folder.joinpath(str(level.index), *below), stored)
            for level, stored in zip(plan.levels, plan.arrays, strict=True)
        ]

    def write_unit(self, unit: Unit, token: CancellationToken) -> int:
        """Write the chunks of a unit and return their size in bytes.

        Raises
        ------
        Cancelled
            When the token is set; the unit is to be written again.
        TileReadError
            When the slide cannot be read.
        OSError
            When a file cannot be written.
        """
        stage = self._plan.stages[unit.stage]
        top, side = self._plan.levels[stage.top], self._plan.shard_chunks
        with ExitStack() as stack:
            writers = [stack.enter_context(files.writer()) for files in self._files]

            def write(level: int, row: int, col: int, pixels: Pixels) -> None:
                t, z = divmod(unit.plane, self._plan.info.z)
                writers[level].write(t, z, row, col, pixels)

            blocks = _Blocks(stage, self._plan, lambda *at: self._base(unit, *at), write, token)
            for row in range(unit.row * side, min((unit.row + 1) * side, top.rows)):
                for col in range(unit.col * side, min((unit.col + 1) * side, top.columns)):
                    blocks.make(stage.top, row, col)
        return sum(writer.written_bytes for writer in writers)

    def write_metadata(self) -> None:
        """Write the documents that make the folder a Zarr group; all units must be done.

        Raises
        ------
        OSError
            When a file cannot be written.
        """
        plan = self._plan
        old = plan.form.version == "0.4"
        for level, stored in zip(plan.levels, plan.arrays, strict=True):
            folder = self._folder / str(level.index)
            folder.mkdir(exist_ok=True)
            document = array_document_v2(stored) if old else array_document(stored)
            (folder / (".zarray" if old else "zarr.json")).write_bytes(json_bytes(document))
        attributes = image_attributes(plan.info, plan.levels, self._windows(), plan.form.version)
        if old:
            (self._folder / ".zattrs").write_bytes(json_bytes(attributes))
            (self._folder / ".zgroup").write_bytes(json_bytes({"zarr_format": 2}))
        else:
            (self._folder / "zarr.json").write_bytes(json_bytes(group_document(attributes)))

    def _base(self, unit: Unit, row: int, col: int, rect: Rect) -> Pixels:
        stage = self._plan.stages[unit.stage]
        if stage.from_slide:
            return self._read(rect, unit.plane)
        t, z = divmod(unit.plane, self._plan.info.z)
        pixels = self._files[stage.base].read(t, z, row, col)
        return pixels[: rect.height, : rect.width]

    def _windows(self) -> list[ChannelWindow]:
        """Return what the coarsest level of the middle plane says."""
        coarsest = self._plan.levels[-1]
        samples = [
            self._files[-1].read(0, self._plan.info.z // 2, row, col)[
                : coarsest.size.height - row * coarsest.tile.height,
                : coarsest.size.width - col * coarsest.tile.width,
            ]
            for row in range(coarsest.rows)
            for col in range(coarsest.columns)
        ]
        return channel_windows(self._plan.info, samples)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Makes chunk-sized blocks depth first, each from the four below it."""

    stage: Stage
    plan: PyramidPlan
    base: Callable[[int, int, Rect], Pixels]
    write: Callable[[int, int, int, Pixels], None]
    token: CancellationToken

    def make(self, level: int, row: int, col: int) -> Pixels | None:
        """Write a block and those below it, and return it; None outside the level."""
        self.token.raise_if_cancelled()
        side, size = self.plan.form.chunk_px, self.plan.levels[level].size
        y, x = row * side, col * side
        if y >= size.height or x >= size.width:
            return None
        rect = Rect(x, y, min(x + side, size.width), min(y + side, size.height))
        if level > self.stage.base:
            pixels = self._halved(level, row, col, rect)
        else:
            pixels = self.base(row, col, rect)
            if not self.stage.from_slide:
                return pixels
        self.write(level, row, col, pixels)
        return pixels

    def _halved(self, level: int, row: int, col: int, rect: Rect) -> Pixels:
        info, half = self.plan.info, self.plan.form.chunk_px // 2
        block = np.empty((rect.height, rect.width, len(info.bands)), info.dtype)
        for dy in (0, 1):
            for dx in (0, 1):
                below = self.make(level - 1, 2 * row + dy, 2 * col + dx)
                if below is not None:
                    part = halve(below)
                    y, x = dy * half, dx * half
                    block[y : y + part.shape[0], x : x + part.shape[1]] = part
        return block
