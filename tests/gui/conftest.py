"""Real windows without a screen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from tilescope.io.cache import TileCache
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
