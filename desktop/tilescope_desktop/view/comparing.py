"""Looking at two slides side by side, as commands."""

from __future__ import annotations

from collections.abc import Callable

from tilescope_desktop.model.commands import Command
from tilescope_desktop.view.command_palette import CommandPalette
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.side_by_side import SideBySide
from tilescope_desktop.view.slide_tab import SlideTab

_MENU = "View/Side by side"


def compare_commands(window: MainWindow) -> list[Command]:
    """Return the commands that show two slides and link their views."""

    def has_slide() -> bool:
        return window.tab is not None

    def pair() -> SideBySide | None:
        return window.tabs.pair

    def on_pair(act: Callable[[SideBySide], None]) -> Callable[[], None]:
        def run() -> None:
            found = pair()
            if found is not None:
                act(found)

        return run

    def command(key: str, title: str, shortcut: str, act: Callable[[SideBySide], None]) -> Command:
        return Command(
            f"compare.{key}", title, _MENU, on_pair(act), shortcut, lambda: pair() is not None
        )

    return [
        Command(
            "compare.beside",
            "Compare beside…",
            _MENU,
            lambda: choose_other(window),
            "Ctrl+Alt+C",
            has_slide,
        ),
        Command(
            "compare.linked",
            "Link the views",
            _MENU,
            on_pair(lambda found: found.link.set_linked(not found.link.is_linked)),
            "Ctrl+Alt+S",
            lambda: pair() is not None,
            lambda: (found := pair()) is not None and found.link.is_linked,
        ),
        command(
            "as-they-stand",
            "Link as they stand",
            "Ctrl+Alt+L",
            lambda found: found.link.link_as_they_stand(),
        ),
        command(
            "same-size",
            "Link at the same size",
            "",
            lambda found: found.link.link_at_same_size(found.front),
        ),
        command("other", "Go to the other side", "F6", _go_to_other),
        command(
            "separate",
            "Give each a tab of its own",
            "",
            lambda found: window.tabs.separate(found.front),
        ),
    ]


def choose_other(window: MainWindow) -> None:
    """Let the user choose what to see beside the slide in front."""
    front = window.tab
    if front is None:
        return

    def put(tab: SlideTab) -> Callable[[], None]:
        return lambda: _put(window, front, tab)

    others = [tab for tab in window.all_tabs if tab is not front]
    choices = [
        Command(f"with.{number}", tab.path.name, "", put(tab)) for number, tab in enumerate(others)
    ]
    again = Command(
        "with.itself",
        f"{front.path.name} once more",
        "",
        lambda: compare_with_itself(window, front),
    )
    CommandPalette(
        [*choices, again],
        window.do,
        window,
        title="Compare beside",
        hint="Which slide beside it? Others have to be opened first",
        in_order=True,
    ).open()


def compare_with_itself(window: MainWindow, tab: SlideTab) -> None:
    """Show a slide beside itself, to see two places or two sets of channels."""

    def then(again: SlideTab) -> None:
        again.restyle(tab.styles)
        again.override_um_per_px(tab.um_override)
        if tab in window.all_tabs:
            window.tabs.put_beside(tab, again)

    window.open_slide(tab.path, then)


def _put(window: MainWindow, front: SlideTab, beside: SlideTab) -> None:
    if front in window.all_tabs and beside in window.all_tabs:
        window.tabs.put_beside(front, beside)


def _go_to_other(pair: SideBySide) -> None:
    other = pair.other(pair.front)
    pair.bring_to_front(other)
    other.view.setFocus()
