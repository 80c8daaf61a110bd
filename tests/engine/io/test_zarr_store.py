"""A slide as a Zarr store: zarr-python's own conformance tests, values, listing, dask, validation.

``StoreTests`` plants values under keys of its choice and reads them back. A slide holds what it
holds, so every test that plants is overridden by one that makes the same statement about the keys
a slide has; the expected bytes come from ``read_tile`` and never from the store. The tests that
plant nothing run as they are.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import pytest
import zarr
from ome_zarr_models.common.omero import Omero
from ome_zarr_models.v05.image import Image
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.core.buffer.cpu import Buffer as CpuBuffer
from zarr.core.sync import _collect_aiterator, sync
from zarr.testing.store import StoreTests

from tilescope.domain.geometry import Rect
from tilescope.errors import CorruptSlide, SlideNotFound, TileReadError
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.io.source import SlideSource
from tilescope.io.zarr_store import SlideStore
from tilescope.testing.synthetic import (
    coordinate_pixels,
    pyramid,
    write_ome_zarr,
    write_tiff_pyramid,
)

PROTOTYPE = default_buffer_prototype()


def keys_of(source: SlideSource) -> list[str]:
    """Return the keys that a store of this slide must have, from its levels alone."""
    info = source.info
    return ["zarr.json"] + [
        key
        for level in info.levels
        for key in (
            f"{level.index}/zarr.json",
            *(
                f"{level.index}/c/{t}/0/{z}/{row}/{col}"
                for t in range(info.t)
                for z in range(info.z)
                for row in range(level.rows)
                for col in range(level.columns)
            ),
        )
    ]


def chunk_of(source: SlideSource, key: str) -> bytes:
    """Return what a chunk must hold, from ``read_tile`` alone."""
    info = source.info
    level, _, t, _, z, row, col = key.split("/")
    shape = info.levels[int(level)]
    tile = source.read_tile(int(level), int(col), int(row), int(t) * info.z + int(z))
    height = min(shape.tile.height, shape.size.height)
    width = min(shape.tile.width, shape.size.width)
    whole = np.empty((height, width, tile.shape[2]), tile.dtype)
    whole[:] = np.array(info.background, tile.dtype)
    whole[: tile.shape[0], : tile.shape[1]] = tile
    return np.moveaxis(whole, 2, 0).astype(tile.dtype.newbyteorder("<")).tobytes()


def run_in_a_loop(test: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def without_async(kind: type) -> type:
    """Let pytest run the asynchronous tests of a class, inherited ones too, without a plugin."""
    for name, test in inspect.getmembers(kind, inspect.iscoroutinefunction):
        if name.startswith("test_"):
            setattr(kind, name, run_in_a_loop(test))
    return kind


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    pixels = coordinate_pixels(Rect(0, 0, 301, 203))
    return write_tiff_pyramid(tmp_path / "a.tif", pyramid(pixels, 2), tile=64, um_per_px=0.25)


@pytest.fixture
def source(slide: Path) -> Iterator[SlideSource]:
    with open_slide(slide) as opened:
        yield opened


CHUNK = "0/c/0/0/0/2/3"
EDGE = "0/c/0/0/0/3/4"


@without_async
class TestConformance(StoreTests[SlideStore, CpuBuffer]):
    store_cls = SlideStore
    buffer_cls = CpuBuffer

    @pytest.fixture
    def store_kwargs(self, source: SlideSource) -> dict[str, Any]:
        return {"source": source}

    @pytest.fixture
    def store(self, open_kwargs: dict[str, Any]) -> SlideStore:
        return sync(SlideStore.open(**open_kwargs))

    @pytest.fixture
    def store_not_open(self, store_kwargs: dict[str, Any]) -> SlideStore:
        return SlideStore(**store_kwargs)

    async def set(self, store: SlideStore, key: str, value: Buffer) -> None:
        raise AssertionError("a slide takes nothing: the test must be one of the overridden")

    async def get(self, store: SlideStore, key: str) -> Buffer:
        raise AssertionError("a test that plants values asks for this: it must be overridden")

    def test_store_repr(self, store: SlideStore, source: SlideSource) -> None:
        assert repr(store) == f"SlideStore({source.info.path!r})"

    def test_store_supports_writes(self, store: SlideStore) -> None:
        assert not store.supports_writes
        assert not store.supports_deletes

    def test_store_supports_listing(self, store: SlideStore) -> None:
        assert store.supports_listing

    async def test_serializable_store(self, store: SlideStore, source: SlideSource) -> None:
        with pickle.loads(pickle.dumps(store)) as copy:
            assert copy == store
            assert copy.read_only
            value = await copy.get(CHUNK, PROTOTYPE)
            assert value is not None
            assert value.to_bytes() == chunk_of(source, CHUNK)

    def test_store_read_only(self, store: SlideStore) -> None:
        assert store.read_only
        with pytest.raises(AttributeError):
            store.read_only = False

    @pytest.mark.parametrize("read_only", [True, False])
    async def test_store_open_read_only(self, open_kwargs: dict[str, Any], read_only: bool) -> None:
        if read_only:
            store = await SlideStore.open(**open_kwargs, read_only=True)
            assert store._is_open
            assert store.read_only
        else:
            with pytest.raises(ValueError, match="cannot be written"):
                await SlideStore.open(**open_kwargs, read_only=False)

    @pytest.mark.parametrize("key", [CHUNK, EDGE, "1/c/0/0/0/0/1"])
    @pytest.mark.parametrize(
        ("byte_range", "part"),
        [
            (None, slice(None)),
            (RangeByteRequest(1, 4), slice(1, 4)),
            (RangeByteRequest(100, 10**9), slice(100, None)),
            (OffsetByteRequest(7), slice(7, None)),
            (SuffixByteRequest(5), slice(-5, None)),
            (SuffixByteRequest(10**9), slice(None)),
        ],
        ids=["whole", "range", "past-the-end", "offset", "suffix", "long-suffix"],
    )
    async def test_get(
        self, store: SlideStore, source: SlideSource, key: str, byte_range: Any, part: slice
    ) -> None:
        value = await store.get(key, PROTOTYPE, byte_range)
        assert value is not None
        assert value.to_bytes() == chunk_of(source, key)[part]

    async def test_get_not_open(self, store_not_open: SlideStore, source: SlideSource) -> None:
        assert not store_not_open._is_open
        value = await store_not_open.get(CHUNK, PROTOTYPE)
        assert value is not None
        assert value.to_bytes() == chunk_of(source, CHUNK)
        assert store_not_open._is_open

    async def test_get_raises(self, store: SlideStore) -> None:
        with pytest.raises((ValueError, TypeError), match=r"Unexpected byte_range, got.*"):
            await store.get(CHUNK, PROTOTYPE, (0, 2))

    async def test_get_many(self, store: SlideStore, source: SlideSource) -> None:
        keys = [key for key in keys_of(source) if "/c/" in key]
        found = await _collect_aiterator(store._get_many([(k, PROTOTYPE, None) for k in keys]))
        assert {k: v.to_bytes() for k, v in found} == {k: chunk_of(source, k) for k in keys}

    async def test_getsize(self, store: SlideStore, source: SlideSource) -> None:
        for key in keys_of(source):
            value = await store.get(key, PROTOTYPE)
            assert value is not None
            assert await store.getsize(key) == len(value)

    async def test_getsize_prefix(self, store: SlideStore, source: SlideSource) -> None:
        chunks = [key for key in keys_of(source) if key.startswith("1/c/")]
        assert len(chunks) == 6
        assert await store.getsize_prefix("1/c") == sum(len(chunk_of(source, k)) for k in chunks)

    @pytest.mark.parametrize("key", ["zarr.json", CHUNK, "foo"])
    async def test_set(self, store: SlideStore, key: str) -> None:
        before = await store.get(key, PROTOTYPE)
        with pytest.raises(ValueError, match="read-only"):
            await store.set(key, CpuBuffer.from_bytes(b"\x01"))
        assert await store.get(key, PROTOTYPE) == before

    async def test_set_not_open(self, store_not_open: SlideStore) -> None:
        with pytest.raises(ValueError, match="read-only"):
            await store_not_open.set(CHUNK, CpuBuffer.from_bytes(b"\x01"))

    async def test_set_many(self, store: SlideStore) -> None:
        with pytest.raises(ValueError, match="read-only"):
            await store._set_many([(CHUNK, CpuBuffer.from_bytes(b"\x01"))])

    async def test_set_if_not_exists(self, store: SlideStore, source: SlideSource) -> None:
        await store.set_if_not_exists(CHUNK, CpuBuffer.from_bytes(b"\x01"))  # it exists
        value = await store.get(CHUNK, PROTOTYPE)
        assert value is not None
        assert value.to_bytes() == chunk_of(source, CHUNK)
        with pytest.raises(ValueError, match="read-only"):
            await store.set_if_not_exists("foo", CpuBuffer.from_bytes(b"\x01"))

    async def test_get_partial_values(self, store: SlideStore, source: SlideSource) -> None:
        requests = [
            (CHUNK, RangeByteRequest(0, 2)),
            (EDGE, SuffixByteRequest(2)),
            ("foo", None),
            (CHUNK, OffsetByteRequest(2)),
            (CHUNK, None),
        ]
        found = await store.get_partial_values(PROTOTYPE, requests)
        chunk, edge = chunk_of(source, CHUNK), chunk_of(source, EDGE)
        assert [None if v is None else v.to_bytes() for v in found] == [
            *(chunk[:2], edge[-2:], None, chunk[2:], chunk),
        ]
        assert await store.get_partial_values(PROTOTYPE, []) == []

    async def test_exists(self, store: SlideStore, source: SlideSource) -> None:
        for key in keys_of(source):
            assert await store.exists(key), key
        for key in NO_KEYS:
            assert not await store.exists(key), key
            assert await store.get(key, PROTOTYPE) is None

    async def test_is_empty(self, store: SlideStore) -> None:
        assert not await store.is_empty("")
        assert not await store.is_empty("0/c")
        assert not await store.is_empty("0/c/")
        assert await store.is_empty("2")
        assert await store.is_empty("0/c/0/0/1")

    async def test_clear(self, store: SlideStore) -> None:
        with pytest.raises(NotImplementedError):
            await store.clear()
        with pytest.raises(NotImplementedError):
            await store.delete_dir("0")

    async def test_list(self, store: SlideStore, source: SlideSource) -> None:
        found = await _collect_aiterator(store.list())
        assert sorted(found) == sorted(keys_of(source))

    async def test_list_prefix(self, store: SlideStore, source: SlideSource) -> None:
        prefixes = ("", "z", "0", "0/", "0/z", "0/c/0/0/0/1", "0/c/0/0/0/1/", "1/c/0/0/0/0/1", "x")
        for prefix in prefixes:
            found = await _collect_aiterator(store.list_prefix(prefix))
            expected = [key for key in keys_of(source) if key.startswith(prefix)]
            assert sorted(found) == sorted(expected), prefix

    async def test_list_empty_path(self, store: SlideStore, source: SlideSource) -> None:
        whole = sorted(await _collect_aiterator(store.list_prefix("")))
        assert whole == sorted(await _collect_aiterator(store.list())) == sorted(keys_of(source))

    async def test_list_dir(self, store: SlideStore, source: SlideSource) -> None:
        folders = {key.rpartition("/")[0] for key in keys_of(source)}
        for folder in ("", "0", "1/c", "0/c/0/0/0", *folders, "foo", "0/c/0/1", CHUNK):
            below = [k.removeprefix(f"{folder}/" if folder else "") for k in keys_of(source)
                     if not folder or k.startswith(f"{folder}/")]  # fmt: skip
            expected = {name.split("/")[0] for name in below}
            for spelling in {folder, f"{folder}/"} if folder else {""}:
                found = await _collect_aiterator(store.list_dir(spelling))
                assert sorted(found) == sorted(expected), spelling

    async def test_get_bytes(self, store: SlideStore, source: SlideSource) -> None:
        assert await store._get_bytes(EDGE, prototype=PROTOTYPE) == chunk_of(source, EDGE)
        with pytest.raises(FileNotFoundError):
            await store._get_bytes("nonexistent_key", prototype=PROTOTYPE)

    def test_get_bytes_sync(self, store: SlideStore, source: SlideSource) -> None:
        assert store._get_bytes_sync(EDGE, prototype=PROTOTYPE) == chunk_of(source, EDGE)

    async def test_get_json(self, store: SlideStore) -> None:
        document = await store._get_json("1/zarr.json", prototype=PROTOTYPE)
        assert document["shape"] == [1, 3, 1, 102, 151]

    def test_get_json_sync(self, store: SlideStore) -> None:
        document = store._get_json_sync("zarr.json", prototype=PROTOTYPE)
        assert document["node_type"] == "group"

    def test_get_sync(self, store: SlideStore, source: SlideSource) -> None:
        getter = self._require_get_sync(store)
        value = getter.get_sync(CHUNK)
        assert value is not None
        assert value.to_bytes() == chunk_of(source, CHUNK)


NO_KEYS = (
    *("", "/", "foo", ".zgroup", "zarr.json/", "/zarr.json", "0", "0/c", "2/zarr.json"),
    *("00/zarr.json", "-1/zarr.json", "0/c/0/0/0/4/0", "0/c/0/0/0/0/5", "0/c/0/1/0/0/0"),
    *("0/c/1/0/0/0/0", "0/c/0/0/1/0/0", "0/c/0/0/0/0", "0/c/0/0/0/0/0/0", "0/c/0/0/0/00/0"),
    *("0/c/0/0/0/-1/0", "0/c/0/0/0/+1/0", "0/c/0/0/0/1_0/0", "0/c/0/0/0/\u0661/0", "9" * 5000),
    *("0/d/0/0/0/0/0", f"0/c/0/0/0/0/{'9' * 5000}", "0/c/0/0/0/ 1/0", "0/c/0/0/0/1\n/0"),
)


def levels_of(group: zarr.Group) -> list[zarr.Array]:
    datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
    return [group[d["path"]] for d in datasets]


def whole(source: SlideSource, level: int, plane: int = 0) -> np.ndarray:
    """Return a level put together from ``read_tile``."""
    shape = source.info.levels[level]
    rows = [
        np.concatenate(
            [source.read_tile(level, col, row, plane) for col in range(shape.columns)], axis=1
        )
        for row in range(shape.rows)
    ]
    return np.concatenate(rows, axis=0)


def test_every_level_has_the_pixels_of_the_slide(source: SlideSource) -> None:
    group = zarr.open_group(SlideStore(source), mode="r")
    assert [a.shape for a in levels_of(group)] == [(1, 3, 1, 203, 301), (1, 3, 1, 102, 151)]
    for level, array in enumerate(levels_of(group)):
        assert array.chunks == (1, 3, 1, 64, 64)
        np.testing.assert_array_equal(array[0, :, 0], np.moveaxis(whole(source, level), 2, 0))
    part = group["0"][0, 1, 0, 60:70, 250:301]
    np.testing.assert_array_equal(part, whole(source, 0)[60:70, 250:, 1])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_planes_channels_and_number_types(tmp_path: Path, dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 4000, (2, 4, 3, 90, 110)).astype(dtype)
    names = [(f"stain {i}", f"00FF0{i}") for i in range(4)]
    path = write_ome_zarr(tmp_path / "a.zarr", [values], axes="tczyx", channels=names, chunk=64)
    with open_slide(path) as source:
        group = zarr.open_group(SlideStore(source), mode="r")
        assert group["0"].dtype == dtype
        np.testing.assert_array_equal(group["0"][...], values)
        Image.from_zarr(group)
        described = group.attrs["ome"]["omero"]
    assert [(c["label"], c["color"]) for c in described["channels"]] == names
    for channel, band in zip(
        Omero.model_validate(described).channels, values.swapaxes(0, 1), strict=True
    ):
        window = channel.window
        assert window.min <= window.start < window.end <= window.max
        if dtype != "uint8":
            low, high = np.percentile(band, [0, 100])
            assert low <= window.start < (low + high) / 2 < window.end <= high


def test_the_metadata_are_valid_and_calibrated(source: SlideSource) -> None:
    group = zarr.open_group(SlideStore(source), mode="r")
    (multiscale,) = Image.from_zarr(group).attributes.ome.multiscales
    assert [axis.name for axis in multiscale.axes] == ["t", "c", "z", "y", "x"]
    assert [axis.unit for axis in multiscale.axes] == [None, None, None, *["micrometer"] * 2]
    fine, coarse = multiscale.datasets
    (scale,) = fine.coordinateTransformations
    assert scale.scale == pytest.approx([1, 1, 1, 0.25, 0.25])
    scale, translation = coarse.coordinateTransformations
    assert scale.scale == pytest.approx([1, 1, 1, 0.5, 0.5])
    # the first coarse pixel covers the first two fine ones, whose centres are at 0 and 0.25
    assert translation.translation == pytest.approx([0, 0, 0, 0.125, 0.125])
    channels = group.attrs["ome"]["omero"]["channels"]
    assert [(c["label"], c["color"]) for c in channels] == [
        *(("R", "FF0000"), ("G", "00FF00"), ("B", "0000FF")),
    ]
    assert channels[0]["window"] == {"min": 0, "max": 255, "start": 0, "end": 255}


def test_an_uncalibrated_slide_has_pixels_without_a_unit(tmp_path: Path) -> None:
    path = write_tiff_pyramid(tmp_path / "a.tif", [coordinate_pixels(Rect(0, 0, 90, 80))], tile=64)
    with open_slide(path) as source:
        group = zarr.open_group(SlideStore(source), mode="r")
        (multiscale,) = Image.from_zarr(group).attributes.ome.multiscales
    assert {axis.unit for axis in multiscale.axes} == {None}
    assert multiscale.datasets[0].coordinateTransformations[0].scale == [1, 1, 1, 1, 1]


def test_dask_reads_it_in_threads(source: SlideSource) -> None:
    store = SlideStore(source)
    expected = np.moveaxis(whole(source, 0), 2, 0)
    with ThreadPoolExecutor(4) as pool, dask.config.set(scheduler="threads", pool=pool):
        by_component = dask.array.from_zarr(store, component="0")
        assert by_component.chunks == ((1,), (3,), (1,), (64, 64, 64, 11), (64, 64, 64, 64, 45))
        np.testing.assert_array_equal(by_component.compute()[0, :, 0], expected)
        by_array = dask.array.from_zarr(zarr.open_array(store, path="0", mode="r"))
        assert float(by_array.mean().compute()) == pytest.approx(expected.mean())


def test_threads_share_the_cache_and_decode_each_tile_once(source: SlideSource) -> None:
    cache = TileCache(1 << 20)
    store = SlideStore(source, cache=cache)
    keys = [key for key in keys_of(source) if "/c/" in key]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(store.get_sync, keys * 4))
    assert [v.to_bytes() for v in found if v] == [chunk_of(source, k) for k in keys] * 4
    assert cache.use.misses == len(keys)


def test_metadata_read_no_tile_of_a_photograph(source: SlideSource) -> None:
    cache = TileCache(1 << 20)
    store = SlideStore(source, cache=cache)
    assert json.loads(sync(store.get("zarr.json", PROTOTYPE)).to_bytes())["zarr_format"] == 3
    sync(_collect_aiterator(store.list()))
    assert sync(store.getsize(CHUNK)) == 64 * 64 * 3
    assert cache.use.misses == 0


def test_overviews_that_the_slide_lacks_are_levels_too(tmp_path: Path) -> None:
    pixels = coordinate_pixels(Rect(0, 0, 2100, 300))
    path = write_tiff_pyramid(tmp_path / "a.tif", [pixels], tile=256)
    with open_slide(path) as source:
        arrays = levels_of(zarr.open_group(SlideStore(source), mode="r"))
        assert [a.shape[3:] for a in arrays] == [(300, 2100), (150, 1050)]
        expected = np.moveaxis(pyramid(pixels, 2)[1], 2, 0)
        np.testing.assert_array_equal(arrays[1][0, :, 0], expected)


def test_a_tile_that_cannot_be_decoded_is_an_error_of_the_slide(slide: Path) -> None:
    import tifffile

    with tifffile.TiffFile(slide) as tiff:
        page = tiff.pages[0]
        offset, size = page.dataoffsets[0], page.databytecounts[0]
    with slide.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * size)
    with open_slide(slide) as source:
        group = zarr.open_group(SlideStore(source), mode="r")
        with pytest.raises(TileReadError, match=r"a\.tif"):
            group["0"][0, :, 0, :10, :10]
        assert group["0"][0, 0, 0, 70, 70] == 70


def test_equality_is_that_of_the_slide(source: SlideSource, tmp_path: Path) -> None:
    other = write_tiff_pyramid(tmp_path / "b.tif", [coordinate_pixels(Rect(0, 0, 90, 80))])
    with open_slide(other) as another:
        assert SlideStore(source) != SlideStore(another)
    with open_slide(source.info.path) as again:
        assert SlideStore(source) == SlideStore(again)
        assert hash(SlideStore(source)) == hash(SlideStore(again))
    assert SlideStore(source) != "a.tif"


def test_a_copy_of_a_file_that_changed_is_refused(slide: Path) -> None:
    with open_slide(slide) as source:
        copy = pickle.dumps(SlideStore(source))
    write_tiff_pyramid(slide, [coordinate_pixels(Rect(0, 0, 300, 200))], tile=64)
    with pytest.raises(CorruptSlide, match="changed"):
        pickle.loads(copy)
    slide.unlink()
    with pytest.raises(SlideNotFound):
        pickle.loads(copy)
