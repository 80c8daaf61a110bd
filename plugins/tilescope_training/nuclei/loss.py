"""The training loss: foreground, centre heat and offsets, heavier between touching nuclei."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

HEAT_GAIN = 12.0
"""How much more a pixel at a centre counts in the heat term than one far from any."""

OFFSET_UNIT_PX = 8.0
"""Offsets are compared in this unit, so that the three terms are of one magnitude."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The parts of the loss, each a scalar tensor."""

    foreground: Tensor
    heat: Tensor
    offset: Tensor

    @property
    def total(self) -> Tensor:
        """The weighted sum that is minimised."""
        return self.foreground + self.heat + self.offset


def measure_loss(maps: Tensor, targets: Tensor, weight: Tensor) -> Terms:
    """Return the loss of raw ``maps`` against ``targets``, both float32[N, 4, H, W].

    ``weight`` is float32[N, H, W]. Channels are foreground, centre (logits in ``maps``), dx, dy in
    px. Offsets count inside nuclei only.
    """
    inside, heat = targets[:, 0], targets[:, 1]
    entropy = functional.binary_cross_entropy_with_logits(maps[:, 0], inside, weight)
    probability = torch.sigmoid(maps[:, 0])
    overlap = (probability * inside).sum()
    dice = 1.0 - (2.0 * overlap + 1.0) / (probability.sum() + inside.sum() + 1.0)
    raw = functional.binary_cross_entropy_with_logits(maps[:, 1], heat, reduction="none")
    # A soft target's entropy is no error: without it the term would not go to zero.
    raw = raw - functional.binary_cross_entropy(heat, heat, reduction="none")
    heat_term = (raw * (1.0 + HEAT_GAIN * heat) * weight).mean()
    difference = functional.smooth_l1_loss(
        maps[:, 2:] / OFFSET_UNIT_PX, targets[:, 2:] / OFFSET_UNIT_PX, beta=0.25, reduction="none"
    ).sum(dim=1)
    masked = inside * weight
    offset_term = (difference * masked).sum() / masked.sum().clamp_min(1.0)
    return Terms(entropy + dice, 4.0 * heat_term, offset_term)
