"""Where a project lies, who else has it open, and files that are no projects."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tilescope.domain.annotation import Annotation
from tilescope.errors import ProjectBusy, ProjectDamaged, ProjectError, ProjectReadOnly
from tilescope.store import older, schema
from tilescope.store.backup import backups
from tilescope.store.project import Project, Selection
from tilescope.store.storage import (
    filesystem_of,
    is_on_network,
    mounts_of_linux,
    mounts_of_mac,
)

Make = Callable[[int], list[Annotation]]

HOLDER = """
import sys
from pathlib import Path
from tilescope.store.project import Project
with Project.open(Path(sys.argv[1]), user="grace") as project:
    print("open", flush=True)
    for line in sys.stdin:
        print(project.set_class((), "x") if line == "stop" else project.undo().label, flush=True)
"""


LATE = """
import sys
from pathlib import Path
from tilescope.errors import ProjectBusy
from tilescope.store.writer_lock import WriterLock
path = Path(sys.argv[1])
lock = path.with_name("p-lock")
files = [lock]

def remove(event, _):
    if event == "fcntl.flock" and files:
        files.pop().unlink()  # opened, not locked yet: who held the lock gives it back now
        print("the file went")

sys.addaudithook(remove)
with WriterLock(path, "ada"):
    try:
        WriterLock(path, "grace").close()
    except ProjectBusy:
        print("busy")
