"""Prompts through the network: one look is one patch at one scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.clicks import Clicks
from tilescope.domain.contrast import Contrast
from tilescope.domain.geometry import Rect
from tilescope.errors import PluginBroken
from tilescope.inference.session import OnnxSession
from tilescope.io.cache import TileCache
from tilescope.io.region import read_working, working_size
from tilescope.io.source import SlideSource
from tilescope.ops.contours import outlines, to_level0
from tilescope.plugins.api import ClickAdapter, TileImage
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken

Ring = NDArray[np.float64]

#: Points on the object lie within this share of the patch, so that the object fits, too.
_SPREAD_SHARE = 0.7
#: Level-0 pixels per working pixel are at least so many; a patch is at most so many slides wide.
_NEAREST = 1 / 64
_FARTHEST = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What one look found.

    Attributes
    ----------
    factor
        Level-0 pixels per working pixel.
    area_px, score
        Area on the working grid and mean probability, both 0 when nothing was found.
    cut
        Whether the object reaches the edge of the patch, so that more of it may lie outside.
    ring
        Outline in level-0 pixels; None when nothing was found.
    """

    factor: float
    area_px: float
    score: float
    cut: bool
    ring: Ring | None

    @property
    def diameter_px(self) -> float:
        """Level-0 diameter of the circle of the object's area."""
        return 2.0 * math.sqrt(self.area_px / math.pi) * self.factor


#: What is found where nobody has to look.
NOTHING = Look(1.0, 0.0, 0.0, cut=False, ring=None)


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
        batch = self.model.spec.tile.max_batch
        found: list[Look] = []
        for first in range(0, len(clicks), batch):
            token.raise_if_cancelled()
            part = slice(first, first + batch)
            found += self._batch(clicks[part], factors[part], token)
        return found

    def least_factor(self, clicks: Clicks) -> float:
        """Return the scale below which the points on the object would leave the patch."""
        points = clicks.on_object
        extent = float((points.max(axis=0) - points.min(axis=0)).max())
        return extent / (_SPREAD_SHARE * self.patch_px)

    def _batch(
        self, clicks: Sequence[Clicks], factors: Sequence[float], token: CancellationToken
    ) -> list[Look]:
        rects = [self._rect(c, f) for c, f in zip(clicks, factors, strict=True)]
        moved = [c.moved(r.x0, r.y0, f) for c, r, f in zip(clicks, rects, factors, strict=True)]
        encoded = [
            self._encode(rect, factor, points)
            for rect, factor, points in zip(rects, factors, moved, strict=True)
        ]
        inputs = {name: np.concatenate([e[name] for e in encoded]) for name in encoded[0]}
        outputs = self.session.run(inputs, token)
        return [
            self._decode({k: v[i : i + 1] for k, v in outputs.items()}, moved[i], rects[i], factor)
            for i, factor in enumerate(factors)
        ]

    def _rect(self, clicks: Clicks, factor: float) -> Rect:
        side = self.patch_px
        x0, y0 = (math.floor(v / factor - side / 2 + 0.5) for v in clicks.middle)
        return Rect(x0, y0, x0 + side, y0 + side)

    def _encode(
        self, rect: Rect, factor: float, clicks: Clicks
    ) -> Mapping[str, NDArray[np.float32]]:
        patch = self.view.read(rect, factor)
        try:
            return self.adapter.encode(patch, clicks)
        except Exception as exc:  # plugin code: one of the boundaries
            raise PluginBroken(self.model.plugin_id, "encode", exc) from exc

    def _decode(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        clicks: Clicks,
        rect: Rect,
        factor: float,
    ) -> Look:
        try:
            found = self.adapter.decode(outputs, clicks, self.parameters)
            mask = np.asarray(found.mask, np.bool_)
            if mask.shape != (rect.height, rect.width):
                msg = f"a mask of shape {mask.shape} for a patch of {rect.height} x {rect.width}"
                raise ValueError(msg)  # noqa: TRY301 - told like any other fault of the plugin
            score = float(found.score)
        except Exception as exc:  # plugin code: one of the boundaries
            raise PluginBroken(self.model.plugin_id, "decode", exc) from exc
        traced = outlines(mask.astype(np.int32))
        if not len(traced):
            return Look(factor, 0.0, 0.0, cut=False, ring=None)
        cut = bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())
        ring = to_level0(traced.rings, x0=rect.x0, y0=rect.y0, factor=factor)
        return Look(factor, float(mask.sum()), score, cut, ring)
