"""Folders of the user that the program keeps things in."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "TILESCOPE_CACHE"


def cache_folder() -> Path:
    """Return where things are kept that can be made again; it may not exist yet.

    The environment variable ``TILESCOPE_CACHE`` overrides the user's cache folder.
    """
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given)
    from platformdirs import user_cache_path

    return user_cache_path("tilescope", appauthor=False)
