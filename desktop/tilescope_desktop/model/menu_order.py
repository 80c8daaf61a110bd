"""What stands where in the menus, and which letter of it is underlined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

#: Names of what stands in a menu, in groups between which there is a line: ids of commands, titles
#: of menus in it. What is named nowhere comes last.
GROUPS: Mapping[str, Sequence[Sequence[str]]] = {
    "File": (
        ("file.open", "file.open-folder", "Recent"),
        ("project.new", "project.open", "project.relink", "project.close"),
        ("file.save", "project.save-as"),
        ("project.import", "project.import-labels", "project.export"),
        ("project.save-picture", "project.copy-picture"),
        ("file.close", "file.quit"),
    ),
    "Edit": (
        ("edit.undo", "edit.redo"),
        ("edit.delete", "edit.duplicate", "edit.restore", "edit.whole"),
        ("edit.middle-rectangle", "edit.middle-ellipse", "edit.middle-point"),
        ("edit.all", "edit.all-annotations", "edit.all-detections", "edit.none"),
        ("edit.toggle-lock", "edit.lock", "edit.unlock"),
        ("edit.keys",),
    ),
    "Tools": (
        ("tool.move", "tool.select"),
        ("tool.point", "tool.line", "tool.polyline", "tool.rectangle", "tool.ellipse"),
        ("tool.polygon", "tool.freehand", "tool.brush", "tool.wand", "tool.click"),
        ("tool.vertices", "tool.ruler"),
        ("tool.larger", "tool.smaller"),
        ("tool.by-keys", "tool.hold-button"),
        ("tool.finish", "tool.cancel"),
    ),
    "Objects": (
        ("objects.shows-annotations", "objects.shows-detections", "objects.names"),
        ("objects.fills-annotations", "objects.fills-detections"),
        ("objects.stronger", "objects.fainter"),
        ("Outlines",),
        ("objects.fly",),
    ),
    "View": (
        ("view.zoom-in", "view.zoom-out", "view.fit", "view.full-size"),
        ("Move and turn", "Planes", "Side by side"),
        ("view.next-slide", "view.previous-slide"),
        ("view.map", "view.scale-bar", "Panels", "Colours"),
        ("view.auto-contrast", "view.pixel-size", "view.pictures"),
        ("view.notices", "view.palette"),
    ),
    "View/Panels": ((), ("panel.all",)),
    "View/Move and turn": (
        ("view.left", "view.right", "view.up", "view.down"),
        ("view.turn", "view.turn-back", "view.flip"),
    ),
    "View/Planes": (
        ("view.next-focus", "view.previous-focus"),
        ("view.next-time", "view.previous-time"),
    ),
    "View/Side by side": (
        ("compare.beside",),
        ("compare.linked", "compare.as-they-stand", "compare.same-size"),
        ("compare.other", "compare.separate"),
    ),
    "Models": (
        ("models.run", "models.inside", "models.cancel"),
        ("Click to outline",),
        ("models.show-map",),
        ("models.add",),
    ),
}


def arranged(menu: str, names: Sequence[str]) -> list[list[str]]:
    """Return the names of what stands in a menu in groups, each name where it belongs."""
    known = GROUPS.get(menu, ())
    named = {name for group in known for name in group}
    rest = [name for name in names if name not in named]
    groups = [[name for name in group if name in names] for group in known]
    # An empty group says where what is named nowhere stands.
    place = next((index for index, group in enumerate(known) if not group), len(groups))
    groups.insert(place, rest)
    return [group for group in groups if group]


def underlined(titles: Sequence[str]) -> list[str]:
    """Return titles as Qt wants them, ``&`` before a letter that no other of them has.

    The first letters of words come first; a title that finds no letter goes without.
    """
    return [
        _escaped(title) if at is None else f"{_escaped(title[:at])}&{_escaped(title[at:])}"
        for title, at in zip(titles, _places(titles), strict=True)
    ]


def menu_letters(menus: Iterable[str]) -> dict[str, str]:
    """Return by its letter which menu of the bar it opens, of those in which commands stand."""
    there = dict.fromkeys(menu.partition("/")[0] for menu in menus if menu)
    # In the bar, too, those that are known stand first.
    titles = [*(name for name in GROUPS if name in there), *(n for n in there if n not in GROUPS)]
    places = zip(titles, _places(titles), strict=True)
    return {title[at].upper(): title for title, at in places if at is not None}


def _places(titles: Sequence[str]) -> list[int | None]:
    """Return where in each title the letter is that is underlined."""
    taken: set[str] = set()
    found = []
    for title in titles:
        at = _place(title, taken)
        found.append(at)
        if at is not None:
            taken.add(title[at].casefold())
    return found


def _place(title: str, taken: set[str]) -> int | None:
    letters = [at for at, letter in enumerate(title) if letter.isascii() and letter.isalnum()]
    first = [at for at in letters if at == 0 or title[at - 1] == " "]
    return next((at for at in [*first, *letters] if title[at].casefold() not in taken), None)


def _escaped(text: str) -> str:
    return text.replace("&", "&&")