"""


@contextmanager
def another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process have the project open for writing."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("undo\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_one_writes_and_others_read_along(project: Project, nuclei: Make) -> None:
    project.insert(1, [nuclei(30)], label="thirty")
    project.close()
    with another_process(project.path) as other:
        with pytest.raises(ProjectBusy, match=f"grace .process {other.pid} on .* read-only"):
            Project.open(project.path)
        with Project.open(project.path, writable=False) as reader:
            assert sum(reader.counts_by_class().values()) == 30
            assert ask(other) == "thirty"
            assert reader.counts_by_class() == {}
            with pytest.raises(ProjectReadOnly, match="opened read-only"):
                reader.undo()
            other.kill()
            other.wait()
            with Project.open(project.path) as writer:  # the dead process's lock stops nobody
                assert writer.redo() is not None
            assert sum(reader.counts_by_class().values()) == 30
    assert list(project.path.parent.iterdir()) == [project.path]  # the reader closed last


def test_the_lock_goes_with_its_holder(project: Project) -> None:
    lock = project.path.with_name(f"{project.path.name}-lock")
    assert lock.exists()
    project.close()
    assert list(project.path.parent.iterdir()) == [project.path]


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is open cannot go there")
def test_a_lock_on_a_file_that_went_is_none(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LATE, str(tmp_path / "p")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout == "the file went\nbusy\n"
    assert list(tmp_path.iterdir()) == []


def test_one_process_has_one_writer(project: Project) -> None:
    with pytest.raises(ProjectBusy, match="ada"):
        Project.open(project.path)
    project.close()
    with Project.open(project.path) as again:
        assert again.writable


def test_a_reader_sees_one_state_while_another_writes(project: Project, nuclei: Make) -> None:
    objects = nuclei(5000)
    project.insert(1, [objects])
    with Project.open(project.path, writable=False) as reader:
        batches = reader.objects()
        next(batches)
        assert project.delete(Selection()) == 5000
        assert list(batches) == []
        assert reader.check() == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "only 0 bytes"),
        (b"\xff\xd8\xff\xe0 a JPEG, of course" * 99, "damaged"),
        (b"SQLite format 3\0" + bytes(4080), "damaged|not a Tilescope project"),
    ],
)
def test_other_files_are_refused_and_left_alone(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "x.tilescope"
    path.write_bytes(content)
    for writable in (True, False):
        with pytest.raises(ProjectError, match=message):
            Project.open(path, writable=writable)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_other_databases_are_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.tilescope"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE mine (a)")
    content = path.read_bytes()
    with pytest.raises(ProjectError, match="not a Tilescope project"):
        Project.open(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_there_is_not_overwritten(project: Project, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="already there"):
        Project.create(project.path)
    with pytest.raises(ProjectError, match="check the folder"):
        Project.create(tmp_path / "no such folder" / "x.tilescope")
    with pytest.raises(ProjectError, match="check the name"):
        Project.open(tmp_path / "none.tilescope")
    with pytest.raises(ProjectError, match="not a file"):
        Project.open(tmp_path)


def test_a_newer_format_is_refused_with_the_remedy(project: Project) -> None:
    project.close()
    with closing(sqlite3.connect(project.path)) as db:
        db.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    with pytest.raises(ProjectError, match="newer Tilescope wrote this project"):
        Project.open(project.path)


def test_migrations_go_version_by_version_and_stop_at_a_whole_one(project: Project) -> None:
    project.close()

    def add_column(db: sqlite3.Connection) -> None:
        db.execute("ALTER TABLE slide ADD COLUMN stain TEXT")

    def fail(db: sqlite3.Connection) -> None:
        db.execute("DROP TABLE run")
        raise sqlite3.OperationalError("the disk is full")

    with closing(sqlite3.connect(project.path, isolation_level=None)) as db:
        with pytest.raises(sqlite3.OperationalError):
            older.migrate(db, 1, {1: add_column, 2: fail}, target=3)
        assert db.execute("PRAGMA user_version").fetchone()[0] == 2
        assert db.execute("SELECT name, stain FROM slide").fetchall() == [("a.svs", None)]
        assert db.execute("SELECT count(*) FROM run").fetchone()[0] == 0


def test_a_project_on_a_network_drive_has_no_log_and_one_user(
    project: Project, nuclei: Make
) -> None:
    project.close()
    with Project.open(project.path, on_network=True) as alone:
        assert "network drive" in alone.statement
        objects = nuclei(20)
        assert alone.insert(1, [objects]) == 20
        assert alone.get(objects[0].id) == objects[0]
        alone.undo()
        alone.redo()
        assert not list(project.path.parent.glob("*-wal"))
        assert not list(project.path.parent.glob("*-shm"))
        assert alone.check() == []
    with Project.open(project.path, on_network=False) as again:
        assert sum(again.counts_by_class().values()) == 20
        again.undo()
        assert list(project.path.parent.glob("*-wal"))


def test_on_a_network_drive_a_reader_has_it_alone_too(project: Project, nuclei: Make) -> None:
    project.insert(1, [nuclei(10)])
    project.close()
    path = project.path
    with Project.open(path, writable=False, on_network=True) as reader:
        assert not reader.writable
        assert "network drive" in reader.statement
        assert sum(reader.counts_by_class().values()) == 10
        for writable in (True, False):
            with pytest.raises(ProjectBusy, match="working on it"):
                Project.open(path, writable=writable, on_network=True)
        with pytest.raises(ProjectReadOnly):
            reader.undo()
        assert not [p for p in path.parent.iterdir() if p.name.endswith(("-wal", "-shm"))]
    with Project.open(path, on_network=True) as writer:
        assert writer.undo() is not None


def test_a_project_that_is_open_elsewhere_is_not_taken_over_a_network(
    project: Project, nuclei: Make
) -> None:
    """Whoever has it open with a log on the drive's own machine does not see locks of files."""
    project.insert(1, [nuclei(10)])
    project.close()
    with another_process(project.path) as other:
        project.path.with_name(f"{project.path.name}-lock").unlink()
        with pytest.raises(ProjectBusy, match="another program"):
            Project.open(project.path, on_network=True)
        assert ask(other) == "add objects"


@pytest.mark.skipif(sys.platform == "win32", reason="the name is made by the system there")
def test_a_drive_that_shares_no_memory_is_used_alone(project: Project, nuclei: Make) -> None:
    project.insert(1, [nuclei(10)])
    project.close()
    shared = project.path.with_name(f"{project.path.name}-shm")
    shared.symlink_to("nowhere")  # SQLite follows no link there, so it has no such memory
    with Project.open(project.path, on_network=False) as alone:
        assert "nobody else" in alone.statement
        assert alone.undo() is not None
        assert alone.check() == []
    shared.unlink()
    with Project.open(project.path) as again:
        assert "Others can read" in again.statement
        assert again.counts_by_class() == {}


