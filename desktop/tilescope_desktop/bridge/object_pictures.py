"""Pictures of what lies on a slide, made by a thread for whoever shows it."""

from __future__ import annotations

import threading

from PySide6.QtCore import QObject, Signal

from tilescope.runtime.background import stand_back
from tilescope_desktop.bridge.mailbox import Mailbox
from tilescope_desktop.bridge.picture_maker import ObjectPicture, PictureMaker
from tilescope_desktop.bridge.project_desk import ProjectDesk
from tilescope_desktop.model.object_wish import Where


class ObjectPictures(QObject):
    """Makes the picture that each view wants, the newest wish of each.

    ``ready`` tells pictures on the thread that made this object, ``failed`` why there is none.
    """

    ready = Signal(object)
    failed = Signal(object)

    def __init__(self, desk: ProjectDesk, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._mailbox = Mailbox(self)
        self._mailbox.arrived.connect(self._tell)
        self._changed = threading.Condition()
        self._wishes: dict[int, Where] = {}
        self._is_open = True
        self._works = False
        self._maker = PictureMaker(desk, self._mailbox.post)
        self._gone: set[int] = set()
        self._thread: threading.Thread | None = None

    @property
    def is_idle(self) -> bool:
        """Tell whether all wished pictures are made."""
        with self._changed:
            return not self._wishes and not self._works

    def want(self, view: int, where: Where) -> None:
        """Wish for a picture; an older wish of the same view is dropped."""
        with self._changed:
            self._wishes[view] = where
            self._gone.discard(view)
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name="tilescope-objects", daemon=True
            )
            self._thread.start()

    def forget(self, view: int) -> None:
        """Want nothing more."""
        with self._changed:
            self._wishes.pop(view, None)
            self._gone.add(view)

    def close(self) -> None:
        """Stop the thread; calling it twice is fine."""
        with self._changed:
            self._is_open = False
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._mailbox.close()

    def _work(self) -> None:
        stand_back()
        with self._maker:
            while True:
                with self._changed:
                    self._works = self._maker.has_more
                    while self._is_open and not self._wishes and not self._maker.has_more:
                        self._changed.wait()
                    if not self._is_open:
                        return
                    wish = next(iter(self._wishes.items()), None)
                    if wish is not None:
                        del self._wishes[wish[0]]
                    gone, self._gone = self._gone, set()
                    self._works = True
                for view in gone:
                    self._maker.forget(view)
                if wish is not None:
                    self._maker.make(*wish)
                else:
                    self._maker.go_on()

    def _tell(self, letters: list[object]) -> None:
        for letter in letters:
            if isinstance(letter, ObjectPicture):
                self.ready.emit(letter)
            else:
                self.failed.emit(letter)
