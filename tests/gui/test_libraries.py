"""What the first slide needs is there before it is opened, and nothing that looking needs not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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

_LOOKING = """
import sys
import time
from pathlib import Path
from PySide6.QtWidgets import QApplication
from tilescope_desktop.app import make_window
app = QApplication([])
folder, slide = (Path(text) for text in sys.argv[1:])
window = make_window(folder=folder)
window.show()
window.open_slide(slide)
end = time.monotonic() + 30
while time.monotonic() < end and not (window.tab is not None and window.tab.view.is_sharp):
    app.processEvents()
print(window.tab.view.is_sharp, *(name in sys.modules for name in ("onnxruntime", "openvino")))
window.close()
"""


def test_libraries_are_loaded_in_a_thread() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.split() == ["True", "True"]


def test_looking_at_a_slide_loads_no_library_that_runs_networks(
    tmp_path: Path, dapi_image: Path
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _LOOKING, str(tmp_path / "data"), str(dapi_image)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stdout.split() == ["True", "False", "False"]
