"""Reading ``plugin.toml``: every mistake is reported with its key, none is ignored."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from tilescope.domain.geometry import Size
from tilescope.domain.manifest import (
    GoldenRef,
    ModelSpec,
    Parameter,
    PluginManifest,
    TensorSpec,
    TileSpec,
    WeightsRef,
)
from tilescope.domain.scale import AtObjectSize, AtPixelSize, FitWithin, Native, Sampling
from tilescope.errors import ManifestInvalid
from tilescope.plugins.encoding_tables import read_decoding, read_encoding
from tilescope.plugins.toml_table import NUMBER, Table

_SCHEMA = 1


def load_manifest(path: Path) -> PluginManifest:
    """Return the manifest in the file.

    Raises
    ------
    ManifestInvalid
        With every problem found, each beginning with its dotted key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ManifestInvalid(path, [str(exc)]) from exc
    problems: list[str] = []
    root = Table(values, "", problems)
    manifest = root.build(_manifest)
    if manifest is None:
        raise ManifestInvalid(path, problems)
    return manifest


def _manifest(root: Table) -> PluginManifest:
    schema = root.take("schema", int)
    if schema > _SCHEMA:
        root.raw()  # what the keys of a later schema mean is not for this version to judge
        msg = f"schema {schema} is newer than {_SCHEMA}, the one this version reads"
        raise ValueError(msg)
    tables = root.tables("model")
    models = [table.build(_model) for table in tables]
    _note_doubles(tables, models)
    return PluginManifest(
        schema=schema,
        id=root.take("id", str),
        name=root.take("name", str),
        requires=_requires(root),
        models=tuple(model for model in models if model is not None),
    )


def _note_doubles(tables: Sequence[Table], models: Sequence[ModelSpec | None]) -> None:
    taken: set[str] = set()
    for table, model in zip(tables, models, strict=True):
        if model is not None and model.id in taken:
            table.note("id", f"{model.id!r} is the id of an earlier model")
        elif model is not None:
            taken.add(model.id)


def _requires(root: Table) -> str:
    requires = root.take("requires", str)
    try:
        SpecifierSet(requires)
    except InvalidSpecifier:
        root.note("requires", f"{requires!r} is not a version specifier like '>=0.1,<0.2'")
    return requires


def _model(table: Table) -> ModelSpec:
    task: Any = table.take("task", str)
    values = {name: table.take(name, str) for name in ("id", "version", "title", "adapter")}
    tile = table.table("tile").build(_tile)
    weights = table.table("weights").build(_weights)
    sampling = table.table("sampling").build(_sampling)
    inputs = [t.build(_tensor) for t in table.tables("inputs")]
    outputs = [t.build(_tensor) for t in table.tables("outputs")]
    golden = table.table("golden").build(_golden) if table.has("golden") else None
    encoding = table.table("encoding").build(read_encoding) if table.has("encoding") else None
    decoding = table.table("decoding").build(read_decoding) if table.has("decoding") else None
    classes, licence = table.strings("classes"), table.take("licence", str)
    parameters = _parameters(table)
    card = table.table("card").raw() if table.has("card") else {}
    if tile is None or weights is None or sampling is None:
        msg = "incomplete"
        raise ValueError(msg)
    return ModelSpec(
        **values,
        task=task,
        classes=classes,
        licence=licence,
        sampling=sampling,
        tile=tile,
        weights=weights,
        inputs=tuple(t for t in inputs if t is not None),
        outputs=tuple(t for t in outputs if t is not None),
        golden=golden,
        encoding=encoding,
        decoding=decoding,
        parameters=parameters,
        card=card,
    )


def _tensor(table: Table) -> TensorSpec:
    layout: Any = table.take("layout", str)
    dtype: Any = table.take("dtype", str)
    stride = table.take("stride", int, 1)
    return TensorSpec(table.take("name", str), layout, dtype, table.strings("channels", ()), stride)


def _tile(table: Table) -> TileSpec:
    size = table.take("size", list)
    halo, margin = table.take("halo", int), table.take("decode_margin", int, 0)
    multiple, batch = table.take("multiple_of", int, 1), table.take("max_batch", int, 1)
    peak = table.positive("peak_bytes_per_px") if table.has("peak_bytes_per_px") else None
    fixed = table.take("fixed", bool, default=False)
    if len(size) != 2 or not all(type(side) is int for side in size):
        msg = f"size must be [width, height], not {size}"
        raise ValueError(msg)
    return TileSpec(
        size=Size(*size),
        halo_px=halo,
        decode_margin_px=margin,
        multiple_of=multiple,
        max_batch=batch,
        peak_bytes_per_px=peak,
        fixed=fixed,
    )


def _weights(table: Table) -> WeightsRef:
    return WeightsRef(table.take("file", str), table.take("sha256", str), table.take("bytes", int))


def _golden(table: Table) -> GoldenRef:
    return GoldenRef(table.take("inputs", str), table.take("outputs", str), table.positive("atol"))


def _sampling(table: Table) -> Sampling:
    match table.take("kind", str):
        case "native":
            return Native()
        case "pixel-size":
            return AtPixelSize(table.positive("um"))
        case "object-size":
            return AtObjectSize(table.positive("diameter_px"), table.positive("diameter_um"))
        case "fit-within":
            return FitWithin(table.take("max_side", int))
        case other:
            table.raw()  # which keys belong to it is unknown
            msg = f"kind {other!r} is not native, pixel-size, object-size or fit-within"
            raise ValueError(msg)


def _parameters(model: Table) -> dict[str, Parameter]:
    if not model.has("parameters"):
        return {}
    table = model.table("parameters")
    found: dict[str, Parameter] = {}
    for name in table.names():
        part = table.table(name)
        built = part.build(_parameter)
        if built is not None:
            found[name] = built
    return found


def _parameter(table: Table) -> Parameter:
    return Parameter(
        default=float(table.take("default", NUMBER)),
        minimum=float(table.take("min", NUMBER)),
        maximum=float(table.take("max", NUMBER)),
        title=table.take("title", str),
    )
