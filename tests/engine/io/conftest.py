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
