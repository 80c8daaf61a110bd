"""The files of a shipped model: ONNX graph, golden pair and the manifest's numbers."""

from __future__ import annotations

import copy
import datetime
import hashlib
import io
import json
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tilescope.inference.onnx_runtime import load_runtime

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

OPSET = 17
GOLDEN_PX = 128

VALUE = r"""("[^"\n]*"|\{[^}\n]*\}|[^,}\n]+?)(?= *[,}\n])"""
"""A string, an inline table or a bare value in a line of the manifest."""

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Shipment:
    """Where the files of one model lie, relative to the plugin's folder."""

    weights: str
    golden_inputs: str
    golden_outputs: str

    def write(
        self,
        plugin: Path,
        graph: bytes,
        image: NDArray[np.float32],
        outputs: Mapping[str, NDArray[np.float32]],
    ) -> dict[str, Any]:
        """Write graph and golden pair; return the manifest's values for them."""
        for name in (self.weights, self.golden_inputs, self.golden_outputs):
            (plugin / name).parent.mkdir(exist_ok=True)
        (plugin / self.weights).write_bytes(graph)
        np.savez_compressed(plugin / self.golden_inputs, image=image)
        np.savez_compressed(plugin / self.golden_outputs, **outputs)  # type: ignore[arg-type]
        return {
            "file": self.weights,
            "sha256": hashlib.sha256(graph).hexdigest(),
            "bytes": len(graph),
            "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        }


def fold_normalisation(network: Network) -> Network:
    """Return a copy whose convolutions contain the normalisation that followed them."""
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for index in range(len(module) - 1):
            first, second = module[index], module[index + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module[index] = fuse_conv_bn_eval(first, second)
                module[index + 1] = nn.Identity()
    return folded


def fold_cells(block: nn.Module) -> nn.Conv2d:
    """Return space to depth and the 3x3 convolution that begins ``block`` as one convolution.

    It is a 6x6 one of stride 2; the graph then has no reshape that depends on the input's size.
    """
    assert isinstance(block, nn.Sequential)
    convolution = block[0]
    assert isinstance(convolution, nn.Conv2d)
    weight = convolution.weight.detach()
    outputs, inputs = weight.shape[0], weight.shape[1] // 4
    # pixel_unshuffle puts image channel c, row i, column j of a 2x2 cell at channel 4 c + 2 i + j.
    cells = weight.reshape(outputs, inputs, 2, 2, 3, 3).permute(0, 1, 4, 2, 5, 3)
    stem = nn.Conv2d(inputs, outputs, 6, 2, 2)
    stem.weight.data = cells.reshape(outputs, inputs, 6, 6).contiguous()
    assert stem.bias is not None
    assert convolution.bias is not None
    stem.bias.data = convolution.bias.detach()
    return stem


def write_graph(network: nn.Module, shape: tuple[int, int, int], output: str) -> bytes:
    """Return the graph as one self-contained file, input ``image``.

    Parameters
    ----------
    network
        What is shipped; number, height and width of the images may vary.
    shape
        Channels, height and width of the image that the network is traced with.
    output
        The output's name.
    """
    buffer = io.BytesIO()
    axes = {0: "n", 2: "h", 3: "w"}
    with warnings.catch_warnings():
        # The graph exporter that needs no further package is marked as the older one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, *shape),),
            buffer,  # type: ignore[arg-type]
            input_names=["image"],
            output_names=[output],
            dynamic_axes={"image": axes, output: axes},
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def run_onnx(graph: bytes, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the output of a graph that has one, on one core, float32[N, C, H, W]."""
    onnxruntime = load_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"image": image})
    return np.asarray(output, np.float32)


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


def fill_model(text: str, model: str, values: Mapping[str, Any]) -> str:
    """Return the manifest with values of one model's part replaced."""
    parts = re.split(r"(?m)^(?=\[\[model\]\])", text)
    wanted = [i for i, part in enumerate(parts) if f'\nid = "{model}"\n' in part]
    if len(wanted) != 1:
        raise ValueError(f"the manifest has {len(wanted)} models {model!r}, not one")
    parts[wanted[0]] = fill_manifest(parts[wanted[0]], values)
    return "".join(parts)


def _toml(value: Any) -> str:  # noqa: ANN401 - any TOML value
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    return json.dumps(round(value, 4) if isinstance(value, float) else value)
