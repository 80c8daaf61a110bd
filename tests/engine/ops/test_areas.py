"""Areas as one value, on lattices, and the point that says where an object is."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from tilescope.ops.area_cells import Lattice, centres_inside, touched
from tilescope.ops.areas import MOST_AREAS, MOST_VERTICES, Areas
from tilescope.ops.inner_points import inner_points

RING = shapely.Point(50, 50).buffer(30).difference(shapely.Point(50, 50).buffer(20))
ISLAND = shapely.Point(50, 50).buffer(8)
BOW_TIE = shapely.Polygon([(0, 0), (20, 20), (20, 0), (0, 20)])


def blob(rng: np.random.Generator, side: float) -> shapely.Polygon:
    angles = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    radii = rng.uniform(3, side / 8) * rng.uniform(0.6, 1.4, 30)
    spokes = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    return shapely.Polygon(rng.uniform(0, side, 2) + spokes)


@pytest.fixture
def scattered(rng: np.random.Generator) -> Areas:
    across = shapely.Polygon([(-1e9, 100), (1e9, 900), (1e9, 901), (-1e9, 101)])
    pierced = shapely.transform(RING, lambda points: points * 5)
    return Areas.of([*(blob(rng, 400) for _ in range(8)), pierced, across])


def test_the_same_areas_are_equal_however_they_are_given() -> None:
    one = Areas.of([RING, BOW_TIE, ISLAND])
    other = Areas.of([ISLAND, shapely.multipolygons([RING.reverse()]), ISLAND.reverse(), BOW_TIE])
    assert one == other
    assert hash(one) == hash(other)
    assert one.sha256 == other.sha256
    assert len(one) == len(other) == 4  # the bow tie is two triangles, ISLAND counts once
    assert one != Areas.of([RING, BOW_TIE])
    assert one != Areas.of([RING, BOW_TIE, shapely.Point(50, 50.001).buffer(8)])


def test_the_digest_of_an_area_does_not_change() -> None:
    # Runs of earlier versions have to be known again.
    told = Areas.of([shapely.box(1, 2, 3, 4.5)]).sha256
    assert told == "de9710371a3a7644f5adc0201513842e2630f686e4e4622cba66a2372408bf3a"


def test_they_cannot_be_changed() -> None:
    found = Areas.of([RING])
    with pytest.raises(ValueError, match="read-only"):
        found.polygons[0] = ISLAND


def test_points_and_lines_are_left_out_and_nothing_else_is_refused() -> None:
    line, point = shapely.LineString([(0, 0), (5, 5)]), shapely.Point(3, 3)
    assert Areas.of([line, RING, point, None, shapely.Polygon()]) == Areas.of([RING])
    for nothing in ([], [line, point], [shapely.box(5, 5, 5, 9)], [shapely.box(0, 0, 1, np.inf)]):
        with pytest.raises(ValueError, match="holds no area"):
            Areas.of(nothing)


def test_too_many_are_refused() -> None:
    x = np.arange(MOST_AREAS + 1.0)
    with pytest.raises(ValueError, match="holds 200,001 areas; 200,000 are the most"):
        Areas.of(shapely.box(x, 0, x + 1, 1))
    angles = np.linspace(0, 2 * np.pi, MOST_VERTICES // 10)
    circle = shapely.Polygon(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    with pytest.raises(ValueError, match="vertices; 5,000,000 are the most"):
        Areas.of([circle] * 11)


def test_a_point_lies_in_any_of_them_or_on_an_edge(
    scattered: Areas, rng: np.random.Generator
) -> None:
    points = rng.uniform(-50, 450, (3000, 2))
    united = shapely.union_all(scattered.polygons)
    expected = shapely.intersects_xy(united, points[:, 0], points[:, 1])
    assert 0 < expected.sum() < len(points)
    np.testing.assert_array_equal(scattered.contain(points), expected)
    square = Areas.of([shapely.box(0, 0, 10, 10)])
    on_and_beside = np.array([[0, 0], [10, 5], [10, 10], [10.001, 5]])
    assert square.contain(on_and_beside).tolist() == [True, True, True, False]
    assert square.contain(np.zeros((0, 2))).tolist() == []


def test_areas_on_top_of_each_other_count_once(rng: np.random.Generator) -> None:
    x0, y0, x1, y1 = np.array([20, 20, 80, 80])[:, None] + rng.uniform(-1, 1, (4, 40))
    piled = Areas.of([*shapely.box(x0, y0, x1, y1), RING])
    points = rng.uniform(0, 100, (500, 2))
    united = shapely.union_all(piled.polygons)
    expected = shapely.intersects_xy(united, points[:, 0], points[:, 1])
    np.testing.assert_array_equal(piled.contain(points), expected)


def test_the_rectangle_around_what_lies_in_another() -> None:
    found = Areas.of([shapely.box(10, 10, 30, 20), shapely.box(90, 15, 400, 18)])
    assert found.bounds_in(0, 0, 100, 100) == (10, 10, 100, 20)
    assert found.bounds_in(40, 0, 80, 100) is None
    assert found.bounds_in(30, 0, 90, 100) is None  # both only touch it
    diagonal = Areas.of([shapely.Polygon([(0, 0), (100, 100), (100, 101), (0, 1)])])
    assert diagonal.bounds_in(40, 0, 60, 100) == (40, 40, 60, 61)


@pytest.mark.parametrize("margin_px", [0.0, 4.0, 31.0])
def test_no_cell_that_an_area_touches_is_missing(scattered: Areas, margin_px: float) -> None:
    lattice = Lattice(-7.3, 13.1, 11.7, 13.9, 29, 31)
    found = touched(scattered, lattice, margin_px)
    united = shapely.union_all(scattered.polygons)

    def met(reach_px: float) -> np.ndarray:
        x = lattice.x0 + lattice.width * np.arange(lattice.columns)
        y = lattice.y0 + lattice.height * np.arange(lattice.rows)
        x, y = np.meshgrid(x, y)
        boxes = shapely.box(
            x - reach_px,
            y - reach_px,
            x + lattice.width + reach_px,
            y + lattice.height + reach_px,
        )
        return shapely.intersects(united, boxes)

    assert not (met(margin_px) & ~found).any()
    # Nor are cells far away named.
    assert not (found & ~met(margin_px + 14)).any()
    assert 0 < found.sum() < found.size


def test_cells_whose_centre_lies_inside(scattered: Areas) -> None:
    lattice = Lattice(-3.7, 8.3, 2.3, 1.9, 170, 190)
    x = lattice.x0 + lattice.width * (np.arange(lattice.columns) + 0.5)
    y = lattice.y0 + lattice.height * (np.arange(lattice.rows) + 0.5)
    x, y = np.meshgrid(x, y)
    united = shapely.union_all(scattered.polygons)
    np.testing.assert_array_equal(
        centres_inside(scattered, lattice), shapely.intersects_xy(united, x, y)
    )


def test_an_area_in_the_hole_of_another() -> None:
    inside = centres_inside(Areas.of([RING, ISLAND]), Lattice(0, 0, 1, 1, 100, 100))
    assert inside[50, 50]
    assert not inside[50, 63]
    assert inside[50, 75]
    assert not inside[50, 95]
    assert inside.sum() == pytest.approx(RING.area + ISLAND.area, rel=0.01)


def test_neighbours_leave_no_gap_and_share_no_cell() -> None:
    left, right = Areas.of([shapely.box(0, 0, 5.5, 9)]), Areas.of([shapely.box(5.5, 0, 9, 9)])
    lattice = Lattice(0, 0, 1, 1, 9, 9)
    a, b = centres_inside(left, lattice), centres_inside(right, lattice)
    assert (a ^ b).all()


# The point on an object


def rings_of(*polygons: shapely.Polygon) -> tuple[np.ndarray, np.ndarray]:
    rings = [shapely.get_coordinates(polygon.exterior)[:-1] for polygon in polygons]
    return np.concatenate(rings), np.cumsum([0, *map(len, rings)])


def test_it_is_the_centre_of_mass_where_the_object_covers_it() -> None:
    box, disc = shapely.box(2, 2, 8, 4), shapely.Point(30, 7).buffer(5)
    found = inner_points(*rings_of(box, disc))
    np.testing.assert_allclose(found, [[5, 3], [30, 7]])


def test_it_lies_on_a_bent_object_too() -> None:
    bent = shapely.Polygon([(0, 0), (40, 0), (40, 4), (4, 4), (4, 40), (0, 40)])
    assert not bent.intersects(bent.centroid)
    box = shapely.box(100, 100, 110, 110)
    rings, offsets = rings_of(box, bent, box)
    found = inner_points(rings, offsets)
    assert bent.contains(shapely.Point(found[1]))
    np.testing.assert_allclose(found[[0, 2]], [[105, 105]] * 2)


def test_of_what_has_no_area_it_is_the_middle() -> None:
    rings = np.array([[0, 0], [4, 0], [10, 10], [12, 10], [12, 12], [10, 12], [7.0, 3]])
    found = inner_points(rings, np.array([0, 2, 6, 7]))
    np.testing.assert_allclose(found, [[2, 0], [11, 11], [7, 3]])
    assert inner_points(np.zeros((0, 2)), np.zeros(1, np.int64)).shape == (0, 2)
