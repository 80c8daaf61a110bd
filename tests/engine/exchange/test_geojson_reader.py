"""GeoJSON as other programs write it, and as nobody should."""

import gzip
import json
import zipfile
from dataclasses import replace
from uuid import UUID, uuid4

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tilescope.domain.annotation_rings import Rings
from tilescope.domain.annotation_table import AnnotationTable
from tilescope.errors import AnnotationError
from tilescope.exchange.findings import Findings
from tilescope.exchange.geojson_reader import read_geojson

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]]]}


@pytest.fixture
def taken(tmp_path, one_by_one):
    """Return a reader of a JSON value, or of text or bytes."""

    def read(content, *, name="f.geojson", **options):
        path = tmp_path / name
        if not isinstance(content, str | bytes):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        findings = Findings()
        return one_by_one(read_geojson(path, findings=findings, **options)), findings.report()

    return read


def feature(geometry=SQUARE, **properties):
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def collection(*features):
    return {"type": "FeatureCollection", "features": list(features)}


def shape_of(annotation):
    return shapely.from_wkb(annotation.geometry)


def reasons(findings):
    return {finding.reason: finding.count for finding in findings}


def test_a_feature_of_qupath(taken):
    name = str(uuid4())
    value = {
        "type": "Feature",
        "id": name.upper(),
        "geometry": {**SQUARE, "plane": {"c": -1, "z": 3, "t": 1}},
        "properties": {
            "objectType": "detection",
            "name": "third",
            "classification": {"name": "Tumor", "color": [200, 0, 0]},
            "isLocked": True,
            "measurements": {"Area µm^2": 8, "score": 0.5},
        },
    }
    (one,), report = taken(collection(value))
    assert (one.id, one.kind, one.name, one.class_name) == (name, "detection", "third", "Tumor")
    assert (one.locked, one.z, one.t) == (True, 3, 1)
    assert one.measurements == {"Area µm^2": 8.0, "score": 0.5}
    assert one.author.kind == "import"
    assert one.author.name == "f.geojson"
    assert shape_of(one).equals(shapely.box(0, 0, 4, 2))
    assert (report.taken, report.left_out, report.changed) == (1, (), ())
    assert report.classes == {"Tumor": (200, 0, 0)}


@pytest.mark.parametrize(
    "whole",
    [
        collection(feature(), feature()),
        [feature(), feature()],
        [collection(feature(), feature())],
        {"features": [feature(), feature()], "type": "FeatureCollection", "crs": {"a": [1]}},
        "\n".join(json.dumps(feature()) for _ in range(2)),
        "\ufeff" + json.dumps(collection(feature(), feature()), indent=2),
    ],
)
def test_any_frame_is_taken(taken, whole):
    found, report = taken(whole)
    assert [shape_of(a).area for a in found] == [8, 8]
    assert not report.left_out


def test_one_feature_and_one_geometry(taken):
    assert shape_of(taken(feature())[0][0]).area == 8
    assert shape_of(taken(SQUARE)[0][0]).area == 8
    collected = {"type": "GeometryCollection", "geometries": [SQUARE]}
    assert shape_of(taken(collected)[0][0]).area == 8


def test_packed_files(taken, tmp_path):
    text = json.dumps(collection(feature())).encode()
    assert len(taken(gzip.compress(text), name="f.geojson.gz")[0]) == 1
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("f.geojson", text)
    assert len(taken((tmp_path / "z.zip").read_bytes(), name="y.zip")[0]) == 1


@pytest.mark.parametrize(
    ("properties", "kind"),
    [
        ({}, "annotation"),
        ({"objectType": "cell"}, "cell"),
        ({"object_type": "tile"}, "tile"),
        ({"type": "detection"}, "detection"),
        ({"objectType": "no such"}, "annotation"),
        ({"objectType": ["x"]}, "annotation"),
    ],
)
def test_object_types(taken, properties, kind):
    assert taken([feature(**properties)])[0][0].kind == kind


