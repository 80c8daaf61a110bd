"""What a class map or heat map says of itself, and where it lies on a slide; all may be hostile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.slide import Level, SlideId, SlideInfo
from tilescope.domain.tiles import TileKey, tiles_in
from tilescope.errors import CorruptSlide, UnsupportedFormat
from tilescope.exchange.classmap import MOST_IN_A_BYTE
from tilescope.exchange.classmap_pyramid import ATTRIBUTE
from tilescope.exchange.palette import RGB, class_colour

RectL0 = tuple[float, float, float, float]

#: Side of a tile as it is painted.
TILE_PX = 256
#: Edges this near to that of a pixel of a map are meant to be there.
_SNAP = 1e-6
_MOST_CLASSES = 65_535
_MOST_FACTOR = 1e6
_FARTHEST = 1e15
_MOST_TILE_BYTES = 64 << 20
_DEFAULT_THRESHOLD = 0.5


class MapKind(Enum):
    """What the numbers of a map are."""

    CLASSES = "numbers of classes, 0 for none"
    HEAT = "the probability of a class in 255ths"
    SCORES = "a probability for each class"


@dataclass(frozen=True, slots=True)
class MapFacts:
    """A map, and where it lies.

    Attributes
    ----------
    classes
        Name and colour of each, in the order of their numbers.
    factor
        Level-0 pixels of the slide per pixel of the map, along x and y.
    origin_l0
        The map's top left corner, x then y.
    threshold
        Probability from which on a class counts, where the map does not say which does.
    plane
        Focal plane and time point that it was made of, each from 0; None is any.
    """

    kind: MapKind
    classes: tuple[tuple[str, RGB], ...]
    factor: tuple[float, float]
    origin_l0: tuple[float, float]
    threshold: float = _DEFAULT_THRESHOLD
    plane: tuple[int, int] | None = None

    def is_on(self, plane: tuple[int, int]) -> bool:
        """Tell whether it says something of a focal plane and time point."""
        return self.plane in (None, plane)


def facts_of(attributes: Mapping[str, Any], info: SlideInfo, slide: SlideInfo) -> MapFacts:
    """Return what a map says, and make sure that it lies on a slide.

    Parameters
    ----------
    attributes
        Of its group.
    info
        Of the same group, as an image.
    slide
        The slide it is to be shown over.

    Raises
    ------
    UnsupportedFormat
        When it is no map, or one of another slide.
    CorruptSlide
        When what it says contradicts itself.
    """
    kind = _kind(attributes, info)
    said = attributes.get(ATTRIBUTE)
    own = said if isinstance(said, dict) else {}
    factor = _pair(own.get("factor")) or _factor_by_scale(attributes, info, slide)
    if not all(0 < value <= _MOST_FACTOR for value in factor):
        raise CorruptSlide(info.path, f"its pixels are {factor[0]} x {factor[1]} of the slide's")
    origin = _pair(own.get("origin_l0"))
    if origin is None:
        origin = _origin_by_translation(attributes, info, factor, slide)
    plane = _plane(own.get("plane"))
    _check_on(slide, info, own, factor, origin)
    _check_plane(slide, info, plane)
    threshold = own.get("threshold")
    is_known = isinstance(threshold, int | float) and 0 <= threshold <= 1
    return MapFacts(
        kind,
        _classes(kind, attributes, info),
        factor,
        origin,
        float(threshold) if is_known and threshold is not None else _DEFAULT_THRESHOLD,
        plane,
    )


def levels_over(info: SlideInfo, factor: tuple[float, float]) -> tuple[Level, ...]:
    """Return the levels of a map in tiles for painting, lying on the slide's level 0.

    Raises
    ------
    CorruptSlide
        When they are not halved from each other.
    UnsupportedFormat
        When their blocks are too large to be read for one tile.
    """
    levels = []
    for index, level in enumerate(info.levels):
        whole, step = info.size, 2**index
        if level.size != Size(-(-whole.width // step), -(-whole.height // step)):
            raise CorruptSlide(info.path, f"level {index} is not half of the one before")
        if level.tile.area * len(info.bands) * 4 > _MOST_TILE_BYTES:
            raise UnsupportedFormat(info.path, "its blocks are too large to be shown while moving")
        tile = Size(TILE_PX, TILE_PX)
        levels.append(Level(index, level.size, tile, factor[0] * step, factor[1] * step))
    return tuple(levels)


def tiles_touched(
    levels: Sequence[Level], name: SlideId, rect_l0: RectL0, origin_l0: tuple[float, float]
) -> Iterator[TileKey]:
    """Yield the tiles of all levels that show something of a rectangle of the slide."""
    x, y = origin_l0
    x0, y0, x1, y1 = rect_l0
    for level in levels:
        fx, fy = level.downsample_x, level.downsample_y
        left, top = math.floor((x0 - x) / fx + _SNAP), math.floor((y0 - y) / fy + _SNAP)
        right, bottom = math.ceil((x1 - x) / fx - _SNAP), math.ceil((y1 - y) / fy - _SNAP)
        rect = Rect(left, top, max(right, left + 1), max(bottom, top + 1))
        for col, row in tiles_in(level, rect):
            yield TileKey(name, level.index, col, row)


def _kind(attributes: Mapping[str, Any], info: SlideInfo) -> MapKind:
    if isinstance(attributes.get("image-label"), dict):
        if info.dtype not in ("uint8", "uint16") or len(info.bands) != 1:
            raise UnsupportedFormat(
                info.path, "holds numbers of objects, no classes; import the objects instead"
            )
        return MapKind.CLASSES
    if info.dtype == "uint8" and len(info.bands) == 1:
        return MapKind.HEAT
    if info.dtype == "float32" and len(info.bands) <= _MOST_CLASSES:
        return MapKind.SCORES
    raise UnsupportedFormat(
        info.path, "neither a class map nor a heat map; open labels.ome.zarr or heatmap.ome.zarr"
    )


def _classes(
    kind: MapKind, attributes: Mapping[str, Any], info: SlideInfo
) -> tuple[tuple[str, RGB], ...]:
    if kind is not MapKind.CLASSES:
        return tuple((name, class_colour(index)) for index, name in enumerate(info.bands))
    label = attributes["image-label"]
    names = {
        number: str(entry.get("class", number))[:200]
        for number, entry in _numbered(label.get("properties"))
    }
    colors = {
        number: color
        for number, entry in _numbered(label.get("colors"))
        if (color := _color(entry.get("rgba"))) is not None
    }
    limit = MOST_IN_A_BYTE if info.dtype == "uint8" else _MOST_CLASSES
    count = max((number for number in (*names, *colors) if number <= limit), default=0)
    return tuple(
        (names.get(number, str(number)), colors.get(number, class_colour(number - 1)))
        for number in range(1, count + 1)
    )


def _numbered(entries: object) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for entry in entries[:_MOST_CLASSES] if isinstance(entries, list) else ():
        number = entry.get("label-value") if isinstance(entry, dict) else None
        if isinstance(number, int) and 0 < number <= _MOST_CLASSES:
            yield number, entry


def _color(rgba: object) -> RGB | None:
    if not isinstance(rgba, list) or len(rgba) < 3:
        return None
    if not all(isinstance(value, int) and 0 <= value <= 255 for value in rgba[:3]):
        return None
    return rgba[0], rgba[1], rgba[2]


def _pair(value: object) -> tuple[float, float] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    # An integer in JSON may be larger than any float.
    if not all(isinstance(part, int | float) and abs(part) <= _FARTHEST for part in value):
        return None
    return float(value[0]), float(value[1])


def _plane(value: object) -> tuple[int, int] | None:
    places = [value.get(axis) for axis in "zt"] if isinstance(value, dict) else []
    found = [place for place in places if isinstance(place, int) and 0 <= place <= _FARTHEST]
    return (found[0], found[1]) if len(found) == len("zt") else None


def _transformed(attributes: Mapping[str, Any], info: SlideInfo, kind: str) -> tuple[float, float]:
    """Return scale or translation of the finest level, x then y."""
    try:
        steps = attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"]
        y, x = next(step[kind] for step in steps if step["type"] == kind)[-2:]
        found = _pair([x, y])
    except (KeyError, IndexError, TypeError, ValueError, StopIteration):
        found = None
    if found is None:
        raise CorruptSlide(info.path, f"does not say where it lies: it has no {kind}")
    return found


def _units(attributes: Mapping[str, Any], info: SlideInfo, slide: SlideInfo) -> tuple[float, float]:
    """Return the units of a map's lengths per level-0 pixel of the slide."""
    axes = attributes["multiscales"][0].get("axes", [])
    last = axes[-1] if isinstance(axes, list) and axes else None
    if not isinstance(last, dict) or "unit" not in last:
        return 1.0, 1.0
    size = slide.pixel_size
    if size is None:
        raise UnsupportedFormat(
            info.path, f"lies where its micrometres say, and {slide.path} has no pixel size"
        )
    return size.um_x, size.um_y


