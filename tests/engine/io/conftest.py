from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.io.cache import TileCache
from tilescope.testing.synthetic import coordinate_pixels


@pytest.fixture
def cache() -> TileCache:
    return TileCache(64 << 20)


@pytest.fixture
def coordinates() -> NDArray[np.uint8]:
    """Level-0 pixels that encode where they are, of odd size."""
    return coordinate_pixels(Rect(0, 0, 1001, 777))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of sample slides beside the checkout; tests that need it skip without."""
    folder = Path(__file__).resolve().parents[4] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no sample slides beside the checkout")
    return folder
