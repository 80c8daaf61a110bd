"""Which keys do what: a built-in map, and what the user changed in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.menu_order import menu_letters


class KeyStyle(StrEnum):
    """The habits that the keys follow."""

    QUPATH = "qupath"
    NAPARI = "napari"


#: Where napari's habits differ; commands hold QuPath's. What napari uses a key for otherwise, and
#: has no command for here, gives that key up.
NAPARI: Mapping[str, str] = {
    "tool.move": "Z",
    "tool.vertices": "D",
    "tool.ellipse": "E",
    "tool.polyline": "T",
    "tool.line": "L",
    "tool.wand": "F",
    "view.fit": "Ctrl+R",
    "view.turn": "Ctrl+T",
    "view.turn-back": "Ctrl+Shift+T",
    "view.palette": "Ctrl+Shift+P",
    "project.open": "Ctrl+Alt+O",
    **{f"view.channel-{number}": "" for number in range(1, 10)},
    **{f"objects.class-{number}": str(number) for number in range(10)},
    "objects.shows-annotations": "V",
    "objects.shows-detections": "Shift+V",
    "objects.fills-detections": "Ctrl+F",
}

#: What the view does with keys by itself.
RESERVED: Mapping[str, str] = {
    "Space": "pans with any tool in hand",
    "Return": "finishes a shape",
    "Enter": "finishes a shape",
    "Backspace": "takes back the last corner",
    "Tab": "goes from control to control",
    "Shift+Tab": "goes from control to control",
    "Shift+Backtab": "goes from control to control",
}
_MODIFIERS = ("Meta", "Ctrl", "Alt", "Shift")
_OTHER_NAMES = {
    "delete": "Del", "escape": "Esc", "control": "Ctrl", "insert": "Ins",
    "pgup": "PgUp", "pgdown": "PgDown",
}  # fmt: skip


def normal(keys: str) -> str:
    """Return keys as they are written everywhere: ``shift+CTRL+z`` is ``Ctrl+Shift+Z``."""
    text = keys.strip()
    if not text:
        return ""
    key = "+" if text.endswith("+") else text.rsplit("+", 1)[-1]
    found = {_name(part) for part in text[: -len(key)].split("+") if part}
    ordered = [name for name in _MODIFIERS if name in found]
    return "+".join([*ordered, _name(key)])


def _name(part: str) -> str:
    word = part.strip()
    return _OTHER_NAMES.get(word.casefold(), word[:1].upper() + word[1:].lower())


@dataclass(frozen=True, slots=True)
class Keymap:
    """The keys of all commands.

    A key does one thing. What the user gave a key comes before what the map gives it, and of two
    commands with the same claim the one that stands first has it. What is left over does what
    claims it as one key more.

    Attributes
    ----------
    style
        The map that holds where the user changed nothing.
    own
        What the user changed: keys by the id of the command, empty for none.
    """

    style: KeyStyle = KeyStyle.QUPATH
    own: Mapping[str, str] = field(default_factory=dict)

    def default_of(self, command: Command) -> str:
        """Return the keys of a command in the built-in map."""
        if self.style is KeyStyle.NAPARI:
            return normal(NAPARI.get(command.id, command.shortcut))
        return normal(command.shortcut)

    def wish_of(self, command: Command) -> str:
        """Return the keys that a command should have, if nothing else had them."""
        return normal(self.own[command.id]) if self.is_own(command) else self.default_of(command)

    def is_own(self, command: Command) -> bool:
        """Tell whether the user changed the keys of a command."""
        return command.id in self.own

    def keys(self, commands: Sequence[Command]) -> dict[str, str]:
        """Return the keys of every command by its id, none of them twice."""
        held = {keys: command.id for keys, command in self._holders(commands).items()}
        return {
            command.id: keys if held.get(keys := self.wish_of(command)) == command.id else ""
            for command in commands
        }

    def more_keys(self, commands: Sequence[Command]) -> dict[str, tuple[str, ...]]:
        """Return what else does a command by its id, for those that have more than one key."""
        found: dict[str, tuple[str, ...]] = {}
        for keys, command in self._holders(commands).items():
            if keys != self.wish_of(command):
                found[command.id] = (*found.get(command.id, ()), keys)
        return found

    def conflicts(self, commands: Sequence[Command]) -> dict[str, Command]:
        """Return, by the id of each command that goes without its keys, which one has them."""
        holders, found = self._holders(commands), {}
        for command in commands:
            holder = holders.get(self.wish_of(command))
            if holder is not None and holder.id != command.id:
                found[command.id] = holder
        return found

    def holder(self, keys: str, commands: Sequence[Command]) -> Command | None:
        """Return the command that keys belong to."""
        return self._holders(commands).get(normal(keys))

    def given(self, command: Command, keys: str, commands: Sequence[Command]) -> Self:
        """Return the map with other keys for a command, taken from all that claim them."""
        own, wanted = dict(self.own), normal(keys)
        for other in commands:
            if wanted and self.is_own(other) and self.wish_of(other) == wanted:
                own[other.id] = ""
        own[command.id] = wanted
        if wanted == self.default_of(command):
            del own[command.id]
        return replace(self, own=own)

    def reset(self, command: Command) -> Self:
        """Return the map with the built-in keys of a command."""
        return replace(self, own={k: v for k, v in self.own.items() if k != command.id})

    def _holders(self, commands: Sequence[Command]) -> dict[str, Command]:
        holders: dict[str, Command] = {}
        reserved = _reserved(commands)
        for is_own in (True, False):
            for command in commands:
                keys = self.wish_of(command)
                if keys and keys not in reserved and self.is_own(command) == is_own:
                    holders.setdefault(keys, command)
        for command in commands:
            for keys in () if self.is_own(command) else map(normal, command.also):
                if keys not in reserved:
                    holders.setdefault(keys, command)
        return holders


def refusal(keys: str, commands: Sequence[Command]) -> str | None:
    """Return why keys cannot be given to one of the commands, None when they can."""
    use = _reserved(commands).get(normal(keys))
    return None if use is None else f"{normal(keys)} {use}; choose another key"


def _reserved(commands: Sequence[Command]) -> dict[str, str]:
    """Return what keys do that no command can have: the view's own, and letters of menus."""
    letters = menu_letters([command.menu for command in commands])
    return {**RESERVED, **{f"Alt+{key}": f"opens the {menu} menu" for key, menu in letters.items()}}
