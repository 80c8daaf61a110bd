"""The project file: slides, what is drawn on them, and how it came to be, in one SQLite database.

There is nothing to save: every edit is one transaction, on disk when the call returns.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
from shapely.errors import ShapelyError

from tilescope.domain.annotation import Annotation, ObjectClass
from tilescope.domain.geometry import Rect
from tilescope.errors import ProjectDamaged, ProjectReadOnly, UsageError
from tilescope.runtime.closing import Closing
from tilescope.store import backup, older, rescaling, schema
from tilescope.store.catalogue import Catalogue, RunRecord, SlideRecord
from tilescope.store.checking import problems_of
from tilescope.store.class_edits import ClassEdits
from tilescope.store.dots import DotReader
from tilescope.store.family import Family
from tilescope.store.faults import database_errors
from tilescope.store.fields import FIELDS
from tilescope.store.found import FoundReader
from tilescope.store.history import Edit, History, Step
from tilescope.store.objects import Objects, Selection, Targets
from tilescope.store.storage import Access, Storage, check_file, new_file
from tilescope.store.views import View, in_view
from tilescope.store.writer_lock import WriterLock, login_name

__all__ = ["Edit", "Project", "RunRecord", "Selection", "SlideRecord", "View"]

_BULK = 100_000
"""Objects from which on an edit's log is folded into the file at once."""