def test_a_legacy_id_says_the_type(taken):
    first, second = taken([{**feature(), "id": "PathDetectionObject"} for _ in range(2)])[0]
    assert first.kind == second.kind == "detection"
    assert UUID(first.id) != UUID(second.id)


@pytest.mark.parametrize(
    ("properties", "name", "colour"),
    [
        ({"classification": "Tumor"}, "Tumor", None),
        ({"classification": {"name": "A: B", "colorRGB": -16711936}}, "A: B", (0, 255, 0)),
        ({"classification": {"names": ["A", "B"], "color": [1, 2, 3, 4]}}, "A: B", (1, 2, 3)),
        ({"class": "x"}, "x", None),
        ({"label": 7}, "7", None),
        ({"type": "Neoplastic"}, "Neoplastic", None),
        ({"classification": None}, None, None),
        ({"classification": {"name": ""}}, None, None),
    ],
)
def test_classes(taken, properties, name, colour):
    found, report = taken([feature(**properties)])
    assert found[0].class_name == name
    assert report.classes == ({} if name is None else {name: colour})


def test_measurements_in_every_form(taken):
    old = [{"name": "a", "value": 1}, {"name": "b", "value": "NaN"}, {"value": 2}]
    found, report = taken(
        [
            feature(measurements=old),
            feature(measurements={"a": "2.5", "b": None, "c": True}),
            feature(prob=0.75, note="text"),
        ]
    )
    assert [a.measurements for a in found] == [{"a": 1.0}, {"a": 2.5}, {"prob": 0.75}]
    told = reasons(report.left_out)
    assert told == {"a measurement that is no finite number": 3, "the property 'note'": 1}


def test_ids_are_unique_uuids(taken):
    name = str(uuid4())
    values = [{**feature(), "id": name}, {**feature(), "id": name}, {**feature(), "id": 5}]
    found, report = taken(values)
    assert found[0].id == name
    assert len({UUID(a.id) for a in found}) == 3
    assert reasons(report.changed) == {
        "an id that came before was replaced": 1,
        "an id that is no UUID was replaced": 1,
    }


def test_children_know_their_parent(taken):
    child = feature(objectType="detection")
    parent = feature(childObjects=[feature(children=[child, 5])])
    found, report = taken([parent])
    assert [a.parent_id for a in found] == [None, found[0].id, found[1].id]
    assert report.left_out[0].first == "feature 1, child 1, child 2"


def test_the_root_is_no_object_but_its_children_are(taken):
    found, report = taken([feature(objectType="root", childObjects=[feature()])])
    assert len(found) == 1
    assert found[0].parent_id is None
    assert report.left_out[0].first == "feature 1"


def test_a_nucleus_follows_its_cell(taken):
    cell = {**feature(objectType="cell"), "nucleusGeometry": SQUARE}
    outer, inner = taken([cell])[0]
    assert (inner.parent_id, inner.name) == (outer.id, "nucleus")


def test_children_without_end(taken):
    value = feature()
    for _ in range(60):
        value = feature(childObjects=[value])
    found, report = taken([value])
    assert len(found) == 33
    assert "nested more than 32 deep" in report.left_out[0].reason


@pytest.mark.parametrize(
    ("geometry", "wkt"),
    [
        ({"type": "Point", "coordinates": [1, 2, 9]}, "POINT (1 2)"),
        ({"type": "LineString", "coordinates": [[0, 0], [1, 1, 5]]}, "LINESTRING (0 0, 1 1)"),
        (
            {"type": "Polygon", "coordinates": [[[0, 0, 7], [4, 0, 7], [4, 2, 7]]]},
            "POLYGON ((0 0, 4 0, 4 2, 0 0))",
        ),
        (
            {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]},
            "POLYGON ((0 0, 4 0, 4 2, 0 2, 0 0))",
        ),
        (
            {
                "type": "GeometryCollection",
                "geometries": [SQUARE, {"type": "Point", "coordinates": [9, 9]}],
            },
            "POLYGON ((0 0, 4 0, 4 2, 0 2, 0 0))",
        ),
    ],
)
def test_geometries(taken, geometry, wkt):
    (one,), _ = taken([feature(geometry)])
    assert shape_of(one).equals(shapely.from_wkt(wkt))
    assert not shape_of(one).has_z


