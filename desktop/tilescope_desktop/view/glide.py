"""A slide that was flung goes on for a while."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from PySide6.QtCore import QObject, QPointF, QTimer

#: Share of its speed that a flung slide keeps per frame, and where it stops, in pixels per frame.
_KEPT = 0.92
_END = 0.5
_LEAST_FLING = 4.0
#: Held still so long before it is let go, the slide stays where it is.
_HELD_S = 0.08
_FRAME_MS = 16


class Glide(QObject):
    """Moves on what was dragged fast until it was let go, slower and slower.

    ``move`` drags by logical pixels.
    """

    def __init__(self, move: Callable[[float, float], None], parent: QObject) -> None:
        super().__init__(parent)
        self._move = move
        self._velocity = QPointF()
        self._dragged_at = 0.0
        self._frames = QTimer(self, interval=_FRAME_MS)
        self._frames.timeout.connect(self._go_on)

    @property
    def is_on(self) -> bool:
        """Whether the slide moves by itself."""
        return self._frames.isActive()

    def begin_drag(self) -> None:
        """Stop, and forget how fast the slide was."""
        self.stop()
        self._velocity = QPointF()

    def drag(self, step: QPointF) -> None:
        """Note by how much the hand has moved the slide just now."""
        self._dragged_at = time.perf_counter()
        self._velocity = self._velocity * 0.5 + step * 0.5

    def let_go(self) -> None:
        """Go on, if the hand was fast when it let go."""
        is_still = time.perf_counter() - self._dragged_at > _HELD_S
        if not is_still and self._speed > _LEAST_FLING:
            self._frames.start()

    def stop(self) -> None:
        """Leave the slide where it is."""
        self._frames.stop()

    @property
    def _speed(self) -> float:
        return math.hypot(self._velocity.x(), self._velocity.y())

    def _go_on(self) -> None:
        self._velocity *= _KEPT
        if self._speed < _END:
            self.stop()
            return
        self._move(self._velocity.x(), self._velocity.y())
