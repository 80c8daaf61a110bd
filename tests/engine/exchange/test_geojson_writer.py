"""Annotations go out as strict GeoJSON and come back as they were."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tilescope.domain.annotation import Annotation, Author
from tilescope.errors import OutputError
from tilescope.exchange.findings import Findings
from tilescope.exchange.geojson_reader import read_geojson
from tilescope.exchange.geojson_writer import write_geojson
from tilescope.exchange.geometry_text import geometry_texts
from tilescope.exchange.identity import nucleus_id


def no_nan(word):
    raise AssertionError(f"{word} is not JSON")


def strict(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=no_nan)


def members(annotation):
    """Return what must survive, the order of vertices aside."""
    geometry = shapely.normalize(shapely.from_wkb(annotation.geometry))
    return replace(annotation, geometry=geometry.wkb, author=Author("user", ""))


TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
SIZES = st.floats(0.05, 500)
PLACES = st.floats(-1e5, 1e5)


@st.composite
def geometries(draw):
    x, y, w, h = draw(PLACES), draw(PLACES), draw(SIZES), draw(SIZES)
    box = shapely.box(x, y, x + w, y + h)
    hole = shapely.box(x + w / 4, y + h / 4, x + w / 2, y + h / 2)
    other = shapely.box(x + 2 * w + 1, y, x + 3 * w + 1, y + h)
    bent = shapely.LineString([(x, y), (x + w, y), (x + w, y + h)])
    choice = [
        shapely.Point(x, y),
        bent,
        box,
        shapely.difference(box, hole),
        shapely.MultiPoint([(x, y), (x + w, y)]),
        shapely.MultiLineString([bent, shapely.LineString([(x, y), (x, y + h)])]),
        shapely.MultiPolygon([box, other]),
    ]
    return draw(st.sampled_from(choice))


@st.composite
def annotations(draw):
    return Annotation(
        str(draw(st.uuids())),
        shapely.to_wkb(draw(geometries()), byte_order=1),
        draw(st.sampled_from(["annotation", "detection", "cell", "tile"])),
        draw(st.none() | TEXT),
        draw(st.none() | TEXT),
        draw(st.dictionaries(TEXT, st.floats(allow_nan=False, allow_infinity=False), max_size=4)),
        draw(st.booleans()),
        draw(st.none() | st.uuids().map(str)),
        draw(st.sampled_from([Author("user", "Ada: B."), Author("model", "nuclei 1.0")])),
        draw(st.integers(0, 5)),
        draw(st.integers(0, 5)),
    )


@given(st.lists(annotations(), max_size=8, unique_by=lambda a: a.id), st.sampled_from(["", ".gz"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_what_goes_out_comes_back(tmp_path, one_by_one, given_ones, suffix):
    path = tmp_path / f"o.geojson{suffix}"
    assert write_geojson(path, [given_ones[:3], given_ones[3:]]) == len(given_ones)
    findings = Findings()
    back = one_by_one(read_geojson(path, findings=findings))
    assert findings.report().left_out == findings.report().changed == ()
    assert [a.author for a in back] == [a.author for a in given_ones]
    for one, other in zip(map(members, given_ones), map(members, back), strict=True):
        assert replace(one, geometry=b"x") == replace(other, geometry=b"x")
        a, b = shapely.from_wkb([one.geometry, other.geometry])
        assert a.geom_type == b.geom_type
        assert shapely.hausdorff_distance(a, b) < 0.0072


def test_a_feature_is_what_qupath_writes(tmp_path, drawn):
    (one,) = drawn(
        shapely.box(0.004, 0, 4, 2.5),
        kind="detection",
        class_name="Tumor",
        measurements={"Area µm^2": 10.0, "bad": float("nan")},
        locked=True,
        author=Author("model", "m 1"),
        z=2,
    )
    write_geojson(tmp_path / "o.geojson", [[one]], colours={"Tumor": (200, 0, 0)})
    (feature,) = strict(tmp_path / "o.geojson")["features"]
    assert feature == {
        "type": "Feature",
        "id": one.id,
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[4, 0], [4, 2.5], [0, 2.5], [0, 0], [4, 0]]],
            "plane": {"c": -1, "z": 2, "t": 0},
        },
        "properties": {
            "objectType": "detection",
            "classification": {"name": "Tumor", "color": [200, 0, 0]},
            "isLocked": True,
            "measurements": {"Area µm^2": 10.0},
            "metadata": {"tilescope:author": "model:m 1"},
        },
    }


def test_every_kind_of_geometry(tmp_path, drawn, every_shape):
    write_geojson(tmp_path / "o.geojson", [drawn(*every_shape)])
    features = strict(tmp_path / "o.geojson")["features"]
    for feature, shape in zip(features, every_shape, strict=True):
        assert shapely.from_geojson(json.dumps(feature["geometry"])).equals(shape)


def test_one_feature_per_line_however_they_come(tmp_path, drawn):
    many = drawn(*(shapely.box(i, 0, i + 1, 1) for i in range(5000)))
    write_geojson(tmp_path / "a", [many])
    write_geojson(tmp_path / "b", [many[i : i + 700] for i in range(0, 5000, 700)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert len((tmp_path / "a").read_bytes().splitlines()) == 5002
    write_geojson(tmp_path / "a.gz", [many])
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == (tmp_path / "a").read_bytes()


def test_a_nucleus_goes_into_its_cell(tmp_path, drawn, one_by_one):
    cell, nucleus, other = drawn(*(shapely.box(0, 0, i, i) for i in (5, 3, 2)))
    cell = replace(cell, kind="cell", class_name="T")
    own = nucleus_id(cell.id)
    nucleus = replace(nucleus, id=own, kind="detection", name="nucleus", parent_id=cell.id)
    nucleus = replace(nucleus, class_name="T")
    other = replace(other, parent_id=cell.id)
    assert write_geojson(tmp_path / "o", [[cell, nucleus, other]]) == 3
    first, second = strict(tmp_path / "o")["features"]
    assert "nucleusGeometry" in first
    assert second["properties"]["metadata"] == {"tilescope:parent": cell.id}
    back = one_by_one(read_geojson(tmp_path / "o"))
    expected = [members(a) for a in (cell, nucleus, other)]
    assert [members(a) for a in back] == expected


def test_nothing_is_an_empty_collection(tmp_path):
    assert write_geojson(tmp_path / "o", []) == 0
    assert strict(tmp_path / "o")["features"] == []


def test_a_full_disk_leaves_nothing(tmp_path, drawn, no_room):
    with pytest.raises(OutputError, match="free some room"):
        write_geojson(tmp_path / "o", [drawn(shapely.box(0, 0, 1, 1))])
    assert not list(tmp_path.iterdir())


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100)
def test_rounding_keeps_geometries_valid(seed):
    rng = np.random.default_rng(seed)
    shapes = []
    for _ in range(6):
        points = rng.uniform(-1, 1, (rng.integers(3, 12), 2)) * 10.0 ** rng.integers(-3, 4)
        hull = shapely.make_valid(shapely.Polygon(points), method="structure")
        if hull.area > 0:
            shapes.append(hull)
    for text in geometry_texts([shapely.to_wkb(s, byte_order=1) for s in shapes]):
        back = shapely.from_geojson(text.decode())
        assert back.is_valid
        assert back.area > 0


def test_what_makes_an_object_again_comes_back(tmp_path):
    detail = {"sha256": "ab", "prompt": {"inside": [[3.0, 4.5]], "factor": 1.25}}
    one = Annotation(
        "0b7a3c1e-0000-4000-8000-000000000001",
        shapely.box(0, 0, 9, 9).wkb,
        author=Author("model", "clicker", detail),
    )
    path = tmp_path / "out.geojson"
    write_geojson(path, [[one]])
    findings = Findings()
    (back,) = [a for batch in read_geojson(path, findings=findings) for a in batch]
    assert back.author == one.author
    assert not findings.has_notes


@pytest.mark.parametrize("made", ["{", "[1]", "x" * 70_000, "[" * 5000, 7])
def test_a_note_that_is_not_ours_makes_nothing(tmp_path, made):
    metadata = {"tilescope:author": "model:m", "tilescope:made": made}
    shape = shapely.geometry.mapping(shapely.box(0, 0, 9, 9))
    feature = {"type": "Feature", "geometry": shape, "properties": {"metadata": metadata}}
    path = tmp_path / "in.geojson"
    path.write_text(json.dumps(feature), encoding="utf-8")
    findings = Findings()
    (back,) = [a for batch in read_geojson(path, findings=findings) for a in batch]
    assert back.author == Author("model", "m", {})
    assert findings.has_notes
