"""A click model that does what it is told to, installed the way an installer would."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

_FROM = ROOT / "plugins" / "tilescope_nuclick"
_ADAPTER = '''
import os
import signal
import time
from pathlib import Path

from tilescope_nuclick.adapter import NuClick

FAULT = Path(__file__).parent / "fault"


def fault():
    return FAULT.read_text() if FAULT.exists() else ""


while fault() == "load":
    time.sleep(0.01)


class Touchy(NuClick):
    """Answers as its parent does, unless a fault is named."""

    def decode(self, outputs, clicks, parameters, /):
        if fault() == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault() == "leave":
            os._exit(3)
        while fault() == "hang":
            time.sleep(0.01)
        return super().decode(outputs, clicks, parameters)
'''


@dataclass(frozen=True)
class TouchyClicks:
    """The model ``touchy`` in a folder for ``sys.path``; it is in another process when it runs."""

    site: Path

    def have(self, fault: str) -> None:
        """Have it ``crash``, ``leave`` or ``hang`` from the next click on, or with "" answer.

        With ``load`` it does not even begin, if its process is started later.
        """
        path = self.site / "touchy_plugin" / "fault"
        path.unlink(missing_ok=True)
        if fault:
            path.write_text(fault)


def touchy_clicks(folder: Path) -> TouchyClicks:
    """Install the model into a folder."""
    site = folder / "site"
    package = site / "touchy_plugin"
    package.mkdir(parents=True)
    text = (_FROM / "plugin.toml").read_text()
    weights = tomllib.loads(text)["model"][0]["weights"]["file"]
    head, first = text.split("[[model]]")[:2]
    head = head.replace("tilescope.nuclick", "touchy").replace("NuClick", "Touchy")
    first = first.partition("[model.card]")[0].replace("nuclick-nucleus", "touchy", 1)
    lines = [line for line in first.splitlines() if not line.startswith("golden")]
    model = "\n".join(lines).replace(weights, "weights.onnx")
    model = model.replace("tilescope_nuclick.adapter:NuClick", "touchy_plugin.adapter:Touchy")
    (package / "__init__.py").touch()
    (package / "adapter.py").write_text(_ADAPTER)
    (package / "plugin.toml").write_text(f"{head}[[model]]{model}")
    shutil.copy(_FROM / weights, package / "weights.onnx")
    info = site / "touchy_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: touchy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tilescope.plugins]\nt = touchy_plugin:plugin.toml\n")
    return TouchyClicks(site)
