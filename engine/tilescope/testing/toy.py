"""A model small enough to reason about: blur, threshold, connected parts.

Everything that the real models need of the engine is needed by this one too: a halo, a decoder
that looks around, objects of any size. Its whole-image result is known by construction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Size
from tilescope.domain.manifest import ModelSpec, Parameter, TensorSpec, TileSpec, WeightsRef
from tilescope.domain.scale import Native, Sampling
from tilescope.plugins.api import Instances, TileImage
from tilescope.plugins.registry import InstalledModel

BLUR_PX = 5


class ToyAdapter:
    """Bright parts of a picture as objects."""

    def encode(self, tile: TileImage, /) -> Mapping[str, NDArray[np.float32]]:
        """Return the mean of the bands within the slide's window, ``[1, 1, h, w]``."""
        low = np.asarray(tile.contrast.low, np.float32)
        high = np.asarray(tile.contrast.high, np.float32)
        grey = ((tile.pixels.astype(np.float32) - low) / (high - low)).mean(axis=2)
        return {"image": grey[None, None].astype(np.float32)}

    def decode(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        parameters: Mapping[str, float],
        /,
    ) -> Instances:
        """Return the 4-connected parts above ``parameters["threshold"]``."""
        labels = connected_parts(outputs["blurred"][0, 0] > parameters["threshold"])
        n = int(labels.max(initial=0))
        return Instances(labels, np.ones(n, np.float32), np.zeros(n, np.uint16))


def connected_parts(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return 4-connected parts numbered in the order of their first pixel, ``int32[h, w]``.

    Runs of each row are joined with the runs they touch in the row above (union-find).
    """
    height, width = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first = np.searchsorted(rows, np.arange(height + 1))
    for row in range(1, height):
        above, here = int(first[row - 1]), int(first[row])
        while above < first[row] and here < first[row + 1]:
            if starts[above] < ends[here] and starts[here] < ends[above]:
                older, newer = sorted((root(above), root(here)))
                parent[newer] = older
            if ends[above] < ends[here]:
                above += 1
            else:
                here += 1
    roots = np.array([root(i) for i in range(len(rows))], np.int64)
    _, numbers = np.unique(roots, return_inverse=True)
    labels = np.zeros((height, width), np.int32)
    for run in range(len(rows)):
        labels[rows[run], starts[run] : ends[run]] = numbers[run] + 1
    return labels


def blur_graph() -> bytes:
    """Return an ONNX model that averages 5 x 5 pixels, zero outside the picture."""
    from onnx import TensorProto, helper, numpy_helper

    kernel = np.full((1, 1, BLUR_PX, BLUR_PX), 1 / BLUR_PX**2, np.float32)
    pad = BLUR_PX // 2
    node = helper.make_node("Conv", ["image", "kernel"], ["blurred"], pads=[pad] * 4)
    sides: list[str | int] = ["n", 1, "h", "w"]
    graph = helper.make_graph(
        [node],
        "blur",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("blurred", TensorProto.FLOAT, sides)],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def toy_model(
    folder: Path, *, sampling: Sampling | None = None, tile_px: int = 64
) -> InstalledModel:
    """Write the toy model's weights into ``folder`` and return it as an installed model."""
    weights = blur_graph()
    (folder / "blur.onnx").write_bytes(weights)
    spec = ModelSpec(
        id="toy",
        version="1",
        title="Bright parts",
        task="instances",
        adapter="tilescope.testing.toy:ToyAdapter",
        classes=("part",),
        licence="BSD-3-Clause",
        sampling=sampling or Native(),
        tile=TileSpec(
            Size(tile_px, tile_px),
            halo_px=BLUR_PX // 2,
            decode_margin_px=12,
            multiple_of=8,
            peak_bytes_per_px=64,
        ),
        weights=WeightsRef("blur.onnx", hashlib.sha256(weights).hexdigest(), len(weights)),
        inputs=(TensorSpec("image", "NCHW", "float32", ("grey",)),),
        outputs=(TensorSpec("blurred", "NCHW", "float32", ("blurred",)),),
        parameters={"threshold": Parameter(0.5, 0.01, 0.99, "Least brightness")},
    )
    return InstalledModel(spec, "toy", folder)