class Project(Closing):
    """The open project at ``path``; used by one thread. Others open it read-only."""

    def __init__(self, storage: Storage, user: str, lock: WriterLock | None) -> None:
        self.path = storage.path
        self._lock = lock
        try:
            with database_errors(self.path):
                storage, self._db = storage.connected()
        except BaseException:
            if lock is not None:
                lock.close()
            raise
        self._access = storage.access
        self._statement = storage.statement
        self._catalogue = Catalogue(self._db, self.path)
        self._objects = Objects(self._db, self._catalogue)
        self._history = History(self._db, user)

    @classmethod
    def create(cls, path: Path, *, user: str | None = None, on_network: bool | None = None) -> Self:
        """Make a new project and return it open for writing.

        Raises
        ------
        ProjectError
            When something is at ``path``, it cannot be written, or SQLite lacks R*Tree.
        """
        new_file(path.resolve())
        return cls.open(path, user=user, on_network=on_network)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        writable: bool = True,
        user: str | None = None,
        on_network: bool | None = None,
    ) -> Self:
        """Open a project; ``statement`` says what works where it lies.

        Parameters
        ----------
        writable
            Whether changes are wanted; one process at a time gets that. On a read-only medium the
            project is opened read-only whatever is wanted. On a network drive one process at a
            time has it open, be it for reading.
        user
            Who to note in the journal; the name of the login by default.
        on_network
            Whether the file lies on a network drive; None finds out where the system tells.

        Raises
        ------
        ProjectBusy
            When another process has it open for writing, and ``writable`` is asked for; on a
            network drive, when another process has it open at all.
        ProjectDamaged
            When its head, size or tables are not whole.
        ProjectReadOnly
            When it is of an older Tilescope and ``writable`` is not asked for.
        ProjectError
            When it is missing, something else, or of a newer Tilescope.
        """
        path = path.resolve()  # the lock and the log belong to the file, not to one of its names
        check_file(path)
        project = cls._opened(path, user, writable=writable, on_network=on_network)
        try:
            project._prepare()
        except BaseException:
            project.close()
            raise
        return project

    @classmethod
    def _opened(
        cls, path: Path, user: str | None, *, writable: bool, on_network: bool | None
    ) -> Self:
        name = login_name() if user is None else user
        storage = Storage.of(path, writable=writable, on_network=on_network)
        return cls(storage, name, WriterLock(path, name) if storage.access.locks else None)

    def _prepare(self) -> None:
        with database_errors(self.path):
            version = schema.version_of(self._db, self.path)
            if version < schema.SCHEMA_VERSION:
                self._upgrade(version)

    def _upgrade(self, version: int) -> None:
        if not self.writable:
            remedy = "`tilescope project check` brings it up to date"
            if self._access is Access.READ_FROZEN:
                remedy = "copy it to a folder you may write to, and it is brought up to date"
            raise ProjectReadOnly(self.path, f"an older Tilescope wrote it; {remedy}")
        self.back_up()
        older.migrate(self._db, version)

    @property
    def writable(self) -> bool:
        """Whether it can be changed through this object."""
        return self._access.writes

    @property
    def statement(self) -> str:
        """What works where the project lies, in words for the user."""
        return self._statement

    def close(self) -> None:
        """Close the file; the log is folded into it by the last who closes."""
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    # Transactions

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if not self.writable:
            raise ProjectReadOnly(self.path, f"it was opened read-only. {self._statement}")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk may have rolled back already
                self._db.execute("ROLLBACK")
            self._catalogue.forget()
            raise

    @contextmanager
    def _edit(self, label: str) -> Iterator[Step]:
        with database_errors(self.path):
            with self._transaction(), self._history.step(label) as step:
                yield step
                step.make_classes(self._catalogue.take_made())
            self._fold(step.added + step.removed + step.changed)

    @contextmanager
    def _noted(self, action: str) -> Iterator[None]:
        with database_errors(self.path), self._transaction():
            yield
            self._history.note(action)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Let all statements of the block see one state, whatever others write meanwhile."""
        with database_errors(self.path):
            self._db.execute("BEGIN")
            try:
                yield
            except (LookupError, TypeError, ValueError, ShapelyError) as exc:
                # SQLite notices damaged pages, but not bits that changed inside of what is stored.
                raise ProjectDamaged(self.path, f"what is stored makes no sense: {exc}") from exc
            finally:
                if self._db.in_transaction:
                    self._db.execute("COMMIT")

    def _fold(self, size: int) -> None:
        if size >= _BULK and self._access is Access.WRITE:
            # Readers may be in the way; then the log is folded later and nothing is lost.
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    # Slides, classes, runs

    def slides(self) -> list[SlideRecord]:
        """Return all slides."""
        with self._reading():
            return self._catalogue.slides()

    def add_slide(
        self,
        path: Path,
        identity: str,
        *,
        name: str | None = None,
        um_per_px: tuple[float, float] | None = None,
        um_per_px_source: str | None = None,
        notes: str = "",
    ) -> int:
        """Add a slide and return its number; a slide that is known by its identity stays one.

        A known slide that is no longer where it was is relinked to ``path``.

        Parameters
        ----------
        identity
            What stays the same when the file is moved, such as its size and a hash of its head.
        """
        for known in self.slides():
            if known.identity == identity:
                if not known.is_found(self.path):
                    self.relink(known.slide, path, identity)
                return known.slide
        record = SlideRecord(
            0, name or path.name, path, None, identity, um_per_px, um_per_px_source, notes
        )
        with self._noted(f"add slide {path.name}"):
            return self._catalogue.add_slide(record)

    def relink(self, slide: int, path: Path, identity: str) -> None:
        """Note where a slide that moved now is.

        Raises
        ------
        UsageError
            When the file at ``path`` is another slide.
        """
        record = self._catalogue.slide(slide)
        if record.identity != identity:
            raise UsageError(f"{path} is not the slide {record.name}: its content differs")
        with self._noted(f"relink slide {slide} to {path}"):
            self._catalogue.change_slide(replace(record, path=path))

    def change_slide(self, record: SlideRecord) -> None:
        """Store name, notes and calibration of a slide; what is measured follows the latter."""
        before = self._catalogue.slide(record.slide)
        with self._noted(f"change slide {record.slide}"):
            rescaling.rescale(self._db, self._catalogue, before, record)
            self._catalogue.change_slide(record)

    def classes(self) -> list[ObjectClass]:
        """Return all classes."""
        with self._reading():
            return self._catalogue.classes()

    def put_class(self, wanted: ObjectClass) -> None:
        """Add a class, or change colour and hot key of the one of that name."""
        self.put_classes([wanted])

    def put_classes(self, wanted: Sequence[ObjectClass]) -> None:
        """Add classes, or change those of the same names, all at once."""
        if not wanted:
            return
        others = f" and {len(wanted) - 1} more" if len(wanted) > 1 else ""
        with self._noted(f"class {wanted[0].name}{others}"):
            for known in wanted:
                self._catalogue.put_class(known)

    def class_edits(self) -> ClassEdits:
        """Return what renames, recolours and deletes classes, each as one edit."""
        return ClassEdits(self._db, self._catalogue, self._objects, self._edit)

    def runs(self) -> list[RunRecord]:
        """Return which models ran, oldest first."""
        with self._reading():
            return self._catalogue.runs()

    def add_run(self, run: RunRecord) -> None:
        """Record that a model ran over a slide."""
        self._catalogue.slide(run.slide)
        with self._noted(f"run {run.model}"):
            self._catalogue.add_run(run)

    # Edits

    def insert(
        self, slide: int, batches: Iterable[Sequence[Annotation]], *, label: str = "add objects"
    ) -> int:
        """Add objects as one edit and return how many; nothing is added when one cannot be.

        Memory does not grow with the number of objects. An error that ``batches`` raises undoes
        what was added of them.

        Raises
        ------
        UsageError
            When an object cannot be stored, or its id is already there.
        """
        self._catalogue.slide(slide)
        with self._edit(label) as step:
            self._objects.insert(step, slide, batches)
        return step.added

    def replace(
        self,
        targets: Targets,
        slide: int,
        batches: Iterable[Sequence[Annotation]],
        *,
        label: str = "replace objects",
    ) -> int:
        """Delete objects and add others as one edit; return how many were added.

        Deletes as ``delete`` and adds as ``insert``, whose errors undo both.
        """
        self._catalogue.slide(slide)
        with self._edit(label) as step:
            step.remove(self._objects.rows(targets, spare_locked=True))
            self._objects.insert(step, slide, batches)
        return step.added

    def edit(self, objects: Sequence[Annotation], *, label: str = "edit objects") -> int:
        """Put new versions in the place of the objects with the same ids; return how many.

        Raises
        ------
        UsageError
            When an object is not there or is locked.
        """
        with self._edit(label) as step:
            rows = self._objects.rows_of(a.id for a in objects)
            by_slide: dict[int, list[Annotation]] = {}
            for row, annotation in zip(rows, objects, strict=True):
                by_slide.setdefault(self._objects.slide_of(row), []).append(annotation)
            step.remove(self._objects.rows([a.id for a in objects], spare_locked=True))
            for slide, members in by_slide.items():
                self._objects.insert(step, slide, [members])
        return step.removed

    def delete(self, targets: Sequence[str] | Selection, *, label: str = "delete objects") -> int:
        """Delete objects by id, or those of a selection that are not locked; return how many.

        Raises
        ------
        UsageError
            When an object named by id is not there or is locked.
        """
        with self._edit(label) as step:
            step.remove(self._objects.rows(targets, spare_locked=True))
        return step.removed

    def set_class(
        self,
        targets: Sequence[str] | Selection,
        class_name: str | None,
        *,
        label: str = "set class",
    ) -> int:
        """Sort objects into a class (made if it is new), and return how many."""
        with self._edit(label) as step:
            number = self._catalogue.class_number(class_name)
            self._change(step, targets, "class", number)
        return step.changed

    def set_locked(
        self, targets: Sequence[str] | Selection, locked: bool, *, label: str = "lock"
    ) -> int:
        """Lock or unlock objects, and return how many."""
        with self._edit(label) as step:
            self._change(step, targets, "locked", int(locked))
        return step.changed

    def _change(self, step: Step, targets: Targets, field: str, value: int) -> None:
        for rows in self._objects.rows(targets, spare_locked=False):
            step.change(FIELDS[field], rows, np.full(len(rows), value, np.int64))
            step.changed += len(rows)

    def measure(
        self, batches: Iterable[Mapping[str, Mapping[str, float]]], *, label: str = "measure"
    ) -> int:
        """Set measurements of objects, by id and name, as one edit; return how many objects.

        Raises
        ------
        UsageError
            When an object is not there, or a number is not finite.
        """
        with self._edit(label) as step:
            for batch in batches:
                self._objects.measure(step, batch)
        return step.changed

    # Back and forth

    def undo(self) -> Edit | None:
        """Take back the newest edit that holds, and return it; None when there is none."""
        return self._turn(undo=True)

    def redo(self) -> Edit | None:
        """Do again what was undone last, and return it; None when there is nothing."""
        return self._turn(undo=False)

    def _turn(self, *, undo: bool) -> Edit | None:
        with database_errors(self.path):
            with self._transaction():
                edit = self._history.undo() if undo else self._history.redo()
                self._catalogue.forget()
            if edit is not None:
                self._fold(edit.added + edit.removed + edit.changed)
        return edit

    def history(self, limit: int = 100) -> list[Edit]:
        """Return the newest edits, newest first."""
        with self._reading():
            return self._history.edits(limit)

    # Reading

    def get(self, object_id: str) -> Annotation | None:
        """Return one object, None when it is not there."""
        with self._reading():
            return self._objects.get(object_id)

    def objects(self, wanted: Selection = Selection()) -> Iterator[list[Annotation]]:  # noqa: B008 - frozen
        """Yield objects in batches of neighbours; memory does not grow with their number.

        Edits made by this process between two batches show in the later ones.
        """
        batches = self._objects.batches(wanted)
        while True:
            with self._reading():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def in_view(self, slide: int, rect_l0: Rect, limit: int, *, z: int = 0, t: int = 0) -> View:
        """Return what has to be drawn in a rectangle: objects whose bounding box meets it.

        Parameters
        ----------
        limit
            Objects at most; ``View.is_complete`` tells whether there are more.
        """
        with self._reading():
            return in_view(self._db, slide, rect_l0, limit, (z, t))

    def dots(self, slide: int, *, z: int = 0, t: int = 0) -> DotReader:
        """Return what reads where all objects of a plane are, and which of them have changed."""
        return DotReader(self._db, self._reading, slide, (z, t))

    def found_by(self, model: str, slide: int, plane: tuple[int, int] = (0, 0)) -> FoundReader:
        """Return what reads what runs of a model have found on a plane, z and t, of a slide."""
        return FoundReader(self._db, (slide, *plane), model, self._reading)

    def family(self, slide: int) -> Family:
        """Return what reads which objects of a slide lie in which others."""
        return Family(self._db, slide, self._reading)

    def counts_by_class(self, slide: int | None = None) -> dict[str | None, int]:
        """Return the number of objects by class name, None for unclassified ones."""
        with self._reading():
            return self._catalogue.counts(slide)

    # Safety

    def check(self) -> list[str]:
        """Read the whole file and return everything that is wrong with it, one sentence each."""
        return problems_of(self._db)

    def back_up(self, kept: int = backup.KEPT) -> Path:
        """Copy the project beside itself, keep the newest copies, and return the new one."""
        with database_errors(self.path):
            return backup.back_up(self._db, self.path, kept)

    def copy_to(self, path: Path) -> None:
        """Write the project to another file; refused while somebody else writes to that one."""
        with database_errors(self.path), backup.sole_writer(path, self.path):
            backup.whole_copy(self._db, path)

    def back_up_if_due(self, hours: float = 24.0) -> Path | None:
        """Back up when the newest backup is older than that, or there is none; return the copy."""
        known = backup.backups(self.path)
        if known and time.time() - known[0].stat().st_mtime < hours * 3600:
            return None
        return self.back_up()
