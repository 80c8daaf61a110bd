"""What is drawn on the open slides: every change is in the project before anything says so.

There is nothing to save and nothing to recover: an edit is one transaction on disk, and after a
crash the project is what it was after the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import QObject

from tilescope.domain.annotation import Annotation, ObjectClass
from tilescope.domain.counts import counted
from tilescope.errors import UsageError
from tilescope.store.project import Edit, Project, SlideRecord
from tilescope_desktop.bridge.known_objects import KnownObjects
from tilescope_desktop.bridge.loans import ProjectLent, WaitingEdit
from tilescope_desktop.bridge.project_desk import Moved, OpenProject, Stranded
from tilescope_desktop.model import project_tasks as tasks
from tilescope_desktop.model.object_classes import DEFAULT_CLASSES
from tilescope_desktop.model.outline_edits import OutlineEdit
from tilescope_desktop.model.places import Remembered, new_project_path, now
from tilescope_desktop.model.project_tasks import Fresh, OpenSlide, State
from tilescope_desktop.model.reach import Reach
from tilescope_desktop.model.tools.tool import Draw, Pick, PickBox, Reshape, Say, Wishes

T = TypeVar("T")


class Annotations(KnownObjects):
    """The objects of the open project; used from the window's thread.

    Parameters
    ----------
    folder
        Where projects go that nobody made; the user's data folder by default.
    """

    def __init__(self, folder: Path | None = None, parent: QObject | None = None) -> None:
        super().__init__(folder, parent)
        self.remembered = Remembered(self.folder)
        self.desk.displaced.connect(self._displace)
        self.desk.altered.connect(lambda: self._refresh(finds=True))
        self.is_stranded = False
        self.revision = 0
        self.fresh: list[Fresh] = []
        self._waiting: list[WaitingEdit] = []

    # -- slides and projects ----------------------------------------------------------------------

    def attach(self, slide: OpenSlide) -> None:
        """Show a slide's objects from now on."""
        self._slides.append(slide)
        self._refresh(finds=True)

    def detach(self, slide: OpenSlide) -> None:
        """Forget a slide; its objects stay in the project."""
        if slide in self._slides:
            self._slides.remove(slide)
        self.counts.pop(slide, None)
        self.fresh = [one for one in self.fresh if one.slide is not slide]
        if self.selected_slide is slide:
            self.select_nothing()

    def open_project(
        self,
        path: Path,
        *,
        is_new: bool = False,
        may_replace: bool = False,
        then: Callable[[list[SlideRecord]], None] = lambda _slides: None,
        on_failed: Callable[[], None] = lambda: None,
    ) -> None:
        """Open a project, or make one, in place of the open one; ``then`` gets its slides.

        ``may_replace`` as in ``ProjectDesk.open``.
        """
        if self.is_lent:
            self.edit_failed.emit(ProjectLent())
            on_failed()
            return
        follows = is_new and self.project is None

        def done(project: OpenProject) -> None:
            if is_new:  # before it is asked what there is
                self._ask_quietly(lambda project: project.put_classes(DEFAULT_CLASSES))
            self._take_project(project, follows=follows)
            self.desk.ask(Project.slides, then, failed)

        def failed(error: BaseException) -> None:
            self.failed.emit(error)
            on_failed()

        self.desk.open(path, done, failed, is_new=is_new, may_replace=may_replace)

    def close_project(self) -> None:
        """Put the project away; nothing has to be saved."""
        if self.is_lent:
            self.edit_failed.emit(ProjectLent())
            return
        self.desk.shut()
        self.project = None
        self.remembered.note_project(None)
        for slide in self._slides:
            slide.number = None
        self.classes, self.counts = DEFAULT_CLASSES, {}
        self.undo_label = self.redo_label = None
        self.fresh.clear()
        self.select_nothing()
        self._note_change()
        self.refreshed.emit()
        self.project_changed.emit()

    def save_as(self, path: Path, then: Callable[[], None]) -> None:
        """Go on in a copy of the project at another place."""
        if self.is_lent or self.project is None:
            self.edit_failed.emit(ProjectLent())
            return

        def done(project: OpenProject) -> None:
            self._take_project(project, follows=True)
            then()

        self.desk.save_as(path, done, self.failed.emit)

    def begin_loan(self, *slides: OpenSlide) -> bool:
        """Refuse edits until the loan ends; when none is open, a project is made for a slide."""
        if not self._may_edit() or not self._has_project(*slides):
            return False
        self.is_lent = True
        self.refreshed.emit()
        return True

    def end_loan(self, *, discards: bool) -> None:
        """Take edits again, and show what was done with the project, or delete it."""
        self.is_lent = False
        if discards and self.project is not None and not self._waiting:
            self.desk.discard(self.project.path)
            self.close_project()
        self._refresh(finds=True)
        waiting, self._waiting = self._waiting, []
        for edit in waiting:
            self.fresh = [one for one in self.fresh if one not in edit.fresh]
            self._edit_soon(edit)

    def close(self) -> None:
        """Finish all edits and close the project, which is offered again at the next start."""
        for edit in self._waiting:  # whoever borrowed the project has given it back by now
            self.desk.edit(edit.run, lambda _result: None, lambda _error: None)
        self._waiting.clear()
        self.desk.close()
        if self.project is not None:  # one that was made a moment ago is known to nobody yet
            self.remembered.note_project(self.project.path)

    # -- edits ------------------------------------------------------------------------------------

    def fulfil(self, slide: OpenSlide, wishes: Wishes) -> None:
        """Do what a tool wants."""
        for wish in wishes:
            match wish:
                case Draw():
                    self._draw(slide, wish)
                case Reshape():
                    self._reshape(slide, wish)
                case Pick():
                    self._choose(slide, tasks.picked, wish)
                case PickBox():
                    self._choose(slide, tasks.boxed, wish)
                case Say():
                    self.said.emit(wish.words)

    def add(self, slide: OpenSlide, annotations: Sequence[Annotation], label: str) -> None:
        """Add objects as one edit and select them; a project is made when none is open.

        While the project is lent they wait, and are added at the end of the loan.
        """
        if not annotations or not self._may_draw() or not self._has_project(slide):
            return
        fresh = [Fresh(slide, annotation) for annotation in annotations]
        ids = tuple(annotation.id for annotation in annotations)
        slides = tuple(self._slides)

        def run(project: Project) -> None:
            tasks.insert(project, slide, annotations, label, slides)

        self._edit_soon(WaitingEdit(run, slide, ids, fresh))

    def delete_selected(self) -> None:
        """Delete what is selected; what stays, locked or on another plane, is told of."""
        reach, slide, ids = self._meant(), self.selected_slide, self.selected_ids
        if reach is None or slide is None:
            return

        def run(project: Project) -> tuple[int, int, tuple[str, ...]]:
            here = reach.read(project)
            count, locked = tasks.delete(project, here)
            gone = set(here).difference(locked)
            return count, len(locked), tuple(name for name in ids if name not in gone)

        def refused(error: BaseException) -> None:
            self.select(slide, ids)
            self.edit_failed.emit(error)

        def say(outcome: tuple[int, int, tuple[str, ...]]) -> None:
            count, locked, left = outcome
            if left:
                self.select(slide, left)
                others = "what is selected on other planes stays"
                stays = f"{locked:,} locked and still there" if locked else others
                self.said.emit(f"{count:,} deleted; {stays}")

        # At once, so that a key that follows does not mean what is about to be gone.
        self.select_nothing()
        self._edit(run, None, (), then=say, on_error=refused)

    def set_class(self, class_name: str | None) -> None:
        """Choose the class of what is drawn next, and give it to what is selected.

        Locked objects keep theirs, which is said.
        """
        self.active_class = class_name

        def say(outcome: tuple[int, int]) -> None:
            if kept := outcome[1]:
                whose = "its" if kept == 1 else "their"
                self.said.emit(f"{counted(kept, 'locked object')} kept {whose} class")

        self._change(lambda project, ids: project.class_edits().assign(ids, class_name), say)
        self.refreshed.emit()

    def lock_selected(self, is_locked: bool) -> None:
        """Lock or unlock what is selected."""
        label = "lock" if is_locked else "unlock"
        self._change(lambda project, ids: project.set_locked(ids, is_locked, label=label))

    def change_outlines(self, change: OutlineEdit) -> None:
        """Put together, cut or round what is selected, as one step to undo."""
        slide = self.selected_slide
        if slide is not None:
            self._change(lambda project, ids: change(project, slide, ids))

    def put_into(self, slide: OpenSlide, ids: Sequence[str], parent: str | None) -> None:
        """Let objects lie in another, or in none."""
        if self.project is not None and self._may_edit():
            chosen = tuple(ids)
            self._edit(lambda project: tasks.put_into(project, chosen, parent), slide, chosen)

    def put_classes(self, classes: Sequence[ObjectClass]) -> None:
        """Add classes, or change their colours and keys, as nothing to undo."""
        self.change_classes(lambda project: project.put_classes(classes))

    def change_classes(self, change: Callable[[Project], object]) -> None:
        """Change classes, and objects with them; a project is made when none is open."""
        self._change_any(change)

    def enter_pixel_size(self, slide: OpenSlide, um_per_px: float | None) -> None:
        """Keep what the user says of the size of a pixel, None for nothing; measurements follow."""
        slides = tuple(self._slides)

        def run(project: Project) -> None:
            tasks.enter_size(project, slide, um_per_px, slides)

        if self._may_draw() and self._has_project(slide):
            # In turn with what was drawn: that is measured at the size of its time.
            self._edit_soon(WaitingEdit(run, self.selected_slide, self.selected_ids))

    def undo(self) -> None:
        """Take the newest edit back."""
        self._turn(Project.undo, "Undone")

    def undo_click(self) -> bool:
        """Take the newest edit back if a click made it, and tell whether one did."""
        is_click = self.undo_label in tasks.CLICKS
        if is_click:
            self._turn(tasks.undo_click, "Undone")
        return is_click

    def redo(self) -> None:
        """Do again what was undone last."""
        self._turn(Project.redo, "Done again")

    def forget_fresh(self, revision: int, slide: OpenSlide) -> None:
        """Paint no longer from memory what a picture of this revision shows."""
        self.fresh = [
            one
            for one in self.fresh
            if one.slide is not slide or one.revision is None or one.revision > revision
        ]

    # -- inside -----------------------------------------------------------------------------------

    def _draw(self, slide: OpenSlide, wish: Draw) -> None:
        if not slide.meets(wish.geometry):
            name = slide.path.name
            self.said.emit(f"Nothing was drawn: the shape lies wholly outside {name}")
            return
        try:
            annotation, label = tasks.drawn(wish, slide, self.active_class)
        except UsageError as error:
            self.edit_failed.emit(error)
            return
        self.add(slide, [annotation], label)

    def _reshape(self, slide: OpenSlide, wish: Reshape) -> None:
        if not self._may_draw():
            return
        self.selected, fresh = tasks.foreseen(wish, slide, self.selected)
        size, ids = slide.pixel_size, self.selected_ids
        self._edit_soon(
            WaitingEdit(lambda project: tasks.reshape(project, wish, size), slide, ids, fresh)
        )

    def _change_any(self, run: Callable[[Project], object], *slides: OpenSlide) -> None:
        """Change the project, which is made when none is open; the selection stays."""
        if self._may_edit() and self._has_project(*slides):
            self._edit(run, self.selected_slide, self.selected_ids)

    def _meant(self) -> Reach | None:
        """Return what of the selection may be edited; why it is nothing is told."""
        if not self.selected_ids or self.project is None or not self._may_edit():
            return None
        return self.in_reach()

    def _change(
        self,
        run: Callable[[Project, tuple[str, ...]], T],
        then: Callable[[T], None] = lambda _result: None,
    ) -> None:
        """Edit what is selected on the planes that are shown, if anything is."""
        reach, ids = self._meant(), self.selected_ids
        if reach is None:
            return

        def both(project: Project) -> tuple[T, bool]:
            here = reach.read(project)
            return run(project, here), len(here) < len(ids)

        def say(outcome: tuple[T, bool]) -> None:
            result, is_part = outcome
            if is_part:
                self.said.emit("What is selected on other planes stays as it is")
            then(result)

        self._edit(both, reach.slide, ids, then=say)

    def _turn(self, turn: Callable[[Project], Edit | None], word: str) -> None:
        if self.project is None or not self._may_edit():
            return

        shown = {one.number for one in self._shown_slides}

        def run(project: Project) -> tuple[Edit | None, str]:
            edit = turn(project)
            return edit, tasks.slide_aside(project, edit, shown)

        def say(outcome: tuple[Edit | None, str]) -> None:
            edit, aside = outcome
            where = f" on {aside}" if aside else ""
            done = "There is nothing more" if edit is None else f"{word}: {edit.label}{where}"
            self.said.emit(done)

        self._edit(run, self.selected_slide, self.selected_ids, then=say)

    def _edit(
        self,
        run: Callable[[Project], T],
        slide: OpenSlide | None,
        ids: Sequence[str],
        fresh: Sequence[Fresh] = (),
        then: Callable[[T], None] = lambda _result: None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.fresh += [one for one in fresh if one.slide in self._slides]
        slides = tuple(self._slides)

        def both(project: Project) -> tuple[T, State]:
            result = run(project)
            return result, tasks.state_of(project, slides, slide, ids)

        def done(outcome: tuple[T, State]) -> None:
            result, state = outcome
            then(result)
            self._take_state(state)
            for one in fresh:
                one.revision = self.revision + 1
            self._note_change()
            self.saved.emit("not saved" if self.is_stranded else f"saved {now():%H:%M:%S}")

        def failed(error: BaseException) -> None:
            self.fresh = [one for one in self.fresh if one not in fresh]
            self._note_change()
            self._refresh()
            (on_error or self.edit_failed.emit)(error)

        self.desk.edit(both, done, failed)
        self.changed.emit()

    def _edit_soon(self, edit: WaitingEdit) -> None:
        """Edit now, or at the end of the loan: what the hand drew is not drawn again."""
        if not self.is_lent:
            self._edit(edit.run, edit.slide, edit.ids, edit.fresh)
            return
        self._waiting.append(edit)
        self.fresh.extend(edit.fresh)
        self.changed.emit()

    def _may_edit(self) -> bool:
        if self.is_lent:
            self.edit_failed.emit(ProjectLent())
            return False
        return self._may_draw()

    def _may_draw(self) -> bool:
        if self.project is not None and not self.project.writable:
            self.edit_failed.emit(UsageError(self.project.statement))
            return False
        return True

    def _has_project(self, *slides: OpenSlide) -> bool:
        """Make a project for the first of these slides, or the last, when none is open."""
        slides = slides or tuple(self._slides[-1:])
        if slides and slides[0].identity is None:
            self.edit_failed.emit(slides[0].refusal())
            return False
        if self.project is None and slides:
            self._make_project(slides[0])
        elif self.project is None:
            self.failed.emit(UsageError("open a slide or a project first"))
        return self.project is not None

    def _make_project(self, slide: OpenSlide) -> None:
        path = new_project_path(self.folder, slide.path.name, now())
        self.project = OpenProject(path, True, "")
        self.went_on.emit(None, path)

        def failed(error: BaseException) -> None:
            self.project = None
            self.edit_failed.emit(error)

        self.desk.open(path, self._take_project, failed, is_new=True)
        self._ask_quietly(lambda project: project.put_classes(DEFAULT_CLASSES))

    def _take_project(self, project: OpenProject, *, follows: bool = False) -> None:
        if follows:
            self.went_on.emit(None if self.project is None else self.project.path, project.path)
        self.project, self.is_stranded = project, False
        self.remembered.note_project(project.path)
        self.select_nothing()
        self._refresh(finds=True)
        self.project_changed.emit()

    def _displace(self, news: Moved | Stranded) -> None:
        if self.project is not None and self.project.path == news.before:
            self.is_stranded = isinstance(news, Stranded)
            if isinstance(news, Moved):
                self.project = news.now
                self.went_on.emit(news.before, news.now.path)
                self.remembered.note_project(news.now.path)
                self._note_change()
                self.project_changed.emit()
        self.displaced.emit(news)

    def _refresh(self, *, finds: bool = False) -> None:
        if self.project is None:
            return
        slides, slide, ids = tuple(self._slides), self.selected_slide, self.selected_ids

        def run(project: Project) -> State:
            if finds:
                tasks.find_slides(project, slides)
            return tasks.state_of(project, slides, slide, ids)

        def done(state: State) -> None:
            if self.selected_ids is not ids:  # something else was selected meanwhile
                state = replace(
                    state, slide=self.selected_slide, ids=self.selected_ids, marked=self.selected
                )
            self._take_state(state)
            self._note_change()
            if finds:
                self.slides_found.emit()

        self.desk.ask(run, done, lambda _error: None)

    def _ask_quietly(self, run: Callable[[Project], object]) -> None:
        self.desk.ask(run, lambda _result: None, lambda _error: None)

    def _note_change(self) -> None:
        self.revision += 1
        self.changed.emit()
