"""What exporters write into a graph's ``metadata_props``, as hints."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping

from tilescope.domain.manifest import Task
from tilescope.jobs.adding.model_hints import Hints, clean_classes, clean_text, positive

#: Names of the task by exporters of detectors.
_TASKS: Mapping[str, Task] = {
    "detect": "detect",
    "classify": "classification",
    "semantic": "semantic",
    "segmentation": "semantic",
    "classification": "classification",
    "detection": "detect",
}
_CLASS_KEYS = ("names", "class_names", "classes")
_PIXEL_SIZE_KEYS = ("um_per_px", "spacing_um_px", "mpp")


def read_notes(notes: Mapping[str, str]) -> Hints:
    """Return what the notes say; what cannot be understood is left out."""
    size = _literal(notes.get("imgsz", ""))
    side = size[0] if isinstance(size, list | tuple) and size else size
    tile = positive(side, 16384)
    stride = positive(_literal(notes.get("stride", "")), 1024)
    pixel_sizes = (positive(_literal(notes.get(key, "")), 100.0) for key in _PIXEL_SIZE_KEYS)
    classes = (_names(notes.get(key, "")) for key in _CLASS_KEYS)
    return Hints(
        source="the graph's metadata",
        version=clean_text(notes.get("version")),
        licence=clean_text(notes.get("license") or notes.get("licence")),
        description=clean_text(notes.get("description")),
        task=_TASKS.get(notes.get("task", "")),
        classes=next((names for names in classes if names), None),
        um_per_px=next((value for value in pixel_sizes if value), None),
        tile_px=int(tile) if tile else None,
        step_px=int(stride) if stride else None,
    )


def _literal(text: str) -> object:
    """Return the number, list or table that a text is in Python's or JSON's notation."""
    for parse in (json.loads, ast.literal_eval):
        try:
            value: object = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        return value
    return None


def _names(text: str) -> tuple[str, ...] | None:
    value = _literal(text)
    if isinstance(value, dict):
        try:
            value = [value[key] for key in sorted(value, key=int)]
        except (TypeError, ValueError):
            return None
    if isinstance(value, list | tuple):
        return clean_classes(value)
    return clean_classes(text.split(",")) if text and value is None else None
