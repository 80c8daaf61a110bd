"""Another file in the place of a slide: its objects are not those of the one before."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from tests.gui.hand import Hand


def grey(path: Path, value: int) -> Path:
    picture = np.full((2000, 2000), value, np.uint8)
    picture[:: value // 10] = 0  # so that no two are of one size
    path.write_bytes(imagecodecs.png_encode(picture))
    return path


@pytest.fixture
def slide_in_hand(tmp_path: Path) -> Path:
    return grey(tmp_path / "grey.png", 90)


def reopen(hand: Hand, slide: Path) -> None:
    hand.act("file.close")
    hand.window.dropped.emit([slide])
    hand.qtbot.waitUntil(lambda: hand.window.tabs.count() == 1, timeout=20_000)
    hand.place()


def test_objects_of_the_file_before_are_told_of(hand: Hand, slide_in_hand: Path) -> None:
    hand.window.notices.clear()
    hand.rectangle()
    reopen(hand, slide_in_hand)
    assert "another file" not in hand.window.notices.text
    grey(slide_in_hand, 200)
    reopen(hand, slide_in_hand)
    hand.qtbot.waitUntil(lambda: "another file" in hand.window.notices.text, timeout=5000)
    assert (
        "grey.png is another file than the one that was here before. The project has 1 object of "
        "that one; it is kept, and not shown over this one."
    ) in hand.window.notices.text
    hand.rectangle(200)  # is of the file that is there now, which is known by it
    hand.wait()
    assert hand.window.notices.text.count("another file") == 1
    hand.act("project.close")
    assert "another file" not in hand.window.notices.text
