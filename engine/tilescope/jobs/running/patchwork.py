"""Running a network patch by patch where a tile does not fit at once, and what that takes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tilescope.domain.geometry import Size
from tilescope.inference.backends import open_session
from tilescope.inference.choice import Choice
from tilescope.inference.schedule import Schedule
from tilescope.inference.session import Precision, Session
from tilescope.inference.staged import plan_stages, staged_session

#: Gives the memory of one patch back before the next one takes its own.
PROVIDER = "cpu-lean"
#: A schedule that does more than so many times the network's own work is no help.
_MOST_EXTRA_WORK = 3.0
#: What a runtime takes is measured for one size and at once, and used for another and in patches.
_MARGIN = 1.1
#: Bytes of the runtime per byte of tensors, where nothing was measured.
_UNKNOWN_SHARE = 1.5


@dataclass(frozen=True, slots=True)
class Patchwork:
    """What inferences take that are run patch by patch.

    Attributes
    ----------
    weights
        The bytes of the ONNX file, already checked.
    layouts
        Of the inputs, by name.
    share
        Resident bytes per byte of tensors, as measured for the whole network.
    given
        The schedule of an interrupted run; None to look for one.
    """

    weights: bytes
    layouts: Mapping[str, str]
    share: float
    given: Schedule | None = None

    @classmethod
    def measured(
        cls,
        weights: bytes,
        layouts: Mapping[str, str],
        choice: Choice,
        given: Schedule | None = None,
    ) -> Patchwork:
        """Return the patchwork of a network that was measured at once in `PROVIDER`.

        Raises
        ------
        GraphMismatch
            When the size of a tensor cannot be told from the graph.
        """
        found, share = choice.measurement, _UNKNOWN_SHARE
        if found is not None:
            tensors = plan_stages(weights, (found.side_px, found.side_px), sys.maxsize, layouts)
            share = max(1.0, found.tile_bytes / max(1, tensors.whole_peak_bytes))
        return cls(weights, layouts, _MARGIN * share, given)

    def schedule(self, tile: Size, room_bytes: int) -> Schedule:
        """Return the schedule of least work within the room, else the one of least memory.

        Raises
        ------
        GraphMismatch
            When the size of a tensor cannot be told from the graph.
        """
        if self.given is not None:
            return self.given
        return plan_stages(
            self.weights,
            (tile.height, tile.width),
            int(room_bytes / self.share),
            self.layouts,
            most_extra_work=_MOST_EXTRA_WORK,
        )

    def bytes_of(self, schedule: Schedule) -> int:
        """Return the resident bytes that one inference takes at its peak."""
        return int(self.share * schedule.peak_bytes)

    def open(self, schedule: Schedule, *, threads: int, precision: Precision) -> Session:
        """Return the session; the caller closes it.

        Raises
        ------
        GraphMismatch
            When the schedule is one of another graph.
        """
        opened = partial(open_session, threads=threads, provider=PROVIDER, precision=precision)
        return staged_session(self.weights, schedule, opened, self.layouts)


def described(schedule: Schedule) -> dict[str, Any]:
    """Return what a schedule does, for programs."""
    rows, columns = schedule.patches
    return {
        "rows": rows,
        "columns": columns,
        "cut_at": list(schedule.live),
        "extra_multiply_adds": round(schedule.extra_work, 4),
        "tensor_bytes": schedule.peak_bytes,
        "tensor_bytes_at_once": schedule.whole_peak_bytes,
    }


def sentence(schedule: Schedule) -> str:
    """Return what a schedule does, for people."""
    rows, columns = schedule.patches
    return (
        f"a tile does not fit under the memory cap at once: the network runs up to "
        f"{', '.join(schedule.live)} in {rows} x {columns} patches, "
        f"{schedule.extra_work:.0%} more multiply-adds"
    )
