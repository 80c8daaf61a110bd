"""Formats are told by content on the way in and by name on the way out."""

import gzip

import numpy as np
import pytest
import shapely

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.scale import PixelSize
from tilescope.errors import AnnotationError, UsageError
from tilescope.exchange.findings import Findings
from tilescope.exchange.formats import FORMATS, SlideFrame, format_named, format_of
from tilescope.exchange.label_objects import as_objects


@pytest.fixture
def frame(tmp_path):
    return SlideFrame(tmp_path / "s.svs", Size(600, 500), PixelSize(0.5, 0.5), (0.0, 0.0))


@pytest.fixture
def areas(drawn):
    return drawn(*(shapely.box(i, 10, i + 30, 40) for i in range(0, 200, 40)), class_name="A")


@pytest.mark.parametrize("name", [f.name for f in FORMATS if f.write and f.read])
def test_what_is_written_is_known_again_and_read(tmp_path, frame, areas, one_by_one, name):
    known = format_named(name)
    path = tmp_path / "file"
    assert known.write(path, [areas], frame, Findings()) == len(areas)
    assert format_of(path) is known
    findings = Findings()
    back = one_by_one(known.read(path, frame, findings))
    assert findings.report().left_out == ()
    assert {a.class_name for a in back} == {"A"}
    got = shapely.union_all([shapely.from_wkb(a.geometry) for a in back])
    assert got.equals(shapely.union_all([shapely.from_wkb(a.geometry) for a in areas]))


@pytest.mark.parametrize("name", [f.name for f in FORMATS if f.write and not f.read])
def test_the_others_are_written(tmp_path, frame, areas, name):
    path = tmp_path / "file"
    assert format_named(name).write(path, [areas], frame, Findings()) == len(areas)
    assert path.exists()


@pytest.mark.parametrize("name", [f.name for f in FORMATS if f.paint])
def test_label_images_are_painted(tmp_path, frame, areas, name):
    def ask(_rect):
        return as_objects(areas, range(1, 6), ("A",))

    path = tmp_path / "file"
    format_named(name).paint(path, ask, Rect.of_size(frame.size), frame)
    if format_of_or_none(path) is not None:
        back = [a for b in format_of(path).read(path, frame, Findings()) for a in b]
        areas_back = [shapely.area(shapely.from_wkb(a.geometry)) for a in back]
        assert areas_back == pytest.approx(np.full(5, 900), rel=0.01)


def format_of_or_none(path):
    try:
        return format_of(path)
    except AnnotationError:
        return None


HEADS = {
    "geojson": b'{"type": "FeatureCollection"',
    "coco": b'{"info": {}, "images": [',
    "asap": b'<?xml version="1.0"?>\n<ASAP_Annotations>',
    "imagescope": b'<Annotations MicronsPerPixel="0.25">',
    "ndpa": b"<annotations><ndpviewstate>",
    "dicom": bytes(128) + b"DICM",
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", list(HEADS))
def test_content_decides(tmp_path, name, packed):
    path = tmp_path / "any.bin"
    path.write_bytes(gzip.compress(HEADS[name]) if packed else HEADS[name])
    assert format_of(path).name == name


def test_utf16(tmp_path):
    path = tmp_path / "f.xml"
    path.write_text('<?xml version="1.0" encoding="utf-16"?><ASAP_Annotations/>', encoding="utf-16")
    assert format_of(path).name == "asap"
    assert list(format_of(path).read(path, None, Findings())) == []


def test_what_is_unknown_says_so(tmp_path, frame):
    path = tmp_path / "f"
    path.write_bytes(b"hello")
    with pytest.raises(AnnotationError, match=r"none of the formats that can be read: .*GeoJSON"):
        format_of(path)
    with pytest.raises(AnnotationError, match="does not exist"):
        format_of(tmp_path / "g")
    with pytest.raises(AnnotationError, match="none of the formats"):
        format_of(tmp_path)
    with pytest.raises(UsageError, match=r"choose one of .*geojson"):
        format_named("imagescope")


def test_ndpa_needs_to_know_the_glass(tmp_path, frame):
    unplaced = SlideFrame(frame.path, frame.size, frame.pixel_size)
    with pytest.raises(AnnotationError, match="centre of the glass"):
        format_of_ndpa(tmp_path).read(tmp_path / "f.ndpa", unplaced, Findings())


def format_of_ndpa(folder):
    (folder / "f.ndpa").write_bytes(HEADS["ndpa"])
    return format_of(folder / "f.ndpa")


def test_names_are_unique():
    names = [known.name for known in FORMATS]
    assert len(set(names)) == len(names)
