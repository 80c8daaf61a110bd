"""The click network: a compact U-Net that sees a whole patch and answers with one object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from tilescope_training.networks.unet import ConvBlock, Merge, Residual

if TYPE_CHECKING:
    from collections.abc import Mapping

PICTURE_CHANNELS = 3
INPUT_CHANNELS = 5
"""Three planes of the picture, clicks on the object, clicks that are not on it."""


@dataclass(frozen=True, slots=True)
class ClickShape:
    """Widths of the four levels, at strides 2, 4, 8 and 16, and dilations of the third."""

    widths: tuple[int, int, int, int] = (24, 64, 128, 128)
    dilations: tuple[int, ...] = (1, 2, 3)

    def __post_init__(self) -> None:
        if min(self.widths) < 1 or not self.dilations:
            raise ValueError(f"widths must be positive and dilations given: {self}")


class Context(nn.Module):
    """What the deepest level says about the patch as a whole, added to the level above it.

    It begins as nothing: the normalisation's gain is zero before training.
    """

    def __init__(self, above: int, deep: int) -> None:
        super().__init__()
        self.deep = nn.Sequential(
            ConvBlock(above, deep, stride=2), Residual(deep), Residual(deep, dilation=2)
        )
        self.reduce = nn.Sequential(nn.Conv2d(deep, above, 1, bias=False), nn.BatchNorm2d(above))
        gain = self.reduce[1].weight
        assert isinstance(gain, Tensor)
        nn.init.zeros_(gain)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features with the context, float32[N, above, H, W]."""
        context = self.reduce(self.deep(features))
        return features + functional.interpolate(context, scale_factor=2.0, mode="nearest")


class ClickNetwork(nn.Module):
    """The logit of belonging to the object that was pointed at.

    Parameters
    ----------
    shape
        Channel widths and dilations.
    """

    def __init__(self, shape: ClickShape | None = None) -> None:
        super().__init__()
        self.shape = shape or ClickShape()
        fine, middle, coarse, deep = self.shape.widths
        self.fine = nn.Sequential(ConvBlock(4 * INPUT_CHANNELS, fine), Residual(fine))
        self.middle = nn.Sequential(
            ConvBlock(fine, middle, stride=2), Residual(middle), Residual(middle)
        )
        self.coarse = nn.Sequential(
            ConvBlock(middle, coarse, stride=2),
            *(Residual(coarse, dilation=d) for d in self.shape.dilations),
        )
        self.context = Context(coarse, deep)
        self.up_middle = Merge(coarse, middle)
        self.up_fine = Merge(middle, fine)
        self.head = nn.Conv2d(fine, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, float32[N, 1, H, W], for float32[N, 5, H, W]."""
        fine = self.fine(functional.pixel_unshuffle(image - 0.5, 2))
        middle = self.middle(fine)
        joined = self.up_middle(self.context(self.coarse(middle)), middle)
        return functional.pixel_shuffle(self.head(self.up_fine(joined, fine)), 2)


def take_over(network: ClickNetwork, nuclei: Mapping[str, Tensor]) -> None:
    """Give a new network what a trained nuclei network knows of pictures, in place.

    Before training it then finds every nucleus; clicks change nothing yet.

    Parameters
    ----------
    nuclei
        State of a `tilescope_training.networks.unet.NucleiNetwork` of the same first three widths
        and dilations.
    """
    state = network.state_dict()
    for name, value in nuclei.items():
        own = ("coarse" + name[len("deep") :]) if name.startswith("deep.") else name
        if own in state and state[own].shape == value.shape:
            state[own] = value
    stem = torch.zeros_like(state["fine.0.0.weight"])
    stem[:, : 4 * PICTURE_CHANNELS] = nuclei["fine.0.0.weight"]
    state["fine.0.0.weight"] = stem
    for kind in ("weight", "bias"):
        state[f"head.{kind}"] = nuclei[f"head.{kind}"][:4]
    network.load_state_dict(state)
