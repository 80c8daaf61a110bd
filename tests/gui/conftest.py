"""Real windows without a screen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from tests.gui.hand import Hand

from tilescope.io.cache import TileCache, shared_cache
from tilescope.io.registry import open_slide
from tilescope.io.source import SlideSource
from tilescope_desktop.bridge.tiles import TileService

# Before the first window is made: no screen is needed.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


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
