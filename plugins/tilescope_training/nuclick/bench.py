"""One labelled image with an open click session: prompts in, compared outlines out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, label

from tilescope.domain.clicks import Clicks, Prompt
from tilescope.domain.geometry import Rect
from tilescope.domain.manifest import WeightsRef
from tilescope.domain.results import Detections
from tilescope.io.cache import TileCache
from tilescope.jobs.clicking.array import ArraySource
from tilescope.jobs.clicking.session import ClickOptions, ClickSession
from tilescope.ops.raster import fill
from tilescope.plugins.parsing import load_manifest
from tilescope.plugins.registry import InstalledModel
from tilescope_training.nuclick.aims import GLAND, NUCLEUS, Aim
from tilescope_training.nuclick.crops import Subject
from tilescope_training.nuclick.peers import Scene
from tilescope_training.nuclick.prompts import Surroundings, background_click, look_around
from tilescope_training.nuclick.scribbles import draw_scribble

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from tilescope_training.nuclei.data import Sample
    from tilescope_training.nuclick.scribbles import Style

MOST_CLICKS = 10
WANTED_IOU = 0.9
CACHE_BYTES = 64 * 2**20

CLEAR_SHARE = 0.45
"""How far from every label a click on the background is, in usual diameters."""


@dataclass(frozen=True, slots=True)
class Row:
    """One object under one condition."""

    name: str
    modality: str
    condition: str
    number: int
    diameter_px: float
    dice: float
    iou: float
    hausdorff_px: float


def model_of(graph: Path, aim: Aim = NUCLEUS) -> InstalledModel:
    """Return the model whose weights are an ONNX file, with the shipped manifest's settings."""
    folder = Path(str(files("tilescope_nuclick")))
    models = load_manifest(folder / "plugin.toml").models
    (spec,) = (m for m in models if m.id == f"nuclick-{aim.name}")
    data = graph.read_bytes()
    weights = WeightsRef(graph.name, hashlib.sha256(data).hexdigest(), len(data))
    return InstalledModel(replace(spec, weights=weights), "tilescope.nuclick", graph.parent)


