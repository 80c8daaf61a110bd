"""What can be done, as data: menu, shortcut and palette show the same commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

#: What else people call things, by words of titles and menus.
_OTHER_WORDS = {
    "turn": "rotate",
    "flip": "mirror",
    "colours": "theme appearance colors",
    "contrast": "brightness levels window",
    "channels": "brightness contrast levels window histogram",
    "keys": "shortcuts hotkeys keyboard",
    "point by keys": "mouse cursor crosshair accessibility",
    "picture of the view": "screenshot snapshot image export",
    "pixel size": "calibration resolution scale mpp",
    "whole slide": "fit zoom home",
    "slide pixel per": "zoom actual size 100%",
    "overview": "minimap navigator thumbnail",
    "names": "labels",
    "label and macro": "associated thumbnail barcode",
    "beside": "side by side split two",
    "unite": "merge union join add",
    "cut out": "subtract difference",
    "line": "ruler measure distance length",
    "delete": "remove erase clear",
    "objects panel": "table list measurements measure",
    "stronger": "opacity opaque",
    "fainter": "opacity transparent",
    "all commands": "palette search help",
    "add a model": "import onnx load",
}


@dataclass(frozen=True, slots=True)
class Command:
    """Something the user can do.

    Attributes
    ----------
    id
        Stable name, ``view.zoom-in``; settings keep shortcuts by it.
    title
        What it is called in menus.
    menu
        The menu it stands in, ``View/Colours`` for one in another; empty keeps it to the palette.
    run
        Does it; on the window's thread, at once.
    shortcut
        Keys, as in ``Ctrl+O``, where a keymap says nothing else; empty for none.
    is_enabled
        Tells whether it can be done now.
    is_checked
        Tells whether it is switched on; None for what is no switch.
    also
        More keys that do it, where nothing else has them and the user did not change its keys.
    """

    id: str
    title: str
    menu: str
    run: Callable[[], object]
    shortcut: str = ""
    is_enabled: Callable[[], bool] = lambda: True
    is_checked: Callable[[], bool] | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a command stands now.

    Attributes
    ----------
    is_enabled, is_checked
        Whether it can be done, and whether it is switched on.
    fault
        What kept it from telling; then it cannot be done.
    """

    is_enabled: bool
    is_checked: bool = False
    fault: Exception | None = None


def standing(command: Command) -> Standing:
    """Ask a command how it stands; one that fails to say keeps nobody from asking the others."""
    try:
        is_enabled = command.is_enabled()
        return Standing(is_enabled, command.is_checked is not None and command.is_checked())
    except Exception as error:  # noqa: BLE001 - of a command or a plugin
        return Standing(is_enabled=False, fault=error)


def matching(commands: Iterable[Command], typed: str) -> list[Command]:
    """Return the commands that have every word of ``typed``, best first.

    Words are those of title and menu, and others for the same things. A title that begins with
    what was typed comes before one that only holds it, and that before what is called otherwise.
    """
    words = typed.casefold().split()
    found = []
    for command in commands:
        text = f"{command.title} {command.menu}".casefold()
        wide = " ".join([text, *(more for word, more in _OTHER_WORDS.items() if word in text)])
        if all(word in text for word in words):
            rank = 0 if command.title.casefold().startswith(typed.casefold().strip()) else 1
        elif all(f" {word}" in f" {wide}" for word in words):
            rank = 2
        else:
            continue
        found.append((rank, command.title.casefold(), command))
    return [command for _, _, command in sorted(found, key=lambda item: item[:2])]
