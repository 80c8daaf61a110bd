"""From a checkpoint to the shipped files: ONNX graph, golden pair and the manifest's numbers."""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tilescope.inference.onnx_runtime import load_runtime
from tilescope_training.networks.unet import NucleiNetwork
from tilescope_training.nuclei.train import load_network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

OPSET = 17
GOLDEN_PX = 128

VALUE = r"""("[^"\n]*"|\{[^}\n]*\}|[^,}\n]+?)(?= *[,}\n])"""
"""A string, an inline table or a bare value in a line of the manifest."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """Where the files of one version lie, relative to the plugin's folder."""

    version: str

    @property
    def weights(self) -> str:
        """The graph."""
        return f"weights/nuclei-unet-{self.version}.onnx"

    @property
    def golden_inputs(self) -> str:
        """The golden pair's input."""
        return f"golden/nuclei-unet-{self.version}-in.npz"

    @property
    def golden_outputs(self) -> str:
        """The golden pair's output."""
        return f"golden/nuclei-unet-{self.version}-out.npz"


class ShippedNetwork(nn.Module):
    """The trained network with normalisation folded, probabilities and one-convolution stem.

    Space to depth followed by a 3x3 convolution equals one 6x6 convolution of stride 2; the graph
    then has no reshape that depends on the input's size.
    """

    def __init__(self, trained: NucleiNetwork) -> None:
        super().__init__()
        folded = fold_normalisation(trained)
        first = folded.fine[0]
        assert isinstance(first, nn.Sequential)
        assert isinstance(first[0], nn.Conv2d)
        self.stem = _stem(first[0])
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


def fold_normalisation(network: NucleiNetwork) -> NucleiNetwork:
    """Return a copy whose convolutions contain the normalisation that followed them."""
    copy = NucleiNetwork(network.shape, offset_scale_px=network.offset_scale_px)
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
    cells = weight.reshape(outputs, 3, 2, 2, 3, 3).permute(0, 1, 4, 2, 5, 3)
    stem = nn.Conv2d(3, outputs, 6, 2, 2)
    stem.weight.data = cells.reshape(outputs, 3, 6, 6).contiguous()
    assert stem.bias is not None
    assert convolution.bias is not None
    stem.bias.data = convolution.bias.detach()
    return stem


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
    buffer = io.BytesIO()
    axes = {0: "n", 2: "h", 3: "w"}
    with warnings.catch_warnings():
        # The graph exporter that needs no further package is marked as the older one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            ShippedNetwork(network).eval(),
            (torch.zeros(1, 3, 64, 64),),
            buffer,  # type: ignore[arg-type]
            input_names=["image"],
            output_names=["maps"],
            dynamic_axes={"image": axes, "maps": axes},
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def run_onnx(graph: bytes, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``maps`` of the graph on one core, float32[N, 4, H, W]."""
    onnxruntime = load_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["maps"], {"image": image})[0], np.float32)


def receptive_radius(network: NucleiNetwork) -> int:
    """Return how far, in px, an output can look; measured, not derived.

    With positive weights and input every path is open, so the gradient of an output reaches exactly
    the pixels that can influence it. All positions relative to the coarsest stride are tried.
    """
    probe = fold_normalisation(network)
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


def golden_image(seed: int) -> NDArray[np.float32]:
    """Return a made picture with bright and dark discs, float32[1, 3, 128, 128]."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices((GOLDEN_PX, GOLDEN_PX))
    image = np.full((3, GOLDEN_PX, GOLDEN_PX), 0.1, np.float32)
    for y, x in random.uniform(8, GOLDEN_PX - 8, (12, 2)):
        disc = (rows - y) ** 2 + (columns - x) ** 2 < random.uniform(7, 14) ** 2
        image[:, disc] = random.uniform(0.4, 1.0)
    image[:, :, GOLDEN_PX // 2 :] = 1.0 - image[:, :, GOLDEN_PX // 2 :] * np.array(
        [0.6, 0.8, 0.4], np.float32
    ).reshape(3, 1, 1)
    noise = random.normal(0.0, 0.02, image.shape)
    return np.clip(image + noise, 0.0, 1.0).astype(np.float32)[None]


def export(checkpoint: Path, plugin: Path, *, version: str, card: Mapping[str, Any]) -> None:
    """Write weights, golden pair and manifest of a checkpoint into the plugin's folder.

    ``plugin`` must hold ``plugin.toml``; only its generated values are replaced.
    """
    network = load_network(checkpoint)
    files = Shipped(version)
    graph = to_onnx(network)
    (plugin / files.weights).write_bytes(graph)
    image = golden_image(0)
    np.savez_compressed(plugin / files.golden_inputs, image=image)
    np.savez_compressed(plugin / files.golden_outputs, maps=run_onnx(graph, image))
    manifest = plugin / "plugin.toml"
    values = {
        "file": files.weights,
        "sha256": hashlib.sha256(graph).hexdigest(),
        "bytes": len(graph),
        "halo": -(-receptive_radius(network) // 8) * 8,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        **card,
    }
    manifest.write_text(fill_manifest(manifest.read_text(encoding="utf-8"), values))


def fill_manifest(text: str, values: Mapping[str, Any]) -> str:
    """Return the manifest with the named keys' values replaced; every key must be there once."""
    for key, value in values.items():
        place = rf"((?:^|[{{,] *){re.escape(key)} *= *)"
        pattern = re.compile(place + VALUE, re.MULTILINE)
        count = len(pattern.findall(text))
        if count != 1:
            raise ValueError(f"the manifest has {count} places for {key!r}, not one")
        found = pattern.search(text)
        assert found is not None
        text = text[: found.end(1)] + _toml(value) + text[found.end() :]
    return text


def _toml(value: Any) -> str:  # noqa: ANN401 - any TOML value
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    return json.dumps(round(value, 4) if isinstance(value, float) else value)
