"""The files of a user's model: an ONNX file, a folder or a zip, with or without a description."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tilescope.errors import ModelError
from tilescope.inference.graph_tensors import LARGEST_FILE_BYTES
from tilescope.jobs.adding.bioimage_rdf import is_rdf, onnx_source, read_rdf, test_files
from tilescope.jobs.adding.model_hints import BadDescription, Hints
from tilescope.jobs.adding.wsinfer_config import is_wsinfer, read_wsinfer

_RDF_NAMES = ("rdf.yaml", "bioimageio.yaml", "rdf.yml", "bioimageio.yml", "model.yaml")
_CONFIG_NAME = "config.json"
_LARGEST_TEXT_BYTES = 256 << 10
_DEEPEST = 40
_MOST_ENTRIES = 10_000
_ZIP_END = b"PK\5\6"
_LONGEST_ZIP_END = 22 + 0xFFFF
_LARGEST_ZIP_TABLE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """Where the weights are, and what lies beside them says.

    Attributes
    ----------
    source
        What the user named, for messages.
    onnx
        The weights.
    hints
        What the descriptions say, the stronger first.
    test_pair
        Files of a test input and the output it must give, None when there are none.
    """

    source: Path
    onnx: Path
    hints: tuple[Hints, ...]
    test_pair: tuple[Path, Path] | None = None


def open_package(source: Path, scratch: Path) -> ModelPackage:
    """Return the package that a file, folder or zip is.

    Parameters
    ----------
    scratch
        An empty folder that a zip may be unpacked to.

    Raises
    ------
    ModelError
        When there is no ONNX file, more than one, or a description that cannot be used.
    """
    try:
        if source.is_dir():
            return _of_folder(source, source)
        if source.exists() and not source.is_file():
            raise ModelError(f"{source}: it is neither a file nor a folder")
        with source.open("rb") as file:
            head = file.read(4)
        if head == b"PK\3\4":
            _unpack(source, scratch)
            return _of_folder(source, scratch)
        return _of_file(source)
    except OSError as exc:
        raise ModelError(f"{source}: {exc.strerror or exc}; name an ONNX file or a folder") from exc


def _of_file(source: Path) -> ModelPackage:
    folder = source.absolute().parent
    described = _rdf_in(folder)
    hints: list[Hints] = []
    if described is not None:
        path, values = described
        name, sha256 = onnx_source(path, values)
        if PurePosixPath(name).name == source.name:
            _check_hash(source, sha256)
            hints.append(read_rdf(path, values))
    hints += _config_hints(folder)
    return ModelPackage(source, source, tuple(hints))


def _of_folder(source: Path, folder: Path) -> ModelPackage:
    home = _home(folder)
    described = _rdf_in(home)
    if described is None:
        return ModelPackage(source, _only_onnx(source, home), tuple(_config_hints(home)))
    path, values = described
    name, sha256 = onnx_source(path, values)
    onnx = (home / name).resolve()
    if not onnx.is_relative_to(home.resolve()):
        raise BadDescription(path, f"its weights {name[:200]!r} lie outside the package")
    if not onnx.is_file():
        raise BadDescription(path, f"its weights {name[:200]!r} are not there; put them beside it")
    _check_hash(onnx, sha256)
    hints = (read_rdf(path, values), *_config_hints(home))
    return ModelPackage(source, onnx, hints, _test_pair(home, values))


def _test_pair(home: Path, values: Mapping[str, Any]) -> tuple[Path, Path] | None:
    paths = []
    for name in test_files(values):
        path = (home / name).resolve()
        if path.is_relative_to(home.resolve()) and path.is_file():
            paths.append(path)
    return (paths[0], paths[1]) if len(paths) == 2 else None


def _home(folder: Path) -> Path:
    """Return the folder, or the only folder in it when there is nothing else."""
    entries = [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _only_onnx(source: Path, folder: Path) -> Path:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".onnx")
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:5]) or "none"
        raise ModelError(f"{source}: one ONNX file is needed and there are {names}; name the file")
    return found[0]


def _check_hash(onnx: Path, sha256: str | None) -> None:
    if sha256 is None or onnx.stat().st_size > LARGEST_FILE_BYTES:
        return
    with onnx.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256.lower():
        raise ModelError(f"{onnx}: its sha256 is not the one in the description; get it again")


def _text(path: Path) -> str:
    if path.stat().st_size > _LARGEST_TEXT_BYTES:
        raise BadDescription(path, f"it is larger than {_LARGEST_TEXT_BYTES >> 10} KiB")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise BadDescription(path, "it is not UTF-8 text") from exc


def _config_hints(folder: Path) -> list[Hints]:
    path = folder / _CONFIG_NAME
    if not path.is_file():
        return []
    try:
        config = json.loads(_text(path))
    except (ValueError, RecursionError) as exc:
        raise BadDescription(path, "it is not JSON; correct it or move it away") from exc
    return [read_wsinfer(path, config)] if is_wsinfer(config) else []


def _rdf_in(folder: Path) -> tuple[Path, Mapping[str, Any]] | None:
    for name in _RDF_NAMES:
        path = folder / name
        if path.is_file():
            values = _yaml(path)
            if is_rdf(values):
                return path, values
    return None


def _yaml(path: Path) -> Any:  # noqa: ANN401 - any YAML value
    """Return what a YAML file holds; what would grow when it is built is refused first."""
    import yaml

    text = _text(path)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            merges = isinstance(event, yaml.ScalarEvent) and event.value == "<<"
            if depth > _DEEPEST or merges:
                raise BadDescription(path, "it is nested too deeply or merges tables")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        said = " ".join(str(exc).split())[:200]
        raise BadDescription(path, f"it is not YAML ({said}); correct it") from exc


def _unpack(source: Path, folder: Path) -> None:
    """Unpack a zip into a folder; nothing leaves it and nothing grows beyond what is allowed.

    Raises
    ------
    ModelError
        When the zip is damaged or too large.
    """
    _check_table(source)
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            total = sum(entry.file_size for entry in entries)
            if len(entries) > _MOST_ENTRIES or total > 2 * LARGEST_FILE_BYTES:
                raise ModelError(f"{source}: it unpacks to more than 4 GiB or too many files")
            for entry in entries:
                _unpack_entry(archive, entry, folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as exc:
        raise ModelError(f"{source}: it is a damaged zip ({exc}); download it again") from exc


def _check_table(source: Path) -> None:
    # The table is read as a whole by the standard library, however large it claims to be.
    size = source.stat().st_size
    with source.open("rb") as file:
        file.seek(max(0, size - _LONGEST_ZIP_END))
        tail = file.read(_LONGEST_ZIP_END)
    at = tail.rfind(_ZIP_END)
    if at < 0 or len(tail) - at < 22:
        raise ModelError(f"{source}: it is a zip without an end; download it again")
    if int.from_bytes(tail[at + 12 : at + 16], "little") > _LARGEST_ZIP_TABLE_BYTES:
        raise ModelError(
            f"{source}: its table of files is too large; unpack it and name the folder"
        )


def _unpack_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
    if ".." in parts or PurePosixPath(entry.filename).is_absolute() or ":" in entry.filename:
        raise ValueError(f"it wants to write {entry.filename[:200]!r}")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    # No more is read than the table says, whose sizes were added up before.
    with archive.open(entry) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
