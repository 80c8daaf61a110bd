"""The areas that a run is in, kept beside what it did: outlines of a project change, these do not.

A run that stopped goes on in the very same areas, whatever became of the outlines since.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import shapely

from tilescope.errors import OutputError, UsageError
from tilescope.exchange.staging import staged_file
from tilescope.ops.areas import Areas

_NAME = "areas.wkb"


def are_kept(folder: Path) -> bool:
    """Tell whether areas are kept in the folder of a run."""
    return (folder / _NAME).is_file()


def keep_areas(areas: Areas, folder: Path) -> None:
    """Keep areas in the folder of the one run that is in them.

    Where they cannot be written it is as if they had never been: the run goes on, and cannot be
    gone on with.
    """
    if not are_kept(folder):
        together = shapely.to_wkb(shapely.geometrycollections(areas.polygons), byte_order=1)
        with suppress(OutputError), staged_file(folder / _NAME) as file:
            file.write(together)


def kept_areas(folder: Path, sha256: str) -> Areas:
    """Return the areas that were kept in a folder.

    Raises
    ------
    UsageError
        When they cannot be read, or are others.
    """
    try:
        areas = Areas.of(shapely.get_parts(shapely.from_wkb((folder / _NAME).read_bytes())))
    except (OSError, shapely.errors.ShapelyError, ValueError):
        areas = None
    if areas is None or areas.sha256 != sha256:
        raise UsageError(
            "The outlines that the run was in can no longer be read; select them and run it again."
        )
    return areas
