import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tilescope.domain.geometry import Rect
from tilescope.domain.slide import SlideId
from tilescope.domain.tiles import TileKey
from tilescope.io.cache import ENTRY_BYTES, TileCache, shared_cache
from tilescope.io.cached_source import CachedSource
from tilescope.io.pyramid_source import with_overviews
from tilescope.io.region import read_at, read_region
from tilescope.io.tiff_source import TiffSource
from tilescope.testing.synthetic import coordinate_pixels, pyramid, write_tiff_pyramid

ONE, OTHER = SlideId("one"), SlideId("other")


def key(col=0, slide=ONE):
    return TileKey(slide, 0, col, 0)


def tile(size_bytes=10):
    return np.zeros((1, size_bytes, 1), np.uint8)


def failing():
    msg = "bad tile"
    raise OSError(msg)


def room(count, size_bytes=10):
    """What so many tiles take."""
    return count * (size_bytes + ENTRY_BYTES)


class CacheMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.cache = TileCache(room(5))
        self.keys = {key(col, slide) for col in range(6) for slide in (ONE, OTHER)}
        self.asked = 0

    keys = st.builds(key, st.integers(0, 5), st.sampled_from([ONE, OTHER]))
    sizes = st.integers(0, 1500)
    slides = st.sampled_from([ONE, OTHER])

    @rule(key=keys, size=sizes)
    def get(self, key, size):
        held = self.cache.peek(key)
        found = self.cache.get(key, lambda: tile(size))
        self.asked += 1
        assert found.nbytes == (size if held is None else held.nbytes)

    @rule(key=keys, size=sizes)
    def put(self, key, size):
        self.cache.put(key, tile(size))
        assert (self.cache.peek(key) is None) == (room(1, size) > self.cache.use.max_bytes)

    @rule(key=keys)
    def fail(self, key):
        if self.cache.peek(key) is None:
            self.asked += 1
            with pytest.raises(OSError, match="bad tile"):
                self.cache.get(key, failing)

    @rule(slide=slides)
    def drop(self, slide):
        self.cache.drop_slide(slide)
        assert all(self.cache.peek(k) is None for k in self.keys if k.slide == slide)

    @rule(slide=slides, twice=st.booleans())
    def open_and_close(self, slide, twice):
        for _ in range(1 + twice):
            self.cache.hold(slide)
        self.cache.put(key(0, slide), tile())
        kept = self.cache.peek(key(0, slide))
        if twice:
            self.cache.release(slide)
            assert self.cache.peek(key(0, slide)) is kept
        self.cache.release(slide)
        assert all(self.cache.peek(k) is None for k in self.keys if k.slide == slide)
        assert self.cache.use.slides == 0

    @rule(budget=st.integers(0, room(8)))
    def resize(self, budget):
        self.cache.resize(budget)
        assert self.cache.use.max_bytes == budget

    @rule()
    def clear(self):
        self.cache.clear()
        assert self.cache.use.entries == 0

    @rule(asked=keys, size=sizes, change=st.sampled_from(["drop", "clear", "resize", "put"]))
    def change_while_loading(self, asked, size, change):
        def load():
            if change == "drop":
                self.cache.drop_slide(asked.slide)
            elif change == "clear":
                self.cache.clear()
            elif change == "resize":
                self.cache.resize(room(2))
            else:
                self.cache.put(asked, tile(size))
            return tile(size)

        self.asked += 1
        self.cache.get(asked, load)

    @invariant()
    def bytes_are_the_sum_of_the_entries(self):
        held = [t for t in map(self.cache.peek, self.keys) if t is not None]
        use = self.cache.use
        assert use.size_bytes == sum(room(1, t.nbytes) for t in held) <= use.max_bytes
        assert use.entries == len(held)

    @invariant()
    def every_question_is_a_hit_or_a_miss(self):
        assert self.cache.use.hits + self.cache.use.misses == self.asked


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=40, stateful_step_count=30)


