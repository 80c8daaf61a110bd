"""Keys that hands know from QuPath, and what they do to objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

import shapely

from tilescope.domain.annotation import Annotation
from tilescope.store.project import Project
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.tools.tool import Draw
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.tool_bench import ToolBench

_SAY_MS = 8000


def habit_commands(window: MainWindow, bench: ToolBench, annotations: Annotations) -> list[Command]:
    """Return the commands; they join those that make and choose objects otherwise."""
    habits = _Habits(window, bench, annotations)

    def has_slide() -> bool:
        return bench.front_slide is not None

    def has_selection() -> bool:
        return bool(annotations.selected_ids)

    return [
        Command("file.save", "Save", "File", habits.save, "Ctrl+S", has_slide),
        Command("edit.duplicate", "Duplicate", "Edit", habits.duplicate, "Shift+D", has_selection),
        Command(
            "edit.restore",
            "Draw the last outline again",
            "Edit",
            habits.restore,
            "Shift+E",
            lambda: has_slide() and habits.last_outline is not None,
        ),
        Command(
            "edit.whole",
            "Outline the whole slide",
            "Edit",
            habits.outline_slide,
            "Ctrl+Shift+A",
            has_slide,
        ),
        Command(
            "edit.all-annotations",
            "Select all annotations",
            "Edit",
            lambda: habits.select_kind("annotations"),
            "Ctrl+Alt+A",
            has_slide,
        ),
        Command(
            "edit.all-detections",
            "Select all detections",
            "Edit",
            lambda: habits.select_kind("detections"),
            "Ctrl+Alt+D",
            has_slide,
        ),
        Command(
            "edit.toggle-lock",
            "Lock or unlock",
            "Edit",
            habits.toggle_lock,
            "Ctrl+K",
            has_selection,
        ),
    ]


class _Habits:
    def __init__(self, window: MainWindow, bench: ToolBench, annotations: Annotations) -> None:
        self._window = window
        self._bench = bench
        self._annotations = annotations
        self.last_outline: shapely.Geometry | None = None
        annotations.changed.connect(self._note_outline)

    def save(self) -> None:
        """Say that nothing has to be saved, once everything is."""
        annotations = self._annotations
        project = annotations.project
        if project is None:
            self._say("Nothing is drawn yet; every change is saved when it is made")
            return

        def said(_done: None) -> None:
            if not annotations.is_stranded:
                self._say(f"Every change is in {project.path.name} already")

        annotations.desk.ask(lambda _project: None, said, annotations.failed.emit)

    def duplicate(self) -> None:
        """Add copies of the selected objects, which are selected instead."""
        annotations, reach = self._annotations, self._annotations.in_reach()
        if reach is None:
            return
        annotations.desk.ask(
            lambda project: _copies(project, reach.read(project)),
            lambda copies: annotations.add(reach.slide, copies, "duplicate"),
            annotations.failed.emit,
        )

    def restore(self) -> None:
        """Draw the outline that was drawn last once more, on the slide in front."""
        slide = self._bench.front_slide
        if slide is not None and self.last_outline is not None:
            self._annotations.fulfil(slide, [Draw(self.last_outline)])

    def outline_slide(self) -> None:
        """Draw a rectangle around the whole slide."""
        slide = self._bench.front_slide
        if slide is not None:
            size = slide.info.size
            whole = shapely.box(0, 0, size.width, size.height)
            self._annotations.fulfil(slide, [Draw(whole)])

    def select_kind(self, kind: str) -> None:
        """Select all objects of a kind whose class is shown."""
        style, slide = self._annotations.style, self._bench.front_slide
        for one in ("annotations", "detections"):
            style = style.switched(f"shows_{one}", one == kind)
        if slide is not None:
            self._annotations.select_all(slide, style)

    def toggle_lock(self) -> None:
        """Lock the selected objects, or unlock them when all are locked."""
        reach = self._annotations.in_reach()
        if reach is not None:
            are_locked = bool(reach.marked) and all(one.is_locked for one in reach.marked)
            self._annotations.lock_selected(not are_locked)

    def _note_outline(self) -> None:
        """Remember what was drawn or changed last; it may be wanted on another slide."""
        fresh = self._annotations.fresh
        if fresh and fresh[-1].annotation.kind == "annotation":
            self.last_outline = shapely.from_wkb(fresh[-1].annotation.geometry)

    def _say(self, text: str) -> None:
        self._window.status.showMessage(text, _SAY_MS)


def _copies(project: Project, ids: Sequence[str]) -> list[Annotation]:
    found = (project.get(name) for name in ids)
    return [replace(one, id=str(uuid4()), locked=False) for one in found if one is not None]
