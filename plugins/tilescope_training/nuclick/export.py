"""From a checkpoint to the shipped files: ONNX graph, golden pair and the manifest's numbers."""

from __future__ import annotations

import datetime
import hashlib
import io
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tilescope.inference.onnx_runtime import load_runtime
from tilescope.plugins.api import Clicks
from tilescope_nuclick.adapter import click_maps, stretch
from tilescope_training.nuclei.export import OPSET, fill_manifest, golden_image
from tilescope_training.nuclick.network import INPUT_CHANNELS, ClickNetwork
from tilescope_training.nuclick.train import load_network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


class ShippedNetwork(nn.Module):
    """The trained network with normalisation folded, probabilities and one-convolution stem.

    Space to depth followed by a 3x3 convolution equals one 6x6 convolution of stride 2.
    """

    def __init__(self, trained: ClickNetwork) -> None:
        super().__init__()
        self.body = fold_normalisation(trained)
        first = self.body.fine[0]
        assert isinstance(first, nn.Sequential)
        assert isinstance(first[0], nn.Conv2d)
        self.stem = _stem(first[0])
        self.fine = nn.Sequential(nn.ReLU(), self.body.fine[1])

    def forward(self, image: Tensor) -> Tensor:
        """Return the probability of belonging to the object, float32[N, 1, H, W]."""
        body = self.body
        fine = self.fine(self.stem(image - 0.5))
        middle = body.middle(fine)
        joined = body.up_middle(body.context(body.coarse(middle)), middle)
        raw = body.head(body.up_fine(joined, fine))
        return nn.functional.pixel_shuffle(torch.sigmoid(raw), 2)


def fold_normalisation(network: ClickNetwork) -> ClickNetwork:
    """Return a copy whose convolutions contain the normalisation that followed them."""
    copy = ClickNetwork(network.shape)
    copy.load_state_dict(network.state_dict())
    copy.eval()
    for module in copy.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for index in range(len(module) - 1):
            first, second = module[index], module[index + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module[index] = fuse_conv_bn_eval(first, second)
                module[index + 1] = nn.Identity()
    return copy


def _stem(convolution: nn.Conv2d) -> nn.Conv2d:
    weight = convolution.weight.detach()
    outputs = weight.shape[0]
    # pixel_unshuffle puts image channel c, row i, column j of a 2x2 cell at channel 4 c + 2 i + j.
    cells = weight.reshape(outputs, INPUT_CHANNELS, 2, 2, 3, 3).permute(0, 1, 4, 2, 5, 3)
    stem = nn.Conv2d(INPUT_CHANNELS, outputs, 6, 2, 2)
    stem.weight.data = cells.reshape(outputs, INPUT_CHANNELS, 6, 6).contiguous()
    assert stem.bias is not None
    assert convolution.bias is not None
    stem.bias.data = convolution.bias.detach()
    return stem


def to_onnx(network: ClickNetwork) -> bytes:
    """Return the graph as one self-contained file, input ``image``, output ``mask``."""
    buffer = io.BytesIO()
    axes = {0: "n", 2: "h", 3: "w"}
    with warnings.catch_warnings():
        # The graph exporter that needs no further package is marked as the older one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            ShippedNetwork(network).eval(),
            (torch.zeros(1, INPUT_CHANNELS, 128, 128),),
            buffer,  # type: ignore[arg-type]
            input_names=["image"],
            output_names=["mask"],
            dynamic_axes={"image": axes, "mask": axes},
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def run_onnx(graph: bytes, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``mask`` of the graph on one core, float32[N, 1, H, W]."""
    onnxruntime = load_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["mask"], {"image": image})[0], np.float32)


def golden_input(seed: int) -> NDArray[np.float32]:
    """Return a made patch with two prompts, float32[2, 5, 128, 128]."""
    planes = stretch(golden_image(seed)[0])
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
    weights = f"weights/{model}-{version}.onnx"
    golden = {name: f"golden/{model}-{name}.npz" for name in ("in", "out")}
    for path in (weights, *golden.values()):
        (plugin / path).parent.mkdir(exist_ok=True)
    (plugin / weights).write_bytes(graph)
    image = golden_input(0)
    np.savez_compressed(plugin / golden["in"], image=image)
    np.savez_compressed(plugin / golden["out"], mask=run_onnx(graph, image))
    values |= {
        "version": version,
        "file": weights,
        "sha256": hashlib.sha256(graph).hexdigest(),
        "bytes": len(graph),
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }
    manifest = plugin / "plugin.toml"
    manifest.write_text(
        fill_model(manifest.read_text(encoding="utf-8"), model, values), encoding="utf-8"
    )


def fill_model(text: str, model: str, values: Mapping[str, Any]) -> str:
    """Return the manifest with values of one model's part replaced."""
    parts = re.split(r"(?m)^(?=\[\[model\]\])", text)
    wanted = [i for i, part in enumerate(parts) if f'\nid = "{model}"\n' in part]
    if len(wanted) != 1:
        raise ValueError(f"the manifest has {len(wanted)} models {model!r}, not one")
    parts[wanted[0]] = fill_manifest(parts[wanted[0]], values)
    return "".join(parts)
