"""OME-Zarr in one zip file; the zip itself may be hostile."""

import struct
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

from tilescope.domain.geometry import Rect
from tilescope.errors import CorruptSlide, SlideError, TileReadError, UnsupportedFormat
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.registry import open_slide
from tilescope.io.zarr_files import Span, fetch_one
from tilescope.io.zarr_source import ZarrSource
from tilescope.io.zip_files import ZipFiles
from tilescope.testing.synthetic import coordinate_pixels, pyramid, write_ome_zarr

PIXELS = coordinate_pixels(Rect(0, 0, 301, 277))


def slide_folder(tmp_path, **options):
    levels = [np.moveaxis(v, 2, 0) for v in pyramid(PIXELS, 2)]
    return write_ome_zarr(tmp_path / "a.zarr", levels, **options)


def packed(folder, path, method=zipfile.ZIP_STORED, *, zip64=False, comment=b"", front=b""):
    with path.open("wb") as file:
        file.write(front)
        with zipfile.ZipFile(file, "a" if front else "w", method) as archive:
            archive.comment = comment
            for part in sorted(p for p in folder.rglob("*") if p.is_file()):
                entry = zipfile.ZipInfo(part.relative_to(folder).as_posix())
                entry.compress_type = method
                with archive.open(entry, "w", force_zip64=zip64) as member:
                    member.write(part.read_bytes())
    return path


def whole(source, level=0):
    size = source.info.levels[level].size
    return read_region(source, TileCache(64 << 20), level, Rect.of_size(size))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_pyramid_in_a_zip(tmp_path, version, method):
    folder = slide_folder(tmp_path, version=version)
    path = packed(folder, tmp_path / "a.ozx", method)
    with open_slide(path) as source:
        assert source.info.reader == "zarr"
        assert source.info.size_bytes == path.stat().st_size
        for level, expected in enumerate(pyramid(PIXELS, 2)):
            np.testing.assert_array_equal(whole(source, level), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"zip64": True},
        {"comment": b"PK\5\6 a comment that looks like an end" + bytes(30)},
        {"comment": b"x" * 65535},
        {"front": b"PK\3\4 something else in front " * 50},
    ],
    ids=["ZIP64 sizes", "comment", "long comment", "other bytes in front"],
)
def test_forms_of_zip(tmp_path, options):
    path = packed(slide_folder(tmp_path), tmp_path / "a.zip", **options)
    with ZarrSource.open(path) as source:
        np.testing.assert_array_equal(whole(source), PIXELS)


def test_a_zip64_end(tmp_path):
    path = packed(slide_folder(tmp_path), tmp_path / "a.zip")
    data = path.read_bytes()
    at = data.rindex(b"PK\5\6")
    count, size, start = struct.unpack_from("<H2I", data, at + 10)
    wide = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2, 0)
    path.write_bytes(data[:at] + wide + locator + end)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == count
    with ZarrSource.open(path) as source:
        np.testing.assert_array_equal(whole(source), PIXELS)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_shards_in_a_zip(tmp_path, method):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    group.create_array("0", data=PIXELS[..., 0], chunks=(32, 32), shards=(256, 256))
    axes = [{"name": "y"}, {"name": "x"}]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    with ZarrSource.open(packed(tmp_path / "a.zarr", tmp_path / "a.zip", method)) as source:
        np.testing.assert_array_equal(whole(source)[..., 0], PIXELS[..., 0])


def test_what_zarr_python_writes(tmp_path):
    with zarr.storage.ZipStore(tmp_path / "a.zip", mode="w") as store:
        zarr.create_array(store, data=PIXELS[..., 0], chunks=(64, 64))
    with ZarrSource.open(tmp_path / "a.zip") as source:
        np.testing.assert_array_equal(whole(source)[..., 0], PIXELS[..., 0])


def test_what_zarr_python_has_to_read_in_a_zip(tmp_path):
    zarr.create_array(
        tmp_path / "a", data=PIXELS[..., 0], chunks=(64, 64), zarr_format=2, order="F"
    )
    with ZarrSource.open(packed(tmp_path / "a", tmp_path / "a.zip")) as source:
        np.testing.assert_array_equal(whole(source)[..., 0], PIXELS[..., 0])


