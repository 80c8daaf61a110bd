"""Drawing, choosing and changing objects as commands, under QuPath's keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.model.commands import Command
from tilescope_desktop.model.object_style import ObjectStyle
from tilescope_desktop.model.outline_edits import (
    OutlineEdit,
    cut_out,
    intersect,
    round_off,
    unite,
)
from tilescope_desktop.model.tools.tool import Tool
from tilescope_desktop.view.flying import fly_to
from tilescope_desktop.view.tool_bench import ToolBench

_TOOL_KEYS = {
    "move": "M",
    "select": "S",
    "point": ".",
    "line": "L",
    "polyline": "V",
    "rectangle": "R",
    "ellipse": "O",
    "polygon": "P",
    "freehand": "Shift+P",
    "brush": "B",
    "wand": "W",
    "vertices": "E",
    "ruler": "Shift+L",
}
_MORE_TOOL_KEYS = {"select": ("Shift+S",)}
_OUTLINE_EDITS = (
    ("unite", "Unite", unite),
    ("intersect", "Keep what they share", intersect),
    ("cut-out", "Cut the others out of the first", cut_out),
    ("smooth", "Smooth", round_off),
)
_OPACITY_STEP = 0.1


def tool_commands(bench: ToolBench, cancel: Callable[[], None]) -> list[Command]:
    """Return the commands that take a tool into the hand; ``cancel`` is what Escape does."""
    return [
        *(tool_command(bench, tool, _TOOL_KEYS.get(tool.id, "")) for tool in bench.tools),
        Command("tool.cancel", "Cancel, or select nothing", "Tools", cancel, "Esc"),
        Command("tool.finish", "Finish the shape (Enter)", "Tools", bench.finish),
        Command("tool.larger", "Larger brush", "Tools", lambda: bench.resize_brush(1), "]"),
        Command("tool.smaller", "Smaller brush", "Tools", lambda: bench.resize_brush(-1), "["),
    ]


def tool_command(bench: ToolBench, tool: Tool, shortcut: str) -> Command:
    """Return the command that takes one tool into the hand."""
    return Command(
        f"tool.{tool.id}",
        tool.title,
        "Tools",
        lambda: bench.take_tool(tool.id),
        shortcut,
        is_checked=lambda: bench.tool.id == tool.id,
        also=_MORE_TOOL_KEYS.get(tool.id, ()),
    )


def edit_commands(bench: ToolBench, annotations: Annotations) -> list[Command]:
    """Return the commands that change objects."""

    def delete() -> None:
        if not bench.take_back():
            annotations.delete_selected()

    def undo() -> None:
        if not bench.take_back():
            annotations.undo()

    def can_undo() -> bool:
        return bench.is_pending or annotations.undo_label is not None

    def can_redo() -> bool:
        return not bench.is_pending and annotations.redo_label is not None

    def can_delete() -> bool:
        return bench.is_pending or bool(annotations.selected_ids)

    return [
        Command("edit.undo", "Undo", "Edit", undo, "Ctrl+Z", can_undo),
        Command(
            "edit.redo",
            "Redo",
            "Edit",
            annotations.redo,
            "Ctrl+Shift+Z",
            can_redo,
            also=("Ctrl+Y",),
        ),
        Command("edit.delete", "Delete", "Edit", delete, "Del", can_delete),
        *_selection_commands(bench, annotations),
    ]


def _selection_commands(bench: ToolBench, annotations: Annotations) -> list[Command]:
    def has_selection() -> bool:
        return bool(annotations.selected_ids)

    def select_all() -> None:
        slide = bench.front_slide
        if slide is not None:
            annotations.select_all(slide)

    def fly() -> None:
        planes = [one.plane for one in annotations.selected]
        # What is selected may lie on the slide beside the one in front.
        for tab in (bench.tab, *bench.slides):
            box = None if tab is None or not tab.isVisible() else bench.selected_box(tab)
            if tab is not None and box is not None:
                here = tab.planes.place
                fly_to(tab, box, here if here in planes else planes[0])
                return

    def lock(is_locked: bool) -> Callable[[], None]:
        return lambda: annotations.lock_selected(is_locked)

    return [
        Command("edit.all", "Select all shown", "Edit", select_all, "Ctrl+A"),
        Command(
            "edit.none",
            "Select nothing",
            "Edit",
            annotations.select_nothing,
            "Ctrl+Alt+R",
            has_selection,
        ),
        Command("objects.fly", "Go to what is selected", "Objects", fly, "", has_selection),
        Command("edit.lock", "Lock", "Edit", lock(True), "Ctrl+Shift+K", has_selection),
        Command("edit.unlock", "Unlock", "Edit", lock(False), "Ctrl+Alt+K", has_selection),
    ]


def object_commands(annotations: Annotations) -> list[Command]:
    """Return the commands that say how objects look, and those that choose a class by its key."""

    def switch(name: str, title: str, key: str) -> Command:
        def turn() -> None:
            is_on = bool(getattr(annotations.style, name))
            annotations.restyle(annotations.style.switched(name, not is_on))

        return Command(
            f"objects.{name.replace('_', '-')}",
            title,
            "Objects",
            turn,
            key,
            is_checked=lambda: bool(getattr(annotations.style, name)),
        )

    def fade(step: float) -> Callable[[], None]:
        def run() -> None:
            opacity = min(max(annotations.style.opacity + step, 0.0), 1.0)
            annotations.restyle(_faded(annotations.style, opacity))

        return run

    return [
        switch("shows_annotations", "Show annotations", "A"),
        switch("shows_detections", "Show detections", "D"),
        switch("fills_annotations", "Fill annotations", "Shift+F"),
        switch("fills_detections", "Fill detections", "F"),
        *(_outline_command(annotations, *edit) for edit in _OUTLINE_EDITS),
        Command("objects.stronger", "Stronger", "Objects", fade(_OPACITY_STEP), "Ctrl+]"),
        Command("objects.fainter", "Fainter", "Objects", fade(-_OPACITY_STEP), "Ctrl+["),
        *(_class_command(annotations, key) for key in "123456789"),
        Command("objects.class-0", "No class", "", lambda: annotations.set_class(None), "Alt+0"),
    ]


def _class_command(annotations: Annotations, key: str) -> Command:
    def name() -> str | None:
        return next((one.name for one in annotations.classes if one.hot_key == key), None)

    return Command(
        f"objects.class-{key}",
        f"Class of key {key}",
        "",
        lambda: annotations.set_class(name()),
        f"Alt+{key}",
        lambda: name() is not None,
    )


def _faded(style: ObjectStyle, opacity: float) -> ObjectStyle:
    return replace(style, opacity=round(opacity, 2))


def _outline_command(annotations: Annotations, name: str, title: str, edit: OutlineEdit) -> Command:
    return Command(
        f"objects.{name}",
        title,
        "Objects/Outlines",
        lambda: annotations.change_outlines(edit),
        is_enabled=lambda: bool(annotations.selected_ids),
    )
