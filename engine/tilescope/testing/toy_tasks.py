"""Models of every task, small enough to reason about: blur, then judge the brightness.

They differ in what real networks differ in: whether their halo is finite, whether their output is
coarser than their input, whether they insist on an input size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Size
from tilescope.domain.manifest import ModelSpec, Parameter, Task, TensorSpec, TileSpec, WeightsRef
from tilescope.domain.scale import Native, Sampling
from tilescope.plugins.api import Boxes, ClassMap, TileImage, TileScores
from tilescope.plugins.registry import InstalledModel
from tilescope.testing.toy import BLUR_PX, connected_parts

Outputs = Mapping[str, NDArray[np.float32]]

#: Brightness that is typical of each class of the toy models.
CLASS_BRIGHTNESS = (0.2, 0.5, 0.9)
_SHARPNESS = 40.0


class _Grey:
    """Takes the mean of the bands within the slide's window."""

    def encode(self, tile: TileImage, /) -> Mapping[str, NDArray[np.float32]]:
        """Return ``[1, 1, h, w]``."""
        low = np.asarray(tile.contrast.low, np.float32)
        high = np.asarray(tile.contrast.high, np.float32)
        grey = ((tile.pixels.astype(np.float32) - low) / (high - low)).mean(axis=2)
        return {"image": grey[None, None].astype(np.float32)}


class ClassAdapter(_Grey):
    """The brightness class of every pixel."""

    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> ClassMap:
        """Return how near the brightness is to that of each class."""
        return ClassMap(class_probabilities(outputs["blurred"][0, 0]))


class HeatAdapter(_Grey):
    """How bright every pixel is."""

    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> ClassMap:
        """Return the brightness."""
        return ClassMap(outputs["blurred"][0].clip(0, 1))


class LogitAdapter(_Grey):
    """Forgets the activation, as adapters do."""

    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> ClassMap:
        """Return what is no probability."""
        return ClassMap(outputs["blurred"][0] * np.float32(9))


class ScoreAdapter(_Grey):
    """The brightness class of a tile."""

    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> TileScores:
        """Return how near the mean brightness is to that of each class."""
        mean = outputs["blurred"].mean(dtype=np.float32).reshape(1, 1)
        return TileScores(class_probabilities(mean)[:, 0, 0])


class BoxAdapter(_Grey):
    """Boxes around the bright parts; those brighter than 0.7 are of the second class."""

    def decode(self, outputs: Outputs, parameters: Mapping[str, float], /) -> Boxes:
        """Return the box of every 4-connected part."""
        blurred = outputs["blurred"][0, 0]
        labels = connected_parts(blurred > parameters["threshold"])
        corners, scores, classes = [], [], []
        for value in range(1, int(labels.max(initial=0)) + 1):
            rows, columns = np.nonzero(labels == value)
            corners.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            peak = float(blurred[rows, columns].max())
            scores.append(min(1.0, peak))
            classes.append(int(peak > 0.7))
        return Boxes(
            np.array(corners, np.float32).reshape(-1, 4),
            np.array(scores, np.float32),
            np.array(classes, np.uint16),
        )


def class_probabilities(brightness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``float32[3, h, w]``: softmax of the distance to each class's brightness."""
    typical = np.array(CLASS_BRIGHTNESS, np.float32)[:, None, None]
    logits = np.exp(-np.float32(_SHARPNESS) * np.abs(brightness - typical))
    return np.asarray(logits / logits.sum(axis=0), np.float32)


@dataclass(frozen=True, slots=True)
class ToyGraph:
    """A network that averages 5 x 5 pixels, zero outside the picture.

    Attributes
    ----------
    stride
        Input pixels per output pixel.
    is_global
        Add a hundredth of the mean of the whole input, so that no halo is finite.
    fixed
        The only input size, None for any.
    padded
        Whether the output is as large as the input (over the stride).
    blurs
        How often to average; all but the first time without stride.
    """

    stride: int = 1
    is_global: bool = False
    fixed: Size | None = None
    padded: bool = True
    blurs: int = 1

    def as_bytes(self) -> bytes:
        """Return the ONNX model."""
        from onnx import TensorProto, helper, numpy_helper

        kernel = np.full((1, 1, BLUR_PX, BLUR_PX), 1 / BLUR_PX**2, np.float32)
        pad = BLUR_PX // 2 if self.padded else 0
        local = "local" if self.is_global else "blurred"
        names = ["image", *(f"blurred{i}" for i in range(1, self.blurs)), local]
        nodes = [
            helper.make_node(
                "Conv",
                [names[i], "kernel"],
                [names[i + 1]],
                pads=[pad] * 4,
                strides=[1 if i else self.stride] * 2,
                name=f"blur{i}",
            )
            for i in range(self.blurs)
        ]
        constants = [numpy_helper.from_array(kernel, "kernel")]
        if self.is_global:
            constants.append(numpy_helper.from_array(np.array(0.01, np.float32), "share"))
            nodes += [
                helper.make_node("GlobalAveragePool", ["image"], ["mean"], name="everything"),
                helper.make_node("Mul", ["mean", "share"], ["little"]),
                helper.make_node("Add", ["local", "little"], ["blurred"]),
            ]
        fixed = self.fixed
        inner: list[Any] = ["h", "w"] if fixed is None else [fixed.height, fixed.width]
        outer: list[Any] = ["oh", "ow"]
        graph = helper.make_graph(
            nodes,
            "toy",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, *inner])],
            [helper.make_tensor_value_info("blurred", TensorProto.FLOAT, [1, 1, *outer])],
            constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        data: bytes = model.SerializeToString()
        return data


def task_model(
    folder: Path,
    task: Task,
    adapter: type,
    graph: ToyGraph = ToyGraph(),
    *,
    sampling: Sampling | None = None,
    tile: TileSpec | None = None,
) -> InstalledModel:
    """Write a toy model's weights into ``folder`` and return it as an installed model."""
    weights = graph.as_bytes()
    name = f"{hashlib.sha256(weights).hexdigest()[:12]}.onnx"
    (folder / name).write_bytes(weights)
    classes: dict[Any, tuple[str, ...]] = {
        BoxAdapter: ("dim", "bright"),
        HeatAdapter: ("bright",),
        LogitAdapter: ("bright",),
    }
    threshold = Parameter(0.3, 0.01, 0.99, "Least brightness")
    spec = ModelSpec(
        id=f"toy-{task}",
        version="1",
        title="Brightness",
        task=task,
        adapter=f"{adapter.__module__}:{adapter.__name__}",
        classes=next(
            (names for kind, names in classes.items() if issubclass(adapter, kind)),
            ("dark", "medium", "light"),
        ),
        licence="BSD-3-Clause",
        sampling=sampling or Native(),
        tile=tile
        or TileSpec(
            graph.fixed or Size(128, 128),
            halo_px=16,
            decode_margin_px=0,
            multiple_of=8,
            peak_bytes_per_px=64,
        ),
        weights=WeightsRef(name, hashlib.sha256(weights).hexdigest(), len(weights)),
        inputs=(TensorSpec("image", "NCHW", "float32", ("grey",)),),
        outputs=(TensorSpec("blurred", "NCHW", "float32", ("blurred",)),),
        parameters={"threshold": threshold} if task in {"detect", "instances"} else {},
    )
    return InstalledModel(spec, "toy", folder)
