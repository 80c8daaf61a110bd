"""Numbers are read with either decimal sign, and nothing that is no number is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope_desktop.model.typed_numbers import is_begun, number_of


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0,25", 0.25),
        ("0.25", 0.25),
        (" ,5 ", 0.5),
        ("3.", 3.0),
        ("-1", -1.0),
        ("+2", 2.0),
        ("1e-9", 1e-9),
        ("2,5E3", 2500.0),
    ],
)
def test_a_comma_is_a_point_and_exponents_count(text: str, number: float) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    "text", ["", ".", "-", "1e", "1.234,5", "1,234.5", "1_0", "1 0", "0x1", "nan", "inf", "1e999"]
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert number_of(text) is None


def test_there_is_no_minus_before_nothing() -> None:
    assert str(number_of("-0")) == "0.0"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_written_is_read_again_and_begins_a_number_all_along(number: float) -> None:
    for text in (repr(number), repr(number).replace(".", ",")):
        assert number_of(text) == number
        assert all(is_begun(text[:end]) for end in range(len(text) + 1))


@pytest.mark.parametrize("text", ["x", "0,2x", "1.2.", "1-", "e5e", "1 2"])
def test_what_never_becomes_a_number_has_not_begun_one(text: str) -> None:
    assert not is_begun(text)
