"""What the window keeps in small files from one start to the next."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tilescope_desktop.model.keymap import Keymap, KeyStyle

#: No file of the window comes near to this; a larger one is not what it is taken for.
_MOST_BYTES = 1 << 20
_MOST_KEYS = 1000
_LONGEST_KEY = 40


class KeptFile:
    """Values by name in one JSON file.

    What cannot be read is as if it had never been; a damaged file is put aside, not overwritten.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, object]:
        """Return everything that is kept."""
        return self._found() or {}

    def write(self, name: str, value: object) -> None:
        """Keep a value that JSON can hold; the old file stays whole until the new one is."""
        partial = self._path.with_name(f".{self._path.name}.partial")
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            found = self._found()
            if found is None and self._path.exists():
                self._path.replace(self._path.with_name(f"{self._path.name}.damaged"))
            partial.write_text(json.dumps({**(found or {}), name: value}, indent=1), "utf-8")
            partial.replace(self._path)

    def _found(self) -> dict[str, object] | None:
        with suppress(OSError, ValueError, RecursionError):
            if self._path.stat().st_size <= _MOST_BYTES:
                found = json.loads(self._path.read_text("utf-8"))
                if isinstance(found, dict):
                    return found
        return None


class Settings:
    """What the user chose: colours, keys, and where the window is."""

    def __init__(self, folder: Path) -> None:
        self._file = KeptFile(folder / "settings.json")

    @property
    def theme(self) -> str | None:
        """Name of the theme, None when none was chosen."""
        name = self._file.read().get("theme")
        return name if isinstance(name, str) else None

    def keep_theme(self, name: str) -> None:
        """Keep the name of a theme."""
        self._file.write("theme", name)

    @property
    def keymap(self) -> Keymap:
        """The keys of all commands; what makes no sense in the file is left out."""
        found = self._file.read().get("keys")
        if not isinstance(found, dict):
            return Keymap()
        own = found.get("own")
        pairs = list(own.items())[:_MOST_KEYS] if isinstance(own, dict) else []
        kept = {
            name: keys
            for name, keys in pairs
            if isinstance(keys, str) and max(len(keys), len(name)) <= _LONGEST_KEY
        }
        name = found.get("style")
        style = next((one for one in KeyStyle if one == name), KeyStyle.QUPATH)
        return Keymap(style, kept)

    def keep_keymap(self, keymap: Keymap) -> None:
        """Keep the keys."""
        self._file.write("keys", {"style": keymap.style.value, "own": dict(keymap.own)})

    @property
    def window(self) -> Mapping[str, bytes]:
        """Where the window and its panels are, by name, in the toolkit's own form."""
        found = self._file.read().get("window")
        parts: dict[str, bytes] = {}
        for name, text in found.items() if isinstance(found, dict) else ():
            with suppress(TypeError, ValueError, binascii.Error):
                parts[name] = base64.b64decode(text, validate=True)
        return parts

    def keep_window(self, parts: Mapping[str, bytes]) -> None:
        """Keep where the window and its panels are."""
        texts = {name: base64.b64encode(data).decode("ascii") for name, data in parts.items()}
        self._file.write("window", texts)
