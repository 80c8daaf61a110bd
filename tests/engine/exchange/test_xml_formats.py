"""XML of ASAP, ImageScope and NDP.view; hostile XML."""

import numpy as np
import pytest
import shapely

from tilescope.domain.geometry import Size
from tilescope.domain.scale import PixelSize
from tilescope.errors import AnnotationError
from tilescope.exchange.asap_reader import read_asap
from tilescope.exchange.asap_writer import write_asap
from tilescope.exchange.findings import Findings
from tilescope.exchange.imagescope import read_imagescope
from tilescope.exchange.ndpa import GlassFrame, read_ndpa

FRAME = GlassFrame(Size(2000, 1000), PixelSize(0.5, 0.25), (1000.0, -2000.0))


@pytest.fixture
def taken(tmp_path, one_by_one):
    def read(reader, text, **options):
        path = tmp_path / "f.xml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        findings = Findings()
        return one_by_one(reader(path, findings=findings, **options)), findings.report()

    return read


def shapes(annotations):
    return [shapely.from_wkb(a.geometry) for a in annotations]


def asap(*annotations, groups=""):
    body = "".join(annotations)
    return (
        f"<?xml version='1.0'?><ASAP_Annotations><Annotations>{body}</Annotations>"
        f"<AnnotationGroups>{groups}</AnnotationGroups></ASAP_Annotations>"
    )


def asap_one(kind, points, group="None", name="n", order=range(100)):
    rows = "".join(
        f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>'
        for i, (x, y) in zip(order, points, strict=False)
    )
    return (
        f'<Annotation Name="{name}" Type="{kind}" PartOfGroup="{group}" Color="#F4FA58">'
        f"<Coordinates>{rows}</Coordinates></Annotation>"
    )


SQUARE = [(0, 0), (4, 0), (4, 2), (0, 2)]


def test_asap_kinds(taken):
    text = asap(
        asap_one("Polygon", SQUARE, "Tumor &amp; more", "first"),
        asap_one("Spline", SQUARE),
        asap_one("Rectangle", SQUARE),
        asap_one("Dot", [(1.5, 2)]),
        asap_one("PointSet", [(1, 2), (3, 4)]),
        asap_one("Measurement", [(0, 0), (3, 4)]),
        groups='<Group Name="Tumor &amp; more" PartOfGroup="None" Color="#00ff10"/>',
    )
    found, report = taken(read_asap, text)
    kinds = [shape.geom_type for shape in shapes(found)]
    assert kinds == ["Polygon"] * 3 + ["Point", "MultiPoint", "LineString"]
    assert (found[0].name, found[0].class_name) == ("first", "Tumor & more")
    assert found[1].class_name is None
    assert report.classes == {"Tumor & more": (0, 255, 16)}
    assert [str(c) for c in report.changed] == [
        "a spline became the polygon through its points (annotation 2 (line 1))"
    ]


def test_asap_order_counts_where_it_is_one(taken):
    turned = [SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]]
    good = asap_one("Polygon", turned, order=[0, 2, 1, 3])
    bad = asap_one("Polygon", SQUARE, order=["0", "0", "x", ""])
    found, report = taken(read_asap, asap(good, bad))
    assert [shape.area for shape in shapes(found)] == [8, 8]
    assert not report.changed


def test_asap_leaves_out_and_names(taken):
    text = asap(
        asap_one("Polygon", SQUARE[:2]),
        asap_one("Polygon", [(0, 0), ("nan", 1), (1, 1)]),
        asap_one("Polygon", [(0, 0), ("x", 1), (1, 1)]),
        asap_one("Cloud", SQUARE),
        asap_one("Polygon", [("0,5", 0), (4, 0), (4, 2)]),
    )
    found, report = taken(read_asap, text)
    assert shapes(found)[0].bounds == (0.5, 0, 4, 2)
    assert [f.first.split(" (")[0] for f in report.left_out] == [
        f"annotation {i}" for i in (1, 2, 3, 4)
    ]


def test_asap_there_and_back(tmp_path, drawn, every_shape, one_by_one):
    ones = drawn(*every_shape, class_name='T "1" <µ>', name="a & b")
    told = Findings()
    path = tmp_path / "a.xml"
    written = write_asap(path, [ones], colours={'T "1" <µ>': (1, 2, 3)}, findings=told)
    assert written == len(ones)
    findings = Findings()
    back = one_by_one(read_asap(path, findings=findings))
    assert {a.class_name for a in back} == {'T "1" <µ>'}
    assert {a.name for a in back} == {"a & b"}
    assert findings.report().classes == {'T "1" <µ>': (1, 2, 3)}
    assert findings.report().left_out == ()
    reasons = {f.reason: f.count for f in told.report().left_out}
    assert reasons == {"the holes of an area": 2, "a line of more than two vertices": 1}
    total = shapely.union_all(shapes(back))
    filled = [
        shapely.union_all(shapely.polygons(shapely.get_exterior_ring(shapely.get_parts(g))))
        for g in every_shape
        if shapely.get_dimensions(g) == 2
    ]
    assert total.area == pytest.approx(shapely.union_all(filled).area)


