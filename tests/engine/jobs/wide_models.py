"""Networks that are wide at full resolution: most of what a tile takes lies between layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tilescope.domain.geometry import Size
from tilescope.domain.manifest import Task, TileSpec
from tilescope.domain.scale import FitWithin, Sampling
from tilescope.plugins.registry import InstalledModel
from tilescope.testing.toy_tasks import BoxAdapter, ClassAdapter, ScoreAdapter, task_model

CHANNELS = 48
TILE_PX = 384


@dataclass(frozen=True)
class WideGraph:
    """Averages 3 x 3 pixels twice, in many channels, each a little different.

    Attributes
    ----------
    fixed
        The only input size, None for any.
    batch
        The first dimension of the input.
    """

    fixed: Size | None = None
    batch: int | str = 1

    def as_bytes(self) -> bytes:
        rng = np.random.default_rng(3)
        first = rng.uniform(0.5, 1.5, (CHANNELS, 1, 3, 3)).astype(np.float32) / 9
        second = rng.uniform(0.5, 1.5, (CHANNELS, 1, 3, 3)).astype(np.float32) / 9
        last = np.full((1, CHANNELS, 1, 1), 1 / CHANNELS, np.float32)
        weights = {"first": first, "second": second, "last": last}
        nodes = [
            helper.make_node("Conv", ["image", "first"], ["a"], pads=[1] * 4),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "second"], ["c"], pads=[1] * 4, group=CHANNELS),
            helper.make_node("Relu", ["c"], ["d"]),
            helper.make_node("Conv", ["d", "last"], ["blurred"]),
        ]
        sides = ["h", "w"] if self.fixed is None else [self.fixed.height, self.fixed.width]
        shape = [self.batch, 1, *sides]
        graph = helper.make_graph(
            nodes,
            "wide",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("blurred", TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        data: bytes = model.SerializeToString()
        return data


def wide_model(
    folder: Path, task: Task, adapter: type, graph: WideGraph, sampling: Sampling | None = None
) -> InstalledModel:
    tile = TileSpec(
        graph.fixed or Size(TILE_PX, TILE_PX), 16, 20 if task == "detect" else 0, 8, max_batch=8
    )
    return task_model(folder, task, adapter, graph, sampling=sampling, tile=tile)


def fixed_boxes(folder: Path) -> InstalledModel:
    return wide_model(folder, "detect", BoxAdapter, WideGraph(Size(TILE_PX, TILE_PX)))


def fixed_classes(folder: Path) -> InstalledModel:
    return wide_model(folder, "semantic", ClassAdapter, WideGraph(Size(TILE_PX, TILE_PX)))


def large_classes(folder: Path) -> InstalledModel:
    return wide_model(folder, "semantic", ClassAdapter, WideGraph(Size(768, 768)))


def whole_classes(folder: Path) -> InstalledModel:
    return wide_model(folder, "semantic", ClassAdapter, WideGraph(), FitWithin(512))


def small_scores(folder: Path) -> InstalledModel:
    graph = WideGraph(Size(64, 64), batch="n")
    model = wide_model(folder, "classification", ScoreAdapter, graph)
    return replace(model, spec=replace(model.spec, tile=replace(model.spec.tile, fixed=True)))
