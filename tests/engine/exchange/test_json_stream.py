"""JSON of any size through a bounded buffer, whatever the size of the reads."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.errors import AnnotationError
from tilescope.exchange import json_stream
from tilescope.exchange.json_stream import JsonStream

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class Trickle(io.RawIOBase):
    """Gives a few bytes at a time."""

    def __init__(self, data, step):
        self.data, self.step, self.at = data, step, 0

    def read(self, size=-1):
        self.at += self.step
        return self.data[self.at - self.step : self.at]


def stream_of(text, step=1 << 20, **options):
    data = text if isinstance(text, bytes) else text.encode()
    return JsonStream(Path("f.json"), Trickle(data, step), **options)


@given(st.lists(JSON), st.integers(1, 9), st.booleans(), st.sampled_from([None, 2]))
def test_elements_are_those_of_json(values, step, ascii_only, indent):
    stream = stream_of(json.dumps(values, ensure_ascii=ascii_only, indent=indent), step)
    assert [stream.value() for _ in stream.elements()] == values
    assert not stream.peek()


@given(st.dictionaries(st.text(), JSON), st.integers(1, 9))
def test_members_are_those_of_json(values, step):
    stream = stream_of(json.dumps(values), step)
    assert {name: stream.value() for name in stream.members()} == values


@pytest.mark.parametrize("step", [1, 3, 1 << 20])
def test_a_cut_at_any_place_is_told(step):
    whole = '[{"a": [1.5, true, "x\\u00b5y"]}, -2]'
    for end in range(1, len(whole)):
        stream = stream_of(whole[:end], step)
        with pytest.raises(AnnotationError, match=r"f\.json: line 1, character \d+: .*cut short"):
            [stream.value() for _ in stream.elements()]


def test_a_mistake_names_its_place():
    stream = stream_of('[1,\n 2,\n {"a": nonsense}, ' + "3, " * 100 + "4]")
    with pytest.raises(AnnotationError, match=r"line 3, character 16: is not JSON"):
        [stream.value() for _ in stream.elements()]


def test_a_long_value_is_refused_before_it_is_held(tmp_path):
    path = tmp_path / "long.json"
    with path.open("wb") as file:
        file.write(b'["')
        file.truncate(2 << 30)  # a line of two gigabytes that takes no room on the disk
    with path.open("rb") as raw:
        stream = JsonStream(path, raw, most_value_chars=3 << 20)
        with pytest.raises(AnnotationError, match=r"longer than 3,145,728 characters|is not JSON"):
            [stream.value() for _ in stream.elements()]
        assert raw.tell() < 32 << 20


def test_nesting_is_refused():
    stream = stream_of("[" * 200_000)
    with pytest.raises(AnnotationError, match="nested too deeply"):
        stream.value()


def test_digits_without_end_are_refused():
    with pytest.raises(AnnotationError, match="too many digits"):
        stream_of("9" * 10_000).value()


def test_other_encodings_are_refused():
    with pytest.raises(AnnotationError, match=r"byte 3: is not UTF-8"):
        stream_of(b'["\xe4"]').value()


def test_a_byte_order_mark_is_passed_over():
    assert stream_of(b"\xef\xbb\xbf[1]").value() == [1]


def test_space_costs_no_memory(monkeypatch):
    monkeypatch.setattr(json_stream, "_CHUNK_BYTES", 64)
    stream = stream_of(" \n" * 10_000 + "7", 64)
    assert stream.value() == 7
    assert len(stream._text) <= 128


@given(st.lists(JSON), st.integers(1, 9))
def test_what_was_looked_at_ahead_can_be_skipped(values, step):
    stream = stream_of(json.dumps([[value] for value in values], ensure_ascii=False), step)
    found = []
    for _ in stream.elements():
        while True:
            data, start = stream.ahead()
            end = data.find(b"]", start) + 1
            text = data[start:end]
            try:
                found.append(json.loads(text))
            except ValueError:
                if not stream.grow():
                    found.append(stream.value())
                    break
            else:
                stream.skip(end)
                break
    assert found == [[value] for value in values]
    assert not stream.peek()


def test_no_more_is_looked_at_than_one_value_may_have():
    stream = stream_of('["' + "x" * 10_000, 100, most_value_chars=1000)
    stream.take("[")
    with pytest.raises(AnnotationError, match="longer than 1,000 characters"):
        any(not stream.grow() for _ in range(100))
    assert 1000 < len(stream.ahead()[0]) <= 1100
