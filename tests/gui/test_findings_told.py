"""What an import or an export could not take: said truly, and there until it is closed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QPushButton
from tests.gui.hand import LEFT, Hand

RING = [[700, 700], [760, 700], [760, 760], [700, 760], [700, 700]]
SQUARE = {"type": "Polygon", "coordinates": [RING]}


def feature(geometry: dict[str, Any] | None = None, **properties: object) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry or SQUARE, "properties": properties}


def objects_file(path: Path, *features: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def broken_feature() -> dict[str, Any]:
    return {"type": "Feature", "geometry": None, "properties": {}}


def said(hand: Hand) -> str:
    return hand.window.status.currentMessage()


def titles(hand: Hand) -> list[str]:
    """Return the first line of every notice."""
    return [notice.text.splitlines()[0] for notice in hand.window.notices.shown]


def test_an_export_says_each_reason_with_its_own_count(hand: Hand, tmp_path: Path) -> None:
    named = feature(objectType="annotation", name="hello", isLocked=True)
    point = feature({"type": "Point", "coordinates": [850, 850]}, objectType="annotation")
    hand.drop(objects_file(tmp_path / "in.geojson", named, point, point))
    assert hand.window.notices.text == ""
    out = tmp_path / "out.json"
    hand.parts.exchange.export(out, "coco")
    hand.wait()
    assert said(hand).startswith("1 object to out.json; left out: ")
    assert said(hand).endswith(", and 1 more")
    told = hand.window.notices.text
    assert "• left out: the name of an object (" in told
    assert "• left out: the lock of an object (" in told
    line = next(line for line in told.splitlines() if "a point or a line" in line)
    assert line.endswith("the first of 2)")


def test_what_was_left_out_of_each_of_several_files_stays(hand: Hand, tmp_path: Path) -> None:
    square = feature(objectType="annotation")
    files = [
        objects_file(tmp_path / "a.geojson", square, broken_feature()),
        objects_file(tmp_path / "b.geojson", square),
        objects_file(tmp_path / "c.geojson", broken_feature(), broken_feature(), square),
    ]
    hand.window.dropped.emit(files)
    hand.wait()
    assert len(hand.objects()) == 3
    assert titles(hand) == ["1 object from c.geojson:", "1 object from a.geojson:"]
    close = next(
        button
        for button in hand.window.notices.findChildren(QPushButton)
        if button.isVisible() and "a.geojson" in button.accessibleDescription()
    )
    hand.qtbot.mouseClick(close, LEFT)
    assert titles(hand) == ["1 object from c.geojson:"]


def test_a_file_that_comes_in_whole_at_last_is_told_of_no_longer(
    hand: Hand, tmp_path: Path
) -> None:
    square = feature(objectType="annotation")
    file = objects_file(tmp_path / "a.geojson", square, broken_feature())
    hand.drop(file)
    assert titles(hand) == ["1 object from a.geojson:"]
    hand.drop(objects_file(file, square))
    assert titles(hand) == []
    assert said(hand) == "1 object from a.geojson"
