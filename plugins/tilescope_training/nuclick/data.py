"""The samples of each set of weights, and which of them are held out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tilescope_training.nuclei import split as splitting
from tilescope_training.nuclei.data import read_dsb2018, shrink
from tilescope_training.nuclei.stream import Pool, make_pools
from tilescope_training.nuclick.aims import NUCLEUS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tilescope_training.nuclei.data import Sample
    from tilescope_training.nuclei.split import Split

PERMISSIVE_SHARES = {
    "fluorescence": 0.25, "histology": 0.45, "synthetic": 0.20, "grey": 0.05, "blank": 0.05,
}  # fmt: skip
RESEARCH_SHARES = {
    "fluorescence": 0.05, "histology": 0.13, "research": 0.78, "blank": 0.04,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sides:
    """The samples of each side; no patient, smear or experiment is on two of them."""

    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]


def read_permissive(directory: Path, seed: int) -> tuple[tuple[Sample, ...], Split]:
    """Return the CC0 samples and their split, the one that ``nuclei`` is trained by."""
    samples = read_dsb2018(directory)
    return samples, splitting.deal(samples, seed=seed)


def permissive_pools(samples: tuple[Sample, ...], split: Split) -> dict[str, Pool]:
    """Return one pool per modality from the training side."""
    held_out = {*split.validation, *split.test}
    return make_pools(samples, split.groups, held_out, NUCLEUS.stored_px)


def usual_diameter(samples: Iterable[Sample]) -> float:
    """Return the median diameter of the objects of all samples, in their pixels."""
    areas = np.concatenate([np.bincount(s.labels.ravel())[1:] for s in samples])
    return float(2.0 * np.sqrt(np.median(areas[areas > 0]) / np.pi))


def even_pool(samples: Sequence[Sample], stored_px: float) -> Pool:
    """Return the pool of samples each of which is drawn as often as any other.

    They are kept in memory with objects of at most ``stored_px``.
    """
    kept = [replace(shrink(s, stored_px), diameter_px=_shrunk(s, stored_px)) for s in samples]
    # Clicks need no centres.
    return Pool(tuple(kept), (), np.full(len(kept), 1.0 / len(kept)))


def _shrunk(sample: Sample, stored_px: float) -> float:
    """Return the usual size after shrinking: that of all samples, not of this one's objects."""
    return min(sample.diameter_px or stored_px, stored_px)
