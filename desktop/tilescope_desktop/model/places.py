"""Where the window keeps what is the user's: projects that were made unasked, and recent files."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

from tilescope.io.address import parse_address
from tilescope_desktop.model.settings import KeptFile

DATA_VARIABLE = "TILESCOPE_DATA"
PROJECT_SUFFIX = ".tilescope"
_MOST_RECENT = 12
_TIME = "%Y-%m-%d %H.%M.%S"
#: What `refuges` and `_free` add to a name.
_KEPT = re.compile(r"( kept \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d( \d+)?)+$")


def data_folder() -> Path:
    """Return the user's data folder; it may not exist yet.

    The environment variable ``TILESCOPE_DATA`` overrides it.
    """
    given = os.environ.get(DATA_VARIABLE)
    if given:
        return Path(given)
    from platformdirs import user_data_path

    return user_data_path("tilescope", appauthor=False)


def new_project_path(folder: Path, slide_name: str, when: datetime) -> Path:
    """Return where the project of a slide goes that nobody made one for; nothing is there yet."""
    stem = "".join(c if c.isalnum() or c in "-_ ." else "_" for c in Path(slide_name).stem)[:60]
    name = f"{stem or 'slide'} {when:{_TIME}}{PROJECT_SUFFIX}"
    return _free(folder / "projects" / name)


def now() -> datetime:
    """Return the time where the user is."""
    return datetime.now().astimezone()


def refuges(folder: Path, project: Path, when: datetime) -> list[Path]:
    """Return where a project may go on whose file is gone: beside it, else among the user's own.

    However often that happens, its name says once that it was kept, and when it was so last.
    """
    beside = f"{_KEPT.sub('', project.stem)} kept {when:{_TIME}}{PROJECT_SUFFIX}"
    places = project.with_name(beside), folder / "projects" / beside
    return [_free(place, taken=project.name) for place in places]


def _free(path: Path, taken: str = "") -> Path:
    """Return a path, or one like it, at which nothing is and that has not the name ``taken``."""
    found, count = path, 1
    while found.name == taken or found.exists():
        count += 1
        found = path.with_name(f"{path.stem} {count}{path.suffix}")
    return found


class Remembered:
    """What the window remembers from one start to the next, in one small file.

    What cannot be read or written is as if it had never been: nothing of value is in it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = KeptFile(folder / "recent.json")

    @property
    def recent(self) -> list[Path]:
        """Files that were opened, newest first."""
        names = self._file.read().get("recent")
        return [Path(n) for n in names if isinstance(n, str)] if isinstance(names, list) else []

    @property
    def project(self) -> Path | None:
        """The project that was open last, None when it was closed or is gone."""
        name = self._file.read().get("project")
        path = Path(name) if isinstance(name, str) and name else None
        return path if path is not None and path.exists() else None

    def note_file(self, path: Path) -> None:
        """Remember a file as the newest one."""
        is_remote = parse_address(path).url is not None
        name = str(path if is_remote else path.absolute())
        names = [name, *(str(known) for known in self.recent)]
        self._file.write("recent", list(dict.fromkeys(names))[:_MOST_RECENT])

    def note_project(self, path: Path | None) -> None:
        """Remember which project is open."""
        self._file.write("project", "" if path is None else str(path.absolute()))
