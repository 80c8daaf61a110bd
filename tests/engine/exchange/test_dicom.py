"""DICOM annotations, opened with highdicom."""

import pytest
import shapely

from tilescope.domain.geometry import Size
from tilescope.errors import AnnotationError, OutputError
from tilescope.exchange.dicom import read_dicom, write_dicom
from tilescope.exchange.findings import Findings

highdicom = pytest.importorskip("highdicom")

SIZE = Size(5000, 4000)


@pytest.fixture
def written(tmp_path, drawn, every_shape):
    ones = [
        *drawn(*every_shape, class_name="Tumor µ", measurements={"score": 0.5}),
        *drawn(shapely.box(0, 0, 3, 3), measurements={"other": 1.0}),
    ]
    findings = Findings()
    path = tmp_path / "a.dcm"
    assert write_dicom(path, [ones[:3], ones[3:]], size_l0=SIZE, findings=findings) == 8
    return path, findings.report()


def test_highdicom_opens_it(written):
    path, report = written
    file = highdicom.ann.annread(path)
    groups = {(g.label, g.graphic_type.value): g for g in file.get_annotation_groups()}
    counts = {key: g.number_of_annotations for key, g in groups.items()}
    assert counts == {
        ("Tumor µ", "POINT"): 3,
        ("Tumor µ", "POLYLINE"): 3,
        ("Tumor µ", "POLYGON"): 4,
        ("object", "POLYGON"): 1,
    }
    assert file.AnnotationCoordinateType == "2D"
    (square,) = groups["object", "POLYGON"].get_graphic_data(coordinate_type="2D")
    assert square.tolist() == [[3, 0], [3, 3], [0, 3], [0, 0]]
    assert {f.reason: f.count for f in report.left_out} == {
        "the holes of an area": 2,
        "measurements other than the score": 1,
    }


def test_there_and_back(written, one_by_one, every_shape):
    findings = Findings()
    back = one_by_one(read_dicom(written[0], findings=findings))
    assert findings.report().left_out == ()
    assert findings.report().classes == {"Tumor µ": None}
    named = [a for a in back if a.class_name]
    assert [a.measurements for a in named] == [{"score": 0.5}] * 10
    assert back[-1].class_name is None
    total = sum(shapely.area(shapely.from_wkb(a.geometry)) for a in named)
    filled = [
        shapely.get_exterior_ring(part)
        for g in every_shape
        for part in shapely.get_parts(g)
        if shapely.area(part) > 0
    ]
    assert total == pytest.approx(sum(shapely.area(shapely.polygons(ring)) for ring in filled))


def test_no_objects_are_no_file(tmp_path):
    with pytest.raises(OutputError, match="nothing to write"):
        write_dicom(tmp_path / "a.dcm", [], size_l0=SIZE)
    assert not list(tmp_path.iterdir())


def test_broken_files(tmp_path, written):
    path = tmp_path / "b.dcm"
    data = written[0].read_bytes()
    for content in (b"", b"rubbish" * 100, data[: len(data) // 2], data[:140]):
        path.write_bytes(content)
        with pytest.raises(AnnotationError, match=r"b\.dcm: "):
            list(read_dicom(path))
    with pytest.raises(AnnotationError, match="does not exist"):
        list(read_dicom(tmp_path / "c.dcm"))


def test_a_source_that_is_no_dicom(tmp_path, drawn):
    (tmp_path / "s.dcm").write_bytes(b"rubbish")
    ones = drawn(shapely.Point(1, 1))
    with pytest.raises(AnnotationError, match=r"s\.dcm: cannot be read as DICOM"):
        write_dicom(tmp_path / "a.dcm", [ones], size_l0=SIZE, source=tmp_path / "s.dcm")
