"""The training loop of the click networks: seeded, resumable, finished within a given time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from tilescope_training.nuclei.data import hash_data
from tilescope_training.nuclei.monuseg import read_research
from tilescope_training.nuclick import data as datasets
from tilescope_training.nuclick.aims import AIMS, CELL, GLAND, H_AND_E, NUCLEUS, Aim
from tilescope_training.nuclick.cells import crowd, read_cells
from tilescope_training.nuclick.glands import read_glands
from tilescope_training.nuclick.loss import measure_loss
from tilescope_training.nuclick.network import ClickNetwork, ClickShape, take_over
from tilescope_training.nuclick.stream import PromptStream
from tilescope_training.run import Run, load_average, write_record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from tilescope_training.nuclei.stream import Pool

WARM_UP = 0.03

CELL_SHARES = {"cell": 0.45, "crowded": 0.5, "blank": 0.05}
GLAND_SHARES = {"gland": 0.96, "blank": 0.04}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides a run, written beside its checkpoints.

    ``aim`` names what the objects are, one of `tilescope_training.nuclick.aims.AIMS`.
    ``minutes`` bounds the run: the learning rate follows whichever of step and clock is further, so
    a slow machine ends on time with a finished schedule.
    """

    aim: str = "nucleus"
    seed: int = 2018
    steps: int = 12000
    minutes: float = 80.0
    batch: int = 8
    rate: float = 2e-3
    decay: float = 0.02
    average: float = 0.997
    workers: int = 1
    save_every: int = 200
    widths: tuple[int, int, int, int] = (24, 64, 128, 128)

    def __post_init__(self) -> None:
        if self.aim not in AIMS or self.steps < 1 or self.minutes <= 0 or self.batch < 1:
            raise ValueError(f"not a plan: {self}")


@dataclass(frozen=True, slots=True)
class Material:
    """What a run is fed with.

    Attributes
    ----------
    pools, shares
        Samples by kind and how often each kind is drawn.
    record
        What was trained on and what was held out, for ``run.json``.
    aim
        What the objects are.
    """

    pools: Mapping[str, Pool]
    shares: Mapping[str, float]
    record: Mapping[str, Any] = field(repr=False)
    aim: Aim = NUCLEUS


def gather(plan: Plan, data: Path, research: Path | None) -> Material:
    """Return what the plan's aim is trained on; ``research`` is for nuclei only."""
    makers = {CELL.name: gather_cells, GLAND.name: gather_glands}
    if plan.aim in makers:
        return makers[plan.aim](data)
    return gather_nuclei(plan, data, research)


def gather_cells(data: Path) -> Material:
    """Return the white blood cells, alone and with others around them."""
    sides = read_cells(data)
    pools = {
        "cell": datasets.even_pool(sides.train, CELL.stored_px),
        "crowded": datasets.even_pool([crowd(s) for s in sides.train], CELL.stored_px),
    }
    return Material(pools, CELL_SHARES, _record(data, sides), CELL)


def gather_glands(data: Path) -> Material:
    """Return the glands."""
    sides = read_glands(data)
    pools = {"gland": datasets.even_pool(sides.train, GLAND.stored_px)}
    return Material(pools, GLAND_SHARES, _record(data, sides), GLAND)


def _record(data: Path, sides: datasets.Sides) -> dict[str, Any]:
    held_out = [sample.name for sample in (*sides.validation, *sides.test)]
    return {"data_sha256": hash_data(data), "held_out": sorted(held_out)}


def gather_nuclei(plan: Plan, data: Path, research: Path | None) -> Material:
    """Return the CC0 samples and, for research weights, those of MoNuSeg."""
    samples, split = datasets.read_permissive(data, plan.seed)
    pools = datasets.permissive_pools(samples, split)
    held_out = {*split.validation, *split.test}
    record: dict[str, Any] = {
        "data_sha256": hash_data(data),
        "held_out": [samples[i].name for i in sorted(held_out)],
    }
    if research is None:
        return Material(pools, datasets.PERMISSIVE_SHARES, record)
    train, test = read_research(research)
    pools["research"] = datasets.even_pool(train, NUCLEUS.stored_px)
    record["research_sha256"] = hash_data(research)
    record["research_held_out"] = [sample.name for sample in test]
    return Material(pools, datasets.RESEARCH_SHARES, record, H_AND_E)


def train(
    plan: Plan,
    data: Path,
    out: Path,
    *,
    research: Path | None = None,
    start_from: Path | None = None,
) -> Path:
    """Train and return the path of the last checkpoint.

    A checkpoint of the same name in ``out`` is continued; ``start_from`` gives the weights of a new
    run, those of a click network or of a nuclei network. The curve goes to ``curve.csv``, the
    configuration to ``run.json``.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "last.pt"
    torch.manual_seed(plan.seed)
    material = gather(plan, data, research)
    write_record(out / "run.json", plan, shares=dict(material.shares), **material.record)
    network = ClickNetwork(ClickShape(plan.widths))
    if start_from is not None and not checkpoint.exists():
        begin_with(network, load_average(start_from))
    run = Run(plan, network, checkpoint, rate_at=partial(learning_rate, plan), losses=_losses)
    stream = PromptStream(
        material.pools, material.shares, plan.seed, start=run.step, aim=material.aim
    )
    run.finish(stream, out / "curve.csv")
    return checkpoint


def learning_rate(plan: Plan, progress: float) -> float:
    """Return the rate at ``progress`` 0..1: a short warm-up, a plateau, then a line to 1 %.

    Why a plateau: the run may have to end early, and a cosine would have spent half its time at
    rates that learn little.
    """
    if progress < WARM_UP:
        return plan.rate * (0.05 + 0.95 * progress / WARM_UP)
    return plan.rate * max(0.01, min(1.0, 1.0 - 0.99 * (progress - 0.4) / 0.6))


def _losses(logits: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    terms = measure_loss(logits, target, weight)
    return terms.total, terms.entropy, terms.dice


def begin_with(network: ClickNetwork, state: Mapping[str, Tensor]) -> None:
    """Load the weights of another click network, or what a nuclei network knows."""
    if any(name.startswith("context.") for name in state):
        network.load_state_dict(state)
    else:
        take_over(network, state)


def load_network(path: Path) -> ClickNetwork:
    """Return the averaged network of a checkpoint, ready for inference."""
    plan = torch.load(path, weights_only=True)["plan"]
    network = ClickNetwork(ClickShape(tuple(plan["widths"])))
    network.load_state_dict(load_average(path))
    return network.eval()
