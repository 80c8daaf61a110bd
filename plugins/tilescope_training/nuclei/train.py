"""The training loop: seeded, resumable, and finished within a given time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from tilescope_training.networks.unet import NucleiNetwork, UNetShape
from tilescope_training.nuclei import split as splitting
from tilescope_training.nuclei.data import hash_data, read_dsb2018
from tilescope_training.nuclei.loss import measure_loss
from tilescope_training.nuclei.monuseg import drawn_names, read_research
from tilescope_training.nuclei.stream import (
    RESEARCH_SHARES,
    SHARES,
    CropStream,
    make_pools,
    make_research_pool,
)
from tilescope_training.run import Run, load_average, write_record

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

STORED_DIAMETER_PX = 36.0
"""Samples are kept in memory at no more than this nuclear size."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides a run, written beside its checkpoints.

    ``minutes`` bounds the run: the learning rate follows whichever of step and clock is further, so
    a slow machine ends on time with a finished schedule. ``all_groups`` trains on the held-out
    groups as well; only for the last, short stage, whose result has no held-out numbers.
    """

    seed: int = 2018
    steps: int = 5000
    minutes: float = 60.0
    batch: int = 8
    crop_px: int = 192
    rate: float = 2.5e-3
    decay: float = 0.02
    average: float = 0.998
    workers: int = 1
    save_every: int = 200
    all_groups: bool = False
    widths: tuple[int, int, int] = (24, 64, 128)
    dilations: tuple[int, ...] = (1, 2, 3)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.minutes <= 0 or self.batch < 1 or self.crop_px % 8:
            raise ValueError(f"not a plan: {self}")

    @property
    def shape(self) -> UNetShape:
        """The network's widths."""
        return UNetShape(self.widths, self.dilations)


def learning_rate(plan: Plan, progress: float) -> float:
    """Return the rate at ``progress`` 0..1: a short warm-up, then half a cosine to 1 %."""
    if progress < 0.03:
        return plan.rate * (0.05 + 0.95 * progress / 0.03)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, (progress - 0.03) / 0.97)))
    return plan.rate * (0.01 + 0.99 * cosine)


def train(
    plan: Plan,
    data: Path,
    out: Path,
    *,
    research: Path | None = None,
    start_from: Path | None = None,
) -> Path:
    """Train and return the path of the last checkpoint.

    With ``research``, a folder of MoNuSeg, the weights are for research alone.

    A checkpoint of the same name in ``out`` is continued; ``start_from`` gives the weights of a new
    run. The curve goes to ``curve.csv``, the configuration to ``run.json``.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "last.pt"
    torch.manual_seed(plan.seed)
    samples = read_dsb2018(data)
    split = splitting.deal(samples, seed=plan.seed)
    sides = {"train": split.train, "validation": split.validation, "test": split.test}
    write_record(
        out / "run.json",
        plan,
        data_sha256=hash_data(data),
        split={side: [samples[i].name for i in indices] for side, indices in sides.items()},
        groups={s.name: g for s, g in zip(samples, split.groups, strict=True)},
        research=None if research is None else hash_data(research),
    )
    held_out = set() if plan.all_groups else {*split.validation, *split.test}
    pools = make_pools(samples, split.groups, held_out, STORED_DIAMETER_PX)
    shares = SHARES
    if research is not None:
        shares = RESEARCH_SHARES
        learnt, _ = read_research(research)
        pools["research"] = make_research_pool(learnt, drawn_names(research), STORED_DIAMETER_PX)
    network = NucleiNetwork(plan.shape)
    if start_from is not None and not checkpoint.exists():
        network.load_state_dict(load_average(start_from))
    run = Run(plan, network, checkpoint, rate_at=partial(learning_rate, plan), losses=_losses)
    stream = CropStream(pools, plan.crop_px, plan.seed, start=run.step, shares=shares)
    run.finish(stream, out / "curve.csv")
    return checkpoint


def _losses(maps: Tensor, targets: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    terms = measure_loss(maps, targets, weight)
    return terms.total, terms.foreground, terms.heat, terms.offset


def load_network(path: Path) -> NucleiNetwork:
    """Return the averaged network of a checkpoint, ready for inference."""
    plan = torch.load(path, weights_only=True)["plan"]
    network = NucleiNetwork(UNetShape(tuple(plan["widths"]), tuple(plan["dilations"])))
    network.load_state_dict(load_average(path))
    return network.eval()