def test_holes_stay(taken):
    hole = [[1, 0.5], [2, 0.5], [2, 1], [1, 1], [1, 0.5]]
    (one,), _ = taken([feature({"type": "Polygon", "coordinates": [*SQUARE["coordinates"], hole]})])
    assert shape_of(one).area == 7.5


def test_an_ellipse_fills_its_bounds(taken):
    (one,), _ = taken([feature({**SQUARE, "isEllipse": True})])
    assert shape_of(one).bounds == pytest.approx((0, 0, 4, 2))
    assert shape_of(one).area == pytest.approx(np.pi * 2, rel=0.01)


@pytest.mark.parametrize("reverse", [False, True])
def test_outer_rings_turn_one_way(taken, reverse):
    ring = SQUARE["coordinates"][0]
    value = {"type": "Polygon", "coordinates": [ring[::-1] if reverse else ring]}
    assert shape_of(taken([feature(value)])[0][0]).exterior.is_ccw


BOW = [[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]


def test_a_ring_that_crosses_itself_is_repaired_and_named(taken):
    (one,), report = taken([feature({"type": "Polygon", "coordinates": [BOW]})])
    assert shape_of(one).is_valid
    assert shape_of(one).area == 2
    assert report.changed[0].first == "feature 1"


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        (None, "no geometry"),
        ("x", "no geometry"),
        ({}, "unknown type"),
        ({"type": "Polygon"}, "no list"),
        ({"type": "Polygon", "coordinates": []}, "no geometry"),
        ({"type": "Polygon", "coordinates": [[]]}, "three vertices"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}, "nothing"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, "x"], [2, 2]]]}, "no pairs"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1], [2, 2]]]}, "no pairs"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, [2]], [2, 2]]]}, "no pairs"),
        ({"type": "Polygon", "coordinates": [[[0, 0], None, [2, 2]]]}, "no pairs"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 10**400], [2, 2]]]}, "no pairs"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1e12], [2, 2]]]}, "beyond"),
        ({"type": "Point", "coordinates": "1,2"}, "no list"),
        ({"type": "Point", "coordinates": []}, "no geometry"),
        ({"type": "LineString", "coordinates": [[1, 1]]}, "one vertex"),
        ({"type": "LineString", "coordinates": [[1, 1], [1, 1]]}, "no extent"),
        ({"type": "Surface", "coordinates": []}, "'Surface'"),
        ({"type": ["Point"], "coordinates": [1, 2]}, "unknown type"),
    ],
)
def test_what_is_no_geometry_is_named_and_the_rest_taken(taken, geometry, reason):
    found, report = taken([feature(), feature(geometry), feature()])
    assert len(found) == report.taken == 2
    (finding,) = report.left_out
    assert reason in finding.reason
    assert finding.first == "feature 2"


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_coordinates_that_are_not_finite(taken, word):
    text = json.dumps([feature(), feature()]).replace("[4, 2]", f"[4, {word}]", 1)
    found, report = taken(text)
    assert len(found) == 1
    assert "finite" in report.left_out[0].reason