def test_every_asap_group_is_declared(tmp_path, drawn):
    import xml.etree.ElementTree as ET

    ones = [*drawn(shapely.Point(1, 1), class_name="A"), *drawn(shapely.Point(2, 1))]
    write_asap(tmp_path / "a.xml", [ones])
    root = ET.parse(tmp_path / "a.xml").getroot()
    declared = {g.get("Name") for g in root.iter("Group")} | {"None"}
    assert {a.get("PartOfGroup") for a in root.iter("Annotation")} <= declared


IMAGESCOPE = """<Annotations MicronsPerPixel="0.5">
<Annotation Id="1" Name="" LineColor="65280" ReadOnly="1">
 <Attributes><Attribute Name="Description" Id="0" Value="Tumor"/></Attributes>
 <Regions>
  <Region Id="1" Type="0" Text="r1"><Attributes/><Vertices>
   <Vertex X="0" Y="0" Z="0"/><Vertex X="4" Y="0"/><Vertex X="4" Y="2"/><Vertex X="0" Y="2"/>
  </Vertices></Region>
  <Region Id="2" Type="1" NegativeROA="1"><Vertices>
   <Vertex X="0" Y="0"/><Vertex X="4" Y="0"/><Vertex X="4" Y="2"/><Vertex X="0" Y="2"/>
  </Vertices></Region>
  <Region Id="3" Type="2"><Vertices><Vertex X="0" Y="0"/><Vertex X="4" Y="2"/></Vertices></Region>
  <Region Id="4" Type="4"><Vertices><Vertex X="0" Y="0"/><Vertex X="3" Y="4"/></Vertices></Region>
  <Region Id="5" Type="0"><Vertices><Vertex X="7" Y="8"/></Vertices></Region>
  <Region Id="6" Type="9"><Vertices><Vertex X="7" Y="8"/><Vertex X="7" Y="9"/></Vertices></Region>
  <Region Id="7" Type="0"><Vertices/></Region>
 </Regions></Annotation>
<Annotation Id="2" Name="Stroma" LineColor="255"><Regions/></Annotation></Annotations>"""


@pytest.mark.parametrize(
    ("um_x", "is_noted"), [(0.5, False), (0.504, False), (0.51, True), (0.25, True), (None, False)]
)
def test_imagescope_at_another_pixel_size_is_noted(tmp_path, um_x, is_noted):
    path, findings = tmp_path / "a.xml", Findings()
    path.write_text(IMAGESCOPE)
    size = None if um_x is None else PixelSize(um_x, um_x)
    assert sum(map(len, read_imagescope(path, pixel_size=size, findings=findings))) == 5
    noted = [f for f in findings.report().changed if "was drawn at 0.5 µm/px" in f.reason]
    assert [f.first for f in noted] == ["line 1"] * is_noted


@pytest.mark.parametrize("said", ["", "0", "-1", "nan", "inf", "x"])
def test_imagescope_without_a_pixel_size_is_taken(tmp_path, said):
    path, findings = tmp_path / "a.xml", Findings()
    path.write_text(IMAGESCOPE.replace("0.5", said, 1))
    assert sum(map(len, read_imagescope(path, pixel_size=PixelSize(1, 1), findings=findings))) == 5
    assert not any("drawn" in f.reason for f in findings.report().changed)


def test_imagescope(taken):
    found, report = taken(read_imagescope, IMAGESCOPE)
    areas = [shape.area for shape in shapes(found)]
    assert areas == pytest.approx([8, 8, 2 * np.pi, 0, 0], rel=0.01)
    kinds = [shape.geom_type for shape in shapes(found)]
    assert kinds == ["Polygon"] * 3 + ["LineString", "Point"]
    assert {a.class_name for a in found} == {"Tumor"}
    assert found[0].name == "r1"
    assert all(a.locked for a in found)
    assert report.classes == {"Tumor": (0, 255, 0)}
    assert report.changed[0].first.startswith("region 2 ")
    assert [f.first.split(" (")[0] for f in report.left_out] == ["region 6", "region 7"]


def nm(x, y):
    """Where a level-0 pixel lies on the glass."""
    return 1000 + (x - 1000) * 500, -2000 + (y - 500) * 250


def ndpa(kind, inner, unit="nanometers", title="t"):
    return (
        f"<annotations><ndpviewstate id='1'><title>{title}</title><details/>"
        f"<coordformat>{unit}</coordformat><lens>20</lens><x>5</x><y>6</y>"
        f"<annotation type='{kind}' color='#ff0000'>{inner}</annotation>"
        "</ndpviewstate></annotations>"
    )


