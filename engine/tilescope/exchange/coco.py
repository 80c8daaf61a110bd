"""COCO JSON: polygons in level-0 pixels, one annotation per line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

from tilescope.domain.geometry import Size
from tilescope.exchange.objects import ObjectBatch, measure
from tilescope.exchange.rings import PER_PIXEL, on_grid, ring_texts
from tilescope.exchange.staging import staged_file

_PART = 2048


def write_coco(
    path: Path,
    batches: Iterable[ObjectBatch],
    *,
    image: str,
    size_l0: Size,
    class_names: tuple[str, ...],
) -> int:
    """Write every object as an annotation of the one image and return how many.

    Parameters
    ----------
    path
        Appears when it is whole.
    batches
        The objects in order; only one batch at a time is held.
    image
        File name of the slide.
    size_l0
        Level-0 pixels of the slide.
    class_names
        Category ``i + 1`` is class ``i``.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    images = [{"id": 1, "file_name": image, "width": size_l0.width, "height": size_l0.height}]
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(class_names)]
    count = 0
    with staged_file(path) as file:
        head = f'{{"images":{_json(images)},"categories":{_json(categories)},"annotations":['
        file.write(head.encode())
        for batch in batches:
            for part in batch.parts(_PART):
                separator = b",\n" if count else b"\n"
                file.write(separator + b",\n".join(_annotations(part)))
                count += len(part)
        file.write(b"\n]}\n")
    return count


def _annotations(batch: ObjectBatch) -> list[bytes]:
    detections = batch.detections
    grid = on_grid(detections)
    areas = measure(detections, None).areas.tolist()
    boxes = [
        f"[{x0 / PER_PIXEL:.2f},{y0 / PER_PIXEL:.2f},"
        f"{(x1 - x0) / PER_PIXEL:.2f},{(y1 - y0) / PER_PIXEL:.2f}]"
        for x0, y0, x1, y1 in grid.boxes().tolist()
    ]
    lines = []
    for number, ring, klass, area, box, score in zip(
        batch.ids,
        ring_texts(grid),
        detections.classes.tolist(),
        areas,
        boxes,
        detections.scores.tolist(),
        strict=True,
    ):
        head = f'{{"id":{number},"image_id":1,"category_id":{klass + 1},"segmentation":[['
        scored = f',"score":{score:.4f}' if math.isfinite(score) else ""
        size = f"{area:.2f}" if math.isfinite(area) else "0"
        tail = f']],"area":{size},"bbox":{box},"iscrowd":0{scored}}}'
        lines.append(head.encode() + ring + tail.encode())
    return lines


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
