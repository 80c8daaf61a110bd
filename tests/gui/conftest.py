"""Real windows without a screen."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, Qt, QTimer
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from tests.gui.hand import Hand
from tests.gui.key_hand import pointing
from tests.gui.slow_models import SlowModels, slow_site
from tests.touchy_clicks import TouchyClicks, touchy_clicks

from tilescope.io.cache import TileCache, shared_cache
from tilescope.io.registry import open_slide
from tilescope.io.source import SlideSource
from tilescope_desktop.app import run_bench
from tilescope_desktop.bridge.tiles import TileService
from tilescope_desktop.view.main_window import MainWindow

# Before the first window is made: no screen is needed.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def _windows() -> dict[int, str]:
    """Return the widgets that belong to no other, hidden ones too, by their place in memory."""
    alone = [one for one in QApplication.topLevelWidgets() if one.parent() is None]
    return {shiboken6.getCppPointer(one)[0]: repr(one) for one in alone}


def _delete_later() -> None:
    """Delete what waits for it."""
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture(autouse=True)
def _no_leaked_widgets() -> Iterator[None]:
    before = _windows()
    yield
    _delete_later()
    if _windows().keys() - before.keys():  # some only wait for the garbage collector
        gc.collect()
        _delete_later()
    left = [name for place, name in _windows().items() if place not in before]
    assert not left, f"widgets left: {left}"


@pytest.fixture(autouse=True, scope="module")
def _no_leaked_timers() -> Iterator[None]:
    # Once for a file of tests: looking at every object there is takes a while.
    before = _timers()
    yield
    gc.collect()
    _delete_later()
    left = [name for place, name in _timers().items() if place not in before]
    assert not left, f"timers left running: {left}"


def _timers() -> dict[int, str]:
    """Return the timers that run, by their place in memory."""
    there = [one for one in gc.get_objects() if issubclass(type(one), QTimer)]
    if (app := QCoreApplication.instance()) is not None:
        there += app.findChildren(QTimer)
    valid = [one for one in there if shiboken6.isValid(one) and one.isActive()]
    return {shiboken6.getCppPointer(one)[0]: repr(one) for one in valid}


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILESCOPE_DATA", str(tmp_path / "data"))


@pytest.fixture
def raw_cache() -> TileCache:
    return TileCache(1 << 26)


@pytest.fixture
def service(qtbot: QtBot, raw_cache: TileCache) -> Iterator[TileService]:
    made = TileService(TileCache(1 << 27), raw_cache, threads=2)
    yield made
    made.close()


@pytest.fixture
def hes_source(hes_slide: Path, raw_cache: TileCache) -> Iterator[SlideSource]:
    with open_slide(hes_slide, cache=raw_cache) as source:
        yield source


@pytest.fixture
def slide_in_hand(hes_slide: Path) -> Path:
    """What is open in the window; a file of tests may have another."""
    return hes_slide


@pytest.fixture
def hand(qtbot: QtBot, tmp_path: Path, slide_in_hand: Path) -> Iterator[Hand]:
    before = shared_cache().use.max_bytes
    made = Hand(qtbot, tmp_path / "data")
    made.open(slide_in_hand)
    yield made
    made.close()
    shared_cache().resize(before)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlowModels]:
    """The slow models, whose pace can be changed."""
    with pytest.MonkeyPatch.context() as patch:
        site = slow_site(tmp_path_factory.mktemp("slow"))
        patch.syspath_prepend(site)
        yield SlowModels(site)


@pytest.fixture
def active(hand: Hand) -> Hand:
    """A hand whose keys go to the view."""
    hand.take_keys()
    return hand


@pytest.fixture
def keys(active: Hand) -> Hand:
    """A hand that points by keys, from the middle of the view on."""
    active.key(Qt.Key.Key_F8)
    assert pointing(active).is_on
    return active


@pytest.fixture(scope="module")
def touchy(tmp_path_factory: pytest.TempPathFactory) -> TouchyClicks:
    """A click model that does whatever it is told to."""
    return touchy_clicks(tmp_path_factory.mktemp("touchy"))


@pytest.fixture
def _touchy_installed(touchy: TouchyClicks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(touchy.site)
    touchy.have("")


@pytest.fixture
def _pace(slow: SlowModels) -> Iterator[None]:
    slow.hold()
    slow.set_pace(0.05)
    yield
    slow.let_go()


@pytest.fixture
def _no_run_left(hand: Hand, slow: SlowModels) -> Iterator[None]:
    """Stop what a failed test leaves: closing the window would ask."""
    yield
    slow.let_go()
    for window in QApplication.topLevelWidgets():
        if isinstance(window, MainWindow) and window.isVisible():
            run_bench(window).cancel()
            hand.qtbot.waitUntil(lambda w=window: not w.work.jobs, timeout=20_000)
