"""Files by menu, drag and drop or command line: each goes where its kind belongs."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PySide6.QtCore import QObject

from tilescope.errors import UsageError
from tilescope.io.address import parse_address
from tilescope_desktop.model.dropped import Over, each, slide_of
from tilescope_desktop.model.model_files import is_model
from tilescope_desktop.model.notices import subject
from tilescope_desktop.model.places import PROJECT_SUFFIX

Handler = Callable[[Path], None]
#: Opens a file and tells when it is there, or has failed.
Opening = Callable[[Path, Over], None]
#: Takes a file of objects onto a slide, None for the one in front.
TakeObjects = Callable[[Path, Path | None], None]
Refuse = Callable[[BaseException], None]

#: Of at least two letters: one is a drive of Windows.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/?")
_OBJECTS = (".geojson", ".geojson.gz", ".json", ".json.gz", ".xml", ".ndpa")


@dataclass(frozen=True, slots=True)
class _Drop:
    """What was opened together, by kind; ``others`` go with what opens them."""

    projects: list[Path] = field(default_factory=list)
    slides: list[Path] = field(default_factory=list)
    objects: list[Path] = field(default_factory=list)
    others: list[tuple[Path, Handler]] = field(default_factory=list)


class FileOpener(QObject):
    """Opens files; what no handler takes is a slide.

    Of what is opened together projects come first and slides after them; all that lies on slides
    waits until those are there.

    Parameters
    ----------
    open_slide
        Opens anything else.
    refuse
        Told what cannot be opened, and why.
    """

    def __init__(
        self,
        open_slide: Opening,
        refuse: Refuse,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._refuse = refuse
        self._open_slide = self._open_project = open_slide
        self._slides_of: Callable[[Path], Sequence[Path]] = lambda _project: ()
        self._take_objects: TakeObjects = lambda file, _slide: open_slide(file, lambda: None)
        self._handlers: list[tuple[tuple[str, ...], Handler]] = []
        self._add_model: Handler | None = None

    def handle(self, suffixes: Sequence[str], open_file: Handler) -> None:
        """Have files of these endings opened otherwise; the last who asks is asked first."""
        self._handlers.insert(0, (tuple(suffixes), open_file))

    def handle_models(self, add: Handler) -> None:
        """Have files that are models opened by this."""
        self._add_model = add

    def handle_objects(self, take: TakeObjects) -> None:
        """Have files of annotations opened by this."""
        self._take_objects = take

    def handle_projects(
        self, open_project: Opening, slides_of: Callable[[Path], Sequence[Path]]
    ) -> None:
        """Have projects opened by this; ``slides_of`` are those open with one, if it is open."""
        self._open_project, self._slides_of = open_project, slides_of

    def open(self, names: Sequence[str | Path]) -> None:
        """Open files and addresses on the network, whatever their order."""
        drop = self._sorted(names)

        def open_slides() -> None:
            each(drop.slides, self._open_slide, lambda: self._put_on_slides(drop))

        each(drop.projects, self._open_project, open_slides)

    def _sorted(self, names: Sequence[str | Path]) -> _Drop:
        """Return what can be opened, by kind and once each; the rest is refused."""
        drop = _Drop()
        once: dict[Hashable, str | Path] = {}
        for name in names:
            once.setdefault(subject(name), name)
        for name in once.values():
            path = Path(name)
            ending = path.name.casefold()
            other = self._handler_of(path)
            is_project, is_objects = ending.endswith(PROJECT_SUFFIX), ending.endswith(_OBJECTS)
            is_slide = other is None and not is_project and not is_objects
            refusal = _refusal(name, is_slide=is_slide)
            if refusal is not None:
                self._refuse(UsageError(refusal))
            elif other is not None:
                drop.others.append((path, other))
            else:
                kind = drop.projects if is_project else drop.objects if is_objects else drop.slides
                kind.append(path)
        return drop

    def _handler_of(self, path: Path) -> Handler | None:
        """Return what opens a file otherwise, None for slides, projects and objects."""
        ending = path.name.casefold()
        for ends, act in self._handlers:
            if ending.endswith(ends):
                return act
        return self._add_model if is_model(path) else None

    def _put_on_slides(self, drop: _Drop) -> None:
        """Open what lies on slides, now that all of those are there that will be."""
        for path, open_file in drop.others:
            open_file(path)
        slides = drop.slides or [one for path in drop.projects for one in self._slides_of(path)]
        for file in drop.objects:
            if not slides and not drop.projects:
                self._take_objects(file, None)
                continue
            slide = slide_of(file, _stem(file), slides)
            if slide is not None:
                self._take_objects(file, slide)
            elif slides:
                self._refuse(UsageError(f"{file.name} was not imported: {_UNCLEAR}"))
            else:
                self._refuse(UsageError(f"{file.name}: open the slide it belongs to first"))


_UNCLEAR = (
    "several slides came with it, none of its name; bring the one it belongs to to the front and "
    "drop it alone"
)


def _stem(file: Path) -> str:
    ending = max((e for e in _OBJECTS if file.name.casefold().endswith(e)), key=len)
    return file.name[: -len(ending)]


def _refusal(name: str | Path, *, is_slide: bool) -> str | None:
    """Return why something cannot be opened by its name, None when it may be."""
    if parse_address(name).url is not None:
        if is_slide:
            return None
        return f"{name}: only slides are read over the network; save the file to a disk first"
    scheme = _SCHEME.match(name) if isinstance(name, str) else None
    if scheme is not None and not Path(name).exists():
        return f"{name}: {scheme[1]} addresses cannot be opened; save the file to a disk first"
    return None
