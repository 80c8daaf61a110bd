"""How good the shipped graph is, measured through the plugin's own adapter.

Every image is measured twice: with its true nuclear size, and with the size that the search finds,
which is what a user without a calibrated slide gets.
"""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from tilescope.domain.contrast import Contrast
from tilescope.inference.onnx_runtime import load_runtime
from tilescope.inference.sizing import SizeReading, choose_diameter
from tilescope.ops.tissue import intensity_window
from tilescope.plugins.api import Instances, TileImage
from tilescope_nuclei.adapter import NucleiUNet
from tilescope_training import metrics
from tilescope_training.nuclei.data import TARGET_DIAMETER_PX, resize_image, resize_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from tilescope_training.nuclei.data import Sample

PARAMETERS = {"foreground": 0.55, "peak": 0.25, "min_area_px": 40.0}
"""The manifest's defaults."""

LADDER_PX = (6.0, 9.0, 13.5, 20.0, 30.0, 45.0, 68.0, 100.0)
"""Assumed diameters of the size search, in the image's own pixels."""

MULTIPLE_PX = 8
SEARCH_SIDE_PX = 768
"""The size search looks at no more than a square of this side on the working grid."""


@dataclass(frozen=True, slots=True)
class Row:
    """The measures of one image at one size."""

    name: str
    modality: str
    sizing: str
    diameter_px: float
    size_ratio: float
    true_count: int
    found_count: int
    f1: float
    dsb_ap: float
    aji: float
    pq: float


class Predictor:
    """A graph and its adapter on one core."""

    def __init__(self, graph: bytes, parameters: Mapping[str, float] | None = None) -> None:
        onnxruntime = load_runtime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        self.adapter = NucleiUNet()
        self.parameters = dict(PARAMETERS) | dict(parameters or {})

    def find(self, image: NDArray[np.uint8], contrast: Contrast, factor: float) -> Instances:
        """Return the nuclei on the working grid, which is ``factor`` times the image's size."""
        return self.adapter.decode({"maps": self.maps(image, contrast, factor)}, self.parameters)

    def maps(
        self, image: NDArray[np.uint8], contrast: Contrast, factor: float
    ) -> NDArray[np.float32]:
        """Return the graph's maps on the working grid, float32[1, 4, h, w]."""
        grid = resize_image(image.astype(np.float32), factor)
        pixels = np.clip(np.rint(grid), 0, 255).astype(np.uint8)
        height, width = pixels.shape[:2]
        pad = ((0, -height % MULTIPLE_PX), (0, -width % MULTIPLE_PX), (0, 0))
        inputs = self.adapter.encode(TileImage(np.pad(pixels, pad, mode="edge"), contrast))
        answer = self.session.run(["maps"], dict(inputs))[0]
        return np.asarray(answer, np.float32)[:, :, :height, :width]


def contrast_of(image: NDArray[np.uint8], *, dark_background: bool) -> Contrast:
    """Return the window that the engine would take of a slide that is this image."""
    samples = image.reshape(-1, image.shape[2])
    return intensity_window(samples, dark_background=dark_background, full_scale=255.0)


def read_size(
    predictor: Predictor, image: NDArray[np.uint8], contrast: Contrast, assumed_px: float
) -> SizeReading:
    """Return what is found at an assumed nuclear diameter, in the middle of a large image."""
    factor = TARGET_DIAMETER_PX / assumed_px
    side = max(16, int(SEARCH_SIDE_PX / factor))
    top, left = (max(0, (n - side) // 2) for n in image.shape[:2])
    found = predictor.find(image[top : top + side, left : left + side], contrast, factor)
    areas = np.bincount(found.labels.ravel(), minlength=found.scores.size + 1)[1:]
    return SizeReading(
        2.0 * np.sqrt(areas / np.pi),
        found.scores.astype(np.float64),
        float(areas.sum()) / found.labels.size,
        found.labels.size,
    )


def estimate_diameter(
    predictor: Predictor, image: NDArray[np.uint8], contrast: Contrast
) -> float | None:
    """Return the nuclear diameter in the image's own pixels, None when none shows."""
    return choose_diameter(
        lambda assumed: read_size(predictor, image, contrast, assumed),
        LADDER_PX,
        TARGET_DIAMETER_PX,
    )


def measure(predictor: Predictor, sample: Sample) -> Iterable[Row]:
    """Return the image's row at its true size and the one at its estimated size."""
    contrast = contrast_of(sample.image, dark_background=sample.dark_background)
    true_px = sample.diameter_px or TARGET_DIAMETER_PX
    estimated = estimate_diameter(predictor, sample.image, contrast)
    for sizing, diameter in (("true", true_px), ("estimated", estimated or TARGET_DIAMETER_PX)):
        found = predictor.find(sample.image, contrast, TARGET_DIAMETER_PX / diameter)
        labels = resize_labels(found.labels, sample.labels.shape)
        pairs = metrics.overlap(sample.labels, labels)
        yield Row(
            sample.name, sample.modality, sizing, diameter, diameter / true_px,
            pairs.true_areas.size, pairs.predicted_areas.size,
            metrics.f1(pairs), metrics.dsb_average_precision(pairs),
            metrics.aggregated_jaccard(pairs), metrics.panoptic_quality(pairs),
        )  # fmt: skip


def summarise(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """Return mean and standard deviation over images per modality and sizing."""
    table: dict[str, list[Row]] = {}
    for row in rows:
        table.setdefault(f"{row.modality}_{row.sizing}_size", []).append(row)
    summary: dict[str, dict[str, float]] = {}
    for key, members in sorted(table.items()):
        numbers: dict[str, float] = {"images": len(members)}
        for name in ("f1", "dsb_ap", "aji", "pq"):
            values = np.array([getattr(r, name) for r in members])
            numbers[name], numbers[f"{name}_sd"] = float(values.mean()), float(values.std())
        ratios = np.abs(np.log2([r.size_ratio for r in members]))
        numbers["size_within_25_percent"] = float((ratios < np.log2(1.25)).mean())
        summary[key] = numbers
    return summary


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write the rows as CSV with a header."""
    with path.open("w", newline="") as stream:
        writer: Any = csv.DictWriter(stream, [f.name for f in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
