"""A compact U-Net whose every output pixel has a finite receptive field.

Nothing in it pools over the whole image or normalises by the image's own statistics, so the
network may be run tile by tile with a halo and gives what the whole image would give. It works on
half resolution from the first layer (space to depth) and returns to full resolution in the last
one (depth to space): that is what makes one megapixel per second and core possible.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

MAP_CHANNELS = 4
"""Foreground, centre, dx, dy."""


@dataclass(frozen=True, slots=True)
class UNetShape:
    """Widths of the three levels (strides 2, 4, 8) and the dilations of the deepest one."""

    widths: tuple[int, int, int] = (32, 64, 128)
    dilations: tuple[int, ...] = (1, 2, 3)

    def __post_init__(self) -> None:
        if min(self.widths) < 1 or not self.dilations:
            raise ValueError(f"widths must be positive and dilations given: {self}")


class ConvBlock(nn.Sequential):
    """Convolution, batch normalisation and ReLU; the normalisation is folded at export."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """A convolution block added to what it was given."""

    def __init__(self, channels: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.block = ConvBlock(channels, channels, dilation=dilation)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``features`` plus the block's answer, float32[N, C, H, W]."""
        added: Tensor = features + self.block(features)
        return added


class Merge(nn.Module):
    """One decoder step: halve the channels, double the size, join the skip, convolve."""

    def __init__(self, deep: int, skip: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(deep, skip, 1, bias=False), nn.BatchNorm2d(skip), nn.ReLU(inplace=True)
        )
        self.fuse = ConvBlock(2 * skip, skip)
        self.refine = Residual(skip)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """Return the joined features at the skip's size, float32[N, skip, H, W]."""
        grown = functional.interpolate(self.reduce(deep), scale_factor=2.0, mode="nearest")
        merged: Tensor = self.refine(self.fuse(torch.cat((grown, skip), dim=1)))
        return merged


class NucleiNetwork(nn.Module):
    """Raw maps (foreground logit, centre logit, dx, dy) from an RGB image.

    Parameters
    ----------
    shape
        Channel widths and dilations.
    offset_scale_px
        What one unit of the two offset channels is worth in pixels; it only keeps the four
        outputs in the same order of magnitude while training.
    """

    def __init__(self, shape: UNetShape | None = None, *, offset_scale_px: float = 8.0) -> None:
        super().__init__()
        self.shape = shape or UNetShape()
        fine, middle, deep = self.shape.widths
        self.offset_scale_px = offset_scale_px
        self.fine = nn.Sequential(ConvBlock(12, fine), Residual(fine))
        self.middle = nn.Sequential(
            ConvBlock(fine, middle, stride=2), Residual(middle), Residual(middle)
        )
        self.deep = nn.Sequential(
            ConvBlock(middle, deep, stride=2),
            *(Residual(deep, dilation=d) for d in self.shape.dilations),
        )
        self.up_middle = Merge(deep, middle)
        self.up_fine = Merge(middle, fine)
        self.head = nn.Conv2d(fine, MAP_CHANNELS * 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits and offsets in px, float32[N, 4, H, W], for float32[N, 3, H, W] in 0..1."""
        fine = self.fine(functional.pixel_unshuffle(image - 0.5, 2))
        middle = self.middle(fine)
        joined = self.up_fine(self.up_middle(self.deep(middle), middle), fine)
        maps = functional.pixel_shuffle(self.head(joined), 2)
        return torch.cat((maps[:, :2], maps[:, 2:] * self.offset_scale_px), dim=1)
