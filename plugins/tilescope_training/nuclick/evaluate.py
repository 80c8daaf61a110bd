"""How good click weights are, measured through the engine's own click session.

Every object gets one prompt, a click at a random place inside it or a scribble over it; clicks are
also put beside that place, on the object's rim, and where no object is. What comes back is compared
with the label. Peers get the same prompts.
"""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tilescope.domain.clicks import Prompt
from tilescope.plugins.parsing import load_manifest
from tilescope_training import metrics
from tilescope_training.nuclei.evaluate import Predictor
from tilescope_training.nuclei.monuseg import read_research
from tilescope_training.nuclick import data as datasets
from tilescope_training.nuclick.aims import CELL, GLAND, NUCLEUS, Aim
from tilescope_training.nuclick.bench import MOST_CLICKS, Bench, Row, clicks_needed, model_of
from tilescope_training.nuclick.cells import read_cells
from tilescope_training.nuclick.glands import read_glands
from tilescope_training.nuclick.peers import nuclei_labels, object_at
from tilescope_training.nuclick.scribbles import STYLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from tilescope.plugins.registry import InstalledModel
    from tilescope_training.nuclei.data import Sample

JITTERS_PX = (1.0, 3.0, 5.0, 10.0)
REFINED_SHARE = 5
"""Of so many objects that are prompted in every condition one is refined by further clicks."""

BACKGROUND_CLICKS = 12
"""Per image, where no object is."""


def shipped_nuclei() -> Path:
    """Return the graph of the nuclei model that comes with Tilescope, one of the peers."""
    folder = Path(str(files("tilescope_nuclei")))
    return folder / load_manifest(folder / "plugin.toml").models[0].weights.file


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


@dataclass(frozen=True, slots=True)
class Course:
    """What is measured with.

    Attributes
    ----------
    model, aim
        The weights and what they are about.
    predictor
        The network without clicks that is one of the peers; None leaves it out.
    """

    model: InstalledModel
    aim: Aim = NUCLEUS
    predictor: Predictor | None = None


def measure(
    course: Course, sample: Sample, seed: int, objects: int
) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of one image and its image-wide measures; see `Extent`."""
    bench = Bench(course.model, sample, course.aim)
    numbers = bench.subject.numbers
    if not numbers:
        return [], {}
    random = np.random.default_rng([seed, len(numbers)])
    everything = list(range(len(numbers)))
    few = sorted(random.permutation(everything)[:objects].tolist())
    points = bench.points(random)
    asked = bench.scribbles(random) if course.aim is GLAND else _at(points)
    masks = bench.masks(asked)
    first = "one scribble" if course.aim is GLAND else "interior"
    rows = bench.compare(everything, masks, first)
    pairs = metrics.overlap(sample.labels, bench.label_image(masks))
    image = {
        "name": sample.name,
        "modality": sample.modality,
        "dice": float(np.mean([r.dice for r in rows])),
        "aji": metrics.aggregated_jaccard(pairs),
        "pq": metrics.panoptic_quality(pairs),
        "object_dice": metrics.object_dice(pairs),
        "clicks": [clicks_needed(bench, numbers[i], asked[i]) for i in few[::REFINED_SHARE]],
        "refused": [not m.any() for m in bench.masks(bench.background(random, BACKGROUND_CLICKS))],
    }
    conditions = _scribbles(bench, points, seed) if course.aim is GLAND else _clicks(bench, seed)
    for condition, prompts in conditions.items():
        rows += bench.compare(few, bench.masks([prompts[i] for i in few]), condition)
    rows += _peers(bench, points, few, course.predictor)
    unsized = Bench(course.model, sample, course.aim, sized=False)
    rows += bench.compare(few, unsized.masks([asked[i] for i in few]), "size unknown")
    return rows, image


def _at(points: NDArray[np.float64]) -> list[Prompt]:
    return [Prompt.at(float(x), float(y)) for x, y in points]


def _clicks(bench: Bench, seed: int) -> dict[str, list[Prompt]]:
    conditions = {"border": bench.points(np.random.default_rng([seed, 7]), border=True)}
    for jitter in JITTERS_PX:
        random = np.random.default_rng([seed, 7])
        conditions[f"jitter {jitter:g} px"] = bench.points(random, jitter_px=jitter)
    return {condition: _at(points) for condition, points in conditions.items()}


def _scribbles(bench: Bench, points: NDArray[np.float64], seed: int) -> dict[str, list[Prompt]]:
    conditions = {
        f"{style} scribble": bench.scribbles(np.random.default_rng([seed, 7]), style)
        for style in STYLES
    }
    return {**conditions, "one click": _at(points)}


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
        refused = np.concatenate([image["refused"] for image in own])
        summary[modality] = {
            "images": len(own),
            "dice_of_images": float(np.mean([image["dice"] for image in own])),
            "dice_of_images_sd": float(np.std([image["dice"] for image in own])),
            "aji": float(np.mean([image["aji"] for image in own])),
            "pq": float(np.mean([image["pq"] for image in own])),
            "object_dice": float(np.mean([image["object_dice"] for image in own])),
            "clicks_to_iou_0.9_mean": float(needed.mean()),
            "reached_iou_0.9": float((needed <= MOST_CLICKS).mean()),
            "background_clicks": int(refused.size),
            "background_refused": float(refused.mean()) if refused.size else float("nan"),
            **{name: _means(members) for name, members in conditions.items()},
        }
    return summary


def _means(rows: Sequence[Row]) -> dict[str, float]:
    distances = np.array([r.hausdorff_px for r in rows])
    known = distances[np.isfinite(distances)]
    return {
        "objects": len(rows),
        "answered": float(np.isfinite(distances).mean()),
        "dice": float(np.mean([r.dice for r in rows])),
        "dice_median": float(np.median([r.dice for r in rows])),
        "iou_over_half": float(np.mean([r.iou > 0.5 for r in rows])),
        "hausdorff_px_median": float(np.median(known)) if known.size else float("nan"),
    }


def samples_of(directory: Path, side: str, seed: int, aim: Aim = NUCLEUS) -> tuple[Sample, ...]:
    """Return the images of a side; ``folder`` is MoNuSeg's held-out part, or any folder's all."""
    if aim in {CELL, GLAND}:
        sides = read_cells(directory) if aim is CELL else read_glands(directory)
        return sides.validation if side == "validation" else sides.test
    if side == "folder":
        train, test = read_research(directory)
        return test or train
    samples, split = datasets.read_permissive(directory, seed)
    return tuple(samples[i] for i in (split.validation if side == "validation" else split.test))


def evaluate(
    graph: Path,
    samples: Sequence[Sample],
    out: Path,
    *,
    side: str,
    seed: int,
    extent: Extent,
    aim: Aim = NUCLEUS,
) -> None:
    """Measure an ONNX file on the images of one side; write ``SIDE.csv`` and ``SIDE.json``."""
    predictor = Predictor(shipped_nuclei().read_bytes()) if aim is NUCLEUS else None
    course = Course(model_of(graph, aim), aim, predictor)
    step = 1 if extent.images is None else max(1, len(samples) // extent.images)
    rows: list[Row] = []
    images: list[dict[str, Any]] = []
    for sample in samples[::step]:
        found, image = measure(course, sample, seed, extent.objects)
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
