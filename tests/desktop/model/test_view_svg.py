"""The drawing of a view: well-formed whatever classes are called, outlines where they belong."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree as Tree

import numpy as np
import pytest
import shapely

from tilescope.domain.annotation import Annotation, ObjectKind
from tilescope_desktop.model.object_style import UNCLASSIFIED, ObjectStyle
from tilescope_desktop.model.scale_bar import scale_bar
from tilescope_desktop.model.view_parts import view_of_annotations
from tilescope_desktop.model.view_svg import object_groups, shown_in, view_svg

SVG = "{http://www.w3.org/2000/svg}"
HALF = np.array([[0.5, 0.0, -10.0], [0.0, 0.5, 20.0]])
PNG = b"\x89PNG and so on"


def annotation(
    shape: shapely.Geometry, class_name: str | None = None, kind: ObjectKind = "annotation"
) -> Annotation:
    return Annotation("a", shapely.to_wkb(shape, byte_order=1), kind, class_name)


def drawn(*found: Annotation, style: ObjectStyle | None = None) -> Tree.Element:
    style = style or ObjectStyle()
    groups = object_groups(shown_in(view_of_annotations(found), style), HALF, style)
    bar = scale_bar(2.0, 0.25, room_px=160)
    return Tree.fromstring("".join(view_svg((400, 300), PNG, groups, bar)))


def outlines(root: Tree.Element) -> list[Tree.Element]:
    """Return the paths of objects, which are those in groups of a colour."""
    groups = [group for group in root.iter(f"{SVG}g") if group.get("stroke")]
    return [path for group in groups for path in group.iter(f"{SVG}path")]


def corners(path: Tree.Element) -> list[list[tuple[float, float]]]:
    rings = [ring for ring in re.split("[MZ]+", path.attrib["d"]) if ring]
    return [
        [(float(x), float(y)) for x, y in (c.split(",") for c in ring.split())] for ring in rings
    ]


def test_an_outline_lies_where_the_view_shows_it() -> None:
    root = drawn(annotation(shapely.box(100, 100, 300, 200)))
    (path,) = outlines(root)
    (ring,) = corners(path)
    assert set(ring) == {(40, 70), (140, 70), (140, 120), (40, 120)}
    assert len(ring) == 4
    assert path.attrib["d"].endswith("Z")


def test_a_hole_is_a_ring_of_the_same_path_and_a_line_has_no_inside() -> None:
    ring = shapely.box(0, 0, 90, 90).difference(shapely.box(30, 30, 60, 60))
    way = shapely.LineString([(0, 0), (50, 80), (90, 10)])
    root = drawn(annotation(ring), annotation(way))
    areas = [p for p in outlines(root) if p.attrib["d"].endswith("Z")]
    assert [len(corners(p)) for p in areas] == [2]
    (line,) = (p for p in outlines(root) if p.get("fill") == "none")
    assert corners(line) == [[(-10, 20), (15, 60), (35, 25)]]


def test_points_are_circles() -> None:
    root = drawn(annotation(shapely.Point(40, 60)))
    (circle,) = root.iter(f"{SVG}circle")
    assert (circle.get("cx"), circle.get("cy")) == ("10", "50")


def test_groups_have_the_colour_of_their_class_and_hidden_ones_are_left_out() -> None:
    box = shapely.box(0, 0, 50, 50)
    style = ObjectStyle({"Tumour": (1, 2, 255)}, hidden=frozenset({"Stroma"}), opacity=0.5)
    root = drawn(
        annotation(box, "Tumour", "detection"),
        annotation(box, "Stroma"),
        annotation(box),
        style=style,
    )
    groups = {g.get("aria-label"): g for g in root.iter(f"{SVG}g") if g.get("stroke")}
    assert groups.keys() == {"detections: Tumour", "annotations: no class"}
    tumour, other = groups["detections: Tumour"], groups["annotations: no class"]
    assert (tumour.get("stroke"), tumour.get("opacity")) == ("#0102ff", "0.5")
    assert float(tumour.get("fill-opacity")) > 0
    assert other.get("fill-opacity") == "0"
    assert other.get("stroke") == "#{:02x}{:02x}{:02x}".format(*UNCLASSIFIED)


@pytest.mark.parametrize(
    "name", ['"><script>&', "a\0b\x1b\x0b\uffff", "ä\t\n\U0001f600", "']]>", "</title>"]
)
def test_any_class_name_gives_a_well_formed_file(name: str) -> None:
    root = drawn(annotation(shapely.box(0, 0, 50, 50), name))
    assert len(outlines(root)) == 1


def test_the_picture_and_the_bar_are_in_it() -> None:
    root = drawn()
    assert root.attrib["viewBox"] == "0 0 400 300"
    (image,) = root.iter(f"{SVG}image")
    link = image.attrib["{http://www.w3.org/1999/xlink}href"]
    assert base64.b64decode(link.removeprefix("data:image/png;base64,")) == PNG
    assert {text.text for text in root.iter(f"{SVG}text")} == {"50 µm"}
    bar = next(iter(root.iter(f"{SVG}path"))).attrib["d"]
    # 50 µm are 100 pixels at 0.25 µm a pixel and two of them on one of the view.
    assert bar == "M16,279V284H116.00V279"