def _factor_by_scale(
    attributes: Mapping[str, Any], info: SlideInfo, slide: SlideInfo
) -> tuple[float, float]:
    x, y = _transformed(attributes, info, "scale")
    ux, uy = _units(attributes, info, slide)
    return x / ux, y / uy


def _origin_by_translation(
    attributes: Mapping[str, Any], info: SlideInfo, factor: tuple[float, float], slide: SlideInfo
) -> tuple[float, float]:
    """Return the corner of a map whose translation is that of the centre of its first pixel."""
    x, y = _transformed(attributes, info, "translation")
    ux, uy = _units(attributes, info, slide)
    return x / ux - (factor[0] - 1) / 2, y / uy - (factor[1] - 1) / 2


def _check_plane(slide: SlideInfo, info: SlideInfo, plane: tuple[int, int] | None) -> None:
    if plane is not None and not slide.has_plane(*plane):
        raise UnsupportedFormat(
            info.path,
            f"is a map of focal plane {plane[0] + 1} at time point {plane[1] + 1}, and the slide "
            f"in front has {slide.z} and {slide.t}; open its slide first",
        )


def _check_on(
    slide: SlideInfo,
    info: SlideInfo,
    own: Mapping[str, Any],
    factor: tuple[float, float],
    origin: tuple[float, float],
) -> None:
    size = slide.size
    said = _pair(own.get("slide_size"))
    if said is not None and said != (size.width, size.height):
        raise UnsupportedFormat(
            info.path,
            f"is a map of a slide of {said[0]:.0f} x {said[1]:.0f} pixels, and the one in front "
            f"has {size.width} x {size.height}; open its slide first",
        )
    lengths = zip(
        origin, factor, (info.size.width, info.size.height), (size.width, size.height), strict=True
    )
    for begin, step, count, length in lengths:
        # The last pixel, or tile, may reach beyond the slide, but has to begin on it.
        if begin < -step or begin + (count - 1) * step >= length + _SNAP * step:
            raise UnsupportedFormat(
                info.path,
                f"reaches beyond the slide in front, of {size.width} x {size.height} pixels; "
                "open its slide first",
            )
