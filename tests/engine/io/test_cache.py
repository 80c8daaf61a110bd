import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tilescope.domain.slide import SlideId
from tilescope.domain.tiles import TileKey
from tilescope.io.cache import TileCache

ONE, OTHER = SlideId("one"), SlideId("other")


def key(col=0, slide=ONE):
    return TileKey(slide, 0, col, 0)


def tile(size_bytes=10):
    return np.zeros((1, size_bytes, 1), np.uint8)


def failing():
    msg = "bad tile"
    raise OSError(msg)


class CacheMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.cache = TileCache(100)
        self.keys = {key(col, slide) for col in range(6) for slide in (ONE, OTHER)}

    keys = st.builds(key, st.integers(0, 5), st.sampled_from([ONE, OTHER]))
    sizes = st.integers(0, 120)

    @rule(key=keys, size=sizes)
    def get(self, key, size):
        held = self.cache.peek(key)
        found = self.cache.get(key, lambda: tile(size))
        assert found.nbytes == (size if held is None else held.nbytes)

    @rule(key=keys, size=sizes)
    def put(self, key, size):
        self.cache.put(key, tile(size))
        assert (self.cache.peek(key) is None) == (size > 100)

    @rule(key=keys)
    def fail(self, key):
        if self.cache.peek(key) is None:
            with pytest.raises(OSError, match="bad tile"):
                self.cache.get(key, failing)

    @rule(slide=st.sampled_from([ONE, OTHER]))
    def drop(self, slide):
        self.cache.drop_slide(slide)
        assert all(self.cache.peek(k) is None for k in self.keys if k.slide == slide)

    @rule()
    def clear(self):
        self.cache.clear()
        assert self.cache.use.entries == 0

    @invariant()
    def bytes_are_the_sum_of_the_entries(self):
        held = [t for t in map(self.cache.peek, self.keys) if t is not None]
        use = self.cache.use
        assert use.size_bytes == sum(t.nbytes for t in held) <= use.max_bytes
        assert use.entries == len(held)


TestCacheMachine = CacheMachine.TestCase


def test_least_recently_used_goes_first():
    cache = TileCache(20)
    cache.put(key(0), tile())
    cache.put(key(1), tile())
    cache.get(key(0), failing)
    cache.put(key(2), tile())
    assert cache.peek(key(0)) is not None
    assert cache.peek(key(1)) is None


def test_a_tile_is_decoded_once_however_many_ask():
    cache = TileCache(1000)
    started, release, calls = threading.Event(), threading.Event(), []

    def slow():
        calls.append(1)
        started.set()
        assert release.wait(10)
        return tile()

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(cache.get, key(), slow)]
        assert started.wait(10)
        waiting += [pool.submit(cache.get, key(), failing) for _ in range(7)]
        while cache.use.hits < 7:
            assert not waiting[0].done()
        release.set()
        assert len({id(w.result(10)) for w in waiting}) == 1
    assert len(calls) == 1
    assert cache.use.misses == 1


def test_a_failure_reaches_all_who_wait_and_is_forgotten():
    cache = TileCache(1000)
    started, release = threading.Event(), threading.Event()

    def slow():
        started.set()
        assert release.wait(10)
        failing()

    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(cache.get, key(), slow)]
        assert started.wait(10)
        waiting += [pool.submit(cache.get, key(), tile) for _ in range(2)]
        while cache.use.hits < 2:
            assert not waiting[0].done()
        release.set()
        for w in waiting:
            with pytest.raises(OSError, match="bad tile"):
                w.result(10)
    assert cache.get(key(), tile).nbytes == 10


def test_a_tile_that_arrives_after_its_slide_was_dropped_is_not_kept():
    cache = TileCache(1000)

    def load():
        cache.drop_slide(ONE)
        return tile()

    assert cache.get(key(), load).nbytes == 10
    assert cache.peek(key()) is None


def test_tiles_are_read_only_and_views_are_paid_in_full():
    cache = TileCache(1000)
    big = np.zeros((100, 100, 1), np.uint8)
    held = cache.get(key(), lambda: big[:1, :10])
    assert held.base is None
    with pytest.raises(ValueError, match="read-only"):
        held[:] = 1


def test_a_cache_of_nothing_still_serves():
    assert TileCache(0).get(key(), tile).nbytes == 10
    with pytest.raises(ValueError, match="-1"):
        TileCache(-1)
