"""Menus: nothing is lost, groups stay in order, and no letter means two things."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tilescope_desktop.model.menu_order import GROUPS, arranged, underlined

known = sorted({name for groups in GROUPS.values() for group in groups for name in group})
titles = st.lists(st.text(st.sampled_from("abc &…XYé1"), max_size=8), max_size=12)


@given(
    st.sampled_from([*GROUPS, "Elsewhere"]),
    st.lists(st.sampled_from([*known, "new", "newer"]), unique=True),
)
def test_everything_stands_somewhere_once(menu: str, names: list[str]) -> None:
    groups = arranged(menu, names)
    assert all(groups)
    assert sorted(name for group in groups for name in group) == sorted(names)


def test_groups_are_in_order_and_what_is_new_comes_last() -> None:
    names = ["edit.keys", "edit.new", "edit.redo", "edit.delete", "edit.undo"]
    assert arranged("Edit", names) == [
        ["edit.undo", "edit.redo"], ["edit.delete"], ["edit.keys"], ["edit.new"],
    ]  # fmt: skip


def test_panels_stand_before_what_hides_them_all() -> None:
    names = ["panel.all", "panel.maps", "panel.notes"]
    assert arranged("View/Panels", names) == [["panel.maps", "panel.notes"], ["panel.all"]]


def letter(shown: str) -> str:
    """Return the letter that Qt underlines, as Qt finds it."""
    at = shown.replace("&&", "\0\0").find("&")
    return shown[at + 1 : at + 2].casefold() if at >= 0 else ""


@given(titles)
def test_letters_are_there_once_and_titles_stay_what_they_are(said: list[str]) -> None:
    shown = underlined(said)
    letters = [letter(one) for one in shown if letter(one)]
    assert len(letters) == len(set(letters))
    assert all(one.isalnum() for one in letters)
    for title, one in zip(said, shown, strict=True):
        assert one.replace("&&", "\0").replace("&", "").replace("\0", "&") == title


def test_first_letters_of_words_come_first() -> None:
    assert underlined(["Save", "Save as", "H&E", "Snap"]) == ["&Save", "Save &as", "&H&&E", "S&nap"]
