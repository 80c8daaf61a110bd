"""How good click weights are, measured through the engine's own click session.

Every object gets one click at a random place inside it, or beside that place, or on its rim; the
answer is compared with the object's label. Peers get the same clicks.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, label

from tilescope.domain.clicks import Prompt
from tilescope.domain.geometry import Rect
from tilescope.domain.manifest import WeightsRef
from tilescope.domain.results import Detections
from tilescope.io.cache import TileCache
from tilescope.jobs.clicking.array import ArraySource
from tilescope.jobs.clicking.session import ClickOptions, ClickSession
from tilescope.ops.raster import fill
from tilescope.plugins.parsing import load_manifest
from tilescope.plugins.registry import InstalledModel
from tilescope_training import metrics
from tilescope_training.nuclei.evaluate import Predictor
from tilescope_training.nuclick import data as datasets
from tilescope_training.nuclick.crops import Subject
from tilescope_training.nuclick.peers import Scene, nuclei_labels, object_at
from tilescope_training.nuclick.prompts import look_around

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from tilescope_training.nuclei.data import Sample

JITTERS_PX = (1.0, 3.0, 5.0, 10.0)
REFINED_SHARE = 5
"""Of so many objects that are clicked on in every condition one is refined by further clicks."""

MOST_CLICKS = 10
WANTED_IOU = 0.9
CACHE_BYTES = 64 * 2**20


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


def model_of(graph: Path) -> InstalledModel:
    """Return the model whose weights are an ONNX file, with the shipped manifest's settings."""
    folder = Path(str(files("tilescope_nuclick")))
    spec = load_manifest(folder / "plugin.toml").models[0]
    data = graph.read_bytes()
    weights = WeightsRef(graph.name, hashlib.sha256(data).hexdigest(), len(data))
    return InstalledModel(replace(spec, weights=weights), "tilescope.nuclick", graph.parent)


def shipped_nuclei() -> Path:
    """Return the graph of the nuclei model that comes with Tilescope, one of the peers."""
    folder = Path(str(files("tilescope_nuclei")))
    return folder / load_manifest(folder / "plugin.toml").models[0].weights.file


class Bench:
    """One image with its labels and an open session."""

    def __init__(self, model: InstalledModel, sample: Sample, *, sized: bool = True) -> None:
        self.sample = sample
        self.subject = Subject.of(sample)
        self.scene = Scene.of(sample)
        diameter = self.scene.diameter_px if sized else None
        source = ArraySource(sample.image, name=sample.name)
        options = ClickOptions(diameter, threads=1)
        self.session = ClickSession(model, source, TileCache(CACHE_BYTES), options)

    def clicks(
        self, random: Generator, *, border: bool = False, jitter_px: float = 0.0
    ) -> NDArray[np.float64]:
        """Return one click per object, float64[n, 2]."""
        made = []
        for box, number in zip(self.subject.boxes, self.subject.numbers, strict=True):
            around = look_around(self.sample.labels, box, number)
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

    def answers(self, points: NDArray[np.float64], chosen: Sequence[int]) -> list[Any]:
        """Return the session's results for the chosen objects' clicks."""
        prompts = [Prompt.at(float(x), float(y)) for x, y in points[list(chosen)]]
        return list(self.session.segment(prompts, allow_overlap=True))

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


def clicks_needed(bench: Bench, number: int, start: NDArray[np.float64]) -> int:
    """Return how many clicks an object takes until its IoU is 0.9; one more than the most if more.

    The next click goes to the middle of the largest mistake, as a careful person would put it
    (Sofiiuk et al. 2021, arXiv 2102.06583).
    """
    true = bench.sample.labels == number
    prompt = Prompt.at(float(start[0]), float(start[1]))
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


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    Attributes
    ----------
    objects
        Per image, in every condition but the first, which takes all.
    images
        Of a side, spread over it; None for all.
    """

    objects: int = 40
    images: int | None = None


def measure(
    model: InstalledModel, sample: Sample, predictor: Predictor | None, seed: int, objects: int
) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of one image and its image-wide measures; see `Extent`."""
    bench = Bench(model, sample)
    if not bench.subject.numbers:
        return [], {}
    random = np.random.default_rng([seed, len(bench.subject.numbers)])
    everything = list(range(len(bench.subject.numbers)))
    few = sorted(random.permutation(everything)[:objects].tolist())
    points = bench.clicks(random)
    masks = [bench.mask_of(r.ring) for r in bench.answers(points, everything)]
    rows = bench.compare(everything, masks, "interior")
    pairs = metrics.overlap(sample.labels, bench.label_image(masks))
    image = {
        "name": sample.name,
        "modality": sample.modality,
        "aji": metrics.aggregated_jaccard(pairs),
        "pq": metrics.panoptic_quality(pairs),
        "clicks": [
            clicks_needed(bench, bench.subject.numbers[i], points[i]) for i in few[::REFINED_SHARE]
        ],
    }
    conditions = [("border", {"border": True})]
    conditions += [(f"jitter {j:g} px", {"jitter_px": j}) for j in JITTERS_PX]
    for condition, how in conditions:
        moved = bench.clicks(np.random.default_rng([seed, 7]), **how)
        found = bench.answers(moved, few)
        rows += bench.compare(few, [bench.mask_of(r.ring) for r in found], condition)
    rows += _peers(bench, points, few, predictor)
    unsized = Bench(model, sample, sized=False)
    found = unsized.answers(points, few)
    rows += bench.compare(few, [bench.mask_of(r.ring) for r in found], "size unknown")
    return rows, image


