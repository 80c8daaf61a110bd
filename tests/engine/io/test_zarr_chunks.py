"""Chunks that are read directly give what zarr-python gives, and damaged ones an error."""

import json
import os
import struct
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c
import imagecodecs
import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec
from zarr.core.sync import sync

from tilescope.domain.geometry import Rect
from tilescope.errors import TileReadError
from tilescope.io.scratch import Scratch
from tilescope.io.zarr_chunks import ChunkArray
from tilescope.io.zarr_fallback import FallbackArray, _FilesStore
from tilescope.io.zarr_files import LocalFiles
from tilescope.io.zarr_nodes import chunk_layout, read_node
from tilescope.io.zarr_source import ZarrSource

V2_CODECS = {
    "none": None,
    "blosc zstd": numcodecs.Blosc("zstd", 3, numcodecs.Blosc.SHUFFLE),
    "blosc lz4": numcodecs.Blosc("lz4", 5, numcodecs.Blosc.BITSHUFFLE),
    "blosc zlib": numcodecs.Blosc("zlib", 1, numcodecs.Blosc.NOSHUFFLE),
    "zstd": numcodecs.Zstd(3),
    "gzip": numcodecs.GZip(3),
    "zlib": numcodecs.Zlib(3),
    "lz4": numcodecs.LZ4(),
}
V3_CODECS = {
    "none": [],
    "blosc": [BloscCodec(cname="zstd", shuffle="shuffle")],
    "blosc lz4": [BloscCodec(cname="lz4", shuffle="bitshuffle")],
    "zstd": [ZstdCodec(level=3)],
    "zstd checksum": [ZstdCodec(level=3, checksum=True)],
    "gzip": [GzipCodec(level=3)],
    "crc": [Crc32cCodec()],
    "zstd crc": [ZstdCodec(), Crc32cCodec()],
}
DTYPES = ["bool", "u1", "i1", "<u2", ">u2", "<i4", ">i4", "<u8", "<f2", "<f4", ">f4", "<f8"]
LENGTHS = {"t": 2, "c": 3, "z": 3, "y": 23, "x": 31}


def reading(folder, axes):
    """Return the array that reads chunks directly; the layout must be known to it."""
    files = LocalFiles(folder)
    layout = chunk_layout(read_node(files, ""))
    assert layout is not None
    return ChunkArray(files, "", layout, axes, Scratch())


def expected_plane(values, axes, time, depth):
    index = tuple({"t": time, "z": depth}.get(a, slice(None)) for a in axes)
    kept = [a for a in axes if a not in "tz"]
    plane = values[index].transpose([kept.index(a) for a in "yxc" if a in kept])
    return plane if "c" in axes else plane[..., None]


@st.composite
def arrays(draw):
    axes = draw(st.sampled_from(["tczyx", "zyx", "yx", "cyx", "yxc", "czyx", "tyx"]))
    version = draw(st.sampled_from([2, 3]))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = tuple(LENGTHS[a] for a in axes)
    chunks = tuple(draw(st.integers(1, n + 2)) if n > 3 else draw(st.integers(1, n)) for n in shape)
    options = {"shape": shape, "dtype": dtype, "chunks": chunks, "zarr_format": version}
    fill = draw(st.sampled_from([0, 1, 7])) if dtype.kind != "b" else draw(st.booleans())
    if dtype.kind == "f":
        fill = draw(st.sampled_from([0.0, 0.5, float("nan"), float("-inf")]))
    options["fill_value"] = fill
    if version == 2:
        options["compressors"] = V2_CODECS[draw(st.sampled_from(sorted(V2_CODECS)))]
        separator = draw(st.sampled_from(["/", "."]))
        options["chunk_key_encoding"] = {"name": "v2", "separator": separator}
        return axes, options
    options["dtype"] = dtype.newbyteorder("=") if draw(st.booleans()) else dtype
    options["compressors"] = V3_CODECS[draw(st.sampled_from(sorted(V3_CODECS)))]
    name = draw(st.sampled_from(["default", "v2"]))
    separator = draw(st.sampled_from(["/", "."]))
    options["chunk_key_encoding"] = {"name": name, "separator": separator}
    if draw(st.booleans()):
        grid = [draw(st.integers(1, 3)) for _ in shape]
        shards = tuple(g * c for g, c in zip(grid, chunks, strict=True))
        where = draw(st.sampled_from(["start", "end"]))
        options["shards"] = {"shape": shards, "index_location": where}
    return axes, options


