"""Hours at the window in minutes: nothing breaks, nothing leaks, and the project is right.

``TILESCOPE_SESSION_EVENTS`` says how many things are done, ``TILESCOPE_SESSION_SEED`` which.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from tests.engine.models.networks import unet, written
from tests.gui.hand import Hand
from tests.gui.journal import check_journal, check_way_back
from tests.gui.random_session import RandomSession, watched

from tilescope.io.cache import shared_cache
from tilescope_desktop.app import TILE_BYTES

EVENTS = int(os.environ.get("TILESCOPE_SESSION_EVENTS", "150"))
#: Of one kind may be kept for the next slide; what leaks is more after a while.
CACHED = 4
SEED = int(os.environ.get("TILESCOPE_SESSION_SEED", "20260101"))


@pytest.fixture
def session(
    qtbot: QtBot, tmp_path: Path, hes_slide: Path, dapi_image: Path
) -> Iterator[RandomSession]:
    before = shared_cache().use.max_bytes
    hand = Hand(qtbot, tmp_path / "data")
    made = RandomSession(hand, [hes_slide, dapi_image], SEED)
    with watched(made.faults):
        yield made
        made.stop_runs()
        hand.close()
    shared_cache().resize(before)
    assert not made.faults.found


def test_whatever_is_done_the_window_and_the_project_stay_sound(
    session: RandomSession, tmp_path: Path
) -> None:
    session.add_model(written(tmp_path / "tiny.onnx", unet(3).model()))
    session.play(EVENTS // 3)
    session.reopen()
    before = session.rest()
    session.play(EVENTS - EVENTS // 3)
    session.reopen()
    after = session.rest()
    assert after.threads == before.threads
    assert after.objects == before.objects
    more = after.values - before.values
    assert all(count <= CACHED for count in more.values()), more
    assert after.rss_bytes - before.rss_bytes < TILE_BYTES
    assert session.project is not None
    check_journal(session.project)
    check_way_back(session.project, tmp_path)