def test_collections_nested_ten_levels(taken):
    geometry = SQUARE
    for _ in range(10):
        geometry = {"type": "GeometryCollection", "geometries": [geometry]}
    found, report = taken([feature(geometry), feature()])
    assert len(found) == 1
    assert "nested more than" in report.left_out[0].reason


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("   \n", "is empty"),
        ("hello", "begins with"),
        ("{}", "neither features nor a geometry"),
        ('{"features": 5}', "neither features nor a geometry"),
        ('{"features": [{"type": "Feature"', "cut short"),
        ('{"features": [{}, }]}', "not JSON"),
        ('{"features": [] "a": 1}', "'}' is expected"),
        ("[" * 100_000, "nested too deeply"),
        (b"\xff\xfe{\x00", "not UTF-8"),
        (gzip.compress(b'{"features": []}' * 100)[:-9], "unpacked"),
    ],
)
def test_broken_files_are_told_with_their_name(taken, text, told):
    with pytest.raises(AnnotationError, match=rf"f\.geojson: .*{told}") as caught:
        taken(text)
    assert "\n" not in str(caught.value)


def test_a_feature_beyond_the_limit(taken):
    long = {"type": "LineString", "coordinates": [[i, i] for i in range(400_000)]}
    with pytest.raises(AnnotationError, match="longer than 1,000 characters"):
        taken([feature(), feature(long)], most_value_chars=1000)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(AnnotationError, match="does not exist"):
        next(read_geojson(tmp_path / "none.geojson"))


def test_reasons_are_bounded(taken):
    features = [feature(**{f"key {i}": "x"}) for i in range(500)]
    found, report = taken(features)
    assert len(found) == 500
    assert len(report.left_out) <= 201
    assert sum(finding.count for finding in report.left_out) == 500


def test_text_fit_to_store(taken):
    (one,), _ = taken([feature(name="a\x00b\ud800\nc" + "x" * 5000)])
    one.name.encode()
    assert one.name.startswith("a b  c")
    assert len(one.name) == 1000


MEASURED = st.dictionaries(
    st.sampled_from(["a", "b µ", "c "]),
    st.floats(-1e9, 1e9) | st.integers(-5, 5) | st.sampled_from(["NaN", None, "2.5", 1e-30, True]),
)
PROPERTIES = st.fixed_dictionaries(
    {"objectType": st.sampled_from(["detection", "cell", "annotation", "root", "odd"])},
    optional={
        "classification": st.sampled_from(
            [None, "x", {"name": "T", "color": [1, 2, 3]}, {"name": "T", "color": [9, 9, 9]}]
        ),
        "measurements": MEASURED,
        "isLocked": st.booleans(),
        "name": st.sampled_from(["n", 5]),
        "metadata": st.sampled_from([None, {}, {"tilescope:author": "user:Ada"}, {"other": "x"}]),
        "area": st.integers(1, 3),
    },
)
OUTLINES = st.sampled_from(
    [
        SQUARE,
        {"type": "Polygon", "coordinates": [[[9, 9], [5, 9], [5, 5]]]},
        {"type": "Polygon", "coordinates": [BOW]},
        {"type": "Polygon", "coordinates": [[[0, 0], [9, 9]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 9]], BOW[:3]]},
        {**SQUARE, "isEllipse": True},
        {**SQUARE, "plane": {"c": -1, "z": 2, "t": 0}},
        {"type": "MultiLineString", "coordinates": [[[0, 0], [9, 9]]]},
        {"type": "Point", "coordinates": [1, 2]},
        None,
    ]
)
FEATURES = st.fixed_dictionaries(
    {"geometry": OUTLINES, "properties": PROPERTIES},
    optional={
        "id": st.uuids().map(str) | st.sampled_from(["PathCellObject", "me", 7, None]),
        "nucleusGeometry": st.just(SQUARE),
    },
)


