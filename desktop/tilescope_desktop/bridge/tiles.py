"""Slides as pictures for the window: decoded and composed by workers, painted as they are.

A slide shown with certain colours and windows is a slide of its own in the picture cache, so a
change of contrast neither mixes old tiles with new ones nor waits for the old ones to go.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from tilescope.domain.slide import SlideId, SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope.io.cache import TileCache
from tilescope.io.loader import TileLoader
from tilescope.io.source import SlideSource
from tilescope.ops.compose import ChannelStyle, Composer
from tilescope_desktop.bridge.mailbox import Mailbox

_MOST_THREADS = 4


class PictureTiles:
    """One open slide, its styles, and the name under which its pictures are kept.

    Parameters
    ----------
    source
        The slide; who opened it closes it.
    raw
        Where undecorated tiles of fluorescence are kept, so that a change of contrast does not
        read the file again.
    styles
        One per band.
    """

    def __init__(
        self, source: SlideSource, raw: TileCache, styles: Sequence[ChannelStyle], number: int
    ) -> None:
        self._source = source
        self._raw = raw
        self._compose = Composer(styles, source.info.dtype)
        self.styles = tuple(styles)
        self.id = SlideId(f"{source.info.id.value}/{number}")

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide."""
        return self._source.info

    def picture(self, key: TileKey) -> NDArray[np.uint32]:
        """Return a tile as ``uint32[height, width]``, ``0xffRRGGBB``; runs in a worker."""
        return self._compose(self._pixels(key))

    def _pixels(self, key: TileKey) -> NDArray[Any]:
        source = self._source
        if source.info.is_rgb:
            return source.read_tile(key.level, key.col, key.row, key.plane)
        raw_key = replace(key, slide=source.info.id)
        return self._raw.get(
            raw_key, lambda: source.read_tile(key.level, key.col, key.row, key.plane)
        )


class Tiles(Protocol):
    """Something that is shown tile by tile."""

    @property
    def id(self) -> SlideId:
        """The name under which its pictures are kept."""
        ...

    def picture(self, key: TileKey) -> NDArray[np.uint32]:
        """Return a tile as ``uint32[height, width]``; runs in a worker."""
        ...


@dataclass(frozen=True, slots=True)
class _Fault:
    key: TileKey
    error: BaseException


class TileService(QObject):
    """The picture cache, its workers, and what is shown: slides, and maps over them.

    ``ready`` tells which tiles arrived or failed, ``failed`` the id of what could not be read in
    places, and why.

    Parameters
    ----------
    pictures
        Cache of composed tiles, which views paint from.
    raw
        Cache of decoded tiles, shared with whatever else reads slides.
    """

    ready = Signal(list)
    failed = Signal(object, object)

    def __init__(
        self,
        pictures: TileCache,
        raw: TileCache,
        *,
        threads: int | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.pictures = pictures
        self._raw = raw
        self._numbers = itertools.count(1)
        self._shown: dict[SlideId, Tiles] = {}
        self._mailbox = Mailbox(self)
        self._mailbox.arrived.connect(self.ready)
        self._faults = Mailbox(self)
        self._faults.arrived.connect(self._note_faults)
        self._faulty: dict[SlideId, set[TileKey]] = {}
        count = threads or min(_MOST_THREADS, os.cpu_count() or 1)
        self.loader = TileLoader(pictures, self._load, self._mailbox.post, threads=count)

    @property
    def is_idle(self) -> bool:
        """Tell whether everything that is wanted is there, or failed, and the views know it."""
        # In this order: what the loader has done is in the mailbox by then.
        return self.loader.is_idle and self._mailbox.is_empty

    def show(self, source: SlideSource, styles: Sequence[ChannelStyle]) -> PictureTiles:
        """Return a slide as pictures in these styles, for as long as it is not hidden."""
        tiles = PictureTiles(source, self._raw, styles, next(self._numbers))
        self.add(tiles)
        return tiles

    def add(self, tiles: Tiles) -> None:
        """Have something shown for as long as it is not hidden."""
        self._shown[tiles.id] = tiles

    def hide(self, tiles: Tiles) -> None:
        """Forget the pictures of something; its tiles on their way are dropped on arrival."""
        self._shown.pop(tiles.id, None)
        self.pictures.drop_slide(tiles.id)
        self.loader.forgive(self._faulty.pop(tiles.id, ()))

    def faults(self, slide: SlideId) -> int:
        """Return how many tiles of what is shown could not be read."""
        return len(self._faulty.get(slide, ()))

    def try_again(self, slide: SlideId) -> None:
        """Read the tiles anew that could not be read."""
        self.loader.forgive(self._faulty.pop(slide, ()))

    def close(self) -> None:
        """Stop the workers; calling it twice is fine."""
        self._mailbox.close()
        self._faults.close()
        self.loader.close()
        self._shown.clear()

    def _load(self, key: TileKey) -> NDArray[np.uint32]:
        tiles = self._shown[key.slide]
        try:
            return tiles.picture(key)
        except Exception as error:
            self._faults.post(_Fault(key, error))
            raise

    def _note_faults(self, faults: list[_Fault]) -> None:
        reasons: dict[SlideId, BaseException] = {}
        for fault in faults:
            slide = fault.key.slide
            if slide in self._shown:  # else it was closed meanwhile
                self._faulty.setdefault(slide, set()).add(fault.key)
                reasons.setdefault(slide, fault.error)
        for slide, error in reasons.items():
            self.failed.emit(slide, error)
