"""What is kept survives a restart, and a damaged file stops nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tilescope_desktop.model.keymap import Keymap, KeyStyle
from tilescope_desktop.model.places import Remembered
from tilescope_desktop.model.settings import KeptFile, Settings


def test_what_is_kept_is_there_the_next_time(tmp_path: Path) -> None:
    keymap = Keymap(KeyStyle.NAPARI, {"view.fit": "F5", "tool.move": ""})
    first = Settings(tmp_path / "new folder")
    first.keep_theme("dark")
    first.keep_keymap(keymap)
    first.keep_window({"geometry": b"\x00\xff", "state": b""})
    again = Settings(tmp_path / "new folder")
    assert again.theme == "dark"
    assert again.keymap == keymap
    assert again.window == {"geometry": b"\x00\xff", "state": b""}


def test_nothing_is_kept_at_first(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    assert (settings.theme, settings.keymap, settings.window) == (None, Keymap(), {})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe\x00",
        b"[" * 200_000,
        b" " * (1 << 20) + b"{}",
        json.dumps({"keys": 3, "theme": [], "window": "x"}).encode(),
        json.dumps({"keys": {"style": {}, "own": {"a": 1, "b" * 99: "K"}}}).encode(),
        json.dumps({"window": {"geometry": "ü", "state": 7}}).encode(),
    ],
)
def test_a_damaged_file_is_as_if_it_had_never_been(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "settings.json").write_bytes(content)
    settings = Settings(tmp_path)
    assert (settings.theme, settings.keymap, settings.window) == (None, Keymap(), {})
    settings.keep_theme("light")
    assert Settings(tmp_path).theme == "light"


def test_a_damaged_file_is_put_aside_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(b'{"keys": {"own": {"view.fit": "F5"')
    Settings(tmp_path).keep_theme("dark")
    assert (tmp_path / "settings.json.damaged").read_bytes().startswith(b'{"keys"')
    assert json.loads(path.read_text("utf-8")) == {"theme": "dark"}


def test_of_keys_that_make_no_sense_the_others_stay(tmp_path: Path) -> None:
    own = {"view.fit": "F5", "bad": 7, "worse": ["K"]}
    KeptFile(tmp_path / "settings.json").write("keys", {"style": "emacs", "own": own})
    assert Settings(tmp_path).keymap == Keymap(KeyStyle.QUPATH, {"view.fit": "F5"})


def test_a_folder_that_cannot_be_written_to_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    settings = Settings(tmp_path / "file")
    settings.keep_theme("dark")
    assert settings.theme is None


def test_recent_files_and_settings_do_not_share_a_file(tmp_path: Path) -> None:
    Remembered(tmp_path).note_file(tmp_path / "slide.svs")
    Settings(tmp_path).keep_theme("dark")
    assert Remembered(tmp_path).recent == [tmp_path / "slide.svs"]
