"""The training loop: seeded, resumable, and finished within a given time."""

from __future__ import annotations

import json
import math
import subprocess
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from tilescope_training.networks.unet import NucleiNetwork, UNetShape
from tilescope_training.nuclei import split as splitting
from tilescope_training.nuclei.data import hash_data, read_dsb2018, shrink
from tilescope_training.nuclei.loss import measure_loss
from tilescope_training.nuclei.stream import CropStream, make_pool

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor

    from tilescope_training.nuclei.data import Sample
    from tilescope_training.nuclei.split import Split
    from tilescope_training.nuclei.stream import Pool

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


class Average:
    """An exponential moving average of a network's weights and statistics."""

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.count = 0
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    def update(self, network: torch.nn.Module) -> None:
        """Move towards the network's present state; faster in the first steps."""
        self.count += 1
        decay = min(self.decay, (1.0 + self.count) / (10.0 + self.count))
        for key, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[key].lerp_(value.detach(), 1.0 - decay)
            else:
                self.state[key].copy_(value)


def learning_rate(plan: Plan, progress: float) -> float:
    """Return the rate at ``progress`` 0..1: a short warm-up, then half a cosine to 1 %."""
    if progress < 0.03:
        return plan.rate * (0.05 + 0.95 * progress / 0.03)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, (progress - 0.03) / 0.97)))
    return plan.rate * (0.01 + 0.99 * cosine)


def make_pools(samples: Iterable[Sample], split: Split, *, all_groups: bool) -> dict[str, Pool]:
    """Return one pool per modality from the training side, or from all groups."""
    held_out = set() if all_groups else {*split.validation, *split.test}
    chosen: dict[str, list[tuple[Sample, int]]] = {}
    for index, sample in enumerate(samples):
        if index not in held_out:
            entry = (shrink(sample, STORED_DIAMETER_PX), split.groups[index])
            chosen.setdefault(sample.modality, []).append(entry)
    return {
        kind: make_pool([s for s, _ in pairs], [g for _, g in pairs])
        for kind, pairs in chosen.items()
    }


def describe_run(
    plan: Plan, data: Path, split: Split, samples: tuple[Sample, ...]
) -> dict[str, Any]:
    """Return the configuration record of a run."""
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    sides = {"train": split.train, "validation": split.validation, "test": split.test}
    return {
        "plan": asdict(plan),
        "revision": revision.stdout.strip() if revision.returncode == 0 else None,
        "torch": torch.__version__,
        "data_sha256": hash_data(data),
        "split": {side: [samples[i].name for i in indices] for side, indices in sides.items()},
        "groups": {s.name: g for s, g in zip(samples, split.groups, strict=True)},
    }


def train(plan: Plan, data: Path, out: Path, *, start_from: Path | None = None) -> Path:
    """Train and return the path of the last checkpoint.

    A checkpoint of the same name in ``out`` is continued; ``start_from`` gives the weights of a new
    run. The curve goes to ``curve.csv``, the configuration to ``run.json``.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "last.pt"
    torch.manual_seed(plan.seed)
    samples = read_dsb2018(data)
    split = splitting.deal(samples, seed=plan.seed)
    (out / "run.json").write_text(json.dumps(describe_run(plan, data, split, samples), indent=1))
    pools = make_pools(samples, split, all_groups=plan.all_groups)
    run = _Run(plan, checkpoint, start_from)
    stream = CropStream(pools, plan.crop_px, plan.seed, start=run.step)
    loader = DataLoader(
        stream, plan.batch, num_workers=plan.workers, prefetch_factor=4 if plan.workers else None
    )
    with (out / "curve.csv").open("a", buffering=1) as curve:
        for batch in loader:
            line = run.advance(*batch)
            if run.step % 20 == 0:
                curve.write(line + "\n")
            if run.finished or run.step % plan.save_every == 0:
                run.save(checkpoint)
            if run.finished:
                return checkpoint
    raise AssertionError("the stream of crops never ends")


class _Run:
    """Network, optimiser, average and clock of one run."""

    def __init__(self, plan: Plan, checkpoint: Path, start_from: Path | None) -> None:
        self.plan = plan
        self.network = NucleiNetwork(plan.shape)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), plan.rate, weight_decay=plan.decay
        )
        self.step = 0
        self.spent_s = 0.0
        if start_from is not None and not checkpoint.exists():
            self.network.load_state_dict(load_average(start_from))
        self.average = Average(self.network, plan.average)
        if checkpoint.exists():
            self._resume(checkpoint)
        self.network.train()
        self.clock_s = time.monotonic()

    @property
    def progress(self) -> float:
        """How much of the schedule is done, 0..1."""
        spent_s = self.spent_s + time.monotonic() - self.clock_s
        return min(1.0, max(self.step / self.plan.steps, spent_s / (60.0 * self.plan.minutes)))

    @property
    def finished(self) -> bool:
        """Whether the schedule has ended."""
        return self.progress >= 1.0

    def advance(self, image: Tensor, targets: Tensor, weight: Tensor) -> str:
        """Take one step and return its line of the curve."""
        rate = learning_rate(self.plan, self.progress)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        maps = self.network(image.contiguous(memory_format=torch.channels_last))
        terms = measure_loss(maps, targets, weight)
        self.optimiser.zero_grad(set_to_none=True)
        terms.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.average.update(self.network)
        self.step += 1
        values = (terms.total, terms.foreground, terms.heat, terms.offset)
        seconds = self.spent_s + time.monotonic() - self.clock_s
        numbers = ",".join(f"{v.item():.5f}" for v in values)
        return f"{self.step},{seconds:.1f},{rate:.6f},{numbers}"

    def save(self, path: Path) -> None:
        """Write a checkpoint; a crash while writing leaves the old one."""
        state = {
            "plan": asdict(self.plan),
            "step": self.step,
            "spent_s": self.spent_s + time.monotonic() - self.clock_s,
            "network": self.network.state_dict(),
            "average": self.average.state,
            "average_count": self.average.count,
            "optimiser": self.optimiser.state_dict(),
        }
        fresh = path.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(path)

    def _resume(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.state = state["average"]
        self.average.count = state["average_count"]
        self.step, self.spent_s = state["step"], state["spent_s"]


def load_average(path: Path) -> dict[str, Tensor]:
    """Return the averaged weights of a checkpoint."""
    state: dict[str, Tensor] = torch.load(path, weights_only=True)["average"]
    return state


def load_network(path: Path) -> NucleiNetwork:
    """Return the averaged network of a checkpoint, ready for inference."""
    plan = torch.load(path, weights_only=True)["plan"]
    network = NucleiNetwork(UNetShape(tuple(plan["widths"]), tuple(plan["dilations"])))
    network.load_state_dict(load_average(path))
    return network.eval()
