"""Classified tiles as GeoJSON in QuPath's dialect: tile objects with the colour of their class."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from tilescope.exchange.classmap_table import ScoredTile
from tilescope.exchange.objects import object_uuids
from tilescope.exchange.palette import class_colour
from tilescope.exchange.staging import staged_file

_PART = 2048


def write_tile_geojson(
    path: Path, tiles: Iterable[ScoredTile], *, run_id: UUID, class_names: Sequence[str]
) -> int:
    """Write every tile with its class and its probabilities and return how many.

    Parameters
    ----------
    path
        Appears when it is whole.
    run_id
        Names of tiles are derived from it and the tile's number.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    count = 0
    rest = iter(tiles)
    with staged_file(path) as file:
        file.write(b'{"type":"FeatureCollection","features":[')
        while part := list(islice(rest, _PART)):
            names = object_uuids(run_id, range(count + 1, count + 1 + len(part)))
            texts = [
                _feature(tile, name, class_names) for tile, name in zip(part, names, strict=True)
            ]
            file.write((",\n" if count else "\n").encode() + ",\n".join(texts).encode())
            count += len(part)
        file.write(b"\n]}\n")
    return count


def _feature(tile: ScoredTile, name: str, class_names: Sequence[str]) -> str:
    x0, y0, x1, y1 = (round(value, 2) for value in tile.rect_l0)
    properties: dict[str, Any] = {"objectType": "tile"}
    if tile.class_index is not None:
        properties["classification"] = {
            "name": class_names[tile.class_index],
            "color": class_colour(tile.class_index),
        }
    properties["measurements"] = {
        f"Probability {label}": round(value, 6)
        for label, value in zip(class_names, tile.probabilities.tolist(), strict=True)
    }
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    feature = {
        "type": "Feature",
        "id": name,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
    }
    return json.dumps(feature, ensure_ascii=False, separators=(",", ":"))