def test_threads_read_one_zip(tmp_path):
    with ZarrSource.open(packed(slide_folder(tmp_path, chunk=64), tmp_path / "a.zip")) as source:
        places = [(0, c, r) for c in range(2) for r in range(2)] * 8
        alone = [source.read_tile(*place) for place in places]
        with ThreadPoolExecutor(4) as pool:
            for one, other in zip(
                alone, pool.map(lambda p: source.read_tile(*p), places), strict=True
            ):
                np.testing.assert_array_equal(one, other)


def test_closing_while_threads_read(tmp_path):
    source = ZarrSource.open(packed(slide_folder(tmp_path), tmp_path / "a.zip"))
    outcomes = []

    def read():
        try:
            while True:
                outcomes.append(source.read_tile(0, 0, 0).shape)
        except TileReadError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(outcomes) < 6:
        time.sleep(0.001)
    source.close()
    for thread in threads:
        thread.join()
    assert sum("closed" in str(outcome) for outcome in outcomes) == 3


def test_a_zip_without_a_zarr(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("hello")
    with pytest.raises(UnsupportedFormat, match=r"at its top"):
        ZarrSource.open(packed(tmp_path / "text", tmp_path / "a.zip"))


def with_entry(tmp_path, name, data, method=zipfile.ZIP_DEFLATED):
    """Return a slide in a zip whose piece ``name`` is ``data``."""
    folder = slide_folder(tmp_path)
    (folder / name).write_bytes(data)
    return packed(folder, tmp_path / "a.zip", method)


def test_a_chunk_that_is_a_bomb(tmp_path):
    path = with_entry(tmp_path, "0/c/0/0/0", bytes(4 << 20))
    assert path.stat().st_size < 1 << 20
    with ZarrSource.open(path) as source, pytest.raises(TileReadError, match="more than"):
        source.read_tile(0, 0, 0)


def test_metadata_that_are_a_bomb(tmp_path):
    path = with_entry(tmp_path, "zarr.json", b"[" * (17 << 20))
    with pytest.raises(CorruptSlide, match="more than"):
        ZarrSource.open(path)


def table_of(path):
    data = bytearray(path.read_bytes())
    return data, data.index(b"PK\1\2")


@pytest.mark.parametrize(
    ("offset", "form", "value"),
    [
        (8, "H", 1),  # encrypted
        (10, "H", 99),  # an unknown method
        (20, "I", 1 << 30),  # packed size
        (24, "I", 3),  # size
        (24, "I", (1 << 32) - 1),  # a size in an extra field that is not there
        (28, "H", 65535),  # length of the name
        (42, "I", 1 << 30),  # where the piece lies
        (42, "I", 7),
        (0, "I", 0),  # no entry
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_table_that_lies(tmp_path, offset, form, value, method):
    folder = tmp_path / "one"
    values = np.zeros((8, 8), np.uint8)
    zarr.create_array(folder, data=values, chunks=(8, 8))
    path = packed(folder, tmp_path / "a.zip", method)
    data, entry = table_of(path)
    struct.pack_into("<" + form, data, entry + offset, value)
    path.write_bytes(data)
    with pytest.raises(SlideError) as caught:
        ZarrSource.open(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [1, 21, 22, 60, 400])
def test_a_zip_that_is_cut_off(tmp_path, cut):
    path = packed(slide_folder(tmp_path), tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(SlideError):
        ZarrSource.open(path)


def test_a_table_that_claims_to_be_huge(tmp_path):
    path = packed(slide_folder(tmp_path), tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\5\6")
    struct.pack_into("<2I", data, end + 12, 1 << 31, 0)
    path.write_bytes(data)
    with pytest.raises(SlideError, match="outside"):
        ZarrSource.open(path)


def test_parts_of_a_piece(tmp_path):
    folder = tmp_path / "pieces"
    folder.mkdir()
    (folder / "a").write_bytes(bytes(range(100)))
    (folder / "empty").write_bytes(b"")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        files = ZipFiles(packed(folder, tmp_path / f"{method}.zip", method))
        assert fetch_one(files, Span("a", 100)) == bytes(range(100))
        assert fetch_one(files, Span("a", 3, 10)) == b"\x0a\x0b\x0c"
        assert fetch_one(files, Span("a", 2, -2)) == b"\x62\x63"
        assert fetch_one(files, Span("empty", 10)) == b""
        assert fetch_one(files, Span("absent", 10)) is None
        for span in (Span("a", 3, 98), Span("a", 101, -101)):
            with pytest.raises(EOFError):
                fetch_one(files, span)
        files.close()
