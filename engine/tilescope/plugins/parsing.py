"""Reading ``plugin.toml``: every mistake is reported with its key, none is ignored."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

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

    def has(self, name: str) -> bool:
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
        """Call ``make``; its ValueError and every key nobody asked for become problems."""
        before = len(self.problems)
        try:
            result: T | None = make(self)
        except ValueError as exc:
            if len(self.problems) == before:
                self.problems.append(f"{self.key or 'manifest'}: {exc}")
            return None  # keys after the failure were not asked for; they are not unknown
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
    models = [table.build(_model) for table in root.tables("model")]
    return PluginManifest(
        schema=root.take("schema", int),
        id=root.take("id", str),
        name=root.take("name", str),
        requires=root.take("requires", str),
        models=tuple(model for model in models if model is not None),
    )


def _model(table: _Table) -> ModelSpec:
    tile, weights, sampling = table.table("tile"), table.table("weights"), table.table("sampling")
    inputs = [t.build(_tensor) for t in table.tables("inputs")]
    outputs = [t.build(_tensor) for t in table.tables("outputs")]
    built_tile = tile.build(_tile)
    built_weights = weights.build(_weights)
    built_sampling = sampling.build(_sampling)
    golden = None
    if table.has("golden"):
        part = table.table("golden")
        golden = part.build(_golden)
    if built_tile is None or built_weights is None or built_sampling is None:
        msg = "incomplete"
        raise ValueError(msg)
    task: Any = table.take("task", str)
    return ModelSpec(
        id=table.take("id", str),
        version=table.take("version", str),
        title=table.take("title", str),
        task=task,
        adapter=table.take("adapter", str),
        classes=table.strings("classes"),
        licence=table.take("licence", str),
        sampling=built_sampling,
        tile=built_tile,
        weights=built_weights,
        inputs=tuple(t for t in inputs if t is not None),
        outputs=tuple(t for t in outputs if t is not None),
        golden=golden,
        parameters=_parameters(table),
        card=table.table("card").raw() if table.has("card") else {},
    )


def _tensor(table: _Table) -> TensorSpec:
    layout: Any = table.take("layout", str)
    return TensorSpec(
        table.take("name", str), layout, table.take("dtype", str), table.strings("channels", ())
    )


def _tile(table: _Table) -> TileSpec:
    size = table.take("size", list)
    if len(size) != 2 or not all(isinstance(side, int) for side in size):
        msg = f"size must be [width, height], not {size}"
        raise ValueError(msg)
    peak = table.take("peak_bytes_per_px", (int, float), 0)
    return TileSpec(
        size=Size(*size),
        halo_px=table.take("halo", int),
        decode_margin_px=table.take("decode_margin", int, 0),
        multiple_of=table.take("multiple_of", int, 1),
        max_batch=table.take("max_batch", int, 1),
        peak_bytes_per_px=float(peak) if table.has("peak_bytes_per_px") else None,
    )


def _weights(table: _Table) -> WeightsRef:
    return WeightsRef(table.take("file", str), table.take("sha256", str), table.take("bytes", int))


def _golden(table: _Table) -> GoldenRef:
    return GoldenRef(
        table.take("inputs", str), table.take("outputs", str), float(table.take("atol", float))
    )


def _sampling(table: _Table) -> Sampling:
    number = (int, float)
    match table.take("kind", str):
        case "native":
            return Native()
        case "pixel-size":
            return AtPixelSize(float(table.take("um", number)))
        case "object-size":
            return AtObjectSize(
                float(table.take("diameter_px", number)), float(table.take("diameter_um", number))
            )
        case "fit-within":
            return FitWithin(table.take("max_side", int))
        case other:
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
    number = (int, float)
    return Parameter(
        default=float(table.take("default", number)),
        minimum=float(table.take("min", number)),
        maximum=float(table.take("max", number)),
        title=table.take("title", str),
    )
