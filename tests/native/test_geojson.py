"""Coordinates out of text and into text: against Python's own numbers, and with hostile input."""

import json
from itertools import pairwise, product
from uuid import UUID

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tilescope._native._geojson import lift, print_rings

FIRST = 2**62
TOLD = 10


def room(text, *, rest=None, objects=100, shapes=64, rings=64, points=256, numbers=256):
    return (
        np.zeros(5 * len(text) + 64 if rest is None else rest, np.uint8),
        np.full(TOLD * objects, -1, np.int64),
        np.full(shapes, -1, np.int64),
        np.full(rings, -1, np.int64),
        np.full((points, 2), np.nan),
        np.full(numbers, np.nan),
    )


def lifted(text, start=0, strips=False, **sizes):
    data = np.frombuffer(text, np.uint8)
    out = room(text, **sizes)
    return lift(data, start, FIRST, strips, *out), out


def number_read(text):
    found, (*_, points, _) = lifted(
        b'{"geometry":{"coordinates":[[[%s,0]]]}}' % text.encode("ascii")
    )
    return float(points[0, 0]) if found[3] else None


#: Halfway between two float64, and next to it: the hardest to round.
HALVES = st.integers(2**53, 2**62).map(lambda n: str(2 * n + 1))
DECIMALS = st.tuples(st.integers(0, 10**19 - 1), st.integers(1, 19)).map(
    lambda pair: (lambda t: f"{t[: -pair[1]]}.{t[-pair[1] :]}")(str(pair[0]).zfill(pair[1] + 1))
)


@given(
    st.floats(1e-4, 1e15).map(repr) | HALVES | DECIMALS | st.integers(0, 10**19 - 1).map(str),
    st.booleans(),
)
@example("9007199254740993", True)
@example("9007199254740993.5", True)
@example("1844674407370955161.5", False)
@example("9999999999999999999", False)
@example("0.9999999999999999999", False)
@example("4503599627370497.5", False)
@example("0", True)
@example("007.50", False)
def test_numbers_are_the_nearest_there_are(text, negative):
    text = f"-{text}" if negative else text
    if len(text.lstrip("-0.").replace(".", "")) > 19:
        assert number_read(text) in (None, float(text))
        return
    found = number_read(text)
    assert found is not None
    assert repr(found) == repr(float(text))


WORDS = "- .5 5. +1 1e5 1E5 0x1 NaN Infinity -Infinity 1_0 1, --1 [1] true null"
LONG = ["12345678901234567890", "0.12345678901234567890"]


@pytest.mark.parametrize("text", ["", '"1"', *WORDS.split(), *LONG])
def test_anything_else_is_no_number(text):
    assert number_read(text) is None


def test_what_is_written():
    text = b'{"id":"a]}\\"","geometry":{"coordinates":[[[1,2],[3.5,-4]],[[5,6]]]}},{"b":[{}]}'
    (found, end, length, shapes), (rest, _, shape_ends, ring_ends, points, _) = lifted(text)
    assert (found, end, shapes) == (2, len(text), 1)
    assert json.loads(rest[:length].tobytes()) == [
        {"id": 'a]}"', "geometry": {"coordinates": FIRST}},
        {"b": [{}]},
    ]
    assert shape_ends[0] == 2
    assert ring_ends[:2].tolist() == [2, 3]
    assert points[:3].tolist() == [[1, 2], [3.5, -4], [5, 6]]


FEATURE = b'{"geometry":{"coordinates":[[[1,2],[3,4]],[[5,6]]]},"n":[1,{}]}'


@pytest.mark.parametrize("name", ["rest", "shapes", "rings", "points"])
@pytest.mark.parametrize("size", range(8))
def test_too_little_room_leaves_lists_where_they_are(name, size):
    text = FEATURE + b"," + FEATURE
    (found, end, length, shapes), out = lifted(text, **{name: size})
    if name == "rest":
        assert found == 0
        return
    assert (found, end) == (2, len(text))
    values = json.loads(out[0][:length].tobytes())
    plain = json.loads(FEATURE)
    marked = {**plain, "geometry": {"coordinates": FIRST}}
    second = {**plain, "geometry": {"coordinates": FIRST + 1}}
    assert values == [[plain, plain], [marked, plain], [marked, second]][shapes]


@pytest.mark.parametrize("room_for_text", range(2 * len(FEATURE)))
def test_text_that_does_not_fit_is_left_for_later(room_for_text):
    text = FEATURE + b"," + FEATURE
    (found, end, length, _), (rest, *_) = lifted(text, rest=room_for_text)
    assert end == [0, len(FEATURE), len(text)][found]
    assert length <= room_for_text
    if found:
        assert len(json.loads(rest[:length].tobytes())) == found


