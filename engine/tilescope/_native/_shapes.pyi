import numpy as np
from numpy.typing import NDArray

def trace(
    labels: NDArray[np.int32],
    seen: NDArray[np.uint8],
    vertices: NDArray[np.int32],
    ends: NDArray[np.int64],
    owners: NDArray[np.int32],
    areas: NDArray[np.int64],
    /,
) -> tuple[int, int]: ...
def thin(
    rings: NDArray[np.float64],
    offsets: NDArray[np.int64],
    tolerance: float,
    keep: NDArray[np.uint8],
    /,
) -> None: ...
def fill(
    rings: NDArray[np.float64],
    offsets: NDArray[np.int64],
    ids: NDArray[np.uint32],
    flips: NDArray[np.uint8],
    out: NDArray[np.uint32],
    /,
) -> None: ...
def star_shaped(
    points: NDArray[np.float64],
    offsets: NDArray[np.int64],
    star: NDArray[np.int8],
    /,
) -> None: ...
def draw(
    points: NDArray[np.float64],
    offsets: NDArray[np.int64],
    colors: NDArray[np.uint32],
    opacity: float,
    width_px: int,
    most_dots: int,
    cover: NDArray[np.float32],
    owners: NDArray[np.int32],
    picture: NDArray[np.uint32],
    /,
) -> None: ...
