"""DICOM where the libraries that read it are not installed."""

import sys

import numpy as np
import pytest
from tests.engine.io.dicom_files import tiles_of, write_dicom

from tilescope.errors import UnsupportedFormat
from tilescope.io.registry import open_slide

REMEDY = r"reading it needs wsidicom: pip install 'tilescope\[dicom\]'"


@pytest.fixture
def slide(tmp_path, monkeypatch):
    """A slide in a folder of its own, and nothing to read it with."""
    folder = tmp_path / "study"
    folder.mkdir()
    pixels = np.zeros((100, 150, 3), np.uint8)
    write_dicom(folder / "a.dcm", tiles_of(pixels, 64), pixels.shape[1::-1])
    for name in [*sys.modules, "pydicom", "wsidicom"]:
        if name.partition(".")[0] in ("pydicom", "wsidicom"):
            monkeypatch.setitem(sys.modules, name, None)
    return folder / "a.dcm"


def test_the_remedy_is_named_for_a_file(slide):
    with pytest.raises(UnsupportedFormat, match=REMEDY) as caught:
        open_slide(slide)
    assert str(caught.value).endswith("pip install 'tilescope[dicom]')")
    assert "damaged" not in str(caught.value)


def test_the_remedy_is_named_for_a_folder(slide):
    with pytest.raises(UnsupportedFormat, match=REMEDY):
        open_slide(slide.parent)


def test_a_file_that_may_be_damaged_is_not_left_to_openslide(slide):
    slide.write_bytes(slide.read_bytes()[:2000])
    with pytest.raises(UnsupportedFormat, match=REMEDY) as caught:
        open_slide(slide)
    assert "openslide" not in str(caught.value)
