"""Plugins in folders of their own: a valid manifest, and a site that discovery looks into."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

WEIGHTS = b"pretends to be a graph"

#: One key per line, so that a test can replace one of them.
MANIFEST = f"""\
schema = 1
id = "example.spots"
name = "Spots"
requires = ">=0.1"

[[model]]
id = "spots"
version = "1.0"
title = "Bright spots"
task = "instances"
adapter = "spotty.adapter:Spots"
classes = ["spot", "halo"]
licence = "CC0-1.0"

[model.sampling]
kind = "object-size"
diameter_px = 24.0
diameter_um = 8

[model.tile]
size = [512, 256]
halo = 16
decode_margin = 8
multiple_of = 32
max_batch = 2
peak_bytes_per_px = 150.0

[model.weights]
file = "weights/spots.onnx"
sha256 = "{hashlib.sha256(WEIGHTS).hexdigest()}"
bytes = {len(WEIGHTS)}

[model.golden]
inputs = "golden/in.npz"
outputs = "golden/out.npz"
atol = 1e-4

[[model.inputs]]
name = "image"
layout = "NCHW"
dtype = "float32"
channels = ["R", "G", "B"]

[[model.outputs]]
name = "maps"
layout = "NHWC"
dtype = "float32"

[model.parameters.threshold]
default = 0.5
min = 0.1
max = 0.9
title = "Least brightness"

[model.card]
seed = 7
metrics = {{ aji = 0.6 }}
"""


def changed(old: str, new: str) -> str:
    """Return the valid manifest with one piece of its text replaced."""
    assert MANIFEST.count(old) == 1, f"{old!r} must occur once"
    return MANIFEST.replace(old, new)


@dataclass(frozen=True)
class Site:
    """A folder on ``sys.path``, and the entry points of the plugins that were put into it."""

    folder: Path
    entries: list[EntryPoint] = field(default_factory=list)

    def add(self, package: str, manifest: str = MANIFEST, **files: str) -> EntryPoint:
        """Put a plugin into the site; ``files`` are its modules by name."""
        home = self.folder / package
        (home / "weights").mkdir(parents=True)
        (home / "__init__.py").write_text(files.pop("init", ""))
        (home / "plugin.toml").write_text(manifest, encoding="utf-8")
        (home / "weights" / "spots.onnx").write_bytes(WEIGHTS)
        for name, text in files.items():
            (home / f"{name}.py").write_text(text)
        entry = EntryPoint(package, f"{package}:plugin.toml", "tilescope.plugins")
        self.entries.append(entry)
        return entry

    def distribution(self, name: str, entry_points: str, metadata: str | None = None) -> None:
        """Make what an installer leaves behind: a dist-info folder."""
        info = self.folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text(f"[tilescope.plugins]\n{entry_points}\n")
        if metadata is None:
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        if metadata:
            (info / "METADATA").write_text(metadata)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return Site(folder)
