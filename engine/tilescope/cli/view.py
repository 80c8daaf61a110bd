"""``tilescope view``: the window, found like any other front end by its entry point."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from tilescope.errors import SlideNotFound, UsageError

_FRONT_END = "tilescope-desktop"


def show_window(paths: Sequence[Path]) -> int:
    """Show the window with slides and projects until it is closed; return its exit code.

    Raises
    ------
    UsageError
        When Qt is not installed.
    SlideNotFound
        When a file is not there.
    """
    if find_spec("PySide6") is None:
        raise UsageError("the window needs Qt: pip install 'tilescope[desktop]'")
    for path in paths:
        if not path.exists() and "#" not in path.name and "://" not in str(path):
            raise SlideNotFound(path, "no such file or folder")
    (front_end,) = entry_points(group="gui_scripts", name=_FRONT_END)
    sys.argv[1:] = [str(path) for path in paths]
    exit_code: int = front_end.load()()
    return exit_code
