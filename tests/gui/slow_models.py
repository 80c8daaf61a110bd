"""Models that take their time, or never answer, installed the way an installer would."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from tests.engine.cli.conftest import TOY

from tilescope.testing.toy import blur_graph

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
        (FOLDER / "hangs").touch()
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
        self._file("hangs").unlink(missing_ok=True)

    @property
    def hangs(self) -> bool:
        """Whether ``hanging`` was called since."""
        return self._file("hangs").exists()

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
    text, model = TOY.replace("toy", "slow", 1).replace("[64, 64]", "[96, 96]").split("[[model]]")
    for name, title in (("slow", "Slow parts"), ("hanging", "Hanging parts")):
        text += "[[model]]" + model.replace('id = "toy"', f'id = "{name}"').replace(
            "Bright parts", title
        ).replace("tilescope.testing.toy:ToyAdapter", f"slow_plugin.adapter:{name.capitalize()}")
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
