"""How much memory a run of a given tile size takes, known before the first tile is read."""

from __future__ import annotations

from dataclasses import dataclass

from tilescope.domain.geometry import Size
from tilescope.domain.manifest import ModelSpec
from tilescope.inference.measurements import BatchCost
from tilescope.inference.schedule import Schedule
from tilescope.jobs.running.patchwork import Patchwork

_MIB = 2**20
#: Blocks whose arrays exist at one time: one being read, one being inferred, one being decoded,
#: and one waiting in each channel while its neighbours are slower.
BLOCKS_IN_FLIGHT = 3
#: Bytes per pixel that decoding and outlining take beside the graph's outputs, measured.
_DECODE_BYTES_PER_PX = 96
#: What probabilities of one class take while blocks are blended: four arrays of float32, estimated.
_BLEND_BYTES_PER_CLASS_PX = 16
#: Runtime peak per input pixel of a network that nobody probed.
_UNKNOWN_PEAK_BYTES_PER_PX = 1024
#: Measured at one size and used at another.
_MEASURING_MARGIN = 1.1
#: What SQLite, the exporters and Python's own objects take on top, and the window of one scaled
#: read.
_SLACK_BYTES = 64 * _MIB
_CACHE_SHARE = 0.08
_CACHE_LIMITS = (16 * _MIB, 512 * _MIB)


def cache_bytes(cap_bytes: int) -> int:
    """Return the part of a memory cap that the tile cache gets."""
    low, high = _CACHE_LIMITS
    return int(min(max(cap_bytes * _CACHE_SHARE, low), high))


@dataclass(frozen=True, slots=True)
class Footprint:
    """Peak resident memory of a run as a function of the size of its tiles.

    Attributes
    ----------
    base_bytes
        Resident memory once the libraries, the slide and the model are loaded.
    cache_bytes
        Budget of the tile cache.
    spec
        The model.
    bands
        Bands of the slide, and bytes of one of its values.
    measured_bytes_per_px
        Runtime peak per input pixel, measured on this machine; None takes the manifest's.
    patchwork
        For a network that is run patch by patch; None for one that is run at once.
    """

    base_bytes: int
    cache_bytes: int
    spec: ModelSpec
    bands: int
    value_bytes: int
    measured_bytes_per_px: float | None = None
    patchwork: Patchwork | None = None

    @property
    def peak_bytes_per_px(self) -> float:
        """Bytes per input pixel that one inference takes at its peak."""
        if self.measured_bytes_per_px is not None:
            return _MEASURING_MARGIN * self.measured_bytes_per_px
        return self.spec.tile.peak_bytes_per_px or _UNKNOWN_PEAK_BYTES_PER_PX

    @property
    def flight_bytes_per_px(self) -> int:
        """Bytes per pixel of one block's pixels, inputs and outputs."""
        channels = sum(max(1, len(t.channels)) for t in (*self.spec.inputs, *self.spec.outputs))
        return self.bands * self.value_bytes + 4 * channels

    def bytes_at(self, tile: Size, batch: BatchCost | None = None) -> int:
        """Return the peak resident memory of the whole process for tiles of a size.

        Parameters
        ----------
        batch
            What several tiles in one inference take; None for tiles one by one.

        Raises
        ------
        GraphMismatch
            When patches are asked for and the size of a tensor cannot be told from the graph.
        """
        least = None if self.patchwork is None else self.patchwork.schedule(tile, 0)
        tiles = 1 if batch is None else batch.tiles
        return self._beside_bytes(tile, tiles) + self.runtime_bytes(tile, batch, least)

    def runtime_bytes(
        self, tile: Size, batch: BatchCost | None = None, schedule: Schedule | None = None
    ) -> int:
        """Return what one inference takes at its peak, at once or as scheduled."""
        if schedule is not None and self.patchwork is not None:
            return self.patchwork.bytes_of(schedule)
        if batch is not None:
            return int(_MEASURING_MARGIN * batch.bytes_per_px * tile.area)
        return int(self.peak_bytes_per_px * tile.area)

    def _beside_bytes(self, tile: Size, tiles: int = 1) -> int:
        """Return what is there beside the runtime when so many tiles are run at once."""
        per_px = (
            tiles * BLOCKS_IN_FLIGHT * self.flight_bytes_per_px
            + _DECODE_BYTES_PER_PX
            + _BLEND_BYTES_PER_CLASS_PX * self._class_maps
        )
        return int(self.base_bytes + self.cache_bytes + _SLACK_BYTES + per_px * tile.area)

    def schedule(self, tile: Size, cap_bytes: int) -> Schedule | None:
        """Return how a tile is run under a cap; None for at once.

        Raises
        ------
        GraphMismatch
            When the size of a tensor cannot be told from the graph.
        """
        if self.patchwork is None:
            return None
        return self.patchwork.schedule(tile, max(0, cap_bytes - self._beside_bytes(tile)))

    def effort(self, tile: Size, cap_bytes: int) -> float:
        """Return the work of one tile under a cap in units of the network's own."""
        schedule = self.schedule(tile, cap_bytes)
        return 1.0 if schedule is None else 1.0 + schedule.extra_work

    @property
    def _class_maps(self) -> int:
        return len(self.spec.classes) if self.spec.task == "semantic" else 0

    def least_cap(self, tile: Size) -> int:
        """Return a memory cap that does for tiles of a size; the cache's share grows with the cap.

        A process's base differs by a few megabytes from one start to the next.
        """
        fixed = self.bytes_at(tile) - self.cache_bytes
        low, high = _CACHE_LIMITS
        share = fixed * _CACHE_SHARE / (1 - _CACHE_SHARE)
        return int(fixed + min(max(share, low), high)) + 8 * _MIB
