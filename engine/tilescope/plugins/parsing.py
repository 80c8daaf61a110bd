"""Reading ``plugin.toml``: every mistake is reported with its key, none is ignored."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

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

T = TypeVar("T")

_SCHEMA = 1
_NUMBER = (int, float)


class _Table:
    """A TOML table that knows its own dotted key and which of its keys were asked for."""

    def __init__(self, values: object, key: str, problems: list[str]) -> None:
        self.key = key
        self.problems = problems
        self._asked: set[str] = set()
        self._values: dict[str, Any] = {}
        if isinstance(values, dict):
            self._values = values
        else:
            problems.append(f"{key}: must be a table")

    def path(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name

    def take(self, name: str, kind: type[T] | tuple[type[T], ...], default: T | None = None) -> T:
        """Return the value of ``name``; a missing or wrong one is noted and its default used."""
        self._asked.add(name)
        value = self._values.get(name)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if value is None:
            if default is None:
                self.problems.append(f"{self.path(name)}: is missing")
                return _blank(kinds[0])
            return default
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(k.__name__ for k in kinds)
            self.problems.append(f"{self.path(name)}: must be {wanted}, not {value!r}")
            return default if default is not None else _blank(kinds[0])
        return value

    def positive(self, name: str) -> float:
        """Return a finite number above zero; anything else is noted."""
        value = float(self.take(name, _NUMBER))
        if self.has(name) and not (value > 0 and math.isfinite(value)):
            self.note(name, f"must be a positive number, not {self._values[name]!r}")
        return value

    def note(self, name: str, problem: str) -> None:
        """Add a problem of ``name`` unless there is one already."""
        lead = f"{self.path(name)}: "
        if not any(known.startswith(lead) for known in self.problems):
            self.problems.append(lead + problem)

    def has(self, name: str) -> bool:
        self._asked.add(name)
        return name in self._values

    def table(self, name: str) -> _Table:
        self._asked.add(name)
        return _Table(self._values.get(name), self.path(name), self.problems)

    def tables(self, name: str) -> list[_Table]:
        values = self.take(name, list)
        return [
            _Table(value, f"{self.path(name)}[{index}]", self.problems)
            for index, value in enumerate(values)
        ]

    def names(self) -> list[str]:
        return list(self._values)

    def raw(self) -> Mapping[str, Any]:
        self._asked.update(self._values)
        return self._values

    def strings(self, name: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        values = self.take(name, list, list(default) if default is not None else None)
        if not all(isinstance(value, str) for value in values):
            self.problems.append(f"{self.path(name)}: must be a list of strings")
            return ()
        return tuple(values)

    def build(self, make: Callable[[_Table], T]) -> T | None:
        """Call ``make``; its ValueError and every key nobody asked for become problems.

        ``make`` has to ask for all of its keys before it raises.
        """
        before = len(self.problems)
        result: T | None = None
        try:
            result = make(self)
        except ValueError as exc:
            if len(self.problems) == before:
                self.problems.append(f"{self.key or 'manifest'}: {exc}")
        for name in self._values:
            if name not in self._asked:
                near = difflib.get_close_matches(name, self._asked, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                self.problems.append(f"{self.path(name)}: unknown key{hint}")
        return result if len(self.problems) == before else None


def _blank(kind: type[T]) -> T:
    return kind()


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
    root = _Table(values, "", problems)
    manifest = root.build(_manifest)
    if manifest is None:
        raise ManifestInvalid(path, problems)
    return manifest


def _manifest(root: _Table) -> PluginManifest:
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


def _note_doubles(tables: Sequence[_Table], models: Sequence[ModelSpec | None]) -> None:
    taken: set[str] = set()
    for table, model in zip(tables, models, strict=True):
        if model is not None and model.id in taken:
            table.note("id", f"{model.id!r} is the id of an earlier model")
        elif model is not None:
            taken.add(model.id)


def _requires(root: _Table) -> str:
    requires = root.take("requires", str)
    try:
        SpecifierSet(requires)
    except InvalidSpecifier:
        root.note("requires", f"{requires!r} is not a version specifier like '>=0.1,<0.2'")
    return requires


def _model(table: _Table) -> ModelSpec:
    task: Any = table.take("task", str)
    values = {name: table.take(name, str) for name in ("id", "version", "title", "adapter")}
    tile = table.table("tile").build(_tile)
    weights = table.table("weights").build(_weights)
    sampling = table.table("sampling").build(_sampling)
    inputs = [t.build(_tensor) for t in table.tables("inputs")]
    outputs = [t.build(_tensor) for t in table.tables("outputs")]
    golden = table.table("golden").build(_golden) if table.has("golden") else None
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
        parameters=parameters,
        card=card,
    )


def _tensor(table: _Table) -> TensorSpec:
    layout: Any = table.take("layout", str)
    return TensorSpec(
        table.take("name", str), layout, table.take("dtype", str), table.strings("channels", ())
    )


def _tile(table: _Table) -> TileSpec:
    size = table.take("size", list)
    halo, margin = table.take("halo", int), table.take("decode_margin", int, 0)
    multiple, batch = table.take("multiple_of", int, 1), table.take("max_batch", int, 1)
    peak = table.positive("peak_bytes_per_px") if table.has("peak_bytes_per_px") else None
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
    )


def _weights(table: _Table) -> WeightsRef:
    return WeightsRef(table.take("file", str), table.take("sha256", str), table.take("bytes", int))


def _golden(table: _Table) -> GoldenRef:
    return GoldenRef(table.take("inputs", str), table.take("outputs", str), table.positive("atol"))


def _sampling(table: _Table) -> Sampling:
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


def _parameters(model: _Table) -> dict[str, Parameter]:
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


def _parameter(table: _Table) -> Parameter:
    return Parameter(
        default=float(table.take("default", _NUMBER)),
        minimum=float(table.take("min", _NUMBER)),
        maximum=float(table.take("max", _NUMBER)),
        title=table.take("title", str),
    )
