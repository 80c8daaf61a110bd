"""Plugins and models that are installed and cannot be used."""

from __future__ import annotations

from collections.abc import Iterable

from tilescope.errors import TilescopeError
from tilescope.plugins.registry import STORED, FoundPlugin
from tilescope_desktop.view.notice_bar import NoticeBar


def tell_broken(notices: NoticeBar, plugins: Iterable[FoundPlugin]) -> None:
    """Say of each that is not used why, and what to do about it."""
    for plugin in plugins:
        if plugin.problem is not None:
            error = TilescopeError(
                f"{_name_of(plugin)} is not used: {plugin.problem}; {plugin.remedy}"
            )
            notices.fail(error, ("plugin", plugin.distribution, plugin.entry))


def _name_of(plugin: FoundPlugin) -> str:
    if plugin.distribution == STORED:
        return f"your model {plugin.entry}"
    comes_with = f" ({plugin.distribution})" if plugin.distribution else ""
    return f"plugin {plugin.entry}{comes_with}"