def point_list(*points):
    rows = "".join("<point><x>{}</x><y>{}</y></point>".format(*nm(x, y)) for x, y in points)
    return f"<pointlist>{rows}</pointlist>"


def ndpa_cases():
    x, y = nm(10, 20)
    x2, y2 = nm(13, 24)
    ends = f"<x1>{x}</x1><y1>{y}</y1><x2>{x2}</x2><y2>{y2}</y2>"
    closed, opened = "<closed>1</closed>", "<closed>0</closed>"
    return [
        ("freehand", closed + point_list(*SQUARE), "POLYGON ((0 0, 4 0, 4 2, 0 2, 0 0))"),
        ("freehand", opened + point_list(*SQUARE[:3]), "LINESTRING (0 0, 4 0, 4 2)"),
        ("pin", f"<x>{x}</x><y>{y}</y>", "POINT (10 20)"),
        ("linearmeasure", ends, "LINESTRING (10 20, 13 24)"),
        ("pointer", ends, "LINESTRING (10 20, 13 24)"),
    ]


@pytest.mark.parametrize(("kind", "inner", "wkt"), ndpa_cases())
def test_ndpa(taken, kind, inner, wkt):
    (one,), report = taken(read_ndpa, ndpa(kind, inner), frame=FRAME)
    assert shapely.equals_exact(shapes([one])[0], shapely.from_wkt(wkt), 1e-9)
    assert one.name == "t"
    assert report.left_out == ()


def test_a_circle_on_oblong_pixels(taken):
    x, y = nm(100, 200)
    text = ndpa("circle", f"<x>{x}</x><y>{y}</y><radius>5000</radius>")
    (one,), _ = taken(read_ndpa, text, frame=FRAME)
    assert shapes([one])[0].bounds == pytest.approx((90, 180, 110, 220))


def test_ndpa_leaves_out_and_names(taken):
    for inner in ("", "<x>1</x>", "<x>1</x><y>inf</y>", "<x>a</x><y>1</y>"):
        found, report = taken(read_ndpa, ndpa("pin", inner), frame=FRAME)
        assert not found
        assert report.left_out[0].first.startswith("object 1 ")
    with pytest.raises(AnnotationError, match="'pixels', not in nanometres"):
        taken(read_ndpa, ndpa("pin", "", "pixels"), frame=FRAME)


READERS = [(read_asap, {}), (read_imagescope, {}), (read_ndpa, {"frame": FRAME})]
ROOTS = {read_asap: "ASAP_Annotations", read_imagescope: "Annotations", read_ndpa: "annotations"}


@pytest.mark.parametrize(("reader", "options"), READERS)
def test_hostile_xml(taken, reader, options):
    root = ROOTS[reader]
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    cases = {
        f'<!DOCTYPE r [<!ENTITY l0 "lol">{laughs}]><{root}>&l9;</{root}>': "entities",
        f'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><{root}>&x;</{root}>': "entities",
        f"<{root}><a>": "not XML.*cut short|no element",
        f"<{root}><a></b></{root}>": "mismatched",
        f"<{root}>{'<a>' * 10_000}": "nested more than 64",
        f"<{root}><a>{'x' * 300_000}\n{'y' * 300_000}</a></{root}>": "longer than",
        "": "no element",
        "<other/>": "is XML, but not of",
        "{}": "not XML",
        f'<?xml version="1.0" encoding="none-such"?><{root}/>': "encoding|decoded",
    }
    for text, told in cases.items():
        with pytest.raises(AnnotationError, match=rf"(?s)f\.xml: .*({told})"):
            taken(reader, text, **options)


def test_a_long_tag_is_refused_before_it_is_held(tmp_path):
    path = tmp_path / "long.xml"
    with path.open("wb") as file:
        file.write(b'<ASAP_Annotations a="')
        file.write(b"x" * (20 << 20))
    with pytest.raises(AnnotationError, match="longer than 8 MiB"):
        list(read_asap(path))


def test_a_file_of_another_program_says_so(taken):
    with pytest.raises(AnnotationError, match="not of ASAP"):
        taken(read_asap, IMAGESCOPE)


def test_attributes_of_imagescope_are_named(tmp_path, one_by_one):
    vertices = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in [(0, 0), (9, 0), (9, 9)])
    attributes = '<Attributes><Attribute Name="grade" Value="{}"/></Attributes>'
    path = tmp_path / "a.xml"
    path.write_text(
        f'<Annotations><Annotation Name="T">{attributes.format("3")}<Regions>'
        f'<Region Type="0">{attributes.format("")}<Vertices>{vertices}</Vertices></Region>'
        "</Regions></Annotation></Annotations>"
    )
    findings = Findings()
    (one,) = one_by_one(read_imagescope(path, findings=findings))
    assert one.class_name == "T"
    (left_out,) = findings.report().left_out
    assert (left_out.reason, left_out.first) == ("the attribute 'grade'", "line 1")
