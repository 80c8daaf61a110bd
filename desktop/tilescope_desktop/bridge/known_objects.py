"""What the window knows of the objects of the open project, and which of them are selected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject

from tilescope.domain.annotation import ObjectClass
from tilescope.store.project import Project
from tilescope_desktop.bridge.annotation_news import AnnotationNews
from tilescope_desktop.bridge.project_desk import OpenProject, ProjectDesk
from tilescope_desktop.model import project_tasks as tasks
from tilescope_desktop.model.object_classes import DEFAULT_CLASSES, colors_of, followed
from tilescope_desktop.model.object_style import ObjectStyle
from tilescope_desktop.model.places import data_folder, now, refuges
from tilescope_desktop.model.project_tasks import Found, OpenSlide, State
from tilescope_desktop.model.reach import Reach, reach_of
from tilescope_desktop.model.tools.tool import Pick, PickBox, Selected


class KnownObjects(AnnotationNews):
    """Classes, counts, looks and selection; `Annotations` changes the objects themselves.

    What is selected can be seen: it lies on a slide in sight, and nothing hides it since. Of what
    lies on several planes a command means what is on those that are shown.
    """

    def __init__(self, folder: Path | None, parent: QObject | None) -> None:
        super().__init__(parent)
        self.folder = data_folder() if folder is None else folder
        self.desk = ProjectDesk(lambda path: refuges(self.folder, path, now()), self)
        self.project: OpenProject | None = None
        self.is_lent = False
        self.active_class: str | None = None
        self.classes: tuple[ObjectClass, ...] = DEFAULT_CLASSES
        self.style = ObjectStyle(colors_of(DEFAULT_CLASSES))
        self.counts: dict[OpenSlide, dict[str | None, int]] = {}
        self.undo_label: str | None = None
        self.redo_label: str | None = None
        self.selected: tuple[Selected, ...] = ()
        self.selected_ids: tuple[str, ...] = ()
        self.selected_slide: OpenSlide | None = None
        self._slides: list[OpenSlide] = []
        self._in_sight: tuple[OpenSlide, ...] | None = None

    def restyle(self, style: ObjectStyle) -> None:
        """Paint objects otherwise; what is hidden by it is selected no longer."""
        before, self.style = self.style, style
        self.refreshed.emit()
        slide, ids = self.selected_slide, self.selected_ids
        if slide is not None and style.hides_more_than(before):
            # At once, so that a key that follows does not mean what is about to be hidden.
            self.select_nothing()
            self._look(lambda project: tasks.still_shown(project, ids, style), slide)

    def keep_in_sight(self, slides: Sequence[OpenSlide]) -> None:
        """Select on no other slides than these from now on, whatever is on its way."""
        self._in_sight = tuple(slides)
        if self.selected_slide is not None and not self._is_in_sight(self.selected_slide):
            self.select_nothing()

    def select(self, slide: OpenSlide, ids: Sequence[str]) -> None:
        """Select objects by their ids; what is not there is left out."""
        chosen = tuple(dict.fromkeys(ids))
        self._say_left_out(len(chosen))
        self._look(lambda _project: chosen[: tasks.MOST_SELECTED], slide)

    def select_all(self, slide: OpenSlide, style: ObjectStyle | None = None) -> None:
        """Select what is shown of a slide's objects, or would be in another style."""
        style = style or self.style
        if self.project is None or self.is_lent:
            return
        slides = tuple(self._slides)

        def run(project: Project) -> tuple[Found, State]:
            found = tasks.all_of(project, slide, style)
            return found, tasks.state_of(project, slides, slide, found.ids)

        def done(outcome: tuple[Found, State]) -> None:
            found, state = outcome
            self._take_state(state)
            self._say_left_out(found.total)

        self.desk.ask(run, done, self.failed.emit)

    def select_nothing(self) -> None:
        """Select nothing."""
        self.selected, self.selected_ids, self.selected_slide = (), (), None
        self.selection_changed.emit()
        self.refreshed.emit()

    def in_reach(self) -> Reach | None:
        """Return which of the selected objects a command means; that it means none is said."""
        slide = self.selected_slide
        if slide is None or not self.selected_ids:
            return None
        planes = {one.plane for one in self._shown_slides if _is_one(slide, one)}
        reach = reach_of(slide, self.selected_ids, self.selected, planes)
        if reach.is_empty:
            self.said.emit(f"Nothing was changed: {reach.refusal}")
            return None
        return reach

    # -- inside -----------------------------------------------------------------------------------

    def _choose(
        self, slide: OpenSlide, choose: Callable[..., tuple[str, ...]], wish: Pick | PickBox
    ) -> None:
        before = self.selected_ids if self.selected_slide is slide else ()
        style = self.style
        self._look(lambda project: choose(project, slide, wish, style, before), slide)

    def _look(self, choose: Callable[[Project], tuple[str, ...]], slide: OpenSlide) -> None:
        if self.project is None or self.is_lent:
            return
        slides = tuple(self._slides)

        def run(project: Project) -> State:
            return tasks.state_of(project, slides, slide, choose(project))

        self.desk.ask(run, self._take_state, self.failed.emit)

    @property
    def _shown_slides(self) -> Sequence[OpenSlide]:
        return self._slides if self._in_sight is None else self._in_sight

    def _take_state(self, state: State) -> None:
        if self.project is None:  # it was put away before this was answered
            return
        called = followed(self.classes, state.classes)
        self.classes, self.active_class = state.classes, called(self.active_class)
        hidden = {called(name) for name in self.style.hidden if name is None or called(name)}
        colors = colors_of(state.classes)
        self.style = replace(self.style, colors=colors, hidden=frozenset(hidden))
        self.counts = state.counts
        self.undo_label, self.redo_label = state.undo, state.redo
        if not self._is_in_sight(state.slide):
            state = replace(state, slide=None, ids=(), marked=())
        self.selected_slide, self.selected_ids = state.slide, state.ids
        self.selected = state.marked
        self.selection_changed.emit()
        self.refreshed.emit()

    def _is_in_sight(self, slide: OpenSlide | None) -> bool:
        return slide is None or any(_is_one(slide, one) for one in self._shown_slides)

    def _say_left_out(self, wanted: int) -> None:
        """Say that not all that was wanted is selected."""
        if wanted > tasks.MOST_SELECTED:
            self.said.emit(
                f"{tasks.MOST_SELECTED:,} of {wanted:,} selected, the most at once; "
                "hide classes or filter the table to reach the rest"
            )


def _is_one(slide: OpenSlide, other: OpenSlide) -> bool:
    """Tell whether both are one slide; one that was just opened once more has no number yet."""
    is_known = slide.identity is not None
    return slide.is_same(other) or (is_known and slide.identity == other.identity)
