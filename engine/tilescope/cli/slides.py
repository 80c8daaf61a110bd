"""``tilescope info`` and ``tilescope thumbnail``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from tilescope.domain.slide import SlideInfo
from tilescope.errors import UsageError
from tilescope.exchange.overview import write_png
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.io.thumbnail import thumbnail

_CACHE_BYTES = 64 * 2**20


def print_info(slide: Path, *, as_json: bool) -> None:
    """Print what is known of a slide."""
    with open_slide(slide, cache=TileCache(_CACHE_BYTES)) as source:
        values = describe(source.info)
    if as_json:
        typer.echo(json.dumps(values, ensure_ascii=False))
        return
    levels = values.pop("levels")
    for key, value in values.items():
        typer.echo(f"{key}: {_text(value)}")
    for index, level in enumerate(levels):
        typer.echo(
            f"level {index}: {level['width']} x {level['height']}, downsample "
            f"{level['downsample']:g}, tiles {level['tile'][0]} x {level['tile'][1]}"
        )


def describe(info: SlideInfo) -> dict[str, Any]:
    """Return a slide's description as documented for ``tilescope info --json``."""
    pixel_size = info.pixel_size
    return {
        "path": info.path,
        "format": info.format,
        "reader": info.reader,
        "size_bytes": info.size_bytes,
        "width": info.size.width,
        "height": info.size.height,
        "levels": [
            {
                "width": level.size.width,
                "height": level.size.height,
                "downsample": level.downsample_x,
                "tile": [level.tile.width, level.tile.height],
            }
            for level in info.levels
        ],
        "channels": list(info.bands),
        "dtype": info.dtype,
        "z": info.z,
        "t": info.t,
        "um_per_px": None if pixel_size is None else [pixel_size.um_x, pixel_size.um_y],
        "um_per_px_source": info.pixel_size_source,
        "objective_power": info.objective_power,
        "associated_images": list(info.associated),
    }


def _text(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def save_thumbnail(slide: Path, out: Path, max_side: int) -> None:
    """Write a picture of the slide, its longer side at most ``max_side`` pixels.

    Raises
    ------
    UsageError
        When the picture would replace the slide.
    """
    if out.exists() and slide.exists() and out.samefile(slide):
        raise UsageError(f"{out} is the slide itself; give the picture another name")
    cache = TileCache(_CACHE_BYTES)
    with open_slide(slide, cache=cache) as source:
        write_png(out, thumbnail(source, cache, max_side))
