"""tiatoolbox's end of the benchmark ``store``; runs in whatever environment it is installed in.

Makes the same nuclei as ``store.py`` does, outside of what it times.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from peer_process import serve

TILE, PER_TILE, CORNERS = 1024, 1000, 30
CLASSES = ("tumour", "stroma", "immune", "dead", "other")

_open: dict[str, Any] = {}


def hello() -> dict[str, Any]:
    from importlib.metadata import version

    from tiatoolbox.annotation.storage import SQLiteStore

    _open["class"] = SQLiteStore
    return {"version": version("tiatoolbox")}


def open_store(path: str, seed: int, columns: int) -> dict[str, Any]:
    Path(path).unlink(missing_ok=True)
    _open["store"], _open["seed"], _open["columns"] = _open["class"](path), seed, columns
    return {}


def shapes(tile: int) -> Any:
    rng = np.random.default_rng([_open["seed"], tile])
    corner = np.array(divmod(tile, _open["columns"])[::-1]) * TILE
    centres = corner + rng.uniform(0, TILE, (PER_TILE, 2))
    angles = np.linspace(0, 2 * np.pi, CORNERS + 1)
    radii = rng.uniform(5, 11, (PER_TILE, 1)) * rng.uniform(0.9, 1.1, (PER_TILE, CORNERS + 1))
    points = np.stack([np.cos(angles) * radii, np.sin(angles) * radii], axis=-1)
    points += centres[:, None]
    points[:, -1] = points[:, 0]
    return shapely.polygons(points)


def insert(batch: list[int]) -> dict[str, Any]:
    from tiatoolbox.annotation.storage import Annotation

    made = [
        Annotation(shape, {"type": CLASSES[i % len(CLASSES)], "score": 0.5})
        for tile in batch
        for i, shape in enumerate(shapes(tile))
    ]
    wall, cpu = time.perf_counter(), time.process_time()
    _open["store"].append_many(made)
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def query(batch: list[list[int]]) -> dict[str, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = [
        _open["store"].query(tuple(box), geometry_predicate="bbox_intersects") for box in batch
    ]
    timing = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return {**timing, "found": len(found[0])}


if __name__ == "__main__":
    serve({"hello": hello, "open": open_store, "insert": insert, "query": query})