def _peers(
    bench: Bench, points: NDArray[np.float64], few: list[int], predictor: Predictor | None
) -> list[Row]:
    scene, clicked = bench.scene, [tuple(map(float, points[i])) for i in few]
    rows = bench.compare(few, [scene.flood(*p) for p in clicked], "peer: flood fill")
    rows += bench.compare(few, [scene.watershed(*p) for p in clicked], "peer: watershed")
    if predictor is not None:
        labels = nuclei_labels(predictor, bench.sample)
        masks = [object_at(labels, *p) for p in clicked]
        rows += bench.compare(few, masks, "peer: nuclei-unet")
    return rows


def summarise(rows: Iterable[Row], images: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return per modality and condition the means over objects, and the image-wide means."""
    table: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        table.setdefault(row.modality, {}).setdefault(row.condition, []).append(row)
    summary: dict[str, Any] = {}
    for modality, conditions in sorted(table.items()):
        own = [image for image in images if image.get("modality") == modality]
        needed = np.concatenate([image["clicks"] for image in own])
        summary[modality] = {
            "images": len(own),
            "aji": float(np.mean([image["aji"] for image in own])),
            "pq": float(np.mean([image["pq"] for image in own])),
            "clicks_to_iou_0.9_mean": float(needed.mean()),
            "reached_iou_0.9": float((needed <= MOST_CLICKS).mean()),
            **{name: _means(members) for name, members in conditions.items()},
        }
    return summary


def _means(rows: Sequence[Row]) -> dict[str, float]:
    distances = np.array([r.hausdorff_px for r in rows])
    known = distances[np.isfinite(distances)]
    return {
        "objects": len(rows),
        "dice": float(np.mean([r.dice for r in rows])),
        "dice_median": float(np.median([r.dice for r in rows])),
        "iou_over_half": float(np.mean([r.iou > 0.5 for r in rows])),
        "hausdorff_px_median": float(np.median(known)) if known.size else float("nan"),
    }


def samples_of(directory: Path, side: str, seed: int) -> tuple[Sample, ...]:
    """Return the images of a side; ``folder`` is MoNuSeg's held-out part, or any folder's all."""
    if side == "folder":
        train, test = datasets.read_research(directory)
        return test or train
    samples, split = datasets.read_permissive(directory, seed)
    return tuple(samples[i] for i in (split.validation if side == "validation" else split.test))


def evaluate(
    graph: Path, samples: Sequence[Sample], out: Path, *, side: str, seed: int, extent: Extent
) -> None:
    """Measure an ONNX file on the images of one side; write ``SIDE.csv`` and ``SIDE.json``."""
    model = model_of(graph)
    predictor = Predictor(shipped_nuclei().read_bytes())
    step = 1 if extent.images is None else max(1, len(samples) // extent.images)
    rows: list[Row] = []
    images: list[dict[str, Any]] = []
    for sample in samples[::step]:
        found, image = measure(model, sample, predictor, seed, extent.objects)
        rows += found
        images += [image] if image else []
    out.mkdir(parents=True, exist_ok=True)
    with (out / f"{side}.csv").open("w", newline="") as stream:
        writer: Any = csv.DictWriter(stream, [f.name for f in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    summary = json.dumps(summarise(rows, images), indent=1)
    (out / f"{side}.json").write_text(summary)
    sys.stdout.write(summary + "\n")
