"""What two fingers on a trackpad mean."""

from __future__ import annotations

import math

from PySide6.QtCore import Qt
from PySide6.QtGui import QInputDevice, QWheelEvent

#: Two fingers that pinch turn a little, too; the slide turns when they mean it.
_TWIST_DEG = 12.0


def is_by_fingers(event: QWheelEvent) -> bool:
    """Tell whether a trackpad was stroked; wheels of mice tell of pixels on some systems, too."""
    is_pad = event.deviceType() == QInputDevice.DeviceType.TouchPad
    has_phase = event.phase() != Qt.ScrollPhase.NoScrollPhase
    return (is_pad or has_phase) and not event.pixelDelta().isNull()


def meant_turn(twist_deg: float) -> float:
    """Return by how much of a twist of two fingers the slide turns."""
    return math.copysign(max(abs(twist_deg) - _TWIST_DEG, 0.0), twist_deg)
