"""The formats of annotations: chosen by content on the way in, by name on the way out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tilescope.domain.annotation import Annotation
from tilescope.domain.geometry import Rect, Size
from tilescope.domain.scale import PixelSize
from tilescope.errors import AnnotationError, UsageError
from tilescope.exchange.asap_reader import read_asap
from tilescope.exchange.asap_writer import write_asap
from tilescope.exchange.coco_reader import read_coco
from tilescope.exchange.coco_writer import write_coco
from tilescope.exchange.dicom import read_dicom, write_dicom
from tilescope.exchange.findings import Findings
from tilescope.exchange.geojson_reader import read_geojson
from tilescope.exchange.geojson_writer import write_geojson
from tilescope.exchange.imagescope import read_imagescope
from tilescope.exchange.label_reader import read_labels
from tilescope.exchange.label_tiff import write_label_tiff
from tilescope.exchange.labels import ObjectsIn, write_labels
from tilescope.exchange.measurement_table import write_measurements
from tilescope.exchange.ndpa import GlassFrame, read_ndpa
from tilescope.exchange.opening import head_of
from tilescope.exchange.palette import RGB
from tilescope.exchange.parquet import (
    write_geoparquet,
    write_measurement_parquet,
    write_spatialdata_shapes,
)

_HEAD_BYTES = 1 << 16
_COCO_MEMBERS = (b'"images"', b'"categories"', b'"annotations"')


@dataclass(frozen=True, slots=True)
class SlideFrame:
    """What readers and writers have to know of the slide.

    Attributes
    ----------
    path
        The slide.
    size
        Level-0 pixels.
    pixel_size
        Of a level-0 pixel; None when the slide does not say.
    glass_offset_nm
        Where the centre of the image lies from that of the glass; only Hamamatsu slides say.
    dicom
        The DICOM file of level 0; None for a slide in another format.
    colours
        Of classes.
    """

    path: Path
    size: Size
    pixel_size: PixelSize | None
    glass_offset_nm: tuple[float, float] | None = None
    dicom: Path | None = None
    colours: Mapping[str, RGB] = field(default_factory=dict)


Annotations = Iterable[Sequence[Annotation]]
Read = Callable[[Path, SlideFrame, Findings], Iterator[Sequence[Annotation]]]
Write = Callable[[Path, Annotations, SlideFrame, Findings], int]
#: Writes the label image of a level-0 rectangle.
Paint = Callable[[Path, ObjectsIn, Rect, SlideFrame], None]


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes
    ----------
    name
        What users call it by: ``--format NAME``.
    title
        What it is, for listings.
    suffixes
        Of its files, the first one for new files.
    sniff
        Tells from the first bytes of the unpacked content whether a file has this format; None
        when it cannot be read.
    read, write, paint
        None for what cannot be done. Label images are painted from objects asked for by place,
        all else is written from objects in order.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    sniff: Callable[[bytes, Path], bool] | None = None
    read: Read | None = None
    write: Write | None = None
    paint: Paint | None = None


def format_of(path: Path) -> Format:
    """Return the format of a file or folder, by its content.

    Raises
    ------
    AnnotationError
        When it does not exist, cannot be opened, or has none of the formats.
    """
    if not path.exists():
        raise AnnotationError(path, "does not exist")
    head = head_of(path, _HEAD_BYTES)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "ignore").encode()
    for known in FORMATS:
        if known.sniff is not None and known.sniff(head, path):
            return known
    readable = ", ".join(known.title for known in FORMATS if known.read is not None)
    raise AnnotationError(path, f"is none of the formats that can be read: {readable}")


def format_named(name: str) -> Format:
    """Return the format that can be written under a name.

    Raises
    ------
    UsageError
        When there is none.
    """
    for known in FORMATS:
        if known.name == name and (known.write is not None or known.paint is not None):
            return known
    names = ", ".join(k.name for k in FORMATS if k.write is not None or k.paint is not None)
    raise UsageError(f"no format to write is called {name!r}; choose one of {names}")


def _begins(head: bytes) -> bytes:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]


def _is_coco(head: bytes, path: Path) -> bool:
    del path
    found = any(member in head for member in _COCO_MEMBERS)
    return _begins(head) == b"{" and found and b'"features"' not in head


def _is_geojson(head: bytes, path: Path) -> bool:
    del path
    return _begins(head) in (b"{", b"[")


def _is_asap(head: bytes, path: Path) -> bool:
    del path
    return b"<ASAP_Annotations" in head


def _is_imagescope(head: bytes, path: Path) -> bool:
    del path
    return b"<Annotations" in head


def _is_ndpa(head: bytes, path: Path) -> bool:
    return b"<ndpviewstate" in head or (path.suffix.lower() == ".ndpa" and b"<annotations" in head)


def _is_dicom(head: bytes, path: Path) -> bool:
    del path
    return head[128:132] == b"DICM"


def _is_labels(head: bytes, path: Path) -> bool:
    del head
    return path.is_dir() and any((path / n).is_file() for n in ("zarr.json", ".zattrs", ".zgroup"))


def _read_ndpa(path: Path, frame: SlideFrame, findings: Findings) -> Iterator[list[Annotation]]:
    if frame.pixel_size is None or frame.glass_offset_nm is None:
        reason = (
            "is in nanometres from the centre of the glass, and the slide does not say how large "
            "its pixels are and where they lie on the glass"
        )
        raise AnnotationError(path, reason)
    glass = GlassFrame(frame.size, frame.pixel_size, frame.glass_offset_nm)
    return read_ndpa(path, frame=glass, findings=findings)


def _read_coco(path: Path, frame: SlideFrame, findings: Findings) -> Iterator[list[Annotation]]:
    return read_coco(path, image=frame.path.name, findings=findings)


def _coco(segmentation: str) -> Write:
    def write(path: Path, given: Annotations, frame: SlideFrame, findings: Findings) -> int:
        return write_coco(
            path,
            given,
            image=frame.path.name,
            size_l0=frame.size,
            segmentation="rle" if segmentation == "rle" else "polygon",
            colours=frame.colours,
            findings=findings,
        )

    return write


def _columns(write: Callable[..., int]) -> Write:
    def written(path: Path, given: Annotations, frame: SlideFrame, findings: Findings) -> int:
        del findings
        return write(path, given, image=frame.path.name, pixel_size=frame.pixel_size)

    return written


def _write_spatialdata(
    path: Path, given: Annotations, frame: SlideFrame, findings: Findings
) -> int:
    return write_spatialdata_shapes(
        path, given, image=frame.path.name, pixel_size=frame.pixel_size, findings=findings
    )


def _paint_zarr(path: Path, objects_in: ObjectsIn, rect_l0: Rect, frame: SlideFrame) -> None:
    source = os.path.relpath(frame.path.resolve(), path.resolve())
    write_labels(path, objects_in, rect_l0=rect_l0, pixel_size=frame.pixel_size, source=source)


def _paint_tiff(path: Path, objects_in: ObjectsIn, rect_l0: Rect, frame: SlideFrame) -> None:
    write_label_tiff(path, objects_in, rect_l0=rect_l0, pixel_size=frame.pixel_size)


#: In the order in which a file is asked; what asks for less comes later.
FORMATS: tuple[Format, ...] = (
    Format(
        "dicom",
        "DICOM Microscopy Bulk Simple Annotations",
        (".dcm",),
        _is_dicom,
        lambda path, _, findings: read_dicom(path, findings=findings),
        lambda path, given, frame, findings: write_dicom(
            path, given, size_l0=frame.size, source=frame.dicom, findings=findings
        ),
    ),
    Format(
        "asap",
        "ASAP XML",
        (".xml",),
        _is_asap,
        lambda path, _, findings: read_asap(path, findings=findings),
        lambda path, given, frame, findings: write_asap(
            path, given, colours=frame.colours, findings=findings
        ),
    ),
    Format(
        "imagescope",
        "Aperio ImageScope XML",
        (".xml",),
        _is_imagescope,
        lambda path, frame, findings: read_imagescope(
            path, pixel_size=frame.pixel_size, findings=findings
        ),
    ),
    Format("ndpa", "Hamamatsu NDPA", (".ndpa",), _is_ndpa, _read_ndpa),
    Format("coco", "COCO JSON", (".json",), _is_coco, _read_coco, _coco("polygon")),
    Format("coco-rle", "COCO JSON with run lengths", (".json",), None, None, _coco("rle")),
    Format(
        "geojson",
        "GeoJSON",
        (".geojson", ".geojson.gz", ".json"),
        _is_geojson,
        lambda path, _, findings: read_geojson(path, findings=findings),
        lambda path, given, frame, _: write_geojson(path, given, colours=frame.colours),
    ),
    Format(
        "ome-zarr",
        "OME-Zarr labels",
        (".ome.zarr", ".zarr"),
        _is_labels,
        lambda path, frame, findings: read_labels(
            path, pixel_size=frame.pixel_size, findings=findings
        ),
        paint=_paint_zarr,
    ),
    Format("label-tiff", "label image, TIFF pyramid", (".tif", ".tiff"), paint=_paint_tiff),
    Format("csv", "measurements, CSV", (".csv",), write=_columns(write_measurements)),
    Format(
        "parquet",
        "measurements, Parquet",
        (".parquet",),
        write=_columns(write_measurement_parquet),
    ),
    Format(
        "geoparquet",
        "geometry and measurements, GeoParquet",
        (".geo.parquet", ".parquet"),
        write=_columns(write_geoparquet),
    ),
    Format(
        "spatialdata",
        "SpatialData store with shapes",
        (".zarr",),
        write=_write_spatialdata,
    ),
)