STRIPPED = (
    b'{"id":"%s","geometry":{"coordinates":[[[%d,2],[3,4]]]},'
    b'"properties":{"id":"x","measurements":{"a":%d.25,"b": %d ,"c":1e9,"d":"NaN","e":{"f":7}}}}'
)


def test_ids_and_measurements_are_left_out_of_what_is_alike():
    text = STRIPPED % (b"one", 1, 5, 6) + b", " + STRIPPED % (b"another", 10, 50, -60)
    (found, _, _, _), (rest, objects, _, _, points, numbers) = lifted(text, strips=True)
    assert found == 2
    told = objects[: 2 * TOLD].reshape(2, TOLD)
    first, second = (rest[a:b].tobytes() for a, b in told[:, :2])
    assert first == second
    assert json.loads(first) == {
        "id": FIRST - 1,
        "geometry": {"coordinates": FIRST},
        "properties": {
            "id": "x",
            "measurements": {
                "a": FIRST + 2**32,
                "b": FIRST + 2**32 + 1,
                "c": 1e9,
                "d": "NaN",
                "e": {"f": 7},
            },
        },
    }
    assert told[:, 2:4].tolist() == [[1, 2], [2, 4]]
    assert [text[a:b] for a, b in told[:, 4:6]] == [b"one", b"another"]
    assert told[:, 6].tolist() == [0, 0]
    assert numbers[:4].tolist() == [5.25, 6, 50.25, -60]
    assert points[[0, 2], 0].tolist() == [1, 10]


@pytest.mark.parametrize("name", ["shapes", "rings", "points", "numbers"])
@pytest.mark.parametrize("size", range(4))
def test_too_little_room_leaves_measurements_where_they_are(name, size):
    text = STRIPPED % (b"i", 1, 5, 6)
    (found, _, length, shapes), (rest, objects, *_) = lifted(text, strips=True, **{name: size})
    assert found == 1
    (value,) = json.loads(rest[:length].tobytes())
    ring = [[[1, 2], [3, 4]]]
    assert value["geometry"]["coordinates"] == (FIRST if shapes else ring)
    measured = list(value["properties"]["measurements"].values())[:2]
    marks = [FIRST + 2**32, FIRST + 2**32 + 1]
    assert measured == marks[: objects[3]] + [5.25, 6][objects[3] :]


@pytest.mark.parametrize("text", [b'{"id":"a\\u0062"}', b'{"id":5}', b'{"a":{"id":"b"}}'])
def test_other_ids_stay(text):
    (_, _, length, _), (rest, objects, *_) = lifted(text, strips=True)
    assert json.loads(rest[:length].tobytes()) == [json.loads(text)]
    assert objects[4:6].tolist() == [0, 0]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=600))
def test_objects_that_leave_the_same_text_are_told(kinds):
    text = b",".join(b'{"id":"%d","a":%d}' % (i, kind) for i, kind in enumerate(kinds))
    (found, *_), (_, objects, *_) = lifted(text, strips=True, objects=600)
    assert found == len(kinds)
    like = objects[6 : TOLD * found : TOLD].tolist()
    assert [kinds[i] for i in like] == kinds
    assert [like[i] for i in like] == like
    assert all(first <= i for i, first in enumerate(like))
    if len(set(kinds)) <= 8:  # more may take each other's places
        assert like == [kinds.index(kind) for kind in kinds]


@given(st.uuids(), st.booleans(), st.integers(0, 35), st.sampled_from('gG-/:@`{"0 x'))
def test_ids_that_are_uuids_are_told(uuid, upper, place, other):
    whole = str(uuid).upper() if upper else str(uuid)
    changed = whole[:place] + other + whole[place + 1 :]
    for name in (whole, changed, whole[:-1], whole + "0", whole.replace("-", "0")):
        text = b'{"id":%s}' % json.dumps(name).encode()
        _, (_, objects, *_) = lifted(text, strips=True)
        try:
            expected = UUID(name) if str(UUID(name)) == name.lower() else None
        except ValueError:
            expected = None
        assert objects[7] == (expected is not None)
        if expected is not None:
            assert objects[8:10].tobytes() == expected.bytes


def test_no_more_than_asked_for():
    text = b",".join([b"{}"] * 9)
    for most in range(11):
        (found, end, _, _), _ = lifted(text, objects=most)
        assert found == min(most, 9)
        assert end == max(0, 3 * found - 1)