def test_objects_that_have_nearly_all_in_common_come_as_columns(tmp_path):
    ids = [str(uuid4()) for _ in range(60)]
    names = ["tumour", "stroma", "immune"]
    squares = [
        [[x, 5 * i] for x in (0, 4)] + [[4, 5 * i + 2], [0, 5 * i + 2], [0, 5 * i]]
        for i in range(60)
    ]
    features = [
        {
            "id": name.upper(),
            **feature(
                {"type": "Polygon", "coordinates": [square[:: -1 if i % 2 else 1]]},
                objectType="detection",
                classification={"name": names[i % 3], "color": [i % 3, 0, 0]},
                measurements={"area": i / 8},
            ),
        }
        for i, (name, square) in enumerate(zip(ids, squares, strict=True))
    ]
    path = tmp_path / "f.geojson"
    path.write_text(json.dumps(collection(*features)))
    findings = Findings()
    (table,) = read_geojson(path, findings=findings)
    assert isinstance(table, AnnotationTable)
    assert isinstance(table.geometry, Rings)
    assert [a.id for a in table] == ids
    assert [a.class_name for a in table] == names * 20
    assert [a.measurements for a in table] == [{"area": i / 8} for i in range(60)]
    for one, square in zip(table, squares, strict=True):
        assert shape_of(one).normalize() == shapely.Polygon(square).normalize()
        assert shape_of(one).exterior.is_ccw
    assert list(findings.classes) == names


def test_other_measurements_of_a_feature_are_not_those_of_the_object(taken):
    value = {
        **feature(objectType="detection", measurements={"n": 1}),
        "style": {"measurements": {"width": 2}},
    }
    found, told = taken(collection(*[value] * 9))
    assert [a.measurements for a in found] == [{"n": 1}] * 9
    assert told.left_out == ()


def test_columns_are_settled_as_single_objects_are(taken):
    value = {
        "id": "5d0e1b1e-1111-4222-8333-123456789abc",
        **feature(objectType="detection", measurements={"n": 1}),
    }
    wrong = {"id": "me"}, {"id": "PathDetectionObject"}, {}
    bow, flat = ({"type": "Polygon", "coordinates": [c]} for c in (BOW, [[0, 0], [4, 0], [0, 0]]))
    far = {"type": "Polygon", "coordinates": [[[0, 0], [9e9, 0], [9e9, 9], [0, 0]]]}
    rows = [
        value,
        *({**value, "id": None, **other} for other in wrong),
        *({**value, "geometry": shape, "id": str(uuid4())} for shape in (bow, flat, far)),
        value,
    ]
    given = [{name: v for name, v in row.items() if v is not None} for row in rows]
    found, told = taken(collection(*given))
    assert [a.id for a in found].count(value["id"]) == 1
    assert len({str(UUID(a.id)) for a in found}) == len(found) == 6
    assert {finding.reason: finding.first for finding in told.changed} == {
        "an id that is no UUID was replaced": "feature 2",
        "an id that came before was replaced": "feature 8",
        "an outline that crosses or touches itself was repaired": "feature 5",
    }
    assert {finding.reason: finding.first for finding in told.left_out} == {
        "encloses nothing": "feature 6",
        "has coordinates beyond 2,147,483,648 px": "feature 7",
    }
    assert all(a.measurements == {"n": 1} for a in found)
    assert told.taken == 6


@given(st.lists(FEATURES, min_size=1, max_size=4), st.integers(1, 9), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_together_features_are_read_as_one_by_one(taken, features, times, ascii_only):
    """A line each they are read on their own; in a list those that are alike are read at once."""
    many = features * times
    together, told = taken(json.dumps(collection(*many), ensure_ascii=ascii_only))
    alone, told_alone = taken("\n".join(json.dumps(value) for value in many))
    assert [replace(a, id="x", parent_id=None) for a in together] == [
        replace(a, id="x", parent_id=None) for a in alone
    ]
    own = {value.get("id") for value in features if len(str(value.get("id"))) == 36}
    assert [a.id in own and a.id for a in together] == [a.id in own and a.id for a in alone]
    assert [a.parent_id is None for a in together] == [a.parent_id is None for a in alone]
    assert (told.taken, told.classes) == (told_alone.taken, told_alone.classes)
    assert set(told.left_out) == set(told_alone.left_out)
    assert set(told.changed) == set(told_alone.changed)
