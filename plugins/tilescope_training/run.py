"""One run of training: network, average, clock, checkpoints, curve and record."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch.utils.data import DataLoader

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field
    from pathlib import Path

    from torch import Tensor
    from torch.utils.data import IterableDataset

    Triple = tuple[Tensor, Tensor, Tensor]

CURVE_EVERY = 20


class Schedule(Protocol):
    """What every plan of a run says; plans are dataclasses.

    ``minutes`` bounds the run: whichever of step and clock is further decides its progress, so a
    slow machine ends on time with a finished schedule.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def steps(self) -> int:
        """Steps at the most."""

    @property
    def minutes(self) -> float:
        """Time at the most."""

    @property
    def batch(self) -> int:
        """Examples in a step."""

    @property
    def rate(self) -> float:
        """The highest learning rate."""

    @property
    def decay(self) -> float:
        """Weight decay."""

    @property
    def average(self) -> float:
        """Decay of the weights' moving average."""

    @property
    def workers(self) -> int:
        """Processes that make examples."""

    @property
    def save_every(self) -> int:
        """Steps between checkpoints."""


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


class Run:
    """Network, optimiser, average and clock of one run.

    Parameters
    ----------
    plan
        Bounds, rates and sizes.
    network
        What is trained, with the weights a new run begins with.
    checkpoint
        Where the state is kept; a file that is there is continued.
    rate_at
        The learning rate at progress 0..1.
    losses
        Scalar losses of (output, target, weight); the first is minimised, all go to the curve.
    """

    def __init__(
        self,
        plan: Schedule,
        network: torch.nn.Module,
        checkpoint: Path,
        *,
        rate_at: Callable[[float], float],
        losses: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]],
    ) -> None:
        self.plan = plan
        self.network = network
        self.checkpoint = checkpoint
        self.rate_at = rate_at
        self.losses = losses
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), plan.rate, weight_decay=plan.decay
        )
        self.step = 0
        self.spent_s = 0.0
        self.average = Average(self.network, plan.average)
        if checkpoint.exists():
            self._resume()
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

    def finish(self, stream: IterableDataset[Triple], curve: Path) -> None:
        """Train on a stream without end until the schedule has ended.

        The curve is appended to; the checkpoint is written now and then, and at the end.
        """
        ahead = 4 if self.plan.workers else None
        loader = DataLoader(
            stream, self.plan.batch, num_workers=self.plan.workers, prefetch_factor=ahead
        )
        with curve.open("a", buffering=1) as lines:
            for batch in loader:
                line = self.advance(*batch)
                if self.step % CURVE_EVERY == 0:
                    lines.write(line + "\n")
                finished = self.finished
                if finished or self.step % self.plan.save_every == 0:
                    self.save()
                if finished:
                    return
        raise AssertionError("the stream never ends")

    def advance(self, image: Tensor, target: Tensor, weight: Tensor) -> str:
        """Take one step and return its line of the curve."""
        rate = self.rate_at(self.progress)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        output = self.network(image.contiguous(memory_format=torch.channels_last))
        losses = self.losses(output, target, weight)
        self.optimiser.zero_grad(set_to_none=True)
        losses[0].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.average.update(self.network)
        self.step += 1
        numbers = ",".join(f"{v.item():.5f}" for v in losses)
        return f"{self.step},{self.seconds:.1f},{rate:.6f},{numbers}"

    def save(self) -> None:
        """Write the checkpoint; a crash while writing leaves the old one."""
        state = {
            "plan": asdict(self.plan),
            "step": self.step,
            "spent_s": self.seconds,
            "network": self.network.state_dict(),
            "average": self.average.state,
            "average_count": self.average.count,
            "optimiser": self.optimiser.state_dict(),
        }
        fresh = self.checkpoint.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(self.checkpoint)

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.state = state["average"]
        self.average.count = state["average_count"]
        self.step, self.spent_s = state["step"], state["spent_s"]


def write_record(path: Path, plan: Schedule, **details: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write the configuration of a run: plan, revision of the sources and further details."""
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    record = {
        "plan": asdict(plan),
        "revision": revision.stdout.strip() if revision.returncode == 0 else None,
        "torch": torch.__version__,
        **details,
    }
    path.write_text(json.dumps(record, indent=1))


def load_average(path: Path) -> dict[str, Tensor]:
    """Return the averaged weights of a checkpoint."""
    state: dict[str, Tensor] = torch.load(path, weights_only=True)["average"]
    return state
