"""Prompts through the network: one look is one patch at one scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.clicks import Clicks
from tilescope.domain.contrast import Contrast
from tilescope.domain.geometry import Rect
from tilescope.inference.session import OnnxSession
from tilescope.io.cache import TileCache
from tilescope.io.region import read_working, working_size
from tilescope.io.source import SlideSource
from tilescope.ops.contours import outlines, to_level0
from tilescope.plugins.api import ClickAdapter, TileImage
from tilescope.plugins.calling import graph_inputs
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken

Ring = NDArray[np.float64]
Outputs = dict[str, NDArray[np.float32]]

#: Points on the object lie within this share of the patch, so that the object fits, too.
_SPREAD_SHARE = 0.7
#: Level-0 pixels per working pixel are at least so many; a patch is at most so many slides wide.
_NEAREST = 1 / 64
_FARTHEST = 1.5
#: Outlines are traced on a grid so many times as fine, smoothed over so many of its pixels.
_FINER = 2
_SMOOTHING_PX = 7


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What one look found.

    Attributes
    ----------
    factor
        Level-0 pixels per working pixel.
    score
        Mean probability, 0 when nothing was found.
    cut
        Whether the object reaches the edge of the patch, so that more of it may lie outside.
    piece
        The smallest window of the mask that holds all of it, ``bool[h, w]`` on the working grid;
        empty when nothing was found.
    corner
        Where the piece begins on the working grid, x then y.
    doubt
        Why the object should not be taken for one; empty when it may.
    """

    factor: float
    score: float
    cut: bool
    piece: NDArray[np.bool_]
    corner: tuple[int, int]
    doubt: str = ""

    @property
    def is_found(self) -> bool:
        """Tell whether there is an object."""
        return self.piece.size > 0

    @property
    def area_px(self) -> int:
        """Area on the working grid, 0 when nothing was found."""
        return int(self.piece.sum())

    @property
    def diameter_px(self) -> float:
        """Level-0 diameter of the circle of the object's area."""
        return 2.0 * math.sqrt(self.area_px / math.pi) * self.factor

    def ring(self) -> Ring | None:
        """Return the outline without stairs, in level-0 pixels; None when nothing was found."""
        fine = outlines(smoothed(self.piece).astype(np.int32))
        if not len(fine):
            return None
        x0, y0 = (_FINER * v - _SMOOTHING_PX for v in self.corner)
        return to_level0(fine.rings, x0=x0, y0=y0, factor=self.factor / _FINER)


