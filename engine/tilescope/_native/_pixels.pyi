from typing import Any

import numpy as np
from numpy.typing import NDArray

def argb_over(
    src: NDArray[np.uint32], dst: NDArray[np.uint8], background: tuple[int, int, int], /
) -> None: ...
def bands_last(src: NDArray[Any], dst: NDArray[Any], /) -> None: ...
def box2(src: NDArray[Any], dst: NDArray[Any], /) -> None: ...
def compose(
    src: NDArray[Any],
    dst: NDArray[np.uint32],
    bands: NDArray[np.int32],
    colours: NDArray[np.uint16],
    windows: NDArray[np.float32],
    levels: NDArray[np.uint16],
    /,
) -> None: ...
def resample(
    src: NDArray[Any],
    dst: NDArray[Any],
    x_start: NDArray[np.int32],
    x_weights: NDArray[np.float32],
    y_start: NDArray[np.int32],
    y_weights: NDArray[np.float32],
    scratch: NDArray[np.float32],
    /,
) -> None: ...
