"""The file that a user named in a dialog to save in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtWidgets import QMessageBox, QWidget


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file that can be saved.

    Attributes
    ----------
    name
        What the program knows it by.
    title
        What the dialog lists it by.
    endings
        Of its files, the first one for a name without any.
    """

    name: str
    title: str
    endings: tuple[str, ...]


def titles_of(kinds: Sequence[Kind]) -> str:
    """Return what the dialog is to list."""
    return ";;".join(kind.title for kind in kinds)


def kind_meant(name: str, title: str, kinds: Sequence[Kind]) -> Kind:
    """Return the kind that the ending of a name says, or else the one chosen in the dialog.

    Of several with that ending it is the one chosen, else the one that is listed with it.

    Parameters
    ----------
    name, title
        As the dialog returned them.
    kinds
        All that were offered; the first one when the dialog says none.
    """
    chosen = next((kind for kind in kinds if kind.title == title), kinds[0])
    endings = {ending for kind in kinds for ending in kind.endings}
    typed = max((one for one in endings if _ends_in(name, one)), key=len, default=None)
    if typed is None or typed in chosen.endings:
        return chosen
    return min(
        (kind for kind in kinds if typed in kind.endings),
        key=lambda kind: kind.endings.index(typed),
    )


def completed(parent: QWidget, name: str, endings: Sequence[str]) -> Path | None:
    """Return the file with its ending; None when there is none, or it is not to be replaced.

    The dialog has asked about the name as it was typed, and about no other.

    Parameters
    ----------
    name
        As the dialog returned it, empty when it was cancelled.
    endings
        A name gets the first of them when it has none; any other ending is part of the name.
    """
    if not name:
        return None
    typed = Path(name)
    if any(_ends_in(name, ending) for ending in endings):
        return typed
    path = typed.with_name(typed.name + endings[0])
    # Not Path.exists, which raises what the disk says of a name or folder it does not take.
    is_there = os.path.exists(path)  # noqa: PTH110
    return path if not is_there or _may_replace(parent, path) else None


def _ends_in(name: str, ending: str) -> bool:
    """Tell whether a name has an ending, and something before it."""
    last = Path(name).name.casefold()
    return last.endswith(ending) and last != ending


def _may_replace(parent: QWidget, path: Path) -> bool:
    buttons = QMessageBox.StandardButton
    answer = QMessageBox.question(
        parent,
        "Replace the file?",
        f"{path.name} is there already. Replace it? What is in it is lost.",
        buttons.Yes | buttons.Cancel,
        buttons.Cancel,
    )
    return answer == buttons.Yes
