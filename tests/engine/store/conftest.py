"""Projects and objects to put into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

from tilescope.domain.annotation import Annotation, Author
from tilescope.store.project import Project

SIDE = 4000
MODEL = Author("model", "nuclei-unet", {"version": "1.0"})


@pytest.fixture
def nuclei(rng: np.random.Generator) -> Callable[[int], list[Annotation]]:
    """Make that many small polygons somewhere on a slide, in three classes and none."""

    def make(count: int) -> list[Annotation]:
        angles = np.linspace(0, 2 * np.pi, 13)
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        points = rng.uniform(0, SIDE, (count, 1, 2)) + rng.uniform(3, 9, (count, 1, 1)) * circle
        points[:, -1] = points[:, 0]
        shapes = shapely.to_wkb(shapely.polygons(points), byte_order=1)
        return [
            Annotation(
                id=str(UUID(bytes=rng.bytes(16))),
                geometry=shape,
                kind="detection",
                class_name=("tumour", "stroma", "other", None)[i % 4],
                measurements={"area µm²": float(i), "score": 0.5},
                author=MODEL,
            )
            for i, shape in enumerate(shapes)
        ]

    return make


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A new project with one slide, number 1, open for writing."""
    with Project.create(tmp_path / "study.tilescope", user="ada") as made:
        made.add_slide(tmp_path / "a.svs", "identity of a", um_per_px=(0.25, 0.25))
        yield made
