"""Annotations as Parquet: measurements, and geometry as GeoParquet 1.1.

GeoParquet: https://geoparquet.org/releases/v1.1.0/. SpatialData's shapes:
https://spatialdata.scverse.org (design document, storage format).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from tilescope.domain.annotation import Annotation
from tilescope.domain.scale import PixelSize
from tilescope.errors import UsageError
from tilescope.exchange.findings import Findings
from tilescope.exchange.staging import output_errors, staged_folder
from tilescope.ops.measures import measure

if TYPE_CHECKING:
    import pyarrow as pa

_PART = 16384


@dataclass(slots=True)
class _Found:
    """What is known of the objects once all were seen."""

    count: int = 0
    names: dict[str, None] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    box: list[float] = field(default_factory=lambda: [np.inf, np.inf, -np.inf, -np.inf])

    def add(self, part: Sequence[Annotation], geometries: np.ndarray) -> None:
        self.count += len(part)
        for annotation in part:
            self.names.update(dict.fromkeys(annotation.measurements))
        self.kinds.update(geometry.geom_type for geometry in geometries)
        x0, y0, x1, y1 = shapely.total_bounds(geometries).tolist()
        low, high = np.minimum(self.box[:2], (x0, y0)), np.maximum(self.box[2:], (x1, y1))
        self.box = [*low.tolist(), *high.tolist()]


def write_measurement_parquet(
    path: Path,
    annotations: Iterable[Sequence[Annotation]],
    *,
    image: str,
    pixel_size: PixelSize | None,
) -> int:
    """Write one row per object with its measurements, and return how many.

    Parameters
    ----------
    path
        Appears when it is whole.
    annotations
        Batches in order; only one is held at a time.
    image
        Name of the slide, repeated in every row.
    pixel_size
        Shape is measured in micrometres, or in pixels when this is None.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    UsageError
        When pyarrow is not installed.
    """
    return _write(path, annotations, _Layout(image, pixel_size, geometry=False))


def write_geoparquet(
    path: Path,
    annotations: Iterable[Sequence[Annotation]],
    *,
    image: str,
    pixel_size: PixelSize | None,
) -> int:
    """Write one row per object with its geometry in level-0 pixels and its measurements.

    Parameters and errors are those of ``write_measurement_parquet``.
    """
    return _write(path, annotations, _Layout(image, pixel_size, geometry=True))


def write_spatialdata_shapes(
    path: Path,
    annotations: Iterable[Sequence[Annotation]],
    *,
    image: str,
    pixel_size: PixelSize | None,
    findings: Findings | None = None,
) -> int:
    """Write the areas as a SpatialData store with one element, ``shapes/objects``.

    SpatialData knows areas only; the count that is returned leaves points and lines out, and so
    says ``findings``.

    Other parameters and errors are those of ``write_measurement_parquet``; ``path`` is a folder.
    """
    findings = Findings() if findings is None else findings
    with staged_folder(path) as partial, output_errors(path):
        import zarr

        root = zarr.open_group(partial, mode="w", zarr_format=3)
        version = {"version": "0.2"}
        root.attrs["spatialdata_attrs"] = version
        element = root.create_group("shapes").create_group("objects")
        element.update_attributes(_element_attributes(pixel_size))
        layout = _Layout(image, pixel_size, geometry=True)
        areas = (_areas(batch, findings) for batch in annotations)
        return _write(partial / "shapes" / "objects" / "shapes.parquet", areas, layout)


def _areas(batch: Sequence[Annotation], findings: Findings) -> list[Annotation]:
    kinds = shapely.get_dimensions(shapely.from_wkb([a.geometry for a in batch])).tolist()
    for annotation, kind in zip(batch, kinds, strict=True):
        if kind != 2:
            findings.leave_out("a point or a line", annotation.id)
    return [a for a, kind in zip(batch, kinds, strict=True) if kind == 2]


def _element_attributes(pixel_size: PixelSize | None) -> dict[str, Any]:
    """Return the metadata of a shapes element; ``global`` is in level-0 pixels.

    A calibrated slide has a second system in micrometres.
    """
    axes = [{"name": name, "type": "space", "unit": "unit"} for name in "xy"]
    pixels = {"name": "xy", "axes": axes}
    transformations: list[dict[str, Any]] = [
        {"type": "identity", "input": pixels, "output": {"name": "global", "axes": axes}}
    ]
    if pixel_size is not None:
        transformations.append(
            {
                "type": "scale",
                "scale": [pixel_size.um_x, pixel_size.um_y],
                "input": pixels,
                "output": {"name": "micrometer", "axes": axes},
            }
        )
    return {
        "encoding-type": "ngff:shapes",
        "axes": ["x", "y"],
        "coordinateTransformations": transformations,
        "spatialdata_attrs": {"version": "0.3"},
    }


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the columns are."""

    image: str
    pixel_size: PixelSize | None
    geometry: bool

    def columns(
        self, part: Sequence[Annotation], geometries: np.ndarray, names: Iterable[str]
    ) -> dict[str, Any]:
        """Return the columns of some objects, in the same order every time."""
        columns: dict[str, Any] = {
            "Image": [self.image] * len(part),
            "Object ID": [a.id for a in part],
            "Object type": [a.kind for a in part],
            "Name": [a.name for a in part],
            "Classification": [a.class_name for a in part],
            "Parent": [a.parent_id for a in part],
        }
        shaped: dict[str, Any] = dict(measure(geometries, self.pixel_size).named())
        for name in names:
            own: list[float | None] = [a.measurements.get(name) for a in part]
            if name in shaped:
                pairs = zip(own, shaped[name].tolist(), strict=True)
                own = [measured if given is None else given for given, measured in pairs]
            shaped[name] = own
        columns.update(shaped)
        if self.geometry:
            columns["geometry"] = [a.geometry for a in part]
        return columns

    def schema(self, found: _Found) -> pa.Schema:
        import pyarrow as pa

        empty = self.columns([], np.zeros(0, object), found.names)
        kinds = {"geometry": pa.binary()}
        texts = ("Image", "Object ID", "Object type", "Name", "Classification", "Parent")
        kinds.update(dict.fromkeys(texts, pa.string()))
        fields = [pa.field(name, kinds.get(name, pa.float64())) for name in empty]
        return pa.schema(fields, _geo(found) if self.geometry else None)


