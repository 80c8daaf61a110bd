"""The training loss: weighted cross entropy and one minus Dice, patch by patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Terms:
    """The parts of the loss, each a scalar tensor."""

    entropy: Tensor
    dice: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.entropy + self.dice


def measure_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Terms:
    """Return the loss of ``logits`` against ``target``, all float32[N, 1, H, W].

    Dice is taken per patch, so that a small object counts as much as a large one; a patch without
    an object asks for an empty answer.
    """
    entropy = (
        functional.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")
        / weight.sum()
    )
    probability = torch.sigmoid(logits)
    axes = (1, 2, 3)
    shared = (probability * target).sum(axes)
    both = probability.sum(axes) + target.sum(axes)
    dice = 1.0 - (2.0 * shared + 1.0) / (both + 1.0)
    return Terms(2.0 * entropy, dice.mean())
