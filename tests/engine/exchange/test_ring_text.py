"""Numbers of a whole batch at once equal those of json."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.exchange.ring_text import parse_rings

NUMBER = st.integers(-(10**9), 10**9) | st.decimals(
    -(10**7), 10**7, allow_nan=False, allow_infinity=False, places=5
)


@given(st.lists(st.lists(st.tuples(NUMBER, NUMBER), min_size=1), min_size=1), st.booleans())
def test_numbers_are_exactly_those_of_json(rings, spaced):
    pair = "[{0!s}, {1!s}]" if spaced else "[{0!s},{1!s}]"
    texts = ["[[" + ",".join(pair.format(x, y) for x, y in ring) + "]]" for ring in rings]
    parsed = parse_rings(texts)
    assert parsed.offsets.tolist() == [0, *np.cumsum([len(ring) for ring in rings])]
    expected = np.concatenate([np.array(json.loads(text)[0], float) for text in texts])
    assert (parsed.points == expected).all()


@pytest.mark.parametrize(
    "text",
    [
        "[[[1,2],[3]]]",
        "[[[1,2],[3,4,5]]]",
        "[[[1,2],[]]]",
        "[[]]",
        "[]",
        "[[[1,2]],[[3,4]]]",
        "[[[1,--2]]]",
        "[[[1-1,5]]]",
        "[[[1 1,5]]]",
        "[[[1.1.1,5]]]",
        "[[[.5,5]]]",
        "[[[5.,5]]]",
        "[[[-,5]]]",
        "[[[,5]]]",
        "[[[1e3,5]]]",
        "[[[NaN,5]]]",
        "[[[1234567890123456,5]]]",
        "[[[1,٣]]]",
    ],
)
def test_anything_doubtful_is_left_to_json(text):
    assert parse_rings(["[[[1,2],[3,4]]]", text]) is None


def test_nothing_is_nothing():
    parsed = parse_rings([])
    assert parsed.points.shape == (0, 2)
    assert parsed.offsets.tolist() == [0]