@given(st.binary(max_size=80) | st.text('{}[]":,\\ 1.-ecoordinatsgmy', max_size=80).map(str.encode))
def test_any_bytes_stay_in_bounds(noise):
    heads = (
        b"",
        b'{"geometry":{"coordinates":',
        b'{"measurements":{"a":',
        b'{"id":"',
        FEATURE + b",",
    )
    for text, strips in product([head + noise for head in heads], (False, True)):
        (found, end, length, shapes), (rest, _, shape_ends, ring_ends, _, _) = lifted(
            text, strips=strips, objects=3, shapes=3, rings=4, points=5, numbers=2
        )
        assert 0 <= end <= len(text)
        assert 0 <= length <= len(rest)
        assert 0 <= shapes <= 3
        assert (found == 0) == (length == 0)
        assert (np.diff(shape_ends[:shapes], prepend=0) > 0).all()
        count = int(shape_ends[shapes - 1]) if shapes else 0
        assert (np.diff(ring_ends[:count], prepend=0) > 0).all()


def test_nesting_needs_no_stack():
    deep = b'{"geometry":' * 200_000 + b'{"coordinates":' + b"[" * 300_000
    assert lifted(deep)[0][0] == 0
    closed = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    assert lifted(closed)[0][:2] == (1, len(closed))


def test_buffers_are_checked():
    text = np.frombuffer(FEATURE, np.uint8)
    good = room(FEATURE)
    for place, wrong in [
        (0, good[0].view(np.int8)),
        (0, good[0][::2]),
        (1, good[1].astype(np.int32)),
        (2, good[2].astype(np.float64)),
        (3, good[3].astype(np.float32)),
        (3, np.zeros((4, 3))),
        (3, np.zeros(8)),
        (1, np.zeros(17, np.uint8)[1:].view(np.int64)),
        (0, (bytearray(3)[:0] and b"") or 5),
    ]:
        arrays = list(good)
        arrays[place] = wrong
        with pytest.raises((TypeError, BufferError, ValueError)):
            lift(text, 0, FIRST, True, *arrays)
    with pytest.raises((TypeError, BufferError, ValueError)):
        lift(text, 0, FIRST, True, text, *good[1:])
    for start in (-1, len(text) + 1):
        with pytest.raises(ValueError, match="start"):
            lift(text, start, FIRST, True, *good)
    both = np.zeros(64, np.int64)
    with pytest.raises(ValueError, match="overlaps"):
        lift(text, 0, FIRST, True, *good[:2], both[:40], both[32:], *good[4:])


def printed(rings, *, bracketed):
    points = np.array([p for ring in rings for p in ring], np.int64).reshape(-1, 2)
    offsets = np.cumsum([0, *map(len, rings)]).astype(np.int64)
    out, ends = np.zeros(48 * len(points), np.uint8), np.full(len(rings), -1, np.int64)
    print_rings(points, offsets, out, ends, bracketed)
    cuts = [0, *ends.tolist()]
    return [out[a:b].tobytes().decode() for a, b in pairwise(cuts)]


def as_text(hundredths):
    whole, rest = divmod(abs(hundredths), 100)
    sign = "-" if hundredths < 0 else ""
    return f"{sign}{whole}" + (f".{rest:02}".rstrip("0") if rest else "")


GRID = st.integers(-(2**63), 2**63 - 1) | st.integers(-1000, 1000)


@given(st.lists(st.lists(st.tuples(GRID, GRID), max_size=4), max_size=4))
@example([[(-(2**63), -(2**63) + 1), (2**63 - 1, 0), (-1, -10), (-100, 5)]])
def test_hundredths_are_written_short(rings):
    plain = [",".join(f"{as_text(x)},{as_text(y)}" for x, y in ring) for ring in rings]
    assert printed(rings, bracketed=False) == plain
    pairs = [",".join(f"[{as_text(x)},{as_text(y)}]" for x, y in ring) for ring in rings]
    assert printed(rings, bracketed=True) == pairs


def test_what_cannot_be_written_is_refused():
    points = np.zeros((4, 2), np.int64)
    out, ends = np.zeros(48 * 4, np.uint8), np.zeros(2, np.int64)
    for offsets in ([0, 5, 5], [0, 3, 2], [-1, 2, 4], [0, 4, 2**62]):
        with pytest.raises(ValueError, match="offsets must rise"):
            print_rings(points, np.array(offsets), out, ends, True)
    with pytest.raises(ValueError, match="one more"):
        print_rings(points, np.array([0, 4]), out, ends, True)
    with pytest.raises(ValueError, match="one more"):
        print_rings(points, np.zeros(0, np.int64), out, np.zeros(0, np.int64), True)
    with pytest.raises(ValueError, match="too short"):
        print_rings(points, np.array([0, 2, 4]), out[:50], ends, True)
    with pytest.raises(ValueError, match="overlaps"):
        print_rings(points, np.array([0, 2, 4]), out, points[0], True)
    with pytest.raises((TypeError, BufferError)):
        print_rings(points.astype(np.int32), np.array([0, 2, 4]), out, ends, True)