@contextmanager
def without_privileges() -> Iterator[None]:
    """Lay the administrator's rights down, to whom no file is read-only."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights are another matter on Windows")
def test_a_read_only_medium_is_opened_read_only(project: Project, nuclei: Make) -> None:
    project.insert(1, [nuclei(10)])
    project.close()
    # The folders of pytest cannot be entered by others.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "p.tilescope"
        path.write_bytes(project.path.read_bytes())
        path.chmod(0o444)
        folder.chmod(0o555)
        with without_privileges(), Project.open(path) as found:
            assert not found.writable
            assert "cannot be written" in found.statement
            assert sum(found.counts_by_class().values()) == 10
            with pytest.raises(ProjectReadOnly, match="Copy it to a writable folder"):
                found.delete(Selection())
        folder.chmod(0o755)
        (folder / "p.tilescope-wal").write_bytes(b"x" * 5000)
        folder.chmod(0o555)
        with without_privileges(), pytest.raises(ProjectError, match="copy both files"):
            Project.open(path)
        folder.chmod(0o755)


LINUX = """\
/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb /home/ada/my\\040disk ext4 rw 0 0
//server/share /mnt/share cifs rw 0 0
broken line
"""
MAC = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
//ada@server/share on /Volumes/share (smbfs, nodev, nosuid, mounted by ada)
server:/scans on /Volumes/my scans (nfs, nodev, nosuid)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/x", "ext4"),
        ("/home/ada/x", "nfs4"),
        ("/homes/x", "ext4"),
        ("/home/ada/my disk/x", "ext4"),
        ("/mnt/share/x", "cifs"),
    ],
)
def test_the_deepest_mount_point_tells_the_file_system(path: str, kind: str) -> None:
    assert filesystem_of(Path(path), mounts_of_linux(LINUX)) == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/Users/ada/x", "apfs"),
        ("/Volumes/share/x", "smbfs"),
        ("/Volumes/my scans/deep/x", "nfs"),
        ("/Volumes/other/x", "apfs"),
    ],
)
def test_the_mount_points_of_a_mac_are_understood(path: str, kind: str) -> None:
    assert filesystem_of(Path(path), mounts_of_mac(MAC)) == kind


@pytest.mark.skipif(sys.platform == "win32", reason="drive letters tell there")
def test_the_folder_of_the_tests_is_on_some_file_system(tmp_path: Path) -> None:
    if sys.platform == "linux":
        table = Path("/proc/self/mounts").read_text()
        assert filesystem_of(tmp_path.resolve(), mounts_of_linux(table)) is not None
    assert is_on_network(tmp_path) in (True, False)


def test_backups_rotate_and_open(project: Project, nuclei: Make) -> None:
    for count in (1, 2, 3, 4):
        project.insert(1, [nuclei(count)])
        project.back_up(kept=3)
    paths = backups(project.path)
    assert [p.name for p in paths] == [f"study.backup-{i}.tilescope" for i in (1, 2, 3)]
    counts = []
    for path in paths:
        with Project.open(path, writable=False) as copy:
            counts.append(sum(copy.counts_by_class().values()))
            assert copy.check() == []
    assert counts == [10, 6, 3]
    assert not list(project.path.parent.glob(".*"))


def test_a_backup_is_due_once_in_a_while(project: Project) -> None:
    first = project.back_up_if_due()
    assert first is not None
    assert project.back_up_if_due() is None
    assert project.back_up_if_due(hours=0) == first
    assert len(backups(project.path)) == 2


def test_another_name_of_a_project_is_the_same_project(project: Project) -> None:
    other = project.path.with_name("other.tilescope")
    other.symlink_to(project.path)
    with pytest.raises(ProjectBusy):
        Project.open(other)


def test_a_backup_that_fails_leaves_the_others(project: Project) -> None:
    first = project.back_up()
    content = first.read_bytes()
    blocked = project.path.with_name(f".{project.path.name}.backup-partial")
    blocked.mkdir()
    with pytest.raises(ProjectError, match="backup"):
        project.back_up()
    assert first.read_bytes() == content
    assert backups(project.path) == [first]


def test_a_file_that_was_cut_off_is_noticed(project: Project, nuclei: Make) -> None:
    project.insert(1, [nuclei(500)])
    project.close()
    data = project.path.read_bytes()
    project.path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ProjectDamaged, match="salvage"):
        Project.open(project.path)
    assert project.path.read_bytes() == data[: len(data) // 2]
