"""COCO JSON, checked with the reference implementation."""

import contextlib
import io
import json

import pytest
import shapely
import shapely.affinity
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.geometry import Size
from tilescope.errors import AnnotationError
from tilescope.exchange.coco_reader import read_coco
from tilescope.exchange.coco_writer import write_coco
from tilescope.exchange.findings import Findings
from tilescope.exchange.run_lengths import packed_counts, unpacked_counts

SIZE = Size(400, 300)


def areas():
    circle = shapely.Point(200.5, 150.5).buffer(40, quad_segs=32)
    return [
        circle,
        shapely.box(10, 10, 40, 300),
        shapely.difference(circle, shapely.box(190, 140, 210, 160)),
        shapely.MultiPolygon([shapely.box(0, 0, 5, 5), shapely.box(20, 0, 25, 5)]),
        shapely.box(50, 0, 60, 300),
    ]


# pycocotools' arrays predate a keyword of numpy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("form", ["polygon", "rle"])
def test_the_reference_sees_the_same(tmp_path, drawn, form):
    coco = pytest.importorskip("pycocotools.coco")
    ones = drawn(*areas(), class_name="A", measurements={"score": 0.5})
    path = tmp_path / "c.json"
    written = write_coco(path, [ones], image="s.svs", size_l0=SIZE, segmentation=form)
    assert written == len(ones)
    with contextlib.redirect_stdout(io.StringIO()):
        whole = coco.COCO(str(path))
    records = whole.loadAnns(whole.getAnnIds())
    for record, shape in zip(records, areas(), strict=True):
        x0, y0, x1, y1 = shape.bounds
        assert record["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=0.01)
        assert record["area"] == pytest.approx(shape.area, abs=1)
        assert whole.annToMask(record).sum() == pytest.approx(shape.area, rel=0.01, abs=1)
        assert record["score"] == 0.5
    assert isinstance(records[0]["segmentation"], dict) == (form == "rle")
    assert isinstance(records[2]["segmentation"], dict)


@pytest.mark.parametrize("form", ["polygon", "rle"])
def test_there_and_back(tmp_path, drawn, one_by_one, form):
    ones = [*drawn(*areas(), class_name="A"), *drawn(shapely.box(1, 1, 2, 2), class_name="B µ")]
    path = tmp_path / "c.json"
    write_coco(path, [ones], image="s.svs", size_l0=SIZE, segmentation=form)
    findings = Findings()
    back = one_by_one(read_coco(path, findings=findings))
    assert findings.report().left_out == ()
    assert [a.class_name for a in back] == [a.class_name for a in ones]
    for one, other in zip(ones, back, strict=True):
        a, b = shapely.from_wkb([one.geometry, other.geometry])
        assert shapely.symmetric_difference(a, b).area <= 0.02 * a.area


def test_points_are_left_out_and_named(tmp_path, drawn):
    findings = Findings()
    ones = drawn(shapely.Point(1, 1), shapely.box(0, 0, 2, 2))
    assert write_coco(tmp_path / "c", [ones], image="i", size_l0=SIZE, findings=findings) == 1
    assert findings.report().left_out[0].first == ones[0].id


def test_holes_on_a_large_image_are_named(tmp_path, drawn, one_by_one):
    findings = Findings()
    (one,) = drawn(shapely.box(0, 0, 9, 9).difference(shapely.box(3, 3, 6, 6)))
    large = Size(100_000, 100_000)
    write_coco(tmp_path / "c", [[one]], image="i", size_l0=large, findings=findings)
    assert any("holes" in f.reason for f in findings.report().left_out)
    assert shapely.from_wkb(one_by_one(read_coco(tmp_path / "c"))[0].geometry).area == 81


@given(
    st.lists(st.integers(0, 2**32 - 1), max_size=30) | st.lists(st.integers(0, 2**19), max_size=30)
)
def test_packing_is_that_of_the_reference(counts):
    mask = pytest.importorskip("pycocotools.mask")
    text = packed_counts(counts)
    assert unpacked_counts(text) == counts
    # The reference writes past its buffer where most counts take all six letters it has for each.
    if counts and sum(counts) < 2**24:
        side = max(1, sum(counts))
        packed = mask.frPyObjects({"size": [side, 1], "counts": counts}, side, 1)
        assert packed["counts"].decode() == text


def file_of(tmp_path, **members):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(members))
    return path


