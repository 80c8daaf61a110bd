"""What a run is asked to do, and how it tells its progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tilescope.domain.geometry import Rect
from tilescope.inference.session import Precision
from tilescope.io.address import parse_address
from tilescope.ops.areas import Areas
from tilescope.plugins.registry import InstalledModel

FORMATS = ("geojson", "ome-zarr", "csv", "coco", "overview")
DEFAULT_FORMATS = ("geojson", "ome-zarr", "csv", "overview")
#: Parameters that every model with a working object size has, beside its own.
DIAMETER_PARAMETER = "diameter_px"
#: Of every model that gives class maps or classifies tiles: the probability from which on a class
#: counts.
THRESHOLD_PARAMETER = "threshold"
DEFAULT_THRESHOLD = 0.5


def result_name(slide: Path) -> str:
    """Return the name of a slide's result folder; ``.`` is a Zarr folder with a name, too.

    Parts of a file have folders of their own: ``scan-page-3`` for ``scan.pdf#page=3``.
    """
    address = parse_address(slide)
    path = address.path
    stem = path.absolute().resolve().stem if path.name in {"", ".."} else path.stem
    return "-".join([stem, *(f"{part}-{number}" for part, number in sorted(address.part.items()))])


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One model over one slide.

    Attributes
    ----------
    model
        The model and where its files are.
    slide
        The file or OME-Zarr folder.
    out_dir
        Results go to ``out_dir/NAME/``, NAME being the slide's name without extension.
    memory_bytes
        Cap on the peak resident memory of the process.
    threads
        Threads of one inference.
    provider
        ``auto``, or one of `inference.backends.PROVIDERS`.
    precision
        In what the network computes; another than ``fp32`` changes results within a tolerance.
    region_l0
        Part of the slide in level-0 pixels; None is all of it. An object is kept whole when its
        point lies in it, as ``within`` has it; of one that is cut where the tiles at the edge end,
        the part they saw is kept and says where it is.
    within
        Areas of the slide; None is all of the region. They choose among what a run over the region
        without them would find, and change nothing of it: scale, tiles and seams are the same.
        Tiles that come near no area are not run; the tissue mask holds inside the areas, too.
        An object is kept whole when its centre of mass lies in an area or on its edge; of a bent
        object that does not cover its centre it is another point on it
        (`ops.inner_points`). A pixel of a class map or heat map, and a classified tile, is kept
        when its centre lies in an area; all others are 0, and areas of classes count kept ones
        only. The files cover the rectangle around the areas.
    um_per_px
        Overrides what the slide says of its pixel size.
    plane
        Focal plane and time point, each from 0.
    parameters
        The model's parameters that differ from their defaults, and ``diameter_px``.
    formats
        Which result files to write.
    overwrite
        Discard an earlier run instead of resuming it.
    project
        The project file that takes the objects of a complete run; None for none.
    keeps_partial
        Put objects into the project also when some tiles failed; the run is failed all the same.
    stores_only
        Run the model over nothing: tiles that no earlier run has done count as failed.
    streams_map
        Keep the map of a run as a growing OME-Zarr in its folder, for whoever looks on; see
        ``jobs.running.map_stream``.
    """

    model: InstalledModel
    slide: Path
    out_dir: Path
    memory_bytes: int
    threads: int
    provider: str = "auto"
    precision: Precision = "fp32"
    region_l0: Rect | None = None
    within: Areas | None = None
    um_per_px: float | None = None
    plane: tuple[int, int] = (0, 0)
    parameters: Mapping[str, float] = field(default_factory=dict)
    formats: tuple[str, ...] = DEFAULT_FORMATS
    overwrite: bool = False
    project: Path | None = None
    keeps_partial: bool = False
    stores_only: bool = False
    streams_map: bool = False

    @property
    def folder(self) -> Path:
        """Where the results of this slide go."""
        return self.out_dir / result_name(self.slide)


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is.

    Attributes
    ----------
    stage
        ``survey``, ``scale``, ``tiles``, ``seams`` or the name of the file being written.
    tiles_done, tiles_total
        Blocks, those of an earlier, interrupted run included.
    objects
        Objects found so far; None when the model gives a map instead.
    seconds_left
        Estimate for the tiles, None before there is one.
    tiles_per_s
        Tiles that this process finishes in a second, None before there is one.
    """

    stage: str
    tiles_done: int = 0
    tiles_total: int = 0
    objects: int | None = 0
    seconds_left: float | None = None
    tiles_per_s: float | None = None


OnProgress = Callable[[RunProgress], None]


def ignore_progress(_progress: RunProgress) -> None:
    """Take a progress report and do nothing."""
