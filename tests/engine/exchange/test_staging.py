"""Files appear whole or not at all."""

import errno
import os

import pytest

from tilescope.errors import OutputError, SlideNotFound
from tilescope.exchange.staging import output_errors, staged_file, staged_folder


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    with staged_file(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_the_older_file_survives_a_failure(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")

    def write():
        with staged_file(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def write_file(path):
    with staged_file(path) as file:
        file.write(b"x")


def test_a_full_disk_is_named_with_a_remedy(tmp_path, no_room):
    with pytest.raises(OutputError) as caught:
        write_file(tmp_path / "a.txt")
    assert caught.value.path == str(tmp_path / "a.txt")
    assert "No space left" in caught.value.reason
    assert "free some room" in caught.value.reason
    assert not list(tmp_path.iterdir())


def test_a_stream_that_runs_out_of_room_is_an_output_error(tmp_path):
    if not os.path.exists("/dev/full"):  # noqa: PTH110 - a device, not a file of ours
        pytest.skip("needs /dev/full")
    (tmp_path / ".a.txt.partial").symlink_to("/dev/full")

    def write():
        with staged_file(tmp_path / "a.txt") as file:
            for _ in range(100):
                file.write(bytes(10_000))

    with pytest.raises(OutputError, match="No space left"):
        write()
    assert not (tmp_path / "a.txt").exists()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match="create the output folder"):
        write_file(tmp_path / "missing" / "a.txt")


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="not a file"):
        write_file(tmp_path / "file" / "a.txt")


def test_errors_of_the_slide_are_not_the_outputs(tmp_path):
    def write():
        with staged_file(tmp_path / "a.txt"):
            raise SlideNotFound("slide.svs", "is gone")

    with pytest.raises(SlideNotFound):
        write()


def test_an_unknown_error_has_a_remedy_too(tmp_path):
    def fail():
        with output_errors(tmp_path):
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OutputError, match="another output folder"):
        fail()


def test_a_folder_replaces_an_older_one(tmp_path):
    path = tmp_path / "a.zarr"
    for name in ("old", "new"):
        with staged_folder(path) as partial:
            (partial / name).write_bytes(b"")
    assert [p.name for p in path.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_a_folder_vanishes_when_filling_it_fails(tmp_path):
    path = tmp_path / "a.zarr"
    with staged_folder(path) as partial:
        (partial / "old").write_bytes(b"")

    def fill():
        with staged_folder(path) as partial:
            (partial / "new").write_bytes(b"")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert [p.name for p in path.iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_leftovers_of_a_killed_run_are_overwritten(tmp_path):
    leftover = tmp_path / ".a.zarr.partial"
    leftover.mkdir()
    (leftover / "stale").write_bytes(b"")
    with staged_folder(tmp_path / "a.zarr") as partial:
        (partial / "new").write_bytes(b"")
    assert [p.name for p in (tmp_path / "a.zarr").iterdir()] == ["new"]
