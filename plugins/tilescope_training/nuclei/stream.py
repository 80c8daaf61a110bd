"""The endless stream of training crops with their targets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from tilescope_training.nuclei import augment, stains
from tilescope_training.nuclei.data import shrink
from tilescope_training.nuclei.monuseg import clumps
from tilescope_training.nuclei.targets import find_centres, make_targets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor

    from tilescope_training.nuclei.augment import Crop
    from tilescope_training.nuclei.data import Sample

SHARES = {"fluorescence": 0.20, "histology": 0.60, "synthetic": 0.10, "grey": 0.05, "blank": 0.05}
"""How often each kind of crop is drawn."""

RESEARCH_SHARES = {
    "fluorescence": 0.15, "histology": 0.20, "research": 0.55, "grey": 0.05, "blank": 0.05,
}  # fmt: skip
"""The same where there are samples for research alone."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The samples of one kind with their centres and how likely each is drawn.

    ``unsure`` tells for each sample, bool[n + 1], which labels may be several objects; None when
    none is.
    """

    samples: tuple[Sample, ...]
    centres: tuple[NDArray[np.float32], ...] = field(repr=False)
    chances: NDArray[np.float64] = field(repr=False)
    unsure: tuple[NDArray[np.bool_], ...] | None = field(default=None, repr=False)

    def draw(self, size_px: int, random: Generator) -> tuple[Sample, Crop]:
        """Return a random sample and a random crop of it."""
        index = int(random.choice(len(self.samples), p=self.chances))
        sample = self.samples[index]
        crop = augment.take_crop(sample, self.centres[index], size_px, random)
        if self.unsure is not None:
            crop = replace(crop, ignored=self.unsure[index][crop.labels])
        return sample, crop


def make_pool(samples: Sequence[Sample], groups: Sequence[int]) -> Pool:
    """Return a pool in which a group's weight grows with the square root of its size.

    By images alone the two largest experiments would be most of what the network sees.
    """
    sizes = np.bincount(groups)
    weights = 1.0 / np.sqrt(sizes[np.asarray(groups)])
    centres = tuple(find_centres(s.labels) for s in samples)
    return Pool(tuple(samples), centres, weights / weights.sum())


def make_pools(
    samples: Sequence[Sample],
    groups: Sequence[int],
    held_out: Collection[int],
    stored_diameter_px: float,
) -> dict[str, Pool]:
    """Return one pool per modality of the samples whose index is not held out.

    They are kept in memory at no more than ``stored_diameter_px``.
    """
    chosen: dict[str, list[tuple[Sample, int]]] = {}
    for index, sample in enumerate(samples):
        if index not in held_out:
            entry = (shrink(sample, stored_diameter_px), groups[index])
            chosen.setdefault(sample.modality, []).append(entry)
    return {
        kind: make_pool([s for s, _ in pairs], [g for _, g in pairs])
        for kind, pairs in chosen.items()
    }


def make_research_pool(
    samples: Sequence[Sample], drawn: Collection[str], stored_diameter_px: float
) -> Pool:
    """Return a pool in which clumps count for nothing where labels were not drawn one by one."""
    kept = tuple(shrink(s, stored_diameter_px) for s in samples)
    unsure = tuple(
        np.zeros(int(s.labels.max()) + 1, np.bool_) if s.name in drawn else clumps(s.labels)
        for s in kept
    )
    chances = np.full(len(kept), 1.0 / len(kept))
    return Pool(kept, tuple(find_centres(s.labels) for s in kept), chances, unsure)


class CropStream(IterableDataset["tuple[Tensor, Tensor, Tensor]"]):
    """Crops as (image [3, n, n], maps [4, n, n], weight [n, n]), all float32, without end.

    The same seed, start and worker count give the same crops. ``shares`` says how often each kind
    is drawn: a pool's name, ``synthetic`` or ``blank``.
    """

    def __init__(
        self,
        pools: dict[str, Pool],
        size_px: int,
        seed: int,
        *,
        start: int = 0,
        texture_count: int = 96,
        shares: Mapping[str, float] = SHARES,
    ) -> None:
        super().__init__()
        self.pools = pools
        self.size_px = size_px
        self.seed = (seed, start)
        self.shares = dict(shares)
        self.textures = stains.make_textures(np.random.default_rng(seed), texture_count)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        worker = get_worker_info()
        random = np.random.default_rng((*self.seed, 0 if worker is None else worker.id))
        while True:
            image, crop = self.draw(random)
            targets = make_targets(crop.labels, crop.centres)
            if crop.ignored is not None:
                targets.weight[crop.ignored] = 0.0
            pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))
            yield pixels, torch.from_numpy(targets.maps), torch.from_numpy(targets.weight)

    def draw(self, random: Generator) -> tuple[NDArray[np.floating[Any]], Crop]:
        """Return one lit picture, float32[n, n, 3], and the crop that carries its labels."""
        kind = str(random.choice(list(self.shares), p=list(self.shares.values())))
        if kind == "blank":
            image = augment.make_blank(self.size_px, self.textures, random)
            none = np.zeros(image.shape[:2], np.int32)
            return image, augment.Crop(image, none, np.zeros((1, 2), np.float32))
        if kind == "synthetic":
            return self._synthetic(random)
        _, crop = self.pools[kind].draw(self.size_px, random)
        return augment.light_signal(crop, self.textures, random), crop

    def _synthetic(self, random: Generator) -> tuple[NDArray[np.floating[Any]], Crop]:
        _, crop = self.pools["fluorescence"].draw(self.size_px, random)
        density = stains.nuclear_density(crop.image, crop.labels)
        image = stains.make_histology(density, crop.labels, self.textures, random)
        stained = replace(crop, image=np.repeat(augment.darkness(image, random), 3, axis=2))
        return augment.light_signal(stained, self.textures, random), stained
