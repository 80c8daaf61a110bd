import numpy as np
from numpy.typing import NDArray

def lift(
    text: NDArray[np.uint8],
    start: int,
    first_number: int,
    all: bool,  # noqa: A002
    rest: NDArray[np.uint8],
    objects: NDArray[np.int64],
    shapes: NDArray[np.int64],
    rings: NDArray[np.int64],
    points: NDArray[np.float64],
    numbers: NDArray[np.float64],
    /,
) -> tuple[int, int, int, int]: ...
def print_rings(
    points: NDArray[np.int64],
    offsets: NDArray[np.int64],
    out: NDArray[np.uint8],
    ends: NDArray[np.int64],
    bracketed: bool,
    /,
) -> None: ...
