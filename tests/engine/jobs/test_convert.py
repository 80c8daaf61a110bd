"""A conversion from slide to image: whole, killed, cancelled, refused, out of room, under a cap."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from tilescope.domain.geometry import Rect
from tilescope.errors import (
    BudgetTooSmall,
    Cancelled,
    OutputError,
    RunMismatch,
    SlideNotFound,
    TileReadError,
    UsageError,
)
from tilescope.io.pyramid_plan import OutputForm, Unit
from tilescope.jobs.conversion_record import ConversionRecord
from tilescope.jobs.convert import (
    RECORD_NAME,
    ConvertProgress,
    ConvertReport,
    ConvertRequest,
    convert,
)
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.synthetic import (
    coordinate_pixels,
    pyramid,
    write_repeated_slide,
    write_tiff_pyramid,
)

PIXELS = coordinate_pixels(Rect(0, 0, 2201, 303))
FORM = OutputForm("0.5", 64)
#: Units of the two stages of that slide in that form.
UNITS = 18 + 5


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True)
class Desk:
    """A folder with a slide in it, to convert in."""

    folder: Path
    slide: Path

    @property
    def out(self) -> Path:
        return self.folder / "out.ome.zarr"

    @property
    def part(self) -> Path:
        return self.folder / "out.ome.zarr.part"

    def request(self, **changes: object) -> ConvertRequest:
        values = {
            "slide": self.slide,
            "out": self.out,
            "form": FORM,
            "memory_bytes": 2**31,
            "threads": 2,
            **changes,
        }
        return ConvertRequest(**values)

    def convert(self, **changes: object) -> ConvertReport:
        return convert(self.request(**changes), CancellationToken())

    def begin(self, units: int, **changes: object) -> ConvertReport:
        """Convert until some units are done, then cancel."""
        token = CancellationToken()

        def stop(progress: ConvertProgress) -> None:
            if progress.done >= units:
                token.cancel()

        return convert(self.request(**changes), token, stop)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    slide = write_tiff_pyramid(tmp_path / "slide.tif", [PIXELS], tile=96, um_per_px=0.5)
    return Desk(tmp_path, slide)


def test_the_image_appears_when_it_is_whole(desk: Desk) -> None:
    seen = []

    def look(progress: ConvertProgress) -> None:
        seen.append((progress.done, progress.total, desk.out.exists(), desk.part.exists()))

    report = convert(desk.request(), CancellationToken(), look)
    assert report.status == "complete"
    assert report.errors == []
    assert report.units == {"total": UNITS, "done": UNITS, "earlier": 0}
    assert sorted(p.name for p in desk.folder.iterdir()) == ["out.ome.zarr", "slide.tif"]
    assert sorted(p.name for p in desk.out.iterdir()) == ["0", "1", "2", "3", "zarr.json"]
    assert seen[0] == (0, UNITS, False, True)
    assert seen[-1] == (UNITS, UNITS, False, True)
    assert [s[0] for s in seen] == sorted(s[0] for s in seen)
    group = zarr.open_group(desk.out, mode="r")
    for level, expected in enumerate(pyramid(PIXELS, 4)):
        np.testing.assert_array_equal(group[str(level)][0, :, 0], np.moveaxis(expected, 2, 0))
    chunks = {name: data for name, data in content(desk.out).items() if "/c/" in name}
    assert report.size_bytes == sum(map(len, chunks.values()))
    assert json.loads(report.as_json())["levels"][1] == {"width": 1101, "height": 152}


def test_levels_of_the_slide_are_not_kept(desk: Desk) -> None:
    wrong = np.zeros((152, 1101, 3), np.uint8)
    slide = write_tiff_pyramid(desk.folder / "vendor.tif", [PIXELS, wrong], tile=96)
    assert desk.convert(slide=slide).status == "complete"
    level = zarr.open_group(desk.out, mode="r")["1"][0, :, 0]
    np.testing.assert_array_equal(level, np.moveaxis(pyramid(PIXELS, 2)[1], 2, 0))


KILLED = """
import sys
from pathlib import Path
from tilescope.io.pyramid_plan import OutputForm
from tilescope.jobs.convert import ConvertRequest, convert
from tilescope.runtime.cancel import CancellationToken
folder, shard = Path(sys.argv[1]), int(sys.argv[2]) or None
request = ConvertRequest(
    folder / "slide.tif", folder / "out.ome.zarr", OutputForm("0.5", 64, shard), 2**31, 2
)
report = convert(request, CancellationToken(), lambda p: print(p.done, flush=True))
print(report.status, report.units["earlier"], flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("shard_px", [None, 128], ids=["files", "shards"])
def test_killed_again_and_again_it_ends_in_the_same_bytes(desk: Desk, shard_px: int | None) -> None:
    for done_before_death in ("2", "9", "20"):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(desk.folder), str(shard_px or 0)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == done_before_death:
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        assert not desk.out.exists()
        lines = (desk.part / RECORD_NAME).read_bytes().splitlines()
        assert len(lines) > int(done_before_death)
    form = OutputForm("0.5", 64, shard_px)
    report = desk.convert(form=form)
    assert report.status == "complete"
    assert report.units["earlier"] >= 20
    fresh = desk.convert(form=form, out=desk.folder / "fresh.ome.zarr", threads=1)
    assert fresh.units["earlier"] == 0
    assert report.size_bytes == fresh.size_bytes
    assert content(desk.out) == content(desk.folder / "fresh.ome.zarr")


def test_a_cancelled_conversion_continues(desk: Desk) -> None:
    report = desk.begin(4)
    assert report.status == "cancelled"
    assert 4 <= report.units["done"] < UNITS
    assert not desk.out.exists()
    again = desk.convert()
    assert again.status == "complete"
    assert again.units == {"total": UNITS, "done": UNITS, "earlier": report.units["done"]}
    desk.convert(out=desk.folder / "fresh")
    assert content(desk.out) == content(desk.folder / "fresh")


def test_cancelled_before_it_began_it_writes_nothing(desk: Desk) -> None:
    token = CancellationToken()
    token.cancel()
    with pytest.raises(Cancelled):
        convert(desk.request(), token)
    assert [p.name for p in desk.folder.iterdir()] == ["slide.tif"]


@pytest.mark.parametrize(
    ("form", "difference"),
    [
        (OutputForm("0.5", 128), "tile: 64 there, 128 now"),
        (OutputForm("0.4", 64), "format: 0.5 there, 0.4 now"),
        (OutputForm("0.5", 64, 4096), "shard: no there, 4096 now"),
        (OutputForm("0.5", 64, compressor="zstd"), "compressor: blosc there, zstd now"),
    ],
    ids=["tile", "format", "shard", "compressor"],
)
def test_other_parameters_are_refused_with_the_difference(
    desk: Desk, form: OutputForm, difference: str
) -> None:
    desk.begin(3)
    before = content(desk.part)
    with pytest.raises(RunMismatch, match=difference):
        desk.convert(form=form)
    assert content(desk.part) == before
    report = desk.convert(form=form, overwrite=True)
    assert report.status == "complete"
    assert report.units["earlier"] == 0
    desk.convert(form=form, out=desk.folder / "fresh")
    assert content(desk.out) == content(desk.folder / "fresh")


def test_another_slide_of_the_same_name_is_refused(desk: Desk) -> None:
    desk.begin(3)
    write_tiff_pyramid(desk.slide, [PIXELS + np.uint8(1)], tile=96)
    with pytest.raises(RunMismatch, match=r"slide: slide\.tif \["):
        desk.convert()


def test_less_memory_and_other_threads_continue_all_the_same(desk: Desk) -> None:
    earlier = desk.begin(3)
    # What the process holds of other tests counts.
    report = desk.convert(memory_bytes=memory.rss_bytes() + 2**29, threads=1)
    assert report.units["earlier"] == earlier.units["done"]
    assert (report.status, report.threads) == ("complete", 1)


def test_an_image_that_is_there_is_refused_and_replaced_when_asked(desk: Desk) -> None:
    desk.convert()
    old = content(desk.out)
    with pytest.raises(UsageError, match="--overwrite"):
        desk.convert()
    assert content(desk.out) == old
    assert desk.begin(3, overwrite=True, form=OutputForm("0.4", 64)).status == "cancelled"
    assert content(desk.out) == old
    assert desk.convert(overwrite=True, form=OutputForm("0.4", 64)).status == "complete"
    assert (desk.out / ".zattrs").exists()
    assert not (desk.out / "zarr.json").exists()
    assert sorted(p.name for p in desk.folder.iterdir()) == ["out.ome.zarr", "slide.tif"]


def test_what_is_no_image_is_never_replaced(desk: Desk) -> None:
    precious = desk.folder / "thesis"
    precious.mkdir()
    (precious / "chapter.txt").write_text("precious")
    for out in (precious, precious / "chapter.txt"):
        for overwrite in (False, True):
            with pytest.raises((UsageError, OutputError)):
                desk.convert(out=out, overwrite=overwrite)
    (desk.folder / "a.zarr.part").mkdir()
    (desk.folder / "a.zarr.part" / "notes").write_text("precious")
    with pytest.raises(UsageError, match="in the way"):
        desk.convert(out=desk.folder / "a.zarr", overwrite=True)
    assert (precious / "chapter.txt").read_text() == "precious"
    assert (desk.folder / "a.zarr.part" / "notes").read_text() == "precious"


def test_the_slide_is_never_replaced(desk: Desk) -> None:
    desk.convert()
    image, before = desk.out, content(desk.out)
    for out in (image, image / "labels", image / ".." / "out.ome.zarr", desk.folder):
        with pytest.raises(UsageError, match="the slide"):
            desk.convert(slide=image, out=out, overwrite=True)
    link = desk.folder / "link"
    link.symlink_to(image)
    with pytest.raises(UsageError, match="the slide"):
        desk.convert(slide=image, out=link, overwrite=True)
    assert content(image) == before


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"form": OutputForm("0.5", 100)}, UsageError, "--tile 100"),
        ({"form": OutputForm("0.5", 48)}, UsageError, "--tile 48"),
        ({"form": OutputForm("0.5", 8192)}, UsageError, "--tile 8192"),
        ({"form": OutputForm("0.4", 64, 4096)}, UsageError, "--format 0.5"),
        ({"slide": Path("missing.svs")}, SlideNotFound, "missing"),
        ({"out": Path("no/such/folder/a.zarr")}, OutputError, "create the output folder"),
        ({"memory_bytes": 2**25}, BudgetTooSmall, "converting this slide"),
    ],
    ids=["tile", "small-tile", "large-tile", "shards-of-0.4", "slide", "folder", "memory"],
)
def test_what_cannot_be_done_writes_nothing(
    desk: Desk, changes: dict[str, object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        desk.convert(**changes)
    assert [p.name for p in desk.folder.iterdir()] == ["slide.tif"]


def damage(slide: Path, segment: int) -> bytes:
    """Overwrite one tile of a TIFF and return what was there."""
    with tifffile.TiffFile(slide) as tiff:
        page = tiff.pages[0]
        offset, size = page.dataoffsets[segment], page.databytecounts[segment]
    with slide.open("r+b") as file:
        file.seek(offset)
        data = file.read(size)
        file.seek(offset)
        file.write(b"\xff" * size)
    return data


def test_a_damaged_tile_ends_it_with_its_name(desk: Desk) -> None:
    damage(desk.slide, 20)
    report = desk.convert()
    assert report.status == "failed"
    (error,) = report.errors
    assert "slide.tif" in error
    assert "tile" in error
    assert not desk.out.exists()


def test_a_first_tile_that_is_damaged_writes_nothing(desk: Desk) -> None:
    damage(desk.slide, 0)
    with pytest.raises(TileReadError):
        desk.convert()
    assert [p.name for p in desk.folder.iterdir()] == ["slide.tif"]


LIMITED = """
import resource, signal, sys
from pathlib import Path
from tilescope.io.pyramid_plan import OutputForm
from tilescope.jobs.convert import ConvertRequest, convert
from tilescope.runtime.cancel import CancellationToken
folder = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))
request = ConvertRequest(
    folder / "slide.tif", folder / "out.ome.zarr", OutputForm("0.5", 64, 256), 2**31, 2
)
report = convert(request, CancellationToken())
print(report.status, *report.errors)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_without_room_it_fails_clearly_and_continues_when_there_is(desk: Desk) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(desk.folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.startswith("failed ")
    assert "out.ome.zarr.part: cannot be written: File too large" in ended.stdout
    assert desk.part.exists()
    form = OutputForm("0.5", 64, 256)
    assert desk.convert(form=form).status == "complete"
    desk.convert(form=form, out=desk.folder / "fresh")
    assert content(desk.out) == content(desk.folder / "fresh")


def test_a_chunk_that_a_power_failure_emptied_is_named(desk: Desk) -> None:
    assert desk.begin(18).units["done"] >= 18
    (chunk,) = desk.part.glob("2/c/0/0/0/1/3")
    chunk.write_bytes(b"")
    report = desk.convert()
    assert report.status == "failed"
    assert "reading back chunk (0, 0, 0, 1, 3)" in report.errors[0]
    assert not desk.out.exists()


CAPPED = """
import json, sys
from pathlib import Path
from tilescope.io.pyramid_plan import OutputForm
from tilescope.jobs.convert import ConvertRequest, convert
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken
from tilescope.errors import BudgetTooSmall
memory.return_memory_eagerly()
slide, out, cap = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
try:
    print(convert(ConvertRequest(slide, out, OutputForm(), cap, 2), CancellationToken()).as_json())
except BudgetTooSmall as error:
    print(error.needed_bytes)
"""


def capped(slide: Path, out: Path, cap_bytes: int) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", CAPPED, str(slide), str(out), str(cap_bytes)],
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is measured as Linux does")
def test_the_least_cap_is_named_and_kept(tmp_path: Path) -> None:
    texture = coordinate_pixels(Rect(0, 0, 256, 256))
    slide = write_repeated_slide(tmp_path / "big.tif", texture, 9000, 6000)
    needed = int(capped(slide, tmp_path / "out.zarr", 2**20))
    level_bytes = 9000 * 6000 * 3
    assert needed < level_bytes
    report = json.loads(capped(slide, tmp_path / "out.zarr", needed))
    assert report["status"] == "complete"
    assert report["peak_rss_bytes"] <= needed


def test_one_process_at_a_time(desk: Desk) -> None:
    desk.begin(3)
    identity = json.loads((desk.part / RECORD_NAME).read_bytes().splitlines()[0])["identity"]
    pytest.importorskip("fcntl")
    with (
        ConversionRecord.open(desk.part / RECORD_NAME, identity, {}),
        pytest.raises(OutputError, match="another process"),
    ):
        desk.convert()
    assert desk.convert().status == "complete"


def test_a_line_that_was_not_finished_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "record"
    with ConversionRecord.open(path, {"a": "1"}, {"first_depth": 2}) as record:
        record.add(Unit(0, 1, 2, 3), 40)
    with path.open("ab") as file:
        file.write(b"[0, 1, 2")
    with ConversionRecord.open(path, {"a": "1"}, {"first_depth": 0}) as record:
        assert record.done == {Unit(0, 1, 2, 3): 40}
        assert record.settings == {"first_depth": 2}
        record.add(Unit(1, 0, 0, 0), 7)
    with ConversionRecord.open(path, {"a": "1"}, {}) as record:
        assert record.done == {Unit(0, 1, 2, 3): 40, Unit(1, 0, 0, 0): 7}


@pytest.mark.parametrize(
    "text",
    [b"{}\n", b"what\n", b"[1]\n", b'{"schema": 2, "identity": {"a": "1"}}\n', b"\xff\xfe\n"],
    ids=["empty", "words", "list", "schema", "bytes"],
)
def test_a_record_of_something_else_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "record"
    path.write_bytes(text)
    with pytest.raises(RunMismatch, match="cannot be read"):
        ConversionRecord.open(path, {"a": "1"}, {})
    assert path.read_bytes() == text


def test_killed_right_after_it_got_its_name(desk: Desk) -> None:
    desk.convert()
    (desk.out / RECORD_NAME).write_text("left behind")
    with pytest.raises(UsageError, match="exists"):
        desk.convert()
    assert not (desk.out / RECORD_NAME).exists()
