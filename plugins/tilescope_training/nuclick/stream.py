"""The endless stream of prompted patches with the objects that are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.ndimage import maximum_filter, minimum_filter
from torch.utils.data import IterableDataset, get_worker_info

from tilescope.plugins.api import Clicks
from tilescope_training.nuclei import augment, stains
from tilescope_training.nuclick import light
from tilescope_training.nuclick.aims import NUCLEUS, Aim
from tilescope_training.nuclick.crops import Patch, draw_patch, subjects_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor

    from tilescope_training.nuclei.stream import Pool

    Picture = NDArray[np.floating[Any]]

OBJECT_WEIGHT = 2.0
OTHERS_WEIGHT = 2.0
RIM_WEIGHT = 2.0
"""Extra weight, beside the 1 of background: the object, other objects, and the object's outline."""


UNSURE_KINDS = frozenset({"research", "crowded"})
"""Kinds in whose labels several objects may be one."""


class PromptStream(IterableDataset["tuple[Tensor, Tensor, Tensor]"]):
    """Patches as (input [5, n, n], object [1, n, n], weight [1, n, n]), float32, without end.

    The same seed, start and worker count give the same patches.

    Parameters
    ----------
    pools
        Samples by kind: ``fluorescence``, ``histology``, ``grey`` and others with dark objects.
    shares
        How often each kind is drawn, ``synthetic`` and ``blank`` among them; they sum to one.
    aim
        What the objects are.
    """

    def __init__(
        self,
        pools: Mapping[str, Pool],
        shares: Mapping[str, float],
        seed: int,
        *,
        start: int = 0,
        texture_count: int = 96,
        aim: Aim = NUCLEUS,
    ) -> None:
        super().__init__()
        self.aim = aim
        self.subjects = {
            kind: subjects_of(pool.samples, aim, singles=kind in UNSURE_KINDS)
            for kind, pool in pools.items()
        }
        self.chances = {kind: pool.chances for kind, pool in pools.items()}
        self.shares = dict(shares)
        self.seed = (seed, start)
        self.textures = stains.make_textures(np.random.default_rng(seed), texture_count)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        worker = get_worker_info()
        random = np.random.default_rng((*self.seed, 0 if worker is None else worker.id))
        while True:
            planes, patch = self.draw(random)
            given = light.make_input(planes, patch.clicks)
            target = patch.target
            weight = weigh(patch.labels, target)
            yield torch.from_numpy(given), torch.from_numpy(target[None]), torch.from_numpy(weight)

    def draw(self, random: Generator) -> tuple[Picture, Patch]:
        """Return lit planes, float32[3, n, n], and the patch with its prompt."""
        kind = str(random.choice(list(self.shares), p=list(self.shares.values())))
        if kind == "blank":
            return self._blank(random)
        if kind == "synthetic":
            patch = self._pick("fluorescence", random)
            stained = light.make_stained(patch, self.textures, random)
            made = Patch(stained, patch.labels, patch.number, patch.clicks)
            return light.light_stained(made, self.textures, random, self.aim.grey_share), made
        patch = self._pick(kind, random)
        if kind == "fluorescence":
            return light.light_fluorescence(patch, self.textures, random), patch
        return light.light_stained(patch, self.textures, random, self.aim.grey_share), patch

    def _pick(self, kind: str, random: Generator) -> Patch:
        index = int(random.choice(len(self.subjects[kind]), p=self.chances[kind]))
        return draw_patch(self.subjects[kind][index], random)

    def _blank(self, random: Generator) -> tuple[Picture, Patch]:
        side = self.aim.patch_px
        image = augment.make_blank(side, self.textures, random)
        middle = np.full((1, 2), side / 2.0)
        none = np.zeros((side, side), np.int32)
        patch = Patch(image, none, 0, Clicks(middle, np.zeros((0, 2))))
        return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32), patch


def weigh(labels: NDArray[np.int32], target: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weight of every pixel, float32[1, n, n]."""
    rim = maximum_filter(target, 5) != minimum_filter(target, 5)
    others = (labels > 0) & (target == 0)
    weight = 1.0 + OBJECT_WEIGHT * target + OTHERS_WEIGHT * others + RIM_WEIGHT * rim
    return np.asarray(weight[None], np.float32)
