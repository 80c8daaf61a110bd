"""What narrow tabs show of names: as little as fits, and enough to tell them apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope_desktop.model.tab_names import shortened, tab_text

CASES = [f"TCGA-study_2024_case-{i:04d}_HE_block-A_scan40x.svs" for i in range(9)]
BLOCKS = [f"a long name, block {i} of a slide that was cut at {j}.svs" for i in "AB" for j in "12"]


def test_a_name_that_fits_is_shown_whole() -> None:
    assert shortened("CMU-1.svs", 16, ["CMU-1.svs", "CMU-2.svs"]) == "CMU-1.svs"
    assert tab_text(["a.svs", "b.svs"], 16, ["a.svs", "b.svs"]) == "a.svs | b.svs"


def test_what_is_left_out_of_a_name_is_its_middle() -> None:
    assert shortened("CMU-1-Small-Region.svs", 16, ["other.svs"]) == "CMU-1-Sm…ion.svs"


@pytest.mark.parametrize("names", [CASES, BLOCKS, ["same" * 9 + "!", "same" * 9]])
@pytest.mark.parametrize("most_chars", [14, 16, 30])
def test_names_that_differ_anywhere_look_different(names: list[str], most_chars: int) -> None:
    shown = [shortened(name, most_chars, names) for name in names]
    assert len(set(shown)) == len(names)
    assert all(len(one) <= most_chars for one in shown)
    assert all(one[:2] == name[:2] for one, name in zip(shown, names, strict=True))


def test_of_two_slides_on_a_tab_each_has_its_share() -> None:
    left, right = "CMU-1-Small-Region.svs", "CMU-1-Small-Region-2.svs"
    shown = tab_text([left, right], 31, [left, right])
    first, second = shown.split(" | ")
    assert first != second
    assert len(first) == len(second) == 14
    assert first[0] == second[0] == "C"


@given(
    st.lists(st.text("ab-", min_size=1, max_size=40), min_size=1, max_size=6), st.integers(1, 50)
)
def test_any_names_are_shortened_to_no_more_than_there_is_room(
    names: list[str], most_chars: int
) -> None:
    for name in names:
        shown = shortened(name, most_chars, names)
        assert 1 <= len(shown) <= max(most_chars, 8)
        assert shown == name or "…" in shown
