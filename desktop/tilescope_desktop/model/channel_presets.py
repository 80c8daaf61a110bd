"""How channels are shown, kept under a name and given to slides whose channels are called alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilescope.errors import UsageError
from tilescope.ops.compose import ChannelStyle
from tilescope_desktop.model.settings import KeptFile

_FILE = "channel-presets.json"
_MOST_PRESETS = 200
_MOST_CHANNELS = 64
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class ChannelPreset:
    """Colours, windows and gammas by the name of a channel."""

    name: str
    channels: Mapping[str, ChannelStyle]

    def applied(
        self, names: Sequence[str], styles: Sequence[ChannelStyle]
    ) -> tuple[ChannelStyle, ...]:
        """Return the styles of channels; those the preset does not know stay as they are."""
        pairs = zip(names, styles, strict=True)
        return tuple(self.channels.get(name, style) for name, style in pairs)

    def fits(self, names: Sequence[str]) -> bool:
        """Tell whether it knows one of these channels."""
        return any(name in self.channels for name in names)


class ChannelPresets:
    """The presets of a user, in one small file; one that makes no sense is left out.

    Parameters
    ----------
    folder
        The user's data folder.
    """

    def __init__(self, folder: Path) -> None:
        self._file = KeptFile(folder / _FILE)
        kept = self._file.read()
        self._presets = {preset.name: preset for preset in _presets_of(kept.get("presets"))}
        self._last = _texts_of(kept.get("last"))
        self._is_followed = kept.get("followed") is True

    @property
    def is_followed(self) -> bool:
        """Whether slides open with the preset that was used last for the same channels."""
        return self._is_followed

    def follow(self, is_followed: bool) -> None:
        """Choose whether slides open with the preset that was used last."""
        self._is_followed = is_followed
        self._file.write("followed", is_followed)

    def fitting(self, names: Sequence[str]) -> list[ChannelPreset]:
        """Return the presets that know one of these channels, by name."""
        found = [preset for preset in self._presets.values() if preset.fits(names)]
        return sorted(found, key=lambda preset: preset.name.casefold())

    def save(
        self, name: str, names: Sequence[str], styles: Sequence[ChannelStyle]
    ) -> ChannelPreset:
        """Keep how channels are shown; a preset of the same name is replaced.

        Raises
        ------
        UsageError
            Without a name, or for more presets than a person can tell apart.
        """
        name = name.strip()[:_LONGEST_NAME]
        if not name:
            raise UsageError("a preset needs a name")
        if name not in self._presets and len(self._presets) >= _MOST_PRESETS:
            raise UsageError(f"there are {_MOST_PRESETS} presets; delete one first")
        preset = ChannelPreset(name, dict(zip(names, styles, strict=True)))
        self._presets[name] = preset
        self._keep()
        self.note_use(preset, names)
        return preset

    def delete(self, name: str) -> None:
        """Keep a preset no longer."""
        self._presets.pop(name, None)
        self._keep()

    def note_use(self, preset: ChannelPreset, names: Sequence[str]) -> None:
        """Remember which preset slides with these channels were shown with last."""
        self._last[_key(names)] = preset.name
        self._file.write("last", self._last)

    def last_used(self, names: Sequence[str]) -> ChannelPreset | None:
        """Return the preset that slides with just these channels were shown with last."""
        return self._presets.get(self._last.get(_key(names), ""))

    def _keep(self) -> None:
        presets = {
            preset.name: {name: _as_json(style) for name, style in preset.channels.items()}
            for preset in self._presets.values()
        }
        self._file.write("presets", presets)


def _key(names: Sequence[str]) -> str:
    return json.dumps(list(names))


def _as_json(style: ChannelStyle) -> dict[str, Any]:
    return {
        "low": style.low,
        "high": style.high,
        "gamma": style.gamma,
        "color": list(style.color),
        "visible": style.visible,
    }


def _presets_of(found: object) -> list[ChannelPreset]:
    presets = []
    for name, channels in list(_items_of(found))[:_MOST_PRESETS]:
        pairs = list(_items_of(channels))[:_MOST_CHANNELS]
        styles = {channel: style for channel, s in pairs if (style := _style_of(s)) is not None}
        if name and len(name) <= _LONGEST_NAME and styles:
            presets.append(ChannelPreset(name, styles))
    return presets


def _style_of(found: object) -> ChannelStyle | None:
    values = dict(_items_of(found))
    with suppress(KeyError, TypeError, ValueError, OverflowError):
        red, green, blue = (int(part) for part in values["color"])
        low, high, gamma = (float(values[name]) for name in ("low", "high", "gamma"))
        return ChannelStyle(low, high, gamma, (red, green, blue), values["visible"] is True)
    return None


def _texts_of(found: object) -> dict[str, str]:
    return {key: text for key, text in _items_of(found) if isinstance(text, str)}


def _items_of(found: object) -> list[tuple[str, Any]]:
    """Return what a JSON object holds, nothing for anything else."""
    return list(found.items()) if isinstance(found, dict) else []
