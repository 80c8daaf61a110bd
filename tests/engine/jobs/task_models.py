"""The models of the tests, made in a folder by a name that other processes can import."""

from __future__ import annotations

from pathlib import Path

from tilescope.domain.geometry import Size
from tilescope.domain.manifest import TileSpec
from tilescope.plugins.registry import InstalledModel
from tilescope.testing.toy import toy_model
from tilescope.testing.toy_tasks import (
    BoxAdapter,
    ClassAdapter,
    HeatAdapter,
    ScoreAdapter,
    ToyGraph,
    task_model,
)


def tile(side: int = 128, *, halo_px: int = 16, margin_px: int = 0) -> TileSpec:
    return TileSpec(Size(side, side), halo_px, margin_px, 8, peak_bytes_per_px=64)


def instances(folder: Path) -> InstalledModel:
    return toy_model(folder, tile_px=128)


def classes(folder: Path) -> InstalledModel:
    return task_model(folder, "semantic", ClassAdapter)


def classes_at_once(folder: Path) -> InstalledModel:
    return task_model(folder, "semantic", ClassAdapter, tile=tile(4096))


def blended(folder: Path) -> InstalledModel:
    return task_model(folder, "semantic", ClassAdapter, ToyGraph(is_global=True))


def heat(folder: Path) -> InstalledModel:
    return task_model(folder, "semantic", HeatAdapter)


def scores(folder: Path) -> InstalledModel:
    graph = ToyGraph(fixed=Size(96, 64))
    return task_model(folder, "classification", ScoreAdapter, graph)


def boxes(folder: Path) -> InstalledModel:
    return task_model(folder, "detect", BoxAdapter, tile=tile(margin_px=20))


def boxes_at_once(folder: Path) -> InstalledModel:
    return task_model(folder, "detect", BoxAdapter, tile=tile(4096, margin_px=20))
