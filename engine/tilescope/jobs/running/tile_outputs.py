"""The files of classified tiles, streamed from their ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
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
from tilescope.jobs.running.map_values import MapValues
from tilescope.jobs.running.outputs import OVERVIEW_PX, run_id_of
from tilescope.jobs.running.result_files import ResultFile
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
    values
        The rule that makes classes of scores.
    """

    context: TaskContext
    tiles: Callable[[], Iterator[ScoredTile]]
    scores: NDArray[np.float32]
    place: MapPlace
    values: MapValues

    @property
    def image_name(self) -> str:
        """The slide's file name."""
        return Path(self.context.opened.source.info.path).name


def tile_files(frame: TileFrame, areas: Sequence[ClassArea]) -> tuple[ResultFile, ...]:
    """Return the files that classified tiles can be written to."""
    names, image = frame.context.spec.classes, frame.image_name
    return (
        ResultFile("geojson", "geojson", "objects.geojson", partial(_geojson, frame)),
        ResultFile(
            "ome-zarr",
            "ome-zarr",
            "heatmap.ome.zarr",
            partial(
                write_tile_scores,
                scores=frame.scores,
                place=frame.place,
                class_names=names,
                threshold=frame.values.threshold,
            ),
        ),
        ResultFile(
            "csv",
            "csv",
            "tiles.csv",
            lambda path: write_tiles(path, frame.tiles(), image=image, class_names=names),
        ),
        ResultFile("areas", "csv", "areas.csv", lambda path: write_areas(path, areas, image=image)),
        ResultFile("overview", "overview", "overview.png", partial(_overview, frame)),
    )


def _geojson(frame: TileFrame, path: Path) -> None:
    context, names = frame.context, frame.context.spec.classes
    scope = context.prepared.settings.scope
    run_id = run_id_of(context.spec.ref, context.opened.source.info, scope)
    write_tile_geojson(path, frame.tiles(), run_id=run_id, class_names=names)


def _overview(frame: TileFrame, path: Path) -> None:
    opened = frame.context.opened
    plane = frame.context.plane
    picture, factor = overview_picture(opened.source, opened.cache, OVERVIEW_PX, plane)
    values = np.zeros(picture.shape[:2], class_dtype(len(frame.scores)))
    for tile in frame.tiles():
        x0, y0, x1, y1 = (round(value / factor) for value in tile.rect_l0)
        if frame.values.is_heat:
            values[y0:y1, x0:x1] = heat_of(tile.probabilities)[0]
        elif tile.class_index is not None:
            values[y0:y1, x0:x1] = tile.class_index + 1
    if frame.values.is_heat:
        write_png(path, draw_heat(picture, values))
    else:
        write_png(path, draw_classes(picture, values, len(frame.scores)))