class Bench:
    """One image with its labels and an open session."""

    def __init__(
        self,
        model: InstalledModel,
        sample: Sample,
        aim: Aim = NUCLEUS,
        *,
        sized: bool = True,
        parameters: Mapping[str, float] | None = None,
    ) -> None:
        self.sample = sample
        self.subject = Subject.of(sample, aim)
        self.scene = Scene.of(sample)
        diameter = self.scene.diameter_px if sized else None
        source = ArraySource(sample.image, name=sample.name)
        options = ClickOptions(diameter, parameters or {}, threads=1)
        self.session = ClickSession(model, source, TileCache(CACHE_BYTES), options)

    def points(
        self, random: Generator, *, border: bool = False, jitter_px: float = 0.0
    ) -> NDArray[np.float64]:
        """Return one click per object, float64[n, 2]."""
        made = []
        for around in self._surroundings():
            depth = distance_transform_edt(np.pad(around.mask, 1))[1:-1, 1:-1]
            chosen = around.mask & (depth <= 2.0) if border else around.mask
            rows, columns = np.nonzero(chosen)
            i = int(random.integers(rows.size))
            angle = random.uniform(0.0, 2.0 * np.pi)
            point = np.array([columns[i], rows[i]]) + random.uniform(0.0, 1.0, 2)
            away = jitter_px * np.array([np.cos(angle), np.sin(angle)])
            made.append(point + away + (around.x0, around.y0))
        height, width = self.sample.labels.shape
        return np.clip(np.stack(made), 0.0, np.array([width, height]) - 1e-6)

    def scribbles(self, random: Generator, style: Style | None = None) -> list[Prompt]:
        """Return one scribble per object."""
        height, width = self.sample.labels.shape
        most = np.array([width, height]) - 1e-6
        made = []
        for around in self._surroundings():
            strokes = draw_scribble(around.mask, random, style)
            corner = np.array([around.x0, around.y0], np.float64)
            moved = [np.clip(stroke + corner, 0.0, most) for stroke in strokes]
            made.append(Prompt(Clicks(np.zeros((0, 2)), np.zeros((0, 2)), tuple(moved))))
        return made

    def background(self, random: Generator, count: int) -> list[Prompt]:
        """Return at most ``count`` prompts that touch no label: clicks, for glands short lines."""
        away = CLEAR_SHARE * self.scene.diameter_px
        drawn = [background_click(self.sample.labels, away, random) for _ in range(count)]
        found = [point for point in drawn if point is not None]
        if self.subject.aim is not GLAND:
            return [Prompt.at(float(p[0, 0]), float(p[0, 1])) for p in found]
        height, width = self.sample.labels.shape
        lines = [p + random.uniform(-away, away, (2, 2)) / 2.0 for p in found]
        return [Prompt.over(np.clip(line, 0.0, (width - 1, height - 1))) for line in lines]

    def masks(self, prompts: Sequence[Prompt]) -> list[NDArray[np.bool_]]:
        """Return what the session makes of prompts, bool[h, w] each, empty where nothing."""
        results = self.session.segment(prompts, allow_overlap=True)
        return [self.mask_of(result.ring) for result in results]

    def _surroundings(self) -> Iterable[Surroundings]:
        for box, number in zip(self.subject.boxes, self.subject.numbers, strict=True):
            yield look_around(self.sample.labels, box, number)

    def compare(self, chosen: Sequence[int], masks: Iterable[Any], condition: str) -> list[Row]:
        """Return the rows of objects and the masks that stand for them."""
        return [
            self._row(self.subject.numbers[i], mask, condition)
            for i, mask in zip(chosen, masks, strict=True)
        ]

    def mask_of(self, ring: NDArray[np.float64] | None) -> NDArray[np.bool_]:
        """Return an outline as bool[h, w]."""
        height, width = self.sample.labels.shape
        if ring is None:
            return np.zeros((height, width), np.bool_)
        one = Detections.of([ring], np.ones(1, np.float32), np.zeros(1, np.uint16), ("object",))
        return fill(one, np.ones(1, np.uint32), Rect(0, 0, width, height)) > 0

    def _row(self, number: int, mask: NDArray[np.bool_], condition: str) -> Row:
        true = self.sample.labels == number
        rows, columns = np.nonzero(true | mask)
        window = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        t, m = true[window], mask[window]
        common, either = int((t & m).sum()), int((t | m).sum())
        total = int(t.sum() + m.sum())
        return Row(
            self.sample.name, self.sample.modality, condition, number,
            float(2.0 * np.sqrt(t.sum() / np.pi)), 2.0 * common / total, common / either,
            hausdorff(t, m),
        )  # fmt: skip

    def label_image(self, masks: Iterable[NDArray[np.bool_]]) -> NDArray[np.int32]:
        """Return the masks as one label image; the first to take a pixel keeps it."""
        labels = np.zeros(self.sample.labels.shape, np.int32)
        for number, mask in enumerate(masks, 1):
            labels[mask & (labels == 0)] = number
        return labels


def hausdorff(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the Hausdorff distance of two outlines in px, nan when one of them is empty."""
    if not first.any() or not second.any():
        return float("nan")
    a, b = (np.pad(m, 1) & ~binary_erosion(np.pad(m, 1)) for m in (first, second))
    there = distance_transform_edt(~b)[a].max()
    back = distance_transform_edt(~a)[b].max()
    return float(max(there, back))


def clicks_needed(bench: Bench, number: int, prompt: Prompt) -> int:
    """Return how many clicks an object takes until its IoU is 0.9; one more than the most if more.

    The next click goes to the middle of the largest mistake, as a careful person would put it
    (Sofiiuk et al. 2021, arXiv 2102.06583).
    """
    true = bench.sample.labels == number
    for count in range(1, MOST_CLICKS + 1):
        (result,) = bench.session.segment([prompt], allow_overlap=True)
        mask = bench.mask_of(result.ring)
        if (true & mask).sum() >= WANTED_IOU * (true | mask).sum():
            return count
        missed, extra = _deepest(true & ~mask), _deepest(mask & ~true)
        prompt = result.prompt
        more = missed[0] >= extra[0]
        prompt = prompt.adding(*missed[1]) if more else prompt.excluding(*extra[1])
    return MOST_CLICKS + 1


def _deepest(mask: NDArray[np.bool_]) -> tuple[float, tuple[float, float]]:
    """Return area and innermost point of the largest part of a mask."""
    parts, count = label(mask)
    if not count:
        return 0.0, (0.0, 0.0)
    areas = np.bincount(parts.ravel())[1:]
    largest = parts == int(areas.argmax()) + 1
    depth = distance_transform_edt(np.pad(largest, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(areas.max()), (float(column) + 0.5, float(row) + 0.5)
