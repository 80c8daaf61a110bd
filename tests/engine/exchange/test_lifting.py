"""Outlines lifted out of features: exactly what json reads, from any text."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.exchange.json_stream import JsonStream
from tilescope.exchange.lifting import Lifted, lift

NUMBER = st.integers(-(10**9), 10**9) | st.decimals(
    -(10**7), 10**7, allow_nan=False, allow_infinity=False, places=5
)
ANY_NUMBER = st.floats(-1e15, 1e15) | st.integers(-(2**53), 2**53)
RINGS = st.lists(
    st.lists(st.tuples(ANY_NUMBER, ANY_NUMBER).map(list), min_size=1, max_size=4),
    min_size=1,
    max_size=3,
)


def lifted(features):
    """Return what is lifted out of a text with the inside of a list, or of features."""
    text = features if isinstance(features, str) else json.dumps(features)[1:-1]
    stream = JsonStream(Path("f.geojson"), io.BytesIO(f"[{text}]".encode()))
    stream.take("[")
    return (*lift(stream), stream)


def whole(value, shapes):
    """Return a value with the lists back in their places."""
    if isinstance(value, dict):
        return {
            name: shapes.lists(shapes.index_of(v))
            if name == "coordinates" and shapes.index_of(v) >= 0
            else whole(v, shapes)
            for name, v in value.items()
        }
    return [whole(v, shapes) for v in value] if isinstance(value, list) else value


def outlined(text):
    return '{"geometry": {"coordinates": ' + text + '}, "id": 1}'


@given(st.lists(st.lists(st.tuples(NUMBER, NUMBER), min_size=1), min_size=1), st.booleans())
def test_numbers_are_exactly_those_of_json(rings, spaced):
    pair = "[ {0!s} , {1!s} ]" if spaced else "[{0!s},{1!s}]"
    texts = ["[[" + ",".join(pair.format(x, y) for x, y in ring) + "]]" for ring in rings]
    values, shapes, broken, stream = lifted(",".join(map(outlined, texts)))
    assert (len(values), len(shapes), broken) == (len(rings), len(rings), 0)
    assert shapes.rings.tolist() == [0, *np.cumsum([len(ring) for ring in rings])]
    expected = np.concatenate([np.array(json.loads(text)[0], float) for text in texts])
    assert (shapes.points == expected).all()
    assert stream.peek() == "]"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
GEOMETRY = st.fixed_dictionaries(
    {"type": st.text()},
    optional={
        "coordinates": RINGS | st.lists(st.integers()) | st.text() | st.none(),
        "plane": JSON,
        "geometry": JSON,
    },
)
FEATURE = st.fixed_dictionaries(
    {"properties": st.dictionaries(st.sampled_from(["geometry", "coordinates", "µ"]), JSON)},
    optional={"geometry": GEOMETRY | JSON, "nucleusGeometry": GEOMETRY, "coordinates": RINGS},
)


@given(st.lists(FEATURE, min_size=1, max_size=5), st.booleans(), st.sampled_from([None, 2]))
def test_with_the_lists_put_back_nothing_has_changed(features, ascii_only, indent):
    text = json.dumps(features, ensure_ascii=ascii_only, indent=indent)[1:-1]
    values, shapes, broken, _ = lifted(text.strip())
    assert broken == 0
    assert whole(values, shapes) == features


@pytest.mark.parametrize(
    "text",
    [
        "[[[1,2],[3]]]",
        "[[[1,2],[]]]",
        "[[]]",
        "[]",
        "5",
        "null",
        "[[[[1,2]]]]",
        "[[[1,2]],[]]",
        "[[[1e3,5]]]",
        "[[[12345678901234567890,5]]]",
        "[[[1,0.00000000000000000001]]]",
        '[[[1,"2"]]]',
        "[[[1,null]]]",
    ],
)
def test_any_other_list_is_left_where_it_is(text):
    values, shapes, broken, _ = lifted(outlined("[[[1,2],[3,4]]]") + "," + outlined(text))
    assert (len(values), len(shapes), broken) == (2, 1, 0)
    assert values[1]["geometry"]["coordinates"] == json.loads(text)


BROKEN = (
    "[[[1,--2]]] [[[1-1,5]]] [[[1.1.1,5]]] [[[.5,5]]] [[[5.,5]]] [[[-,5]]] [[[,5]]] [[[1,٣]]] "
    "[[[1,2],]] [[[1,2]}]"
)


@pytest.mark.parametrize("text", ["[[[1 1,5]]]", *BROKEN.split()])
def test_what_is_no_json_is_not_taken(text):
    values, shapes, broken, stream = lifted(outlined("[[[1,2],[3,4]]]") + "," + outlined(text))
    assert (values, len(shapes)) == ([], 0)
    assert broken == 2 or text == "[[[1,2]}]"
    assert stream.peek() == "{"


def test_vertices_may_have_more_numbers():
    _, shapes, _, _ = lifted(outlined("[[[1,2,7],[3,4,8,9]],[[5,6]]]"))
    assert shapes.lists(0) == [[[1, 2], [3, 4]], [[5, 6]]]


def test_words_and_half_characters_of_json_as_python_writes_it():
    values, _, broken, _ = lifted('{"a": NaN, "b": "\\ud800"}')
    assert broken == 0
    assert values[0]["a"] != values[0]["a"]
    assert values[0]["b"] == "\ud800"


def test_only_coordinates_of_geometries_are_lifted():
    text = (
        '{"coordinates": [[[1, 2]]], "properties": {"coordinates": [[[3, 4]]]},'
        '"name": "\\"geometry\\": {\\"coordinates\\": [[[5, 6]]]}"}'
    )
    values, shapes, _, _ = lifted(text)
    assert len(shapes) == 0
    assert values == [json.loads(text)]


def test_a_file_cannot_name_the_outline_of_another_object():
    text = ",".join([outlined("[[[1,2],[3,4],[5,6]]]"), outlined("0"), outlined(str(2**62))])
    values, shapes, _, _ = lifted(text)
    found = [shapes.index_of(value["geometry"]["coordinates"]) for value in values]
    assert found == [0, -1, -1]


def test_what_is_cut_off_waits_for_the_rest():
    whole_one, cut = outlined("[[[1,2]]]"), outlined("[[[3,4]]]")
    for end in range(1, len(cut)):
        stream = JsonStream(Path("f"), io.BytesIO((f"[{whole_one},{cut[:end]}").encode()))
        stream.take("[")
        values, shapes, broken = lift(stream)
        assert (len(values), len(shapes), broken) == (1, 1, 0)
        stream.take(",")
        assert lift(stream)[0] == []
        assert stream.peek() == "{"


def test_an_object_longer_than_the_buffer_is_lifted_whole():
    ring = [[i + 1 / 3, i / 3] for i in range(140_000)]
    stream = JsonStream(
        Path("f"), io.BytesIO(json.dumps([{"geometry": {"coordinates": [ring]}}]).encode())
    )
    stream.take("[")
    _, shapes, _ = lift(stream)
    assert shapes.lists(0) == [ring]
    assert stream.peek() == "]"


def test_nothing_is_nothing():
    assert len(Lifted.nothing()) == 0
    assert Lifted.nothing().index_of(0) == -1
