"""Keys: built-in maps, changes by the user, and what happens when two want the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.keymap import RESERVED, Keymap, KeyStyle, normal, refusal


def command(name: str, keys: str = "") -> Command:
    return Command(name, name.title(), "Menu", lambda: None, keys)


LOCK, FLY, DIG = COMMANDS = (command("lock", "K"), command("fly", "Ctrl+F"), command("dig"))
names = st.sampled_from([one.id for one in COMMANDS])
keys = st.sampled_from(["K", "Ctrl+F", "D", "Alt+1", "", "Space"])
keymaps = st.builds(Keymap, st.sampled_from(KeyStyle), st.dictionaries(names, keys))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("ctrl+shift+z", "Ctrl+Shift+Z"),
        ("Shift+Ctrl+Z", "Ctrl+Shift+Z"),
        ("delete", "Del"),
        ("Ctrl++", "Ctrl++"),
        ("+", "+"),
        ("-", "-"),
        ("Shift+PGUP", "Shift+PgUp"),
        (" f6 ", "F6"),
        ("", ""),
    ],
)
def test_keys_are_written_in_one_way(written: str, expected: str) -> None:
    assert normal(written) == expected


@pytest.mark.parametrize("text", ["+++", "Ctrl+", "Ctrl++Alt+", "Shift+Shift+A", "ü"])
def test_what_is_written_stays_what_it_is(text: str) -> None:
    assert normal(normal(text)) == normal(text)


@given(keymaps)
def test_no_key_does_two_things_and_none_is_taken_from_the_view(keymap: Keymap) -> None:
    held = [k for k in keymap.keys(COMMANDS).values() if k]
    assert len(held) == len(set(held))
    assert not set(held) & set(RESERVED)


@given(keymaps, names, st.sampled_from(["K", "Ctrl+F", "D", "Alt+1", "F9"]))
def test_a_key_that_is_given_is_had_and_no_other_command_changes_but_who_had_it(
    keymap: Keymap, name: str, wanted: str
) -> None:
    chosen = next(one for one in COMMANDS if one.id == name)
    before, holder = keymap.keys(COMMANDS), keymap.holder(wanted, COMMANDS)
    freed = before[name]
    after = keymap.given(chosen, wanted, COMMANDS).keys(COMMANDS)
    assert after[name] == wanted
    for other in COMMANDS:
        if other.id == name:
            continue
        if holder is not None and other.id == holder.id:
            assert after[other.id] == ""
        else:
            # A command may get its own key back that the chosen one had until now.
            assert after[other.id] in {before[other.id], freed}


def test_a_key_of_the_user_comes_before_the_map_and_the_loser_is_named() -> None:
    keymap = Keymap().given(DIG, "k", COMMANDS)
    assert keymap.own == {"dig": "K"}
    assert keymap.keys(COMMANDS) == {"lock": "", "fly": "Ctrl+F", "dig": "K"}
    assert keymap.conflicts(COMMANDS) == {"lock": DIG}
    assert keymap.reset(DIG).keys(COMMANDS)["lock"] == "K"
    assert keymap.reset(DIG).conflicts(COMMANDS) == {}


def test_a_key_that_the_user_gave_is_taken_away_for_good() -> None:
    keymap = Keymap().given(DIG, "F9", COMMANDS).given(FLY, "F9", COMMANDS)
    assert keymap.own == {"dig": "", "fly": "F9"}
    assert keymap.conflicts(COMMANDS) == {}


def test_of_two_claims_in_a_damaged_file_the_first_holds() -> None:
    keymap = Keymap(own={"fly": "F2", "dig": "F2"})
    assert keymap.keys(COMMANDS) == {"lock": "K", "fly": "F2", "dig": ""}
    assert keymap.conflicts(COMMANDS) == {"dig": FLY}


def test_no_key_can_be_wanted() -> None:
    keymap = Keymap().given(LOCK, "", COMMANDS)
    assert keymap.keys(COMMANDS)["lock"] == ""
    assert keymap.is_own(LOCK)
    assert keymap.conflicts(COMMANDS) == {}


def test_giving_back_the_built_in_key_is_no_change() -> None:
    keymap = Keymap().given(LOCK, "F3", COMMANDS).given(LOCK, "K", COMMANDS)
    assert keymap == Keymap()


def test_napari_has_other_keys_and_changes_stay() -> None:
    ellipse, fit = command("tool.ellipse", "O"), command("view.fit", "Ctrl+0")
    own = {"view.fit": "F5"}
    assert Keymap(KeyStyle.QUPATH, own).keys([ellipse, fit])["tool.ellipse"] == "O"
    changed = Keymap(KeyStyle.NAPARI, own).keys([ellipse, fit])
    assert changed == {"tool.ellipse": "E", "view.fit": "F5"}


def test_more_keys_do_a_command_where_nothing_else_has_them() -> None:
    zoom = Command("zoom", "Zoom", "Menu", lambda: None, "+", also=("=", "shift+up", "K", "Space"))
    every = [zoom, *COMMANDS]
    keymap = Keymap()
    assert keymap.conflicts(every) == {}
    assert keymap.keys(every)["lock"] == "K"
    assert keymap.more_keys(every) == {"zoom": ("=", "Shift+Up")}
    assert keymap.holder("=", every) is zoom
    taken = keymap.given(DIG, "=", every)
    assert taken.keys(every)["dig"] == "="
    assert taken.more_keys(every) == {"zoom": ("Shift+Up",)}
    assert taken.keys(every)["zoom"] == "+"
    assert keymap.given(zoom, "F9", every).more_keys(every) == {}


@given(keymaps, st.lists(keys, max_size=3).map(tuple))
def test_no_key_does_two_things_however_many_a_command_has(
    keymap: Keymap, also: tuple[str, ...]
) -> None:
    every = [replace(LOCK, also=also), FLY, replace(DIG, also=also)]
    held = [k for k in keymap.keys(every).values() if k]
    held += [k for more in keymap.more_keys(every).values() for k in more]
    assert len(held) == len(set(held))
    assert not set(held) & set(RESERVED)


def test_what_the_view_needs_is_refused_with_the_reason() -> None:
    said = "Space pans with any tool in hand; choose another key"
    assert refusal("space", COMMANDS) == said
    assert refusal("Ctrl+Space", COMMANDS) is None


def test_letters_of_menus_are_refused_and_name_the_menu() -> None:
    deep = Command("deep", "Deep", "Models/Nuclei", lambda: None)
    hidden = Command("hidden", "Hidden", "", lambda: None)
    every = [*COMMANDS, deep, hidden, Command("open", "Open", "File", lambda: None)]
    said = "{} opens the {} menu; choose another key"
    assert refusal("alt+f", every) == said.format("Alt+F", "File")
    # Models stands before a menu that nobody ordered, and has the letter first.
    assert refusal("Alt+M", every) == said.format("Alt+M", "Models")
    assert refusal("Alt+E", every) == said.format("Alt+E", "Menu")
    for free in ("Alt+N", "F", "Ctrl+Alt+F", "Alt+Shift+F"):
        assert refusal(free, every) is None


def test_a_letter_of_a_menu_that_somebody_kept_as_a_key_stays_with_the_menu() -> None:
    keymap = Keymap(own={"dig": "Alt+M"})
    assert keymap.keys(COMMANDS)["dig"] == ""
    assert keymap.holder("Alt+M", COMMANDS) is None
    also = replace(DIG, also=("Alt+M", "F9"))
    assert Keymap().more_keys([LOCK, also]) == {"dig": ("F9",)}