@settings(max_examples=40)
@given(arrays(), st.data())
def test_the_same_bytes_as_zarr_python(case, data):
    axes, options = case
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    with tempfile.TemporaryDirectory() as folder:
        array = zarr.create_array(folder, **options)
        values = rng.integers(0, 2 if options["dtype"] == "bool" else 100, array.shape)
        # the last part stays unwritten
        written = (..., slice(0, data.draw(st.integers(0, array.shape[-1]))))
        if values[written].size:
            array[written] = values[written].astype(options["dtype"])
        direct = reading(Path(folder), axes)
        theirs = FallbackArray(LocalFiles(Path(folder)), "", options["zarr_format"], axes)
        y, x = axes.index("y"), axes.index("x")
        y0 = data.draw(st.integers(0, array.shape[y] - 1))
        x0 = data.draw(st.integers(0, array.shape[x] - 1))
        y1 = data.draw(st.integers(y0 + 1, array.shape[y]))
        x1 = data.draw(st.integers(x0 + 1, array.shape[x]))
        rect = Rect(x0, y0, x1, y1)
        time = data.draw(st.integers(0, LENGTHS["t"] - 1)) if "t" in axes else 0
        depth = data.draw(st.integers(0, LENGTHS["z"] - 1)) if "z" in axes else 0
        found, reference = direct.read(rect, time, depth), theirs.read(rect, time, depth)
        assert found.dtype == reference.dtype
        assert found.flags.c_contiguous
        assert found.base is None
        np.testing.assert_array_equal(found, reference)
        plane = expected_plane(np.asarray(array[...]), axes, time, depth)
        np.testing.assert_array_equal(found, plane[y0:y1, x0:x1])


@pytest.mark.parametrize(
    "options",
    [
        {"zarr_format": 2, "order": "F"},
        {"zarr_format": 2, "filters": [numcodecs.Delta(dtype="u1")]},
        {"zarr_format": 2, "compressors": numcodecs.BZ2()},
        {"filters": [TransposeCodec(order=(1, 0))]},
        {"compressors": [GzipCodec(), ZstdCodec()]},
        {
            "serializer": ShardingCodec(
                chunk_shape=(8, 8), codecs=[ShardingCodec(chunk_shape=(4, 4))]
            ),
            "compressors": None,
        },
    ],
    ids=["fortran order", "a filter", "bz2", "transposed", "two codecs", "shards in shards"],
)
def test_what_is_not_known_is_read_by_zarr_python(tmp_path, options):
    values = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    array = zarr.create_array(tmp_path, shape=(40, 50), chunks=(16, 16), dtype="u1", **options)
    array[...] = values
    assert chunk_layout(read_node(LocalFiles(tmp_path), "")) is None
    with ZarrSource.open(tmp_path) as source:
        np.testing.assert_array_equal(source.read_tile(0, 0, 0)[..., 0], values)


def test_what_zarr_python_reads_it_cannot_change(tmp_path):
    zarr.create_array(tmp_path, data=np.ones((8, 8), np.uint8), compressors=None)
    chunk = tmp_path / "c/0/0"
    store = _FilesStore(LocalFiles(tmp_path))
    array = zarr.open_array(store, mode="r")
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 7
    with pytest.raises(ValueError, match="read-only"):
        sync(store.delete("c/0/0"))
    with pytest.raises(ValueError, match="read-only"):
        zarr.open_array(store, mode="r+")
    assert chunk.read_bytes() == b"\1" * 64


