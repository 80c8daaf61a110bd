"""What a run says of itself: the content of ``run.json``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tilescope.io.address import parse_address

Status = Literal["complete", "cancelled", "failed"]
_HEAD_BYTES = 1 << 20
_METADATA_FILES = ("zarr.json", ".zattrs", ".zgroup")


@dataclass(frozen=True, slots=True)
class TileReport:
    """Blocks of the plan by what became of them."""

    total: int = 0
    done: int = 0
    skipped_background: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class SecondsReport:
    """Wall-clock seconds of this process; stages overlap, so they may add up to more."""

    total: float = 0.0
    read: float = 0.0
    infer: float = 0.0
    decode: float = 0.0
    write: float = 0.0


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run over one slide.

    ``areas`` has the area of every class of a class map or of classified tiles, and is empty for
    objects. ``halo_inexact_because`` names the node of the graph that makes exact tiling
    impossible, ``blended`` says that neighbouring tiles were blended instead.

    ``provider_why`` says why that provider runs the network and others do not, ``precision`` in
    what it computes.

    ``patches`` says how the network was run patch by patch because a tile did not fit under the cap
    at once, and is None otherwise; ``batch`` is how many tiles were run at once.

    ``within`` says how many areas the run was about, which (``sha256``) and what rectangle of
    level-0 pixels is around them (``x,y,width,height``); None is the whole region. Only tiles near
    areas are counted then.

    ``project`` says how many objects were put into a project (``added``), how many of the same
    model made room for them (``replaced``), and how many stayed where it ran because a person had a
    hand in them (``kept``); None when none took them.

    ``licence`` is that of the model's weights; some are not for commercial use.

    ``outputs`` is part of what ``--json`` prints and not of the file, whose neighbours they are.
    """

    model: dict[str, Any]
    slide: dict[str, Any]
    parameters: dict[str, Any]
    provider: str
    tiles: TileReport
    objects: int
    seconds: SecondsReport
    peak_rss_bytes: int
    memory_cap_bytes: int
    halo_px: int
    halo_exact: bool
    tilescope_version: str
    status: Status
    precision: str = "fp32"
    provider_why: str = ""
    patches: dict[str, Any] | None = None
    batch: int = 1
    within: dict[str, Any] | None = None
    project: dict[str, int] | None = None
    task: str = "instances"
    licence: str = ""
    halo_inexact_because: str | None = None
    blended: bool = False
    scale: dict[str, Any] = field(default_factory=dict)
    contrast: dict[str, Any] = field(default_factory=dict)
    areas: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)

    def as_json(self, *, with_outputs: bool) -> str:
        """Return the report as one JSON object on one line."""
        values = asdict(self)
        if not with_outputs:
            del values["outputs"]
        return json.dumps(values, ensure_ascii=False, allow_nan=False)


def head_sha256(slide: Path) -> str:
    """Return the sha256 of a file's first mebibyte, or of a folder's metadata or first file.

    Enough to tell slides apart (their headers differ) without reading gigabytes. What lies on the
    network is told apart by its address.
    """
    address = parse_address(slide)
    if address.url is not None:
        return hashlib.sha256(address.url.encode()).hexdigest()
    path = address.path
    if path.is_dir():
        files = [path / name for name in _METADATA_FILES if (path / name).is_file()]
        files = files or sorted(file for file in path.iterdir() if file.is_file())[:1]
        data = b"".join(_head(file) for file in files)
    else:
        data = _head(path)
    return hashlib.sha256(data).hexdigest()


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_HEAD_BYTES)