def _geo(found: _Found) -> Mapping[str, str]:
    """Return the metadata of GeoParquet; pixels have no coordinate reference system."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted(found.kinds),
        "crs": None,
        "edges": "planar",
        "orientation": "counterclockwise",
    }
    if found.count:
        column["bbox"] = list(found.box)
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    return {"geo": json.dumps(geo)}


def _write(path: Path, annotations: Iterable[Sequence[Annotation]], layout: _Layout) -> int:
    """Write the rows; objects wait in a temporary file until all names are known."""
    pq = _pyarrow_parquet()
    found = _Found()
    with _spooled(path, annotations, found) as parts, _staged_parquet(path) as partial:
        schema = layout.schema(found)
        with output_errors(path), pq.ParquetWriter(partial, schema, compression="zstd") as file:
            for part in parts:
                geometries = shapely.from_wkb(np.array([a.geometry for a in part], object))
                columns = layout.columns(part, geometries, found.names)
                file.write_table(_table(columns, schema))
    return found.count


def _table(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    arrays = [pa.array(columns[f.name], f.type, from_pandas=True) for f in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


@contextmanager
def _staged_parquet(path: Path) -> Iterator[Path]:
    """Give a path to write to that becomes ``path`` when the block ends."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with output_errors(path):
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def _spooled(
    path: Path, annotations: Iterable[Sequence[Annotation]], found: _Found
) -> Iterator[Iterator[list[Annotation]]]:
    """Take all objects into a temporary file and give them back, knowing all of them."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("id", pa.string()),
            ("geometry", pa.binary()),
            ("kind", pa.string()),
            ("class_name", pa.string()),
            ("name", pa.string()),
            ("parent_id", pa.string()),
            ("measurements", pa.map_(pa.string(), pa.float64())),
        ]
    )
    with output_errors(path):
        spool = tempfile.TemporaryFile()  # noqa: SIM115
    with spool:
        with pa.ipc.new_stream(spool, schema) as stream:
            for batch in annotations:
                for first in range(0, len(batch), _PART):
                    part = batch[first : first + _PART]
                    found.add(part, shapely.from_wkb(np.array([a.geometry for a in part], object)))
                    with output_errors(path):
                        stream.write_batch(_record_batch(part, schema))
        spool.seek(0)
        with pa.ipc.open_stream(spool) as parts:
            yield ([_annotation(row) for row in part.to_pylist()] for part in parts)


def _record_batch(part: Sequence[Annotation], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    columns = {
        field.name: [list(getattr(a, field.name).items()) for a in part]
        if field.name == "measurements"
        else [getattr(a, field.name) for a in part]
        for field in schema
    }
    return pa.record_batch(columns, schema)


def _annotation(row: dict[str, Any]) -> Annotation:
    return Annotation(
        row["id"],
        row["geometry"],
        row["kind"],
        row["class_name"],
        row["name"],
        dict(row["measurements"]),
        parent_id=row["parent_id"],
    )


def _pyarrow_parquet() -> Any:  # noqa: ANN401
    try:
        import pyarrow.parquet
    except ImportError as exc:
        msg = "Parquet needs pyarrow: pip install 'tilescope[parquet]'"
        raise UsageError(msg) from exc
    return pyarrow.parquet
