"""DICOM Microscopy Bulk Simple Annotations, read and written by highdicom.

Supplement 222 of the standard: groups of points, lines or polygons of one property each, in
pixels of the whole matrix of the finest image, from its top left.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation, Author
from tilescope.domain.geometry import Size
from tilescope.errors import AnnotationError, OutputError, UsageError
from tilescope.exchange.findings import Findings
from tilescope.exchange.intake import Draft, Intake, Shape, as_number, as_text, batches
from tilescope.exchange.losses import note_losses
from tilescope.exchange.staging import staged_file
from tilescope.exchange.vertices import ELLIPSE_VERTICES, NoShape, line, maker, point, polygon

#: highdicom holds a whole file in memory, and its arrays.
_LARGEST_FILE_BYTES = 2 << 30
_MOST_VERTICES = 200_000_000
_PART = 4096
_UNCLASSIFIED = "object"
_LONGEST_CODE = 16
_LONGEST_MEANING = 64
_GRAPHICS = {
    shapely.GeometryType.POINT: "POINT",
    shapely.GeometryType.LINESTRING: "POLYLINE",
    shapely.GeometryType.POLYGON: "POLYGON",
}


def write_dicom(
    path: Path,
    annotations: Iterable[Sequence[Annotation]],
    *,
    size_l0: Size,
    source: Path | None = None,
    findings: Findings | None = None,
) -> int:
    """Write every object into one group per class and kind of geometry; return how many objects.

    All vertices are held in memory until the end, for the file keeps them in one array a group.

    Parameters
    ----------
    path
        Appears when it is whole.
    annotations
        Batches in order.
    size_l0
        Level-0 pixels of the slide.
    source
        The DICOM file of the slide's finest level, which is then referred to with its patient and
        study; without it a reference to an image that does not exist is made up.
    findings
        Gets what the format has no room for: holes, names, measurements but the score.

    Raises
    ------
    OutputError
        When ``path`` cannot be written, or there are too many vertices for one file.
    UsageError
        When highdicom is not installed.
    """
    hd = _highdicom()
    findings = Findings() if findings is None else findings
    image = _source(source, size_l0)
    columns = _Columns(path, findings)
    for batch in annotations:
        columns.add(batch)
    if not columns.groups:
        raise OutputError(path, "DICOM has no file without objects; there is nothing to write")
    groups = [
        _group(hd, number, key, column)
        for number, (key, column) in enumerate(columns.groups.items(), 1)
    ]
    file = hd.ann.MicroscopyBulkSimpleAnnotations(
        source_images=[image],
        annotation_coordinate_type="2D",
        annotation_groups=groups,
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Tilescope",
        manufacturer_model_name="Tilescope",
        software_versions="1",
        device_serial_number="0",
        content_label="TILESCOPE",
        specific_character_set="ISO_IR 192",
    )
    with staged_file(path) as staged:
        file.save_as(_Writable(staged), enforce_file_format=True)
    return columns.count


class _Writable:
    """What pydicom needs of a file to write to; it looks back at nothing."""

    def __init__(self, staged: Any) -> None:  # noqa: ANN401
        self._staged = staged
        self._at = 0

    def write(self, data: bytes) -> int:
        self._staged.write(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        msg = "the file under construction is only appended to"
        raise OSError(msg, offset, whence)


class _Columns:
    """The vertices of all objects by class and kind of geometry."""

    def __init__(self, path: Path, findings: Findings) -> None:
        self._path = path
        self._findings = findings
        self._vertices = 0
        self.groups: dict[tuple[str, str], list[tuple[NDArray[np.float32], float]]] = defaultdict(
            list
        )
        self.count = 0

    def add(self, batch: Sequence[Annotation]) -> None:
        """Append the objects; one of several parts becomes several annotations."""
        geometries = shapely.from_wkb(np.array([a.geometry for a in batch], object))
        self._vertices += int(shapely.get_num_coordinates(geometries).sum())
        if self._vertices > _MOST_VERTICES:
            reason = f"more than {_MOST_VERTICES:,} vertices do not fit one DICOM file"
            raise OutputError(self._path, reason)
        for annotation, geometry in zip(batch, geometries, strict=True):
            self._note(annotation)
            score = annotation.measurements.get("score", np.nan)
            for part in shapely.get_parts(geometry):
                kind = _GRAPHICS[shapely.GeometryType(shapely.get_type_id(part))]
                if shapely.get_num_interior_rings(part):
                    self._findings.leave_out("the holes of an area", annotation.id)
                ring = shapely.get_exterior_ring(part) if kind == "POLYGON" else part
                points = shapely.get_coordinates(ring).astype(np.float32)
                # The standard closes polygons by itself.
                points = points[:-1] if kind == "POLYGON" else points
                key = (annotation.class_name or _UNCLASSIFIED, kind)
                self.groups[key].append((points, score))
        self.count += len(batch)

    def _note(self, annotation: Annotation) -> None:
        note_losses(annotation, self._findings)
        if annotation.measurements.keys() - {"score"}:
            self._findings.leave_out("measurements other than the score", annotation.id)
        if annotation.name is not None:
            self._findings.leave_out("the name of an object", annotation.id)


def _group(
    hd: Any,  # noqa: ANN401
    number: int,
    key: tuple[str, str],
    column: list[tuple[NDArray[np.float32], float]],
) -> Any:  # noqa: ANN401
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    name, kind = key
    scores = np.array([score for _, score in column], np.float32)
    measurements = None
    if not np.isnan(scores).any():
        probability = Code("SCORE", "99TILESCOPE", "Score")
        measurements = [hd.ann.Measurements(probability, scores, codes.UCUM.NoUnits)]
    # A code of our own scheme: names of classes are free.
    code = "".join(c for c in name.upper() if c.isascii() and c.isalnum())[:_LONGEST_CODE]
    return hd.ann.AnnotationGroup(
        number=number,
        uid=hd.UID(),
        label=name[:_LONGEST_MEANING],
        annotated_property_category=Code("91723000", "SCT", "Anatomical structure"),
        annotated_property_type=Code(code or "OBJECT", "99TILESCOPE", name[:_LONGEST_MEANING]),
        graphic_type=kind,
        graphic_data=[points for points, _ in column],
        algorithm_type="MANUAL",
        measurements=measurements,
    )


def _source(source: Path | None, size: Size) -> Any:  # noqa: ANN401
    """Return the attributes of the image that is referred to."""
    import pydicom

    if source is not None:
        try:
            return pydicom.dcmread(source, stop_before_pixels=True)
        except Exception as exc:
            raise AnnotationError(source, f"cannot be read as DICOM ({_said(exc)})") from exc
    now = datetime.datetime.now(tz=datetime.UTC)
    image = pydicom.Dataset()
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        setattr(image, name, pydicom.uid.generate_uid(prefix=None))
    image.Modality = "SM"
    for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID"):
        setattr(image, name, "")
    image.AccessionNumber = ""
    image.StudyDate, image.StudyTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    image.ContainerIdentifier = ""
    image.SpecimenDescriptionSequence = []
    image.TotalPixelMatrixColumns, image.TotalPixelMatrixRows = size.width, size.height
    return image


def read_dicom(path: Path, *, findings: Findings | None = None) -> Iterator[list[Annotation]]:
    """Yield the objects of a file group by group, in batches of at most 4096.

    The class is the group's label, else the property it annotates; measurements keep their names.

    Parameters
    ----------
    path
        A file of the SOP class Microscopy Bulk Simple Annotations.
    findings
        Gets what could not be taken.

    Raises
    ------
    AnnotationError
        When the file is not of that class, is broken, or is not in pixels of the image.
    UsageError
        When highdicom is not installed.
    """
    hd = _highdicom()
    findings = Findings() if findings is None else findings
    if not path.is_file():
        raise AnnotationError(path, "does not exist or is no file")
    if path.stat().st_size > _LARGEST_FILE_BYTES:
        raise AnnotationError(path, f"is larger than {_LARGEST_FILE_BYTES >> 30} GiB")
    try:
        file = hd.ann.annread(path)
        in_pixels = str(file.AnnotationCoordinateType) == "2D"
        groups = file.get_annotation_groups()
    except Exception as exc:
        reason = f"cannot be read as DICOM annotations ({_said(exc)})"
        raise AnnotationError(path, reason) from exc
    if not in_pixels:
        raise AnnotationError(path, "is in millimetres of the glass, not in pixels of the image")
    author = Author("import", path.name, {"format": "DICOM ANN"})
    intake = Intake(author, findings)
    parts = (
        intake.taken([draft for draft, _ in part], [shape for _, shape in part])
        for part in batches(chain.from_iterable(_of_group(path, g, intake) for g in groups), _PART)
    )
    yield from batches(chain.from_iterable(parts))


def _of_group(path: Path, group: Any, intake: Intake) -> Iterator[tuple[Draft, Shape]]:  # noqa: ANN401
    place = f"group {group.number}"
    try:
        kind = str(group.graphic_type.value)
        data = group.get_graphic_data(coordinate_type="2D")
        names, values, units = group.get_measurements()
        label = as_text(group.label) or as_text(group.annotated_property_type.meaning)
    except Exception as exc:
        reason = f"its annotations cannot be read ({_said(exc)})"
        raise AnnotationError(path, reason, place) from exc
    del units
    named = [as_text(name.meaning) or "?" for name in names]
    name = intake.meet(None if label == _UNCLASSIFIED else label)
    for i, points in enumerate(data):
        draft = Draft(f"{place}, object {i + 1:,}", class_name=name)
        if named:
            numbers = map(as_number, np.asarray(values[i], float).tolist())
            found = {n: v for n, v in zip(named, numbers, strict=True) if v is not None}
            draft.measurements = {"score" if n == "Score" else n: v for n, v in found.items()}
        yield draft, _shape(kind, np.asarray(points, np.float64)[:, :2], draft, intake)


def _shape(kind: str, points: NDArray[np.float64], draft: Draft, intake: Intake) -> Shape:
    try:
        return maker(_SHAPES, kind)(points)
    except NoShape as exc:
        intake.refuse(str(exc), draft.place)
        return None


def _ellipse(points: NDArray[np.float64]) -> shapely.Geometry:
    """Return the ellipse of four vertices: both ends of one axis, both ends of the other."""
    if len(points) != 4:
        raise NoShape("has an ellipse of other than four vertices")
    angle = np.arange(ELLIPSE_VERTICES)[:, None] * (2 * np.pi / ELLIPSE_VERTICES)
    first, second = (points[1] - points[0]) / 2, (points[3] - points[2]) / 2
    return polygon(points.mean(axis=0) + np.cos(angle) * first + np.sin(angle) * second)


_SHAPES = {
    "POINT": point,
    "POLYLINE": line,
    "POLYGON": polygon,
    "RECTANGLE": polygon,
    "ELLIPSE": _ellipse,
}


def _highdicom() -> Any:  # noqa: ANN401
    try:
        import highdicom
        import highdicom.ann
    except ImportError as exc:
        msg = "DICOM annotations need highdicom: pip install 'tilescope[dicom]'"
        raise UsageError(msg) from exc
    return highdicom


def _said(exc: BaseException) -> str:
    text = " ".join(str(exc).split())[:200]
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
