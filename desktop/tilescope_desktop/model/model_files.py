"""Files that are models and no slides, told by what is in them."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

_DESCRIPTIONS = ("rdf.yaml", "rdf.yml", "bioimageio.yaml", "bioimageio.yml")
_WEIGHTS = ".onnx"
#: A slide in a zip has many more files, whose list takes a while to read.
_LARGEST_TABLE_BYTES = 4 << 20
_END = b"PK\5\6"
_LONGEST_END = 22 + 0xFFFF


def is_model(path: Path) -> bool:
    """Tell whether a file is a network, the description of one, or a zip with one in it."""
    name = path.name.casefold()
    if name.endswith(_WEIGHTS) or name in _DESCRIPTIONS:
        return True
    try:
        return name.endswith(".zip") and _has_model(path)
    except (OSError, zipfile.BadZipFile, ValueError):
        return False


def package_of(path: Path) -> Path:
    """Return what a model is added from: a description stands for the folder it is in."""
    return path.parent if path.name.casefold() in _DESCRIPTIONS else path


def _has_model(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LONGEST_END))
        tail = file.read()
        end = tail.rfind(_END)
        table_bytes = int.from_bytes(tail[end + 12 : end + 16], "little")
        if end < 0 or table_bytes > _LARGEST_TABLE_BYTES:
            return False
        with zipfile.ZipFile(file) as archive:
            names = [PurePosixPath(name.casefold()) for name in archive.namelist()]
    # In the package, or in the only folder that is in it: deeper there are other files of slides.
    near = [name for name in names if len(name.parts) <= 2]
    return any(name.suffix == _WEIGHTS or name.name in _DESCRIPTIONS for name in near)
