"""The training loop of the click networks: seeded, resumable, finished within a given time."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from tilescope_training.nuclei.data import hash_data
from tilescope_training.nuclei.train import Average, load_average
from tilescope_training.nuclick import data as datasets
from tilescope_training.nuclick.loss import measure_loss
from tilescope_training.nuclick.network import ClickNetwork, ClickShape, take_over
from tilescope_training.nuclick.stream import PromptStream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from tilescope_training.nuclei.stream import Pool

WARM_UP = 0.03


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides a run, written beside its checkpoints.

    ``minutes`` bounds the run: the learning rate follows whichever of step and clock is further, so
    a slow machine ends on time with a finished schedule.
    """

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
        if self.steps < 1 or self.minutes <= 0 or self.batch < 1:
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
    """

    pools: Mapping[str, Pool]
    shares: Mapping[str, float]
    record: Mapping[str, Any]


def gather(plan: Plan, data: Path, research: Path | None) -> Material:
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
    train, test = datasets.read_research(research)
    pools["research"] = datasets.research_pool(train)
    record["research_sha256"] = hash_data(research)
    record["research_held_out"] = [sample.name for sample in test]
    return Material(pools, datasets.RESEARCH_SHARES, record)


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
    (out / "run.json").write_text(json.dumps(describe_run(plan, material), indent=1))
    run = _Run(plan, checkpoint, start_from)
    stream = PromptStream(material.pools, material.shares, plan.seed, start=run.step)
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
    raise AssertionError("the stream of patches never ends")


def describe_run(plan: Plan, material: Material) -> dict[str, Any]:
    """Return the configuration record of a run."""
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {
        "plan": asdict(plan),
        "revision": revision.stdout.strip() if revision.returncode == 0 else None,
        "torch": torch.__version__,
        "shares": dict(material.shares),
        **material.record,
    }


def learning_rate(plan: Plan, progress: float) -> float:
    """Return the rate at ``progress`` 0..1: a short warm-up, a plateau, then a line to 1 %.

    Why a plateau: the run may have to end early, and a cosine would have spent half its time at
    rates that learn little.
    """
    if progress < WARM_UP:
        return plan.rate * (0.05 + 0.95 * progress / WARM_UP)
    return plan.rate * max(0.01, min(1.0, 1.0 - 0.99 * (progress - 0.4) / 0.6))


class _Run:
    """Network, optimiser, average and clock of one run."""

    def __init__(self, plan: Plan, checkpoint: Path, start_from: Path | None) -> None:
        self.plan = plan
        self.network = ClickNetwork(ClickShape(plan.widths))
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), plan.rate, weight_decay=plan.decay
        )
        self.step = 0
        self.spent_s = 0.0
        if start_from is not None and not checkpoint.exists():
            begin_with(self.network, load_average(start_from))
        self.average = Average(self.network, plan.average)
        if checkpoint.exists():
            self._resume(checkpoint)
        self.network.train()
        self.clock_s = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time spent on the run so far, earlier parts included."""
        return self.spent_s + time.monotonic() - self.clock_s

    @property
    def progress(self) -> float:
        """How much of the schedule is done, 0..1."""
        return min(1.0, max(self.step / self.plan.steps, self.seconds / (60.0 * self.plan.minutes)))

    @property
    def finished(self) -> bool:
        """Whether the schedule has ended."""
        return self.progress >= 1.0

    def advance(self, image: Tensor, target: Tensor, weight: Tensor) -> str:
        """Take one step and return its line of the curve."""
        rate = learning_rate(self.plan, self.progress)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        logits = self.network(image.contiguous(memory_format=torch.channels_last))
        terms = measure_loss(logits, target, weight)
        self.optimiser.zero_grad(set_to_none=True)
        terms.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.average.update(self.network)
        self.step += 1
        numbers = ",".join(f"{v.item():.5f}" for v in (terms.total, terms.entropy, terms.dice))
        return f"{self.step},{self.seconds:.1f},{rate:.6f},{numbers}"

    def save(self, path: Path) -> None:
        """Write a checkpoint; a crash while writing leaves the old one."""
        state = {
            "plan": asdict(self.plan),
            "step": self.step,
            "spent_s": self.seconds,
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
