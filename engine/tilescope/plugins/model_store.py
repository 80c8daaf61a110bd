"""Where a user's own models lie: one folder per id, with a manifest and the weights.

::

    MODELS/                    TILESCOPE_MODELS, or the user's data folder
      lung-tumour/
        plugin.toml            written by us, read like any other
        lung-tumour.onnx
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tilescope.domain.manifest import PluginManifest
from tilescope.errors import OutputError, UsageError
from tilescope.plugins.writing import manifest_text

FOLDER_VARIABLE = "TILESCOPE_MODELS"
MANIFEST_NAME = "plugin.toml"
#: The only code that a model of the store runs through.
STORED_ADAPTER = "tilescope.plugins.generic:GenericAdapter"
_LONGEST_ID = 64
_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")


def models_folder() -> Path:
    """Return the folder of the user's own models; it need not exist."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).absolute()
    from platformdirs import user_data_path

    return user_data_path("tilescope", appauthor=False) / "models"


def stored_folders() -> tuple[Path, ...]:
    """Return the folder of every stored model, by name; what is being added is none yet."""
    try:
        entries = sorted(models_folder().iterdir())
    except OSError:
        return ()
    return tuple(path for path in entries if path.is_dir() and not path.name.startswith("."))


def check_id(model_id: str) -> None:
    """Refuse an id that cannot be the name of a folder on every system.

    Raises
    ------
    UsageError
        With the reason.
    """
    sound = _ID.fullmatch(model_id) and not model_id.endswith(".")
    if not sound or len(model_id) > _LONGEST_ID:
        raise UsageError(
            f"{model_id!r} is no id for a model: use lower-case letters, digits, '-', '_' and "
            f"inner dots, at most {_LONGEST_ID}"
        )


@contextmanager
def staged_model() -> Iterator[Path]:
    """Give an empty folder in the store to fill; it vanishes when the block ends.

    Raises
    ------
    OutputError
        When the store cannot be written.
    """
    store = models_folder()
    try:
        store.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".adding-", dir=store))
    except OSError as exc:
        raise _unwritable(store, exc) from exc
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_manifest(folder: Path, manifest: PluginManifest) -> None:
    """Write the manifest of a model under construction.

    Raises
    ------
    OutputError
        When the folder cannot be written.
    """
    try:
        (folder / MANIFEST_NAME).write_text(manifest_text(manifest), encoding="utf-8")
    except OSError as exc:
        raise _unwritable(folder, exc) from exc


def publish_model(staged: Path, model_id: str) -> Path:
    """Move a finished folder under its id, in one step, and return where it is now.

    Raises
    ------
    UsageError
        When there is a model of that id.
    OutputError
        When the store cannot be written.
    """
    check_id(model_id)
    target = models_folder() / model_id
    if target.exists():
        raise UsageError(f"a model {model_id!r} is stored already; remove it first")
    try:
        staged.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        staged.rename(target)
    except OSError as exc:
        if exc.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            raise UsageError(f"a model {model_id!r} was stored at the same moment") from exc
        raise _unwritable(target, exc) from exc
    return target


def replace_model(staged: Path, model_id: str) -> Path:
    """Put a finished folder where a stored model is, and return where that is.

    Raises
    ------
    OutputError
        When the store cannot be written; the stored model is still there.
    """
    check_id(model_id)
    target = models_folder() / model_id
    with staged_model() as aside:
        former = aside / model_id
        try:
            target.rename(former)
        except OSError as exc:
            raise _unwritable(target, exc) from exc
        try:
            return publish_model(staged, model_id)
        except BaseException:
            former.rename(target)
            raise


def discard_model(folder: Path) -> None:
    """Delete a stored model; it is out of sight in one step.

    Raises
    ------
    OutputError
        When the store cannot be written.
    """
    try:
        doomed = Path(tempfile.mkdtemp(prefix=".removing-", dir=folder.parent))
        folder.rename(doomed / folder.name)
    except OSError as exc:
        raise _unwritable(folder, exc) from exc
    shutil.rmtree(doomed, ignore_errors=True)


def _unwritable(path: Path, exc: OSError) -> OutputError:
    said = exc.strerror or str(exc)
    remedy = f"free some room, or name another folder in the variable {FOLDER_VARIABLE}"
    return OutputError(path, f"cannot be written: {said}; {remedy}")
