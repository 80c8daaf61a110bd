"""What a run decided before its first block, for the run that continues it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tilescope.domain.contrast import Contrast
from tilescope.domain.geometry import Size
from tilescope.inference.schedule import Schedule, schedule_of
from tilescope.jobs.running.scale import WorkingScale


@dataclass(frozen=True, slots=True)
class Remembered:
    """Decisions that a resumed run takes over instead of making them again.

    ``memory_bytes`` is the cap under which ``tile`` was planned, ``is_exact`` whether it was for
    the exact halo, ``schedule`` how the network is run patch by patch, ``batch`` how many tiles
    at once.
    """

    scale: WorkingScale
    tile: Size
    is_exact: bool
    memory_bytes: int
    contrast: Contrast
    provider: str
    schedule: Schedule | None
    batch: int

    def as_dict(self) -> dict[str, Any]:
        """Return it for the ledger."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Remembered:
        """Return what :meth:`as_dict` gave."""
        contrast, schedule = values["contrast"], values["schedule"]
        return cls(
            WorkingScale(**values["scale"]),
            Size(**values["tile"]),
            values["is_exact"],
            values["memory_bytes"],
            Contrast(
                contrast["dark_background"],
                *(tuple(contrast[name]) for name in ("low", "high", "mean", "deviation")),
            ),
            values["provider"],
            None if schedule is None else schedule_of(schedule),
            values["batch"],
        )
