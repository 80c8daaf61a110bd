"""Tile by tile equals all at once, for random networks, image sizes and tiles."""

from __future__ import annotations

import numpy as np
import pytest
from tests.engine.inference.nets import FAMILIES, Net, session_of

from tilescope.domain.geometry import Rect, Size
from tilescope.inference.grid import WorkingGrid
from tilescope.inference.planner import Margins, plan_blocks, smallest_tile
from tilescope.inference.receptive import compute_halo

SEEDS = range(12)


def made(family: str, seed: int) -> tuple[np.random.Generator, bytes, bool]:
    rng = np.random.default_rng([seed, *family.encode()])
    net = Net(rng)
    FAMILIES[family](net)
    return rng, net.build(), net.input_shape[-1] == 3


def picture(rng: np.random.Generator, step: int, channels_last: bool) -> np.ndarray:
    height, width = (int(step * rng.integers(-(-48 // step), 1 + 160 // step)) for _ in range(2))
    shape = (1, height, width, 3) if channels_last else (1, 1, height, width)
    return rng.standard_normal(shape).astype(np.float32)


def part(image: np.ndarray, axes: tuple[int, int], spans) -> np.ndarray:
    where = [slice(None)] * image.ndim
    for axis, (start, stop) in zip(axes, spans, strict=True):
        where[axis] = slice(start, stop)
    return np.ascontiguousarray(image[tuple(where)])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_tiles_equal_the_whole_image(family: str, seed: int) -> None:
    rng, model, channels_last = made(family, seed)
    halo = compute_halo(model)
    assert halo.culprit is None
    (output,) = halo.outputs
    image = picture(rng, halo.multiple_of, channels_last)
    axes = (1, 2) if channels_last else (2, 3)
    session = session_of(model)
    whole = session.run(None, {"image": image})[0]
    sizes = [image.shape[axis] for axis in axes]
    lengths = [r.length(n) for r, n in zip(output.reaches, sizes, strict=True)]
    assert lengths == [whole.shape[axis] for axis in output.axes]
    sides = [int(rng.integers(1 + length // 4, 2 + length)) for length in lengths]
    for j0 in range(0, lengths[0], sides[0]):
        for i0 in range(0, lengths[1], sides[1]):
            ends = [min(j0 + sides[0], lengths[0]), min(i0 + sides[1], lengths[1])]
            pieces = list(zip((j0, i0), ends, strict=True))
            spans = [
                reach.span(*piece, size, halo.multiple_of)
                for reach, piece, size in zip(output.reaches, pieces, sizes, strict=True)
            ]
            tile = session.run(None, {"image": part(image, axes, spans)})[0]
            places = [
                (first - int(start / reach.step), stop - int(start / reach.step))
                for reach, (first, stop), (start, _) in zip(
                    output.reaches, pieces, spans, strict=True
                )
            ]
            got, wanted = part(tile, output.axes, places), part(whole, output.axes, pieces)
            np.testing.assert_allclose(got, wanted, atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("family", ["plain", "unet"])
def test_blocks_of_a_plan_equal_the_whole_canvas(family: str, seed: int) -> None:
    rng, model, _ = made(family, 100 + seed)
    halo = compute_halo(model)
    assert halo.covers_input
    step, margins = halo.multiple_of, Margins(halo.pixels, 0)
    size = Size(*(int(n) for n in rng.integers(40, 200, 2)))
    grid = WorkingGrid.over(size, 1.0, step)
    tile = smallest_tile(margins, step) + step * int(rng.integers(0, 1 + 64 // step))
    plan = plan_blocks(grid, Rect.of_size(size), margins, tile)
    canvas = rng.standard_normal((1, 1, grid.canvas.height, grid.canvas.width), np.float32)
    session = session_of(model)
    whole = session.run(None, {"image": canvas})[0]
    for block in plan.blocks:
        outer, core = block.outer, block.core
        pixels = canvas[..., outer.y0 : outer.y1, outer.x0 : outer.x1]
        tile = session.run(None, {"image": np.ascontiguousarray(pixels)})[0]
        cut = core.y0 - outer.y0, core.x0 - outer.x0
        got = tile[..., cut[0] : cut[0] + core.height, cut[1] : cut[1] + core.width]
        np.testing.assert_allclose(got, whole[..., core.y0 : core.y1, core.x0 : core.x1], atol=1e-4)
