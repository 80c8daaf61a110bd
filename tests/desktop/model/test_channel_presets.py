"""Presets in their file: whole ones come back, what makes no sense is left out, nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tilescope.errors import UsageError
from tilescope.ops.compose import ChannelStyle
from tilescope_desktop.model.channel_presets import ChannelPresets

NAMES = ("DAPI", "CD3")
STYLES = (ChannelStyle(3.5, 90, 0.7, (1, 2, 3)), ChannelStyle(0, 1, visible=False))
FILE = "channel-presets.json"


def test_a_preset_comes_back_as_it_was(tmp_path: Path) -> None:
    ChannelPresets(tmp_path).save("mine", NAMES, STYLES)
    again = ChannelPresets(tmp_path)
    (preset,) = again.fitting(["CD3", "other"])
    assert preset.channels == dict(zip(NAMES, STYLES, strict=True))
    assert again.last_used(NAMES) == preset
    assert again.last_used(NAMES[:1]) is None
    assert again.fitting(["other"]) == []


def test_channels_that_a_preset_does_not_know_stay_as_they_are(tmp_path: Path) -> None:
    preset = ChannelPresets(tmp_path).save("mine", NAMES, STYLES)
    other = ChannelStyle(5, 6)
    assert preset.applied(["CD8", "DAPI"], [other, other]) == (other, STYLES[0])


@pytest.mark.parametrize("data", [b"", b"[1, 2]", b"{broken", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_no_preset_and_is_not_lost(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE).write_bytes(data)
    presets = ChannelPresets(tmp_path)
    assert presets.fitting(NAMES) == []
    presets.save("mine", NAMES, STYLES)
    assert (tmp_path / f"{FILE}.damaged").read_bytes() == data
    assert [one.name for one in ChannelPresets(tmp_path).fitting(NAMES)] == ["mine"]


@pytest.mark.parametrize(
    "change",
    [
        {"low": 9e99, "high": 1},
        {"low": "x"},
        {"low": 10**400},
        {"gamma": 1e9},
        {"color": [1, 2]},
        {"color": [1, 2, 999]},
        {"visible": None, "color": None},
    ],
)
def test_a_style_that_makes_no_sense_is_left_out(tmp_path: Path, change: dict) -> None:
    ChannelPresets(tmp_path).save("mine", NAMES, STYLES)
    found = json.loads((tmp_path / FILE).read_text())
    found["presets"]["mine"]["DAPI"] |= change
    (tmp_path / FILE).write_text(json.dumps(found))
    (preset,) = ChannelPresets(tmp_path).fitting(NAMES)
    assert set(preset.channels) == {"CD3"}


def test_there_are_no_presets_without_a_name_and_not_without_end(tmp_path: Path) -> None:
    presets = ChannelPresets(tmp_path)
    with pytest.raises(UsageError, match="name"):
        presets.save("  ", NAMES, STYLES)
    for number in range(200):
        presets._presets[str(number)] = presets.save("0", NAMES, STYLES)
    with pytest.raises(UsageError, match="delete"):
        presets.save("one more", NAMES, STYLES)