BASE = {
    "images": [{"id": 7, "file_name": "a/s.svs", "width": 400, "height": 300}],
    "categories": [{"id": 3, "name": "T", "color": [1, 2, 3]}],
}


def record(**members):
    square = [[0, 0, 4, 0, 4, 2, 0, 2]]
    return {"id": 1, "image_id": 7, "category_id": 3, "segmentation": square, **members}


def test_tables_may_come_first_or_last(tmp_path, one_by_one):
    for order in (["images", "categories", "annotations"], ["annotations", "images", "categories"]):
        whole = {**BASE, "annotations": [record()]}
        path = file_of(tmp_path, **{name: whole[name] for name in order})
        findings = Findings()
        (one,) = one_by_one(read_coco(path, findings=findings))
        assert one.class_name == "T"
        assert findings.report().classes == {"T": (1, 2, 3)}


def test_one_of_several_images(tmp_path, one_by_one):
    images = [*BASE["images"], {"id": 8, "file_name": "t.svs"}]
    annotations = [record(), record(image_id=8), record(image_id=8)]
    path = file_of(tmp_path, images=images, categories=[], annotations=annotations)
    assert len(one_by_one(read_coco(path, image="/x/t.svs"))) == 2
    with pytest.raises(AnnotationError, match=r"several images.*s\.svs, t\.svs"):
        next(read_coco(path))
    with pytest.raises(AnnotationError, match=r"no image called 'u\.svs'"):
        next(read_coco(path, image="u.svs"))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"segmentation": [[0, 0, 1, 1]]}, "fewer than three"),
        ({"segmentation": [[0, 0, 1, 1, 2]]}, "no pairs"),
        ({"segmentation": [["a", 0, 1, 1, 2, 3]]}, "no numbers"),
        ({"segmentation": [[0, 0, None, 1, 2, 3]]}, "not finite"),
        ({"segmentation": "x"}, "neither an outline nor a box"),
        ({"segmentation": [], "bbox": [0, 0, 0, 5]}, "encloses nothing"),
        ({"segmentation": {"counts": [1, 2]}}, "without the size"),
        ({"segmentation": {"size": [3, 3], "counts": [1, 20]}}, "numbers of pixels"),
        ({"segmentation": {"size": [3, 3], "counts": [5, 5]}}, "more pixels"),
        ({"segmentation": {"size": [3, 3], "counts": "\u00e9"}}, "unpacked"),
        ({"segmentation": {"size": [3, 3], "counts": None}}, "no list"),
        ({"segmentation": {"size": [2**40, 2**40], "counts": []}}, "without the size"),
        ({"segmentation": {"size": [3, 3], "counts": [9]}}, "encloses nothing"),
    ],
)
def test_what_is_no_outline_is_named(tmp_path, one_by_one, members, reason):
    path = file_of(tmp_path, **BASE, annotations=[record(), record(**members), 5])
    findings = Findings()
    assert len(one_by_one(read_coco(path, findings=findings))) == 1
    first, second = findings.report().left_out
    assert reason in first.reason or reason in second.reason


def test_a_box_stands_in_for_an_outline(tmp_path, one_by_one):
    path = file_of(tmp_path, **BASE, annotations=[record(segmentation=[], bbox=[1, 2, 3, 4])])
    findings = Findings()
    (one,) = one_by_one(read_coco(path, findings=findings))
    assert shapely.from_wkb(one.geometry).bounds == (1, 2, 4, 6)
    assert findings.report().changed[0].first == "annotation 1"


def test_other_json_says_so(tmp_path):
    with pytest.raises(AnnotationError, match="not COCO"):
        next(read_coco(file_of(tmp_path, a=1)))
