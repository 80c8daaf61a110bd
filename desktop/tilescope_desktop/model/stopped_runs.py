"""Runs that stopped before their end: what they were, and how far they came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tilescope.domain.counts import counted
from tilescope.domain.geometry import Rect
from tilescope_desktop.model.settings import KeptFile

_MOST_KEPT = 50
_LONGEST_NAME = 1000
_RUNS = "runs"


@dataclass(frozen=True, slots=True)
class StoppedRun:
    """A run over a slide or parts of it that did not come to its end.

    Attributes
    ----------
    name
        Names its folder; no other run has it.
    identity
        What projects know its slide by.
    model_id, title
        The model, and what the user knows it as.
    region_l0
        Rectangle in level-0 pixels; None is the whole slide.
    areas_sha256, area_count
        Of the areas that it was in, which lie in its folder; None and 0 for none.
    plane
        Focal plane and time point, each from 0.
    um_per_px
        What the user said of the size of a pixel, None for nothing.
    parameters
        Those that differed from their defaults.
    memory_bytes, provider
        How it was run, as in `RunChoice`.
    done, total
        Tiles.
    """

    name: str
    identity: str
    model_id: str
    title: str
    region_l0: Rect | None
    um_per_px: float | None
    parameters: Mapping[str, float]
    memory_bytes: int
    provider: str
    done: int
    total: int
    areas_sha256: str | None = None
    area_count: int = 0
    plane: tuple[int, int] = (0, 0)

    @property
    def is_partial(self) -> bool:
        """Whether it was over a part of the slide."""
        return self.region_l0 is not None or self.areas_sha256 is not None

    def text(self, slide: str) -> str:
        """Return what to tell of it."""
        where = f"over a part of {slide}" if self.is_partial else f"over {slide}"
        if self.areas_sha256 is not None:
            where = f"inside {counted(self.area_count, 'area')} of {slide}"
        if self.done >= self.total:
            return f"What a run of {self.title} {where} found is not in a project yet."
        tiles = counted(self.total, "tile")
        return f"A run of {self.title} {where} stopped at {self.done:,} of {tiles}."


class StoppedRuns:
    """The newest runs that stopped, kept in one small file.

    What cannot be read or written is as if it had never been.
    """

    def __init__(self, folder: Path) -> None:
        self._file = KeptFile(folder / "stopped-runs.json")

    def of(self, identity: str) -> list[StoppedRun]:
        """Return what stopped on a slide, the newest first."""
        return [run for run in self._all() if run.identity == identity]

    def keep(self, run: StoppedRun) -> None:
        """Keep a run, in the place of what was kept of it before."""
        self._write([run, *(known for known in self._all() if known.name != run.name)])

    def forget(self, name: str) -> None:
        """Keep a run no longer: it came to its end, or nobody wants it."""
        before = self._all()
        if any(run.name == name for run in before):
            self._write([run for run in before if run.name != name])

    def _all(self) -> list[StoppedRun]:
        listed = self._file.read().get(_RUNS)
        found = [_read(one) for one in listed[:_MOST_KEPT]] if isinstance(listed, list) else []
        return [run for run in found if run is not None]

    def _write(self, runs: list[StoppedRun]) -> None:
        self._file.write(_RUNS, [_written(run) for run in runs[:_MOST_KEPT]])


def _written(run: StoppedRun) -> dict[str, object]:
    rect = run.region_l0
    corners = None if rect is None else [rect.x0, rect.y0, rect.x1, rect.y1]
    return {**asdict(run), "region_l0": corners, "parameters": dict(run.parameters)}


def _read(said: object) -> StoppedRun | None:
    """Return a run as it was written, None for what makes no sense."""
    if not isinstance(said, dict):
        return None
    try:
        corners, um = said["region_l0"], said["um_per_px"]
        # A file of an earlier version names no areas and no plane: such runs were not kept.
        areas = said.get("areas_sha256")
        z, t = said.get("plane", (0, 0))
        parameters = dict(said["parameters"])
        return StoppedRun(
            _name(said["name"]),
            _name(said["identity"]),
            _name(said["model_id"]),
            _name(said["title"]),
            None if corners is None else Rect(*(int(corner) for corner in corners)),
            None if um is None else float(um),
            {_name(key): float(value) for key, value in parameters.items()},
            int(said["memory_bytes"]),
            _name(said["provider"]),
            int(said["done"]),
            int(said["total"]),
            None if areas is None else _name(areas),
            0 if areas is None else int(said["area_count"]),
            (int(z), int(t)),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _name(said: object) -> str:
    if not isinstance(said, str) or len(said) > _LONGEST_NAME:
        raise TypeError("no name")
    return said
