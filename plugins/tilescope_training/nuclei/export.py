"""From a checkpoint to the shipped files: ONNX graph, golden pair and the manifest's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tilescope_training import shipment
from tilescope_training.networks.unet import NucleiNetwork
from tilescope_training.nuclei.train import load_network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class ShippedNetwork(nn.Module):
    """The trained network with normalisation folded, probabilities and one-convolution stem."""

    def __init__(self, trained: NucleiNetwork) -> None:
        super().__init__()
        folded = shipment.fold_normalisation(trained)
        self.stem = shipment.fold_cells(folded.fine[0])
        self.fine = nn.Sequential(nn.ReLU(), folded.fine[1])
        self.middle = folded.middle
        self.deep = folded.deep
        self.up_middle = folded.up_middle
        self.up_fine = folded.up_fine
        self.head = _head(folded.head, folded.offset_scale_px)

    def forward(self, image: Tensor) -> Tensor:
        """Return foreground and centre probability, dx and dy in px, float32[N, 4, H, W]."""
        fine = self.fine(self.stem(image - 0.5))
        middle = self.middle(fine)
        raw = self.head(self.up_fine(self.up_middle(self.deep(middle), middle), fine))
        maps = torch.cat((torch.sigmoid(raw[:, :8]), raw[:, 8:]), dim=1)
        return nn.functional.pixel_shuffle(maps, 2)


def _head(head: nn.Conv2d, offset_scale_px: float) -> nn.Conv2d:
    scale = torch.ones(16)
    scale[8:] = offset_scale_px
    scaled = nn.Conv2d(head.in_channels, 16, 1)
    assert head.bias is not None
    assert scaled.bias is not None
    scaled.weight.data = head.weight.detach() * scale[:, None, None, None]
    scaled.bias.data = head.bias.detach() * scale
    return scaled


def to_onnx(network: NucleiNetwork) -> bytes:
    """Return the graph as one self-contained file, input ``image``, output ``maps``."""
    return shipment.write_graph(ShippedNetwork(network), (3, 64, 64), "maps")


def receptive_radius(network: NucleiNetwork) -> int:
    """Return how far, in px, an output can look; measured, not derived.

    With positive weights and input every path is open, so the gradient of an output reaches exactly
    the pixels that can influence it. All positions relative to the coarsest stride are tried.
    """
    probe = shipment.fold_normalisation(network)
    for parameter in probe.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    stride, side = 8, 512
    image = torch.ones(1, 3, side, side, requires_grad=True)
    maps = probe(image)
    radius = 0
    for phase in range(stride):
        at = side // 2 + phase
        (gradient,) = torch.autograd.grad(maps[0, 0, at, at], image, retain_graph=True)
        rows = torch.nonzero(gradient[0].abs().sum(dim=(0, 2)))[:, 0]
        radius = max(radius, at - int(rows.min()), int(rows.max()) - at)
    return radius


def export(checkpoint: Path, plugin: Path, *, version: str, card: Mapping[str, Any]) -> None:
    """Write weights, golden pair and manifest of a checkpoint into the plugin's folder.

    ``card`` names the ``model`` (``nuclei-unet`` when it does not), whose table in ``plugin.toml``
    must be there; only its generated values are replaced.
    """
    card = dict(card)
    model = card.pop("model", "nuclei-unet")
    network = load_network(checkpoint)
    files = shipment.Shipment(
        f"weights/{model}-{version}.onnx",
        f"golden/{model}-{version}-in.npz",
        f"golden/{model}-{version}-out.npz",
    )
    graph = to_onnx(network)
    image = shipment.golden_image(0)
    values = {
        **files.write(plugin, graph, image, {"maps": shipment.run_onnx(graph, image)}),
        "halo": -(-receptive_radius(network) // 8) * 8,
        **card,
    }
    manifest = plugin / "plugin.toml"
    manifest.write_text(
        shipment.fill_model(manifest.read_text(encoding="utf-8"), model, values), encoding="utf-8"
    )
