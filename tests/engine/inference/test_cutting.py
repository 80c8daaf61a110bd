"""Which part of an output belongs to which part of the input."""

from __future__ import annotations

import numpy as np
import pytest

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.manifest import TensorSpec
from tilescope.errors import InferenceFailed
from tilescope.inference.cutting import cut_outputs
from tilescope.inference.receptive import compute_halo
from tilescope.inference.session import OnnxSession
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.toy_tasks import ToyGraph

OUTER = Rect(64, 32, 192, 128)
PART = Rect(96, 48, 160, 112)
SPEC = TensorSpec("blurred", "NCHW", "float32")


def cut(array: np.ndarray, graph: ToyGraph | None = None, spec: TensorSpec = SPEC) -> np.ndarray:
    reaches = () if graph is None else compute_halo(graph.as_bytes()).outputs
    return cut_outputs({"blurred": array}, (spec,), reaches, OUTER, PART)["blurred"]


@pytest.mark.parametrize(
    "graph",
    [
        ToyGraph(),
        ToyGraph(stride=4),
        ToyGraph(padded=False),
        ToyGraph(fixed=Size(128, 96), padded=False),
    ],
    ids=["same", "coarser", "unpadded", "fixed"],
)
def test_the_part_is_what_the_graph_says_of_it(graph: ToyGraph) -> None:
    # The input says where it is; a blur of a plane is the plane.
    y, x = np.mgrid[OUTER.y0 : OUTER.y1, OUTER.x0 : OUTER.x1].astype(np.float32)
    with OnnxSession(graph.as_bytes(), threads=1) as session:
        image = (x + 1000 * y)[None, None]
        found = cut(session.run({"image": image}, CancellationToken())["blurred"], graph)[0, 0]
    step = graph.stride
    y, x = np.mgrid[PART.y0 : PART.y1 : step, PART.x0 : PART.x1 : step]
    np.testing.assert_allclose(found, x + 1000 * y, rtol=1e-5)


def test_without_knowledge_the_size_tells() -> None:
    same = np.arange(96 * 128.0).reshape(1, 1, 96, 128)
    assert cut(same)[0, 0, 0, 0] == same[0, 0, 16, 32]
    assert cut(same[:, :, ::2, ::2]).shape == (1, 1, 32, 32)
    unpadded = same[:, :, 4:-4, 4:-4]
    np.testing.assert_array_equal(cut(unpadded), cut(same))


def test_channels_last_and_planes_without_batch() -> None:
    last = np.zeros((1, 96, 128, 3))
    assert cut(last, spec=TensorSpec("blurred", "NHWC", "float32")).shape == (1, 64, 64, 3)


@pytest.mark.parametrize("shape", [(1, 7), (1, 12, 4), (1, 5, 1, 1)])
def test_what_is_no_image_stays(shape: tuple[int, ...]) -> None:
    array = np.ones(shape)
    assert cut(array) is array


@pytest.mark.parametrize("shape", [(95, 128), (30, 128), (96, 200), (44, 128)])
def test_sizes_that_fit_nowhere_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(InferenceFailed, match="does not fit"):
        cut(np.ones((1, 1, *shape)))


def test_a_stride_that_does_not_divide_the_place_is_refused() -> None:
    array = np.ones((1, 1, 24, 32))
    with pytest.raises(InferenceFailed, match="multiple_of"):
        cut_outputs({"blurred": array}, (SPEC,), (), OUTER, Rect(98, 48, 160, 112))
