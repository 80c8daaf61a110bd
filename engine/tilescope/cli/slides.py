"""``tilescope info`` and ``tilescope thumbnail``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from tilescope.domain.slide import SlideInfo
from tilescope.errors import UsageError
from tilescope.io.cache import TileCache
from tilescope.io.registry import Declined, open_explained, open_slide

_CACHE_BYTES = 64 * 2**20


def print_info(slide: Path, *, as_json: bool, um_per_px: float | None = None) -> None:
    """Print what is known of a slide, which reader opened it, and why the others did not."""
    opened = open_explained(slide, cache=TileCache(_CACHE_BYTES), um_per_px=um_per_px)
    with opened.source as source:
        values = describe(source.info, opened.declined)
    if as_json:
        typer.echo(json.dumps(values, ensure_ascii=False))
    else:
        _print_text(values)


def describe(info: SlideInfo, declined: tuple[Declined, ...] = ()) -> dict[str, Any]:
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
        "icc_profile": _colours(info.icc_profile),
        "properties": dict(info.properties),
        "declined": [{"reader": d.reader, "reason": d.reason} for d in declined],
    }


def _colours(profile: bytes | None) -> dict[str, Any] | None:
    if profile is None:
        return None
    from tilescope.io.icc import profile_name

    return {"name": profile_name(profile), "size_bytes": len(profile)}


def _print_text(values: dict[str, Any]) -> None:
    """Print one line per value; vendors' own properties are left to JSON."""
    levels, declined, profile = (values.pop(key) for key in ("levels", "declined", "icc_profile"))
    del values["properties"]
    for key, value in values.items():
        typer.echo(f"{key}: {_text(value)}")
    colours = (
        "none"
        if profile is None
        else f"{profile['name'] or 'unnamed'}, {profile['size_bytes']} bytes"
    )
    typer.echo(f"icc_profile: {colours}")
    for index, level in enumerate(levels):
        typer.echo(
            f"level {index}: {level['width']} x {level['height']}, downsample "
            f"{level['downsample']:g}, tiles {level['tile'][0]} x {level['tile'][1]}"
        )
    for other in declined:
        typer.echo(f"declined by {other['reader']}: {other['reason']}")


def _text(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def save_thumbnail(slide: Path, out: Path, max_side: int, picture: str | None = None) -> None:
    """Write a picture of the slide, its longer side at most ``max_side`` pixels.

    With ``picture`` it is the label, macro or other picture of that name, as large as it is.

    Raises
    ------
    UsageError
        When the picture would replace the slide, or the slide has none of that name.
    """
    from tilescope.exchange.overview import write_png
    from tilescope.io.associated import read_associated
    from tilescope.io.thumbnail import thumbnail

    if out.exists() and slide.exists() and out.samefile(slide):
        raise UsageError(f"{out} is the slide itself; give the picture another name")
    cache = TileCache(_CACHE_BYTES)
    with open_slide(slide, cache=cache) as source:
        if picture is not None:
            write_png(out, read_associated(source.info, picture))
        else:
            write_png(out, thumbnail(source, cache, max_side))
