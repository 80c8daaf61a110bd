"""``python -m tilescope_desktop [SLIDE …]``."""

from __future__ import annotations

import sys
from pathlib import Path

from tilescope_desktop.app import run


def main() -> int:
    """Open the window with the files of the command line."""
    return run([Path(name) for name in sys.argv[1:]])


if __name__ == "__main__":
    raise SystemExit(main())
