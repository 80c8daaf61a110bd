"""From a checkpoint to the shipped files: ONNX graph, golden pair and the manifest's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tilescope.plugins.api import Clicks
from tilescope_nuclick.adapter import stretch
from tilescope_nuclick.maps import click_maps
from tilescope_training import shipment
from tilescope_training.nuclick.network import INPUT_CHANNELS, ClickNetwork
from tilescope_training.nuclick.train import load_network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


class ShippedNetwork(nn.Module):
    """The trained network with normalisation folded, probabilities and one-convolution stem."""

    def __init__(self, trained: ClickNetwork) -> None:
        super().__init__()
        self.body = shipment.fold_normalisation(trained)
        self.stem = shipment.fold_cells(self.body.fine[0])
        self.fine = nn.Sequential(nn.ReLU(), self.body.fine[1])

    def forward(self, image: Tensor) -> Tensor:
        """Return the probability of belonging to the object, float32[N, 1, H, W]."""
        body = self.body
        fine = self.fine(self.stem(image - 0.5))
        middle = body.middle(fine)
        joined = body.up_middle(body.context(body.coarse(middle)), middle)
        raw = body.head(body.up_fine(joined, fine))
        return nn.functional.pixel_shuffle(torch.sigmoid(raw), 2)


def to_onnx(network: ClickNetwork) -> bytes:
    """Return the graph as one self-contained file, input ``image``, output ``mask``."""
    return shipment.write_graph(ShippedNetwork(network), (INPUT_CHANNELS, 128, 128), "mask")


def golden_input(seed: int) -> NDArray[np.float32]:
    """Return a made patch with two prompts, float32[2, 5, 128, 128]."""
    planes = stretch(shipment.golden_image(seed)[0])
    points = [(np.array([[64.0, 64.0]]), np.zeros((0, 2)))]
    points.append((np.array([[64.0, 64.0], [40.5, 70.0]]), np.array([[90.0, 30.0]])))
    made = []
    for inside, outside in points:
        maps = click_maps(Clicks(inside, outside), planes.shape[1:])
        made.append(np.concatenate([planes, np.stack(maps)]))
    return np.stack(made).astype(np.float32)


def export(checkpoint: Path, plugin: Path, *, version: str, card: Mapping[str, Any]) -> None:
    """Write weights, golden pair and manifest of a checkpoint into the plugin's folder.

    ``card`` names the ``model`` (``nuclick-nucleus`` when it does not), whose table in
    ``plugin.toml`` must be there; only its generated values are replaced.
    """
    values = dict(card)
    model = values.pop("model", "nuclick-nucleus")
    graph = to_onnx(load_network(checkpoint))
    files = shipment.Shipment(
        f"weights/{model}-{version}.onnx", "golden/click-in.npz", f"golden/{model}-out.npz"
    )
    image = golden_input(0)
    values["version"] = version
    values |= files.write(plugin, graph, image, {"mask": shipment.run_onnx(graph, image)})
    manifest = plugin / "plugin.toml"
    manifest.write_text(
        shipment.fill_model(manifest.read_text(encoding="utf-8"), model, values), encoding="utf-8"
    )
