"""What is dropped on the window besides files, and what is stopped on the way in or out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fsspec.asyn import get_loop
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QLabel, QMenu
from pytestqt.qtbot import QtBot
from tests.gui.hand import LEFT, NONE, Hand
from tests.gui.served import served

from tilescope.domain.geometry import Rect
from tilescope.testing.synthetic import coordinate_pixels, pyramid, write_ome_zarr
from tilescope_desktop.app import run_bench
from tilescope_desktop.model.run_settings import Extent, RunChoice

PIXELS = coordinate_pixels(Rect(0, 0, 301, 277))


@pytest.fixture(scope="module", autouse=True)
def _lasting_loop() -> None:
    """fsspec keeps one event loop and its thread for the life of the process."""
    get_loop()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A slide on a web server of this machine."""
    folder = tmp_path / "served"
    folder.mkdir()
    planes = [np.moveaxis(level, 2, 0) for level in pyramid(PIXELS, 2)]
    write_ome_zarr(folder / "far.zarr", planes, um_per_px=0.5)
    (folder / "page.html").write_text("<html>")
    with served(folder) as address:
        yield address


@pytest.fixture
def empty(qtbot: QtBot, tmp_path: Path) -> Iterator[Hand]:
    made = Hand(qtbot, tmp_path / "data")
    yield made
    made.close()


def drop(hand: Hand, url: str) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl(url)])
    what = (Qt.DropAction.CopyAction, mime, LEFT, NONE)
    QApplication.sendEvent(hand.window, QDragEnterEvent(QPoint(50, 50), *what))
    QApplication.sendEvent(hand.window, QDropEvent(QPointF(50, 50), *what))
    hand.wait()


def test_a_slide_on_the_network_is_opened_by_its_address(empty: Hand, address: str) -> None:
    drop(empty, f"{address}/far.zarr")
    tab = empty.window.tab
    assert tab is not None, empty.window.notices.text
    np.testing.assert_array_equal(tab.source.read_tile(0, 0, 0), PIXELS[:256, :256])
    assert empty.window.notices.text == ""
    drop(empty, f"{address}/far.zarr")
    assert empty.window.all_tabs == [tab]
    empty.act("tool.rectangle")
    empty.drag((300, 200), (340, 240), (400, 300))
    assert "a project holds slides on a disk" in empty.window.notices.text
    assert empty.annotations.project is None
    empty.act("file.close")
    assert str(empty.annotations.remembered.recent[0]).startswith("http:/127.0.0.1")
    empty.window.dropped.emit([empty.annotations.remembered.recent[0]])
    empty.wait()
    assert empty.window.tab is not None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://127.0.0.1/slide.svs", "ftp addresses cannot be opened; save the file"),
        ("{}/objects.geojson", "only slides are read over the network; save the file"),
        ("{}/project.tilescope", "only slides are read over the network; save the file"),
        ("{}/page.html", "page.html"),
    ],
)
def test_other_addresses_are_refused_in_words(
    empty: Hand, address: str, url: str, words: str
) -> None:
    drop(empty, url.format(address))
    assert words in empty.window.notices.text
    assert "Something failed" not in empty.window.notices.text
    assert empty.window.all_tabs == []


def test_what_could_not_be_opened_is_not_offered_again(
    empty: Hand, hes_slide: Path, tmp_path: Path
) -> None:
    bad = [tmp_path / name for name in ("page.svs", "page.tilescope", "gone.svs")]
    for path in bad[:2]:
        path.write_text("<html>")
    for path in (*bad, hes_slide):
        empty.drop(path)
    for path in bad:
        assert path.name in empty.window.notices.text
    assert empty.annotations.remembered.recent == [hes_slide]
    menu = QMenu()
    empty.parts.desktop.fill_recent(menu)
    assert [action.text() for action in menu.actions()] == [hes_slide.name]


def test_what_is_opened_again_is_the_newest(empty: Hand, hes_slide: Path, dapi_image: Path) -> None:
    for path in (hes_slide, dapi_image, hes_slide):
        empty.drop(path)
    assert empty.annotations.remembered.recent == [hes_slide, dapi_image]
    assert len(empty.window.all_tabs) == 2


def test_an_import_that_is_stopped_says_so_until_it_is_over(hand: Hand, tmp_path: Path) -> None:
    ring = [[100, 100], [120, 100], [120, 120], [100, 100]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {}}
    file = tmp_path / "many.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [feature] * 60_000}))
    hand.window.dropped.emit([file])
    assert "Importing many.geojson" in hand.window.status.going
    hand.key(Qt.Key.Key_Escape)
    assert hand.window.status.going == "Cancelling…"
    assert hand.window.status.currentMessage() == ""
    hand.wait()
    assert hand.window.status.going == ""
    assert "Cancelled; nothing was changed" in hand.window.status.currentMessage()
    assert hand.annotations.project is None
    assert list((tmp_path / "data").rglob("*.tilescope*")) == []


def test_a_run_that_is_stopped_says_so_until_it_is_over(hand: Hand) -> None:
    bench = run_bench(hand.window)
    bench.start(RunChoice("nuclei-unet", Extent.SLIDE, 3 << 30))
    bench.cancel()
    said = [label.text() for label in bench.panel.findChildren(QLabel)]
    assert "Cancelling…" in said
    hand.qtbot.waitUntil(lambda: not bench.runs.active, timeout=120_000)
    said = [label.text() for label in bench.panel.findChildren(QLabel)]
    assert "Cancelled." in said
    assert "Cancelling…" not in said
