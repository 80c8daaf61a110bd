"""A view as a drawing: the slide as a picture, outlines and the scale bar as lines."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from tilescope.store.project import View
from tilescope_desktop.model.object_pictures import Transform, placed
from tilescope_desktop.model.object_style import ANNOTATION, ObjectStyle
from tilescope_desktop.model.scale_bar import ScaleBar
from tilescope_desktop.model.view_parts import selected

_AREA, _POINT = 2, 0
_POINT_PX = 5
_WIDTHS_PX = {True: 2.2, False: 1.2}
_FILL_OPACITY = 0.22
_MARGIN_PX = 16
_TICK_PX = 5
_FONT_PX = 13
#: Characters that XML has no way to write.
_UNWRITABLE = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF])


def view_svg(
    size: tuple[int, int], png: bytes, drawn: Iterable[str], bar: ScaleBar | None
) -> Iterator[str]:
    """Yield the text of an SVG file, piece by piece.

    Parameters
    ----------
    size
        Width and height in pixels of the view.
    png
        What lies below everything, stretched over the view.
    drawn
        What lies on it, as ``object_groups`` yields it.
    bar
        The scale bar, in the lower left corner.
    """
    width, height = size
    yield (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
        f'<clipPath id="view"><rect width="{width}" height="{height}"/></clipPath>\n'
        f'<image width="{width}" height="{height}" preserveAspectRatio="none" '
        f'xlink:href="data:image/png;base64,{base64.b64encode(png).decode("ascii")}"/>\n'
        '<g clip-path="url(#view)" stroke-linejoin="round">\n'
    )
    yield from drawn
    yield "</g>\n"
    if bar is not None:
        yield _bar(bar, height)
    yield "</svg>\n"


def shown_in(view: View, style: ObjectStyle) -> View:
    """Return those objects of a view that are not hidden."""
    return selected(view, style.shown(view.classes, view.kinds, view.class_names))


def object_groups(shown: View, transform: Transform, style: ObjectStyle) -> Iterator[str]:
    """Yield objects as one group per kind and class, a path or a circle per object.

    Parameters
    ----------
    shown
        The objects, as ``shown_in`` returns them.
    transform
        From level-0 pixels to pixels of the view.
    style
        Says how they look.
    """
    for is_annotation in (False, True):
        of_kind = (shown.kinds == ANNOTATION) == is_annotation
        for number in np.unique(shown.classes[of_kind]).tolist():
            name = shown.class_names.get(number)
            part = selected(shown, of_kind & (shown.classes == number))
            yield _group_start(name, style, is_annotation=is_annotation)
            yield from _shapes(part, transform)
            yield "</g>\n"


def _group_start(name: str | None, style: ObjectStyle, *, is_annotation: bool) -> str:
    color = "#{:02x}{:02x}{:02x}".format(*style.color_of(name))
    fills = style.fills_annotations if is_annotation else style.fills_detections
    kind = "annotations" if is_annotation else "detections"
    title = f"{kind}: {name or 'no class'}".translate(_UNWRITABLE)
    return (
        f'<g stroke="{color}" stroke-width="{_WIDTHS_PX[is_annotation]}" '
        f'fill="{color}" fill-opacity="{_FILL_OPACITY if fills else 0}" fill-rule="evenodd" '
        f'opacity="{style.opacity:g}" aria-label={quoteattr(title)}>'
        f"<title>{escape(title)}</title>\n"
    )


def _shapes(view: View, transform: Transform) -> Iterator[str]:
    points = np.round(placed(view.points, transform), 1)
    rings, objects = view.ring_offsets.tolist(), view.object_offsets.tolist()
    for index, dimension in enumerate(view.dimensions.tolist()):
        parts = [
            points[rings[ring] : rings[ring + 1]]
            for ring in range(objects[index], objects[index + 1])
        ]
        if dimension == _POINT:
            for x, y in np.concatenate(parts).tolist():
                yield f'<circle cx="{x:g}" cy="{y:g}" r="{_POINT_PX}" fill-opacity="1"/>\n'
        else:
            end = "Z" if dimension == _AREA else ""
            data = "".join(_path(part, end) for part in parts)
            inside = "" if dimension == _AREA else ' fill="none"'
            yield f'<path d="{data}"{inside}/>\n'


def _path(points: NDArray[np.float64], end: str) -> str:
    """Return a line without corners that fall on the one before."""
    keep = np.ones(len(points), bool)
    keep[1:] = (points[1:] != points[:-1]).any(axis=1)
    if end and keep.sum() > 1 and (points[0] == points[-1]).all():
        keep[-1] = False
    corners = " ".join(f"{x:g},{y:g}" for x, y in points[keep].tolist())
    return f"M{corners}{end}"


def _bar(bar: ScaleBar, height: int) -> str:
    x, y = _MARGIN_PX, height - _MARGIN_PX
    data = f"M{x},{y - _TICK_PX}V{y}H{x + bar.length_px:.2f}V{y - _TICK_PX}"
    line = 'fill="none" stroke-linecap="round" stroke-linejoin="round"'
    letters = f'x="{x + 6}" y="{y - 9}" font-family="sans-serif" font-size="{_FONT_PX}"'
    text = escape(bar.text)
    # Twice, as not every program paints the edge of letters below their inside.
    return (
        '<g aria-label="scale bar">\n'
        f'<path d="{data}" {line} stroke="#000" stroke-opacity="0.67" stroke-width="5"/>\n'
        f'<path d="{data}" {line} stroke="#fff" stroke-width="2"/>\n'
        f'<text {letters} aria-hidden="true" stroke="#000" stroke-opacity="0.8" '
        f'stroke-width="2.4">{text}</text>\n'
        f'<text {letters} fill="#fff">{text}</text>\n</g>\n'
    )
