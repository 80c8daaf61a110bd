"""A project with as many nuclei as a whole slide has, where the path of ``viewer`` leads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import shapely
from store import PER_TILE, Nuclei, annotations

from tilescope.domain.annotation import Annotation
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.jobs.project_slides import add_slide
from tilescope.store.project import Project

#: Where on the slide the middle of the nuclei lies, as a share of its side.
_MIDDLE = 0.42


def make_project(folder: Path, slide: Path, side: int, count: int, seed: int) -> Path:
    """Return a project with ``count`` nuclei of 30 corners, as dense as in tissue."""
    path = folder / f"viewer-{side}-{count}.tilescope"
    if path.exists():
        return path
    nuclei = Nuclei(count, seed)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with open_slide(slide, cache=TileCache(1 << 20)) as source, Project.create(partial) as project:
        number = add_slide(project, slide, source.info)
        project.insert(number, _batches(nuclei, side * _MIDDLE - nuclei.side / 2))
    return partial.rename(path)


def make_points(folder: Path, side: int, count: int, seed: int) -> Path:
    """Return a file with the centres of the same nuclei: ``float32[n, 2]``, y and x."""
    path = folder / f"viewer-{side}-{count}.npy"
    if not path.exists():
        nuclei = Nuclei(count, seed)
        shift = side * _MIDDLE - nuclei.side / 2
        tiles = [shapely.centroid(nuclei.shapes(tile)) for tile in range(count // PER_TILE)]
        found = shapely.get_coordinates(np.concatenate(tiles)) + shift
        np.save(path, found[:, ::-1].astype(np.float32))
    return path


def _batches(nuclei: Nuclei, shift: float) -> Iterator[list[Annotation]]:
    for tile in range(nuclei.count // PER_TILE):
        yield annotations(shapely.transform(nuclei.shapes(tile), lambda c: c + shift), tile)
