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
