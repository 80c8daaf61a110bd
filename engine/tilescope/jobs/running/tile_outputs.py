"""The files of classified tiles, streamed from their ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilescope.exchange.classmap import class_dtype
from tilescope.exchange.classmap_picture import draw_classes, draw_heat
from tilescope.exchange.classmap_pyramid import MapPlace
from tilescope.exchange.classmap_table import ClassArea, ScoredTile, write_areas, write_tiles
from tilescope.exchange.heat import heat_of, write_tile_scores
from tilescope.exchange.heat_tiles import write_tile_geojson
from tilescope.exchange.overview import write_png
from tilescope.jobs.request import RunProgress
from tilescope.jobs.running.outputs import OVERVIEW_PX, run_id_of
from tilescope.jobs.running.task_context import TaskContext
from tilescope.jobs.whole_picture import overview_picture


@dataclass(frozen=True, slots=True, eq=False)
class TileFrame:
    """Everything the files need of a run.

    Attributes
    ----------
    tiles
        Gives the tiles that were looked at, in order.
    scores
        ``float32[classes, rows, columns]``.
    place
        Where these lie on the slide.
    is_heat
        Whether there is a single class.
    """

    context: TaskContext
    tiles: Callable[[], Iterator[ScoredTile]]
    scores: NDArray[np.float32]
    place: MapPlace
    is_heat: bool

    @property
    def image_name(self) -> str:
        """The slide's file name."""
        return Path(self.context.opened.source.info.path).name


def write_tile_outputs(
    frame: TileFrame,
    formats: Sequence[str],
    areas: Sequence[ClassArea],
    written: dict[str, Path],
) -> Iterator[RunProgress]:
    """Write the chosen files, yielding before each; ``written`` gets them by format.

    Raises
    ------
    OutputError
        When the folder cannot take them.
    Cancelled
        When the token is set between two files.
    """
    folder, context, names = frame.context.request.folder, frame.context, frame.context.spec.classes
    if "geojson" in formats:
        path = folder / "objects.geojson"
        yield RunProgress(path.name)
        run_id = run_id_of(
            context.spec.ref, context.opened.source.info, context.prepared.settings.region_l0
        )
        write_tile_geojson(path, frame.tiles(), run_id=run_id, class_names=names)
        written["geojson"] = path
    if "ome-zarr" in formats:
        path = folder / "heatmap.ome.zarr"
        context.token.raise_if_cancelled()
        yield RunProgress(path.name)
        write_tile_scores(path, frame.scores, place=frame.place, class_names=names)
        written["ome-zarr"] = path
    if "csv" in formats:
        context.token.raise_if_cancelled()
        yield RunProgress("tiles.csv")
        write_tiles(folder / "tiles.csv", frame.tiles(), image=frame.image_name, class_names=names)
        written["csv"] = folder / "tiles.csv"
        write_areas(folder / "areas.csv", areas, image=frame.image_name)
        written["areas"] = folder / "areas.csv"
    if "overview" in formats:
        path = folder / "overview.png"
        context.token.raise_if_cancelled()
        yield RunProgress(path.name)
        _overview(frame, path)
        written["overview"] = path


def _overview(frame: TileFrame, path: Path) -> None:
    opened = frame.context.opened
    picture, factor = overview_picture(opened.source, opened.cache, OVERVIEW_PX)
    values = np.zeros(picture.shape[:2], class_dtype(len(frame.scores)))
    for tile in frame.tiles():
        x0, y0, x1, y1 = (round(value / factor) for value in tile.rect_l0)
        if frame.is_heat:
            values[y0:y1, x0:x1] = heat_of(tile.probabilities)[0]
        elif tile.class_index is not None:
            values[y0:y1, x0:x1] = tile.class_index + 1
    if frame.is_heat:
        write_png(path, draw_heat(picture, values))
    else:
        write_png(path, draw_classes(picture, values, len(frame.scores)))
