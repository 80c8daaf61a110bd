"""Objects as columns are the objects they stand for."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.annotation import Author
from tilescope.domain.annotation_ids import id_bytes, id_text, id_texts
from tilescope.domain.annotation_rings import Rings
from tilescope.domain.annotation_table import AnnotationTable, Traits
from tilescope.errors import UsageError

CORNERS = st.lists(st.integers(3, 6), min_size=1, max_size=8)
TRAITS = (
    Traits("detection", "tumour", measured=("area", "score"), author=Author("model", "m")),
    Traits("cell", None, "a name", (), locked=True, z=2, t=1),
    Traits(parent_id=str(UUID(int=5)), measured=("area",)),
)


def rings_of(corners: list[int]) -> Rings:
    """Return regular polygons of so many corners, side by side."""
    closed = [
        np.array([(20 * i + 9 * np.cos(a), 9 * np.sin(a)) for a in angles(n)])
        for i, n in enumerate(corners)
    ]
    return Rings(np.concatenate(closed), np.cumsum([0, *map(len, closed)]))


def angles(corners: int) -> list[float]:
    return [2 * np.pi * (k % corners) / corners for k in range(corners + 1)]


def table_of(corners: list[int], which: list[int]) -> AnnotationTable:
    count = sum(len(TRAITS[i].measured) for i in which)
    return AnnotationTable(
        np.arange(16 * len(which), dtype=np.uint8).reshape(-1, 16),
        rings_of(corners),
        TRAITS,
        np.array(which, np.int64),
        np.arange(count) / 4,
    )


@given(CORNERS, st.data())
def test_each_is_the_polygon_that_shapely_makes_of_it(corners, data):
    rings = rings_of(corners)
    plain = [rings.points[a:b] for a, b in zip(rings.offsets, rings.offsets[1:], strict=False)]
    expected = [shapely.to_wkb(shapely.polygons(points), byte_order=1) for points in plain]
    assert list(rings) == expected
    assert [rings[i] for i in range(len(rings))] == expected
    which = data.draw(st.lists(st.integers(0, len(corners) - 1)))
    assert list(rings.take(np.array(which, np.intp))) == [expected[i] for i in which]
    cut = data.draw(st.integers(0, len(corners)))
    assert list(Rings.joined([rings[:cut], rings[cut:]])) == expected
    assert rings.boxes().tolist() == shapely.bounds(shapely.from_wkb(expected)).tolist()


@pytest.mark.parametrize(
    ("points", "offsets"),
    [
        ([(0, 0), (1, 0), (1, 1), (0, 1)], [0, 4]),
        ([(0, 0), (1, 0), (0, 0)], [0, 3]),
        ([(0, 0), (1, 0), (1, 1), (0, 0)], [0, 5]),
        ([(0, 0), (1, 0), (1, 1), (0, 0)], [1, 4]),
        ([(0, np.nan), (1, 0), (1, 1), (0, np.nan)], [0, 4]),
    ],
)
def test_what_is_no_ring_is_refused(points, offsets):
    with pytest.raises(ValueError, match=r"closed|vertices|offsets"):
        Rings(np.array(points, float), np.array(offsets))


@given(st.lists(st.tuples(st.integers(3, 6), st.integers(0, 2)), min_size=1, max_size=9), st.data())
def test_a_part_of_a_table_is_that_part_of_its_objects(rows, data):
    table = table_of([n for n, _ in rows], [which for _, which in rows])
    whole = list(table)
    assert [table[i] for i in range(-len(rows), len(rows))] == whole + whole
    part = data.draw(st.slices(len(rows)).filter(lambda s: s.step in (None, 1)))
    assert list(table[part]) == whole[part]
    with pytest.raises(IndexError):
        table[len(rows)]


def test_objects_have_the_traits_and_the_numbers_that_are_theirs():
    first, second, third, fourth = table_of([3, 4, 5, 6], [0, 1, 2, 0])
    assert first.measurements == {"area": 0.0, "score": 0.25}
    assert (first.class_name, first.author.name, first.kind) == ("tumour", "m", "detection")
    assert (second.measurements, second.name, second.locked) == ({}, "a name", True)
    assert (second.z, second.t) == (2, 1)
    assert third.measurements == {"area": 0.5}
    assert third.parent_id == str(UUID(int=5))
    assert fourth.measurements == {"area": 0.75, "score": 1.0}
    assert first.id == str(UUID(bytes=bytes(range(16))))


def test_columns_that_do_not_belong_together_are_refused():
    whole = table_of([3, 3], [0, 2])
    columns = (whole.ids, whole.geometry, whole.traits, whole.trait_of, whole.numbers)
    for place, wrong in ((0, whole.ids[:1]), (3, whole.trait_of[:1]), (4, whole.numbers[:2])):
        changed = list(columns)
        changed[place] = wrong
        with pytest.raises(ValueError, match=r"need|measurements"):
            AnnotationTable(*changed)
    with pytest.raises(ValueError, match="plane"):
        Traits(z=-1)
    with pytest.raises(ValueError, match="an object is one of"):
        Traits("blob")


@given(st.lists(st.uuids()))
def test_ids_are_the_same_as_text_and_as_bytes(ids):
    data = b"".join(each.bytes for each in ids)
    assert id_texts(data) == [str(each) for each in ids]
    assert [id_bytes(text) for text in id_texts(data)] == [each.bytes for each in ids]
    assert [id_text(each.bytes) for each in ids] == [str(each) for each in ids]


@pytest.mark.parametrize("text", ["", "me", "0" * 31, "0" * 34, "g" * 32])
def test_what_is_no_id_is_named(text):
    with pytest.raises(UsageError, match="the id of an object is a UUID"):
        id_bytes(text)
