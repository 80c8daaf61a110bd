"""Workers fetch what is wanted now, each tile once, and nothing that nobody wants any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from tilescope.domain.slide import SlideId
from tilescope.domain.tiles import TileKey
from tilescope.errors import TilescopeError
from tilescope.io.cache import TileCache
from tilescope.io.loader import TileLoader

SLIDE = SlideId("slide")


def keys(*columns: int) -> list[TileKey]:
    return [TileKey(SLIDE, 0, column, 0) for column in columns]


class Shelf:
    """Tiles that are handed out one by one, as the test lets them go."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.broken: set[int] = set()
        self.gate = threading.Semaphore(0)
        self.arrived = threading.Semaphore(0)
        self.is_open = False

    def load(self, key: TileKey) -> np.ndarray:
        self.asked.append(key.col)
        self.arrived.release()
        if not self.is_open:
            assert self.gate.acquire(timeout=10)
        if key.col in self.broken:
            raise TilescopeError(f"tile {key.col} is broken")
        return np.full((2, 2), key.col, np.uint32)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


class Ready:
    """Counts what became ready."""

    def __init__(self) -> None:
        self.columns: list[int] = []
        self._changed = threading.Condition()

    def __call__(self, key: TileKey) -> None:
        with self._changed:
            self.columns.append(key.col)
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[int]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.columns) >= count, timeout=10)
            return list(self.columns)


@pytest.fixture
def ready() -> Ready:
    return Ready()


@pytest.fixture
def loader(shelf: Shelf, ready: Ready) -> Iterator[TileLoader]:
    with TileLoader(TileCache(1 << 20), shelf.load, ready, threads=1) as made:
        yield made
        shelf.is_open = True
        for _ in range(100):
            shelf.gate.release()


def test_the_best_comes_first(loader: TileLoader, shelf: Shelf, ready: Ready) -> None:
    shelf.is_open = True
    loader.want("view", keys(3, 1, 2))
    assert ready.wait_for(3) == [3, 1, 2]
    assert loader.is_idle


def test_a_new_wish_replaces_the_old_one(loader: TileLoader, shelf: Shelf, ready: Ready) -> None:
    loader.want("view", keys(*range(50)))
    assert shelf.arrived.acquire(timeout=10)
    loader.want("view", keys(77, 78))
    shelf.is_open = True
    shelf.gate.release()
    assert ready.wait_for(3) == [0, 77, 78]
    assert shelf.asked == [0, 77, 78]


def test_views_take_turns_by_rank(loader: TileLoader, shelf: Shelf, ready: Ready) -> None:
    loader.want("first", keys(0))
    assert shelf.arrived.acquire(timeout=10)
    loader.want("first", keys(1, 2, 3))
    loader.want("second", keys(11, 12))
    shelf.is_open = True
    shelf.gate.release()
    assert sorted(ready.wait_for(6)[1:3]) == [1, 11]
    assert set(shelf.asked) == {0, 1, 2, 3, 11, 12}


def test_a_tile_that_is_there_is_not_loaded(shelf: Shelf, ready: Ready) -> None:
    shelf.is_open = True
    cache = TileCache(1 << 20)
    cache.put(keys(1)[0], np.zeros((2, 2), np.uint32))
    with TileLoader(cache, shelf.load, ready, threads=2) as loader:
        loader.want("view", keys(1, 2))
        ready.wait_for(1)
        assert shelf.asked == [2]
        assert loader.is_idle


def test_a_broken_tile_is_tried_once_until_it_is_forgiven(
    loader: TileLoader, shelf: Shelf, ready: Ready
) -> None:
    shelf.is_open = True
    shelf.broken = {1}
    loader.want("view", keys(1, 2))
    assert ready.wait_for(2) == [1, 2]
    loader.want("view", keys(1, 2, 3))
    assert ready.wait_for(3) == [1, 2, 3]
    assert loader.failure(keys(1)[0]) == "tile 1 is broken"
    assert loader.failure(keys(2)[0]) is None
    shelf.broken = set()
    loader.forgive()
    assert ready.wait_for(4)[-1] == 1
    assert loader.failure(keys(1)[0]) is None


def test_each_tile_is_loaded_once_however_many_workers(shelf: Shelf, ready: Ready) -> None:
    shelf.is_open = True
    with TileLoader(TileCache(1 << 20), shelf.load, ready, threads=8) as loader:
        for last in range(1, 60):
            loader.want("view", keys(*range(last)))
        ready.wait_for(59)
    assert sorted(shelf.asked) == list(range(59))


def test_closing_waits_for_the_workers(shelf: Shelf, ready: Ready) -> None:
    loader = TileLoader(TileCache(1 << 20), shelf.load, ready, threads=3)
    loader.want("view", keys(*range(9)))
    for _ in range(3):
        assert shelf.arrived.acquire(timeout=10)
    shelf.is_open = True
    for _ in range(3):
        shelf.gate.release()
    loader.close()
    loader.close()
    assert len(shelf.asked) == 3
    assert not [t for t in threading.enumerate() if t.name.startswith("tilescope-tile")]


def test_workers_that_rest_begin_nothing_until_they_may_go_on(
    loader: TileLoader, shelf: Shelf, ready: Ready
) -> None:
    shelf.is_open = True
    loader.rest(60)
    loader.want("view", keys(1, 2))
    assert not shelf.arrived.acquire(timeout=0.05)
    assert not loader.is_idle
    loader.go_on()
    assert ready.wait_for(2) == [1, 2]


def test_a_rest_ends_by_itself(loader: TileLoader, shelf: Shelf, ready: Ready) -> None:
    shelf.is_open = True
    loader.rest(0.02)
    loader.want("view", keys(1))
    assert ready.wait_for(1) == [1]


def test_workers_get_their_turn_however_often_they_are_told_to_rest(
    loader: TileLoader, shelf: Shelf, ready: Ready
) -> None:
    shelf.is_open = True
    loader.want("view", keys(1))
    ready.wait_for(1)
    loader.rest(60)
    loader.go_on()
    loader.rest(60)
    loader.want("view", keys(2))
    assert ready.wait_for(2) == [1, 2]


def test_a_tile_that_was_told_of_is_not_on_its_way(
    loader: TileLoader, shelf: Shelf, ready: Ready
) -> None:
    shelf.is_open = True
    for column in range(200):
        loader.want("view", keys(column))
        ready.wait_for(column + 1)
        assert loader.is_idle
