"""Exports of what was drawn a moment before."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, QTimer
from PySide6.QtWidgets import QFileDialog
from tests.gui.hand import LEFT, NONE, Hand


@pytest.fixture
def busy(hand: Hand) -> Iterator[threading.Event]:
    """Keep the project's thread busy until this is set."""
    is_free = threading.Event()
    yield is_free
    is_free.set()


def hold(hand: Hand, is_free: threading.Event) -> None:
    hand.annotations.desk.ask(
        lambda _project: is_free.wait(20), lambda _result: None, lambda _error: None
    )


def draw(hand: Hand, x: int) -> None:
    """Draw a rectangle and wait for nothing."""
    hand.deselect()
    hand.qtbot.mousePress(hand.view, LEFT, NONE, QPoint(x, 60))
    hand.move((x + 60, 120))
    hand.qtbot.mouseRelease(hand.view, LEFT, NONE, QPoint(x + 60, 120))


def count_in(file: Path) -> int:
    return len(json.loads(file.read_text())["features"])


def test_an_export_waits_for_what_was_drawn_before(
    hand: Hand, tmp_path: Path, busy: threading.Event
) -> None:
    hand.act("tool.rectangle")
    draw(hand, 60)
    hand.wait()
    hold(hand, busy)
    draw(hand, 200)
    out = tmp_path / "out.geojson"
    hand.parts.exchange.export(out, "geojson")
    QTimer.singleShot(150, busy.set)
    hand.wait()
    assert count_in(out) == 2
    assert hand.window.status.currentMessage() == "2 objects to out.geojson"


def test_the_first_object_of_all_is_exported_at_once(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.geojson"
    chosen = (str(out), "GeoJSON (*.geojson)")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: chosen)
    hand.act("tool.rectangle")
    draw(hand, 60)
    hand.parts.exchange.choose_export()
    hand.wait()
    assert hand.window.notices.text == ""
    assert count_in(out) == 1


def test_an_export_goes_on_while_the_project_is_lent(hand: Hand, tmp_path: Path) -> None:
    hand.act("tool.rectangle")
    draw(hand, 60)
    hand.wait()
    ring = [[100, 100], [120, 100], [120, 120], [100, 100]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {}}
    file = tmp_path / "many.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [feature] * 20_000}))
    hand.window.dropped.emit([file])
    out = tmp_path / "out.geojson"
    hand.parts.exchange.export(out, "geojson")
    hand.wait()
    assert out.name not in hand.window.notices.text
    assert count_in(out) in (1, 20_001)
