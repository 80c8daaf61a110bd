"""Models that take their time, or never answer, installed the way an installer would."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np

from tilescope.testing.toy import blur_graph

_HEAD = 'schema = 1\nid = "slow"\nname = "Slow"\nrequires = ">=0.1"\n'
_MODEL = """
[[model]]
id = "ID"
version = "1"
title = "TITLE"
task = "instances"
adapter = "slow_plugin.adapter:CLASS"
classes = ["part"]
licence = "BSD-3-Clause"
sampling = { kind = "native" }
tile = { size = [96, 96], halo = 2, decode_margin = 12, multiple_of = 8, peak_bytes_per_px = 64 }
weights = { file = "blur.onnx", sha256 = "SHA256", bytes = BYTES }
inputs = [{ name = "image", layout = "NCHW", dtype = "float32", channels = ["grey"] }]
outputs = [{ name = "blurred", layout = "NCHW", dtype = "float32", channels = ["blurred"] }]

[model.parameters.threshold]
default = 0.5
min = 0.01
max = 0.99
title = "Least brightness"
"""
_ADAPTER = '''
import time
from pathlib import Path

from tilescope.testing.toy import ToyAdapter

FOLDER = Path(__file__).parent


class Slow(ToyAdapter):
    """Takes as long for a tile as is said."""

    def decode(self, outputs, parameters, /):
        time.sleep(float((FOLDER / "pace").read_text()))
        return super().decode(outputs, parameters)


class Hanging(ToyAdapter):
    """Answers once it is let go, which nobody does but a test."""

    def decode(self, outputs, parameters, /):
        while not (FOLDER / "go").exists():
            time.sleep(0.01)
        return super().decode(outputs, parameters)
'''


@dataclass(frozen=True)
class SlowModels:
    """The models in a folder for ``sys.path``; they are in other processes when they run."""

    site: Path

    def set_pace(self, seconds: float) -> None:
        """Have ``slow`` take so long for a tile."""
        fresh = self._file("pace.new")
        fresh.write_text(str(seconds))
        fresh.replace(self._file("pace"))

    def hold(self) -> None:
        """Have ``hanging`` not answer."""
        self._file("go").unlink(missing_ok=True)

    def let_go(self) -> None:
        """Have it answer."""
        self._file("go").touch()

    def _file(self, name: str) -> Path:
        return self.site / "slow_plugin" / name


def slow_site(folder: Path) -> Path:
    """Return a folder for ``sys.path`` in which the models ``slow`` and ``hanging`` are."""
    site = folder / "site"
    package = site / "slow_plugin"
    package.mkdir(parents=True)
    weights = blur_graph()
    text = _HEAD
    for name, title in (("slow", "Slow parts"), ("hanging", "Hanging parts")):
        model = _MODEL.replace("ID", name).replace("TITLE", title)
        text += model.replace("CLASS", name.capitalize())
    text = text.replace("SHA256", hashlib.sha256(weights).hexdigest())
    (package / "__init__.py").touch()
    (package / "adapter.py").write_text(_ADAPTER)
    (package / "blur.onnx").write_bytes(weights)
    (package / "plugin.toml").write_text(text.replace("BYTES", str(len(weights))))
    info = site / "slow_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tilescope.plugins]\nslow = slow_plugin:plugin.toml\n")
    return site


def bright_squares(path: Path) -> Path:
    """Write a picture of 35 bright squares on black."""
    picture = np.zeros((400, 560), np.uint8)
    for y in range(20, 400, 80):
        for x in range(20, 560, 80):
            picture[y : y + 14, x : x + 14] = 220
    path.write_bytes(imagecodecs.png_encode(picture))
    return path
