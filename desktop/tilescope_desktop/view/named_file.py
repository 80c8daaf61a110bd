"""The file that a user named in a dialog to save in."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QMessageBox, QWidget


def completed(parent: QWidget, name: str, ending: str, *, is_only: bool = False) -> Path | None:
    """Return the file with its ending; None when there is none, or it is not to be replaced.

    The dialog has asked about the name as it was typed, and about no other.

    Parameters
    ----------
    name
        As the dialog returned it, empty when it was cancelled.
    ending
        What a name without one gets.
    is_only
        Whether no other ending will do.
    """
    if not name:
        return None
    typed = Path(name)
    if typed.suffix == ending or (typed.suffix and not is_only):
        return typed
    path = typed.with_name(typed.name + ending)
    return path if not path.exists() or _may_replace(parent, path) else None


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
