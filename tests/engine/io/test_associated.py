"""Label and macro pictures come out as they are, and only when they are plausible."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import openslide
import pytest

from tilescope.errors import CorruptSlide, UnsupportedFormat, UsageError
from tilescope.io import associated
from tilescope.io.associated import read_associated
from tilescope.io.openslide_source import OpenSlideSource
from tilescope.io.registry import open_slide


@pytest.mark.parametrize("name", ["Thumbnail", "Label", "Macro"])
def test_both_readers_give_the_same_picture(hes_slide: Path, name: str) -> None:
    with open_slide(hes_slide) as source:
        assert source.info.reader == "tiff"
        ours = read_associated(source.info, name)
    with openslide.OpenSlide(hes_slide) as slide:
        theirs = np.asarray(slide.associated_images[name.lower()].convert("RGB"))
    assert ours.dtype == np.uint8
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 2
    assert ours.std() > 5


def test_openslides_own_pictures(hes_slide: Path) -> None:
    with OpenSlideSource.open(hes_slide) as source:
        picture = read_associated(source.info, "macro")
    with openslide.OpenSlide(hes_slide) as slide:
        assert picture.shape[1::-1] == slide.associated_images["macro"].size


def test_an_unknown_name_lists_the_known_ones(hes_slide: Path) -> None:
    with (
        open_slide(hes_slide) as source,
        pytest.raises(UsageError, match=r"no picture 'face'; it has: .*Macro"),
    ):
        read_associated(source.info, "face")


def test_a_reader_that_cannot_says_so(hes_slide: Path) -> None:
    with open_slide(hes_slide) as source:
        info = replace(source.info, reader="dicom")
    with pytest.raises(UnsupportedFormat, match="'Macro' is not read by dicom"):
        read_associated(info, "Macro")


def test_a_picture_too_large_to_be_meant_is_refused(
    hes_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(associated, "_MOST_PIXELS", 1000)
    for opened in (open_slide(hes_slide), OpenSlideSource.open(hes_slide)):
        with opened as source, pytest.raises(CorruptSlide, match="claims"):
            read_associated(source.info, source.info.associated[-1])
