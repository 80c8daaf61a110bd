"""Objects to write."""

from uuid import UUID

import numpy as np
import pytest

from tilescope.domain.results import Detections


@pytest.fixture
def run_id():
    return UUID("0b7a3c1e-5d8f-4c39-9a43-3ad1a6a2e0f1")


@pytest.fixture
def nuclei():
    """Return a maker of round objects spread over a square of level-0 pixels."""

    def make(n, *, side=1000.0, radius=9.0, seed=0, class_names=("nucleus", "Lymphozyt, µ")):
        rng = np.random.default_rng(seed)
        angle = np.arange(24) * (2 * np.pi / 24)
        circle = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius
        centres = rng.uniform(radius, side - radius, (n, 1, 2))
        return Detections(
            (centres + circle).reshape(-1, 2),
            np.arange(n + 1, dtype=np.int64) * 24,
            rng.random(n).astype(np.float32),
            rng.integers(0, len(class_names), n).astype(np.uint16),
            class_names,
        )

    return make


@pytest.fixture
def no_room(monkeypatch):
    """Make ``os.fsync`` fail as on a full disk."""
    import errno
    import os

    def fail(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)


@pytest.fixture
def drawn():
    """Return a maker of annotations from shapely geometries; ids are the same every time."""
    from uuid import uuid5

    import shapely

    from tilescope.domain.annotation import Annotation

    def make(*geometries, **members):
        space = UUID("3c1f9a52-6f53-4c1c-9a43-3ad1a6a2e0f1")
        return [
            Annotation(
                str(uuid5(space, f"{i} {g.wkt}")), shapely.to_wkb(g, byte_order=1), **members
            )
            for i, g in enumerate(geometries)
        ]

    return make


@pytest.fixture
def every_shape():
    """Return one valid geometry of every kind that an annotation can have."""
    import shapely

    ring = shapely.box(100, 100, 190, 190).difference(shapely.box(130, 130, 160, 160))
    return [
        shapely.Point(3.25, 4),
        shapely.LineString([(0, 0), (3.5, 4)]),
        shapely.box(10, 10, 40, 20),
        ring,
        shapely.MultiPoint([(1, 2), (3, 4)]),
        shapely.MultiLineString([[(0, 0), (1, 1)], [(5, 5), (6, 7), (8, 8)]]),
        shapely.MultiPolygon([shapely.box(0, 0, 5, 5), ring]),
    ]


def one_by_one(batches):
    """Return what a reader yields as one list, after checking the batches."""
    batches = list(batches)
    assert all(0 < len(batch) <= 4096 for batch in batches)
    return [annotation for batch in batches for annotation in batch]


@pytest.fixture(name="one_by_one")
def _one_by_one():
    return one_by_one