def test_a_chunk_in_the_order_of_a_tile_is_decoded_once(tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    zarr.create_array(tmp_path, data=values, chunks=(64, 64, 3))
    tile = reading(tmp_path, "yxc").read(Rect(0, 0, 64, 64), 0, 0)
    np.testing.assert_array_equal(tile, values)
    assert tile.base is None


def test_gzip_of_several_members(tmp_path):
    values = np.random.default_rng(0).integers(0, 9, (16, 16), np.uint8)
    zarr.create_array(tmp_path, data=values, chunks=(16, 16), compressors=[GzipCodec()])
    raw = values.tobytes()
    parts = []
    for part in (raw[:100], raw[100:]):
        packer = zlib.compressobj(wbits=31)
        parts.append(packer.compress(part) + packer.flush())
    (tmp_path / "c/0/0").write_bytes(b"".join(parts))
    tile = reading(tmp_path, "yx").read(Rect(0, 0, 16, 16), 0, 0)
    np.testing.assert_array_equal(tile[..., 0], values)


def test_threads_share_an_array(tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (3, 200, 200), np.uint8)
    zarr.create_array(tmp_path, data=values, chunks=(1, 32, 32), shards=(3, 64, 64))
    array = reading(tmp_path, "cyx")
    rects = [Rect(x, y, x + 50, y + 40) for x in (0, 30, 150) for y in (0, 90, 160)] * 8
    with ThreadPoolExecutor(4) as pool:
        for rect, tile in zip(rects, pool.map(lambda r: array.read(r, 0, 0), rects), strict=True):
            part = values[:, rect.y0 : rect.y1, rect.x0 : rect.x1]
            np.testing.assert_array_equal(tile, np.moveaxis(part, 0, 2))


def opened(tmp_path, codec="blosc", version=3, **more):
    """Return a slide of one chunk of 64 x 64 zeros and ones, and the path of the chunk."""
    values = np.random.default_rng(0).integers(0, 2, (64, 64), np.uint8)
    options = {
        "chunks": (64, 64),
        "compressors": V3_CODECS[codec] if version == 3 else None,
        **more,
    }
    zarr.create_array(tmp_path, data=values, zarr_format=version, **options)
    chunk = tmp_path / ("c/0/0" if version == 3 else "0.0")
    assert chunk.is_file()
    return ZarrSource.open(tmp_path), chunk, values


def refusal(source):
    with source, pytest.raises(TileReadError) as caught:
        source.read_tile(0, 0, 0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("codec", sorted(V3_CODECS))
@pytest.mark.parametrize("damage", ["cut", "empty", "longer", "rubbish"])
def test_damaged_chunks(tmp_path, codec, damage):
    source, chunk, values = opened(tmp_path, codec)
    data = chunk.read_bytes()
    rubbish = np.random.default_rng(1).bytes(len(data))
    chunk.write_bytes(
        {"cut": data[:-7], "empty": b"", "longer": data + b"\0" * 9, "rubbish": rubbish}[damage]
    )
    if (codec, damage) == ("none", "rubbish"):
        assert (source.read_tile(0, 0, 0).tobytes()) == rubbish
        source.close()
    elif damage == "longer" and ("blosc" in codec or codec == "gzip"):
        # what follows a complete chunk is of no interest
        np.testing.assert_array_equal(source.read_tile(0, 0, 0)[..., 0], values)
        source.close()
    else:
        refusal(source)


@pytest.mark.parametrize("field", ["decoded", "encoded"])
@pytest.mark.parametrize("claim", [0, 1, 1 << 20, (1 << 31) - 1, (1 << 32) - 1])
def test_a_blosc_header_that_lies(tmp_path, field, claim):
    source, chunk, _ = opened(tmp_path, "blosc")
    data = bytearray(chunk.read_bytes())
    struct.pack_into("<I", data, {"decoded": 4, "encoded": 12}[field], claim)
    chunk.write_bytes(data)
    assert "claims" in refusal(source)


def test_a_chunk_that_unpacks_to_more(tmp_path):
    source, chunk, _ = opened(tmp_path, "zstd")
    chunk.write_bytes(imagecodecs.zstd_encode(bytes(64 << 20)))
    refusal(source)


def test_a_chunk_file_far_too_long_is_not_read(tmp_path):
    source, chunk, _ = opened(tmp_path, "zstd")
    with chunk.open("r+b") as file:
        file.truncate(1 << 40)
    assert "more than" in refusal(source)


def test_a_pipe_in_place_of_a_chunk(tmp_path):
    source, chunk, _ = opened(tmp_path)
    chunk.unlink()
    os.mkfifo(chunk)
    assert "no ordinary file" in refusal(source)


def test_a_folder_in_place_of_a_chunk(tmp_path):
    source, chunk, _ = opened(tmp_path)
    chunk.unlink()
    chunk.mkdir()
    assert "no ordinary file" in refusal(source)


@pytest.mark.parametrize(
    ("start", "count"),
    [
        (0, 1 << 40),
        (1 << 40, 10),
        (1 << 63, 10),
        ((1 << 64) - 2, (1 << 64) - 1),
        (5, (1 << 64) - 1),
    ],
)
def test_a_shard_index_that_points_outside(tmp_path, start, count):
    source, shard, _ = opened(tmp_path, "zstd", chunks=(32, 32), shards=(64, 64))
    data = bytearray(shard.read_bytes())
    index = len(data) - 4 - 4 * 16
    struct.pack_into("<2Q", data, index, start, count)
    struct.pack_into("<I", data, len(data) - 4, google_crc32c.value(bytes(data[index:-4])))
    shard.write_bytes(data)
    refusal(source)


@pytest.mark.parametrize("damage", ["checksum", "shorter than its index"])
def test_a_damaged_shard_index(tmp_path, damage):
    source, shard, _ = opened(tmp_path, "zstd", chunks=(32, 32), shards=(64, 64))
    data = shard.read_bytes()
    shard.write_bytes(data[:-4] + b"\0\0\0\0" if damage == "checksum" else data[-40:])
    refusal(source)


def test_the_index_of_a_shard_is_read_once(tmp_path):
    source, shard, values = opened(tmp_path, "zstd", chunks=(32, 32), shards=(64, 64))
    with source:
        source.read_tile(0, 0, 0)
        data = shard.read_bytes()
        shard.write_bytes(data[:-68] + bytes(68))
        np.testing.assert_array_equal(source.read_tile(0, 0, 0)[..., 0], values)


def test_a_shard_of_too_many_chunks_is_left_to_zarr_python(tmp_path):
    opened(tmp_path, "zstd", chunks=(32, 32), shards=(64, 64))[0].close()
    document = json.loads((tmp_path / "zarr.json").read_text())
    document["chunk_grid"]["configuration"]["chunk_shape"] = [32 << 20, 32 << 20]
    (tmp_path / "zarr.json").write_text(json.dumps(document))
    assert chunk_layout(read_node(LocalFiles(tmp_path), "")) is None


def test_reading_after_closing(tmp_path):
    source, _, _ = opened(tmp_path)
    source.close()
    source.close()
    assert "closed" in refusal(source)


def test_scratch_is_used_again_and_bounded():
    scratch = Scratch()
    first, other = scratch.take(1000), scratch.take(1000)
    assert first is not other
    scratch.give(other)
    assert scratch.take(10) is other
    huge = scratch.take(1 << 30)
    assert huge.size == 1 << 30
    scratch.give(huge)
    # one that large is not kept
    assert scratch.take(1 << 30) is not huge
    scratch.give(first)
    scratch.clear()
    assert scratch.take(1000) is not first


def test_a_tile_that_fails_gives_its_scratch_back(tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (2, 64, 64), np.uint8)
    zarr.create_array(tmp_path, data=values, chunks=(2, 64, 64))
    array = reading(tmp_path, "cyx")
    good = (tmp_path / "c/0/0/0").read_bytes()
    (tmp_path / "c/0/0/0").write_bytes(good[:-9])
    for _ in range(3):
        with pytest.raises(RuntimeError):
            array.read(Rect(0, 0, 64, 64), 0, 0)
    (tmp_path / "c/0/0/0").write_bytes(good)
    tile = array.read(Rect(0, 0, 64, 64), 0, 0)
    np.testing.assert_array_equal(tile, np.moveaxis(values, 0, 2))
