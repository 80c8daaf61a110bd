"""What is told about the objects of the open project."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal


class AnnotationNews(QObject):
    """The signals of `Annotations`.

    ``changed`` tells that objects are others than before or look otherwise, ``refreshed`` that
    classes, counts or what can be undone are, ``slides_found`` that the project was asked what it
    knows of the slides, ``said`` what was done, ``failed`` why not, ``edit_failed`` why an edit was
    not made, ``displaced`` what became of a project whose file went away. ``went_on`` gives the
    path that the work had been in, None when there was no project, and the one it goes on in.
    """

    changed = Signal()
    refreshed = Signal()
    selection_changed = Signal()
    project_changed = Signal()
    saved = Signal(str)
    said = Signal(str)
    failed = Signal(object)
    edit_failed = Signal(object)
    slides_found = Signal()
    displaced = Signal(object)
    went_on = Signal(object, object)
