"""What a drawing keeps of an object that only a project can hold."""

import pytest
import shapely

from tilescope.domain.geometry import Size
from tilescope.exchange.asap_writer import write_asap
from tilescope.exchange.coco_writer import write_coco
from tilescope.exchange.findings import Findings

SQUARE = shapely.box(0, 0, 4, 4)


def write_one_dicom(path, batches, *, findings):
    dicom = pytest.importorskip("tilescope.exchange.dicom")
    pytest.importorskip("highdicom")
    return dicom.write_dicom(path, batches, size_l0=Size(9, 9), findings=findings)


def write_one_coco(path, batches, *, findings):
    return write_coco(path, batches, image="a.svs", size_l0=Size(9, 9), findings=findings)


@pytest.mark.parametrize("write", [write_asap, write_one_coco, write_one_dicom])
def test_kind_lock_parent_and_plane_are_named(tmp_path, drawn, write):
    plain = drawn(SQUARE)
    findings = Findings()
    assert write(tmp_path / "plain", [plain], findings=findings) == 1
    assert not findings.has_notes
    parent = plain[0].id
    rich = drawn(SQUARE, SQUARE, kind="detection", locked=True, parent_id=parent, z=2)
    findings = Findings()
    assert write(tmp_path / "rich", [rich], findings=findings) == 2
    assert {f.reason for f in findings.report().left_out} == {
        "that an object is a detection",
        "the lock of an object",
        "the parent of an object",
        "the plane and time point of an object",
    }
    assert {(f.count, f.first) for f in findings.report().left_out} == {(2, rich[0].id)}
