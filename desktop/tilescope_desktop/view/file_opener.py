"""Files by menu, drag and drop or command line: each goes where its kind belongs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QObject

from tilescope.errors import UsageError
from tilescope.io.address import parse_address
from tilescope_desktop.model.places import PROJECT_SUFFIX

Handler = Callable[[Path], None]
Refuse = Callable[[BaseException], None]

#: Of at least two letters: one is a drive of Windows.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/?")
_OBJECTS = (".geojson", ".geojson.gz", ".json", ".json.gz", ".xml", ".ndpa")


class FileOpener(QObject):
    """Opens files; what no handler takes is a slide.

    Parameters
    ----------
    open_slide
        Opens anything else.
    refuse
        Told what cannot be opened, and why.
    """

    def __init__(
        self,
        open_slide: Handler,
        refuse: Refuse,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._refuse = refuse
        self._open_slide = open_slide
        self._handlers: list[tuple[tuple[str, ...], Handler]] = []

    def handle(self, suffixes: Sequence[str], open_file: Handler) -> None:
        """Have files of these endings opened otherwise; the last who asks is asked first."""
        self._handlers.insert(0, (tuple(suffixes), open_file))

    def handle_objects(self, open_file: Handler) -> None:
        """Have files of annotations opened by this."""
        self.handle(_OBJECTS, open_file)

    def handle_projects(self, open_file: Handler) -> None:
        """Have projects opened by this."""
        self.handle((PROJECT_SUFFIX,), open_file)

    def open(self, names: Sequence[str | Path]) -> None:
        """Open files and addresses on the network, in their order."""
        for name in names:
            path = Path(name)
            open_file = self._handler(path.name.casefold())
            refusal = self._refusal(name, open_file)
            if refusal is not None:
                self._refuse(UsageError(refusal))
                continue
            open_file(path)

    def _refusal(self, name: str | Path, open_file: Handler) -> str | None:
        """Return why something cannot be opened by its name, None when it may be."""
        if parse_address(name).url is not None:
            if open_file == self._open_slide:
                return None
            return f"{name}: only slides are read over the network; save the file to a disk first"
        scheme = _SCHEME.match(name) if isinstance(name, str) else None
        if scheme is not None and not Path(name).exists():
            return f"{name}: {scheme[1]} addresses cannot be opened; save the file to a disk first"
        return None

    def _handler(self, name: str) -> Handler:
        for suffixes, open_file in self._handlers:
            if name.endswith(suffixes):
                return open_file
        return self._open_slide