def test_tiles_that_changed_are_loaded_again():
    cache = TileCache(1 << 20)
    for col in range(3):
        cache.put(key(col), tile())
    cache.drop([key(0), key(2), key(7)])
    assert [cache.peek(key(col)) is None for col in range(3)] == [True, False, True]
    assert cache.use.size_bytes == room(1)


def test_a_tile_that_changed_while_it_was_loaded_is_not_kept():
    cache = TileCache(1 << 20)

    def load():
        cache.drop([key(0)])
        return tile()

    assert cache.get(key(0), load) is not None
    assert cache.peek(key(0)) is None
    cache.get(key(0), tile)
    assert cache.peek(key(0)) is not None


def test_least_recently_used_goes_first():
    cache = TileCache(room(2))
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


def test_a_smaller_budget_is_kept_at_once():
    cache = TileCache(room(4))
    for col in range(4):
        cache.put(key(col), tile())
    cache.resize(room(1))
    assert cache.use.entries == 1
    assert cache.peek(key(3)) is not None
    with pytest.raises(ValueError, match="-1"):
        cache.resize(-1)


def test_threads_that_open_read_and_close_leave_nothing():
    cache, barrier = TileCache(room(3)), threading.Barrier(4)

    def work(number):
        barrier.wait(10)
        for turn in range(50):
            cache.hold(ONE)
            cache.get(key((number + turn) % 5), tile)
            cache.release(ONE)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert (cache.use.entries, cache.use.size_bytes, cache.use.slides) == (0, 0, 0)


def test_a_process_has_one_shared_cache():
    with ThreadPoolExecutor(4) as pool:
        assert len({id(c) for c in pool.map(lambda _: shared_cache(), range(4))}) == 1
    assert 0 < shared_cache().use.max_bytes <= 1 << 30


@pytest.fixture
def slide_file(tmp_path):
    levels = pyramid(coordinate_pixels(Rect(0, 0, 5003, 301)), 1)
    return write_tiff_pyramid(tmp_path / "a.tif", levels)


def opened(path, cache):
    """A slide without overviews, so that those made on demand are in the cache as well."""
    return CachedSource(with_overviews(TiffSource.open(path), cache), cache)


def test_closing_a_slide_returns_its_memory(slide_file):
    cache = TileCache(1 << 26)
    cache.put(key(), tile())
    with opened(slide_file, cache) as slide:
        expected = read_region(slide, TileCache(0), 0, Rect(0, 0, 500, 300))
        found = read_region(slide, cache, 0, Rect(0, 0, 500, 300))
        np.testing.assert_array_equal(found, expected)
        read_at(slide, cache, (0, 0, 5003, 301), factor=4.0)
        assert cache.use.slides == 1
        assert cache.use.size_bytes > 5003 * 301 * 3
    slide.close()
    use = cache.use
    assert (use.entries, use.size_bytes, use.slides) == (1, room(1), 0)


def test_the_last_of_two_closed_returns_the_memory(slide_file):
    cache = TileCache(1 << 26)
    with opened(slide_file, cache) as first:
        with opened(slide_file, cache) as second:
            read_region(second, cache, 0, Rect(0, 0, 500, 300))
        assert cache.use.entries > 0
        misses = cache.use.misses
        read_region(first, cache, 0, Rect(0, 0, 500, 300))
        assert cache.use.misses == misses
    assert cache.use.entries == 0


def test_a_file_that_changed_is_another_slide(slide_file):
    cache = TileCache(1 << 26)
    with opened(slide_file, cache) as old:
        read_region(old, cache, 0, Rect(0, 0, 100, 100))
        write_tiff_pyramid(slide_file, pyramid(coordinate_pixels(Rect(7, 7, 3000, 300)), 1))
        with opened(slide_file, cache) as new:
            found = read_region(new, cache, 0, Rect(0, 0, 100, 100))
    np.testing.assert_array_equal(found, coordinate_pixels(Rect(7, 7, 107, 107)))
