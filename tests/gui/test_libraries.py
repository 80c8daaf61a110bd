"""What the first slide needs is there before it is opened."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
from PySide6.QtCore import QCoreApplication
from tilescope_desktop.bridge.libraries import load_libraries
from tilescope_desktop.bridge.work import Work
app = QCoreApplication([])
work = Work()
load_libraries(work)
while work.jobs:
    app.processEvents()
work.close()
print(*(name in sys.modules for name in ("tifffile", "imagecodecs._jpeg8")))
"""


def test_libraries_are_loaded_in_a_thread() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.split() == ["True", "True"]