def smoothed(piece: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask on a grid ``_FINER`` times as fine, without its stairs.

    ``bool[2 h + 14, 2 w + 14]``: there is a margin of ``_SMOOTHING_PX`` around it. A pixel belongs
    to it where most of the square about it does.
    """
    reach = _SMOOTHING_PX // 2
    fine = piece.repeat(_FINER, axis=0).repeat(_FINER, axis=1)
    counts = np.pad(fine, _SMOOTHING_PX + reach).astype(np.uint8)
    for axis in (0, 1):
        count = counts.shape[axis] - 2 * reach
        shifted = [counts.take(range(i, i + count), axis) for i in range(_SMOOTHING_PX)]
        counts = np.sum(shifted, axis=0, dtype=np.uint8)
    return np.asarray(2 * counts > _SMOOTHING_PX**2)


#: What is found where nobody has to look.
NOTHING = Look(1.0, 0.0, cut=False, piece=np.zeros((0, 0), np.bool_), corner=(0, 0))


@dataclass(frozen=True, slots=True)
class View:
    """One plane of an open slide.

    Attributes
    ----------
    contrast
        Slide-wide intensity window.
    plane
        Index of the plane, ``t * z_count + z``.
    """

    source: SlideSource
    cache: TileCache
    contrast: Contrast
    plane: int = 0

    def read(self, rect: Rect, factor: float) -> TileImage:
        """Return pixels of the working grid with ``factor`` level-0 pixels per pixel.

        Beyond the slide they are the median of what is in it: against another background the slide
        itself would be an object.
        """
        pixels = read_working(self.source, self.cache, rect, factor, plane=self.plane)
        inside = rect.intersect(Rect.of_size(working_size(self.source.info, factor)))
        if inside is not None and inside != rect:
            there = np.zeros((rect.height, rect.width), np.bool_)
            part = inside.translated(-rect.x0, -rect.y0)
            there[part.y0 : part.y1, part.x0 : part.x1] = True
            pixels[~there] = np.median(pixels[there], axis=0).astype(pixels.dtype)
        return TileImage(pixels, self.contrast)


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """What the graph is given at once, and for each prompt its clicks, patch and scale."""

    inputs: Mapping[str, NDArray[np.float32]]
    clicks: tuple[Clicks, ...]
    rects: tuple[Rect, ...]
    factors: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Looker:
    """Everything that a look needs; used from one thread at a time.

    Attributes
    ----------
    parameters
        The model's own parameters.
    """

    model: InstalledModel
    adapter: ClickAdapter
    session: OnnxSession
    view: View
    parameters: Mapping[str, float]

    @property
    def patch_px(self) -> int:
        """Side of a patch on the working grid."""
        return self.model.spec.tile.size.width

    def look(
        self, clicks: Sequence[Clicks], factors: Sequence[float], token: CancellationToken
    ) -> list[Look]:
        """Return what is found for every prompt at its scale; so many at once as the graph takes.

        No look is so close that a pixel fills it, and none from so far that the slide is small in
        it: a stored scale may be anything.

        Raises
        ------
        TileReadError, InferenceFailed, PluginBroken, Cancelled
            Whatever stands in the way of an answer.
        """
        size = self.view.source.info.size
        farthest = _FARTHEST * max(size.width, size.height) / self.patch_px
        factors = [min(max(factor, _NEAREST), farthest) for factor in factors]
        most = self.model.spec.tile.max_batch
        found: list[Look] = []
        waiting: tuple[_Batch, Future[Outputs]] | None = None
        # While the graph works on one batch the next one is read and the one before is decoded.
        with ThreadPoolExecutor(1, "tilescope-look") as graph:
            for first in range(0, len(clicks), most):
                token.raise_if_cancelled()
                batch = self._encoded(clicks[first : first + most], factors[first : first + most])
                answer = graph.submit(self.session.run, batch.inputs, token)
                if waiting is not None:
                    found += self._decoded(waiting[0], waiting[1].result())
                waiting = batch, answer
            if waiting is not None:
                found += self._decoded(waiting[0], waiting[1].result())
        return found

    def least_factor(self, clicks: Clicks) -> float:
        """Return the scale below which the points on the object would leave the patch."""
        points = clicks.on_object
        extent = float((points.max(axis=0) - points.min(axis=0)).max())
        return extent / (_SPREAD_SHARE * self.patch_px)

    def _encoded(self, clicks: Sequence[Clicks], factors: Sequence[float]) -> _Batch:
        rects = [self._rect(c, f) for c, f in zip(clicks, factors, strict=True)]
        moved = [c.moved(r.x0, r.y0, f) for c, r, f in zip(clicks, rects, factors, strict=True)]
        encoded = [self._encode(*one) for one in zip(rects, factors, moved, strict=True)]
        with self.model.calling("encode"):  # whose arrays may not fit each other
            inputs = {name: np.concatenate([e[name] for e in encoded]) for name in encoded[0]}
        return _Batch(inputs, tuple(moved), tuple(rects), tuple(factors))

    def _decoded(self, batch: _Batch, outputs: Outputs) -> list[Look]:
        return [
            self._decode({k: v[i : i + 1] for k, v in outputs.items()}, *place)
            for i, place in enumerate(zip(batch.clicks, batch.rects, batch.factors, strict=True))
        ]

    def _rect(self, clicks: Clicks, factor: float) -> Rect:
        side = self.patch_px
        x0, y0 = (math.floor(v / factor - side / 2 + 0.5) for v in clicks.middle)
        return Rect(x0, y0, x0 + side, y0 + side)

    def _encode(
        self, rect: Rect, factor: float, clicks: Clicks
    ) -> Mapping[str, NDArray[np.float32]]:
        patch = self.view.read(rect, factor)
        with self.model.calling("encode"):
            return graph_inputs(self.adapter.encode(patch, clicks))

    def _decode(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        clicks: Clicks,
        rect: Rect,
        factor: float,
    ) -> Look:
        with self.model.calling("decode"):
            found = self.adapter.decode(outputs, clicks, self.parameters)
            mask = np.asarray(found.mask, np.bool_)
            if mask.shape != (rect.height, rect.width):
                msg = f"a mask of shape {mask.shape} for a patch of {rect.height} x {rect.width}"
                raise ValueError(msg)
            score, doubt = float(found.score), str(found.doubt)
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return replace(NOTHING, factor=factor)
        left, top = int(columns[0]), int(rows[0])
        piece = mask[top : rows[-1] + 1, left : columns[-1] + 1]
        cut = bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())
        return Look(factor, score, cut, piece, (rect.x0 + left, rect.y0 + top), doubt)
