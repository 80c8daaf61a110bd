"""What goes wrong stays to be read until it is closed or over, and hides nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QAccessible, QDragEnterEvent, QDropEvent, QImage, QStatusTipEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QTextEdit
from tests.gui.hand import LEFT, NONE, Hand
from tests.gui.sizes_by_hand import give_size

from tilescope.domain.geometry import Point
from tilescope.domain.scale import PixelSize
from tilescope.errors import UsageError
from tilescope_desktop.model.tools.tool import Draw
from tilescope_desktop.view.notice_bar import NoticeBar


def drop(hand: Hand, *urls: Path | str) -> None:
    """Drop files and addresses on the window, all at once."""
    mime = QMimeData()
    mime.setUrls(
        [QUrl.fromLocalFile(str(url)) if isinstance(url, Path) else QUrl(url) for url in urls]
    )
    what = (Qt.DropAction.CopyAction, mime, LEFT, NONE)
    QApplication.sendEvent(hand.window, QDragEnterEvent(QPoint(50, 50), *what))
    QApplication.sendEvent(hand.window, QDropEvent(QPointF(50, 50), *what))
    hand.wait()


def broken(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(b"II*\0 nothing else")
    return path


def bar(hand: Hand) -> NoticeBar:
    return hand.window.notices


def buttons(hand: Hand) -> dict[str, QPushButton]:
    QApplication.processEvents()
    return {b.text(): b for b in bar(hand).findChildren(QPushButton) if b.isVisible()}


def test_a_broken_file_among_good_ones_stays_to_be_read(
    hand: Hand, tmp_path: Path, dapi_image: Path
) -> None:
    drop(hand, broken(tmp_path, "broken.svs"), dapi_image)
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) == 2, timeout=20_000)
    hand.wait()
    assert "broken.svs" in bar(hand).text
    assert bar(hand).isVisible()
    for button in buttons(hand).values():  # of the failure and of the question below it
        assert button.mapTo(bar(hand), button.rect().bottomLeft()).y() < bar(hand).height()
    assert set(buttons(hand)) == {"Close", "Set it…", "Not now"}
    assert "Opening" not in hand.window.status.going
    assert "broken.svs" not in hand.window.status.currentMessage()


def test_no_menu_wipes_a_failure(hand: Hand, tmp_path: Path) -> None:
    drop(hand, broken(tmp_path, "broken.svs"))
    said = bar(hand).text
    menu = hand.window.menu("File")
    menu.popup(hand.window.mapToGlobal(QPoint(10, 30)))
    for action in menu.actions()[:6]:
        QTest.mouseMove(menu, menu.actionGeometry(action).center())
        QApplication.processEvents()
    menu.close()
    QApplication.sendEvent(hand.window, QStatusTipEvent(""))
    assert bar(hand).text == said
    assert bar(hand).isVisible()


def test_what_goes_on_is_not_wiped_by_menus_either(hand: Hand) -> None:
    going = hand.window.status.begin("Opening a.svs…")
    QApplication.sendEvent(hand.window, QStatusTipEvent(""))
    assert hand.window.status.going == "Opening a.svs…"
    other = hand.window.status.begin("Opening b.svs…")
    hand.window.status.end(other)
    assert hand.window.status.going == "Opening a.svs…"
    hand.window.status.end(going)
    assert hand.window.status.going == ""


def test_many_broken_files_are_a_list_by_name_within_the_window(
    hand: Hand, tmp_path: Path, dapi_image: Path
) -> None:
    folder = tmp_path / ("a-folder-with-a-very-long-name-without-any-blank" * 3)
    folder.mkdir()
    files = [broken(folder, f"broken-{number}.svs") for number in range(8)]
    hand.window.resize(700, 700)
    drop(hand, *files, dapi_image)
    hand.qtbot.waitUntil(lambda: bar(hand).text.count("• ") == 8, timeout=20_000)
    hand.wait()
    assert bar(hand).text.startswith("8 files could not be opened:")
    assert all(file.name in bar(hand).text for file in files)
    right = bar(hand).mapTo(hand.window, bar(hand).rect().topRight()).x()
    assert right < hand.window.width()
    close = buttons(hand)["Close"]
    assert close.mapTo(hand.window, close.rect().topRight()).x() < hand.window.width()
    assert bar(hand).height() < 200
    words = bar(hand).findChild(QTextEdit)
    assert words is not None
    assert words.document().size().height() <= words.height() + 1  # every line can be scrolled to
    scroll = bar(hand).verticalScrollBar()
    assert scroll.maximum() > 0
    bar(hand).setFocus()
    hand.qtbot.waitUntil(bar(hand).hasFocus, timeout=5000)
    before = hand.view.viewport
    hand.qtbot.keyClick(bar(hand), Qt.Key.Key_PageDown)
    hand.qtbot.keyClick(bar(hand), Qt.Key.Key_Down)
    assert scroll.value() > 0
    assert hand.view.viewport == before


def test_a_failure_is_closed_by_keys_and_the_slide_has_them_again(
    hand: Hand, tmp_path: Path
) -> None:
    drop(hand, broken(tmp_path, "broken.svs"))
    hand.window.activateWindow()
    hand.view.setFocus()
    hand.key(Qt.Key.Key_F7)
    close = buttons(hand)["Close"]
    hand.qtbot.waitUntil(close.hasFocus, timeout=5000)
    name = QAccessible.queryAccessibleInterface(close)
    assert name.text(QAccessible.Text.Name) == "Close"
    assert "broken.svs" in name.text(QAccessible.Text.Description)
    hand.qtbot.keyClick(close, Qt.Key.Key_Space)
    assert bar(hand).text == ""
    assert bar(hand).isHidden()
    hand.qtbot.waitUntil(hand.view.hasFocus, timeout=5000)


def test_a_file_that_opens_at_last_is_told_of_no_longer(
    hand: Hand, tmp_path: Path, dapi_image: Path
) -> None:
    path, other = broken(tmp_path, "cells.png"), broken(tmp_path, "other.svs")
    drop(hand, path, other)
    hand.qtbot.waitUntil(lambda: "2 files" in bar(hand).text, timeout=20_000)
    path.write_bytes(dapi_image.read_bytes())
    drop(hand, path)
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) == 2, timeout=20_000)
    assert "cells.png: this" not in bar(hand).text
    assert "could not be opened" not in bar(hand).text
    assert "other.svs" in bar(hand).text


def test_a_question_and_failures_stand_beside_each_other(hand: Hand, tmp_path: Path) -> None:
    hand.rectangle()
    drawn = hand.objects()
    assert hand.annotations.project is not None
    path = hand.annotations.project.path
    hand.close()
    again = Hand(hand.qtbot, tmp_path / "data")
    again.parts.desktop.offer_last()
    drop(again, broken(tmp_path, "broken.svs"))
    again.qtbot.waitUntil(lambda: "broken.svs" in bar(again).text, timeout=20_000)
    assert path.stem in bar(again).text
    again.qtbot.mouseClick(buttons(again)["Continue"], LEFT)
    again.qtbot.waitUntil(lambda: again.window.tab is not None, timeout=20_000)
    again.place()
    assert again.objects() == drawn
    assert path.stem not in bar(again).text
    assert "broken.svs" in bar(again).text
    again.close()


def limit_pages(hand: Hand, more: int | None) -> None:
    """Let the project grow by so many pages, as a disk that is nearly full does."""

    def run(project: object) -> None:
        db = project._db  # type: ignore[attr-defined]
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {2**30 if more is None else pages + more}")

    hand.annotations.desk.ask(run, lambda _none: None, pytest.fail)
    hand.wait()


def test_a_full_disk_is_told_until_an_edit_is_saved(hand: Hand) -> None:
    hand.rectangle()
    limit_pages(hand, 0)
    turn = np.linspace(0, 2 * np.pi, 40_000)
    shape = shapely.Polygon(np.column_stack([900 + 300 * np.cos(turn), 900 + 300 * np.sin(turn)]))
    slide = hand.parts.bench.front_slide
    assert slide is not None
    hand.annotations.fulfil(slide, (Draw(shape),))
    hand.wait()
    assert "the disk is full; make room" in bar(hand).text
    hand.qtbot.wait(50)
    assert bar(hand).isVisible()
    count = len(hand.objects())
    limit_pages(hand, None)
    hand.rectangle(60)
    assert len(hand.objects()) == count + 1
    assert bar(hand).text == ""
    assert bar(hand).isHidden()


def test_a_refusal_is_over_with_the_next_edit(hand: Hand) -> None:
    hand.rectangle()
    hand.act("edit.lock")
    hand.act("edit.delete")
    assert "locked" in bar(hand).text
    hand.rectangle(300)
    assert bar(hand).text == ""


def test_a_hostile_name_is_words_and_nothing_else(hand: Hand, tmp_path: Path) -> None:
    drop(hand, broken(tmp_path, "<h1>big<img src=x>.svs"))
    hand.qtbot.waitUntil(lambda: "<h1>big" in bar(hand).text, timeout=20_000)
    words = bar(hand).findChild(QTextEdit)
    assert words is not None
    assert "<h1>big<img src=x>.svs" in words.toPlainText()


def test_nothing_moves_under_a_held_button(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [LEFT]
    monkeypatch.setattr(
        "tilescope_desktop.view.notice_bar.QGuiApplication.mouseButtons",
        lambda: held[0] if held else Qt.MouseButton.NoButton,
    )
    height = hand.view.height()
    hand.window.show_error(UsageError("something"))
    hand.qtbot.wait(150)
    assert hand.view.height() == height
    held.clear()
    hand.qtbot.waitUntil(bar(hand).isVisible, timeout=5000)
    assert "something" in bar(hand).text


# -- slides ---------------------------------------------------------------------------------------


def test_a_shape_on_a_slide_whose_file_is_gone_is_saved(
    hand: Hand, tmp_path: Path, hes_slide: Path
) -> None:
    copy = tmp_path / "slide.svs"
    copy.write_bytes(hes_slide.read_bytes())
    hand.act("file.close")
    hand.open(copy)
    copy.unlink()
    hand.rectangle()
    (drawn,) = hand.objects()
    assert bar(hand).text == ""
    assert hand.annotations.project is not None
    saved = hand.annotations.project.path
    hand.act("file.close")
    hand.act("project.close")
    copy.write_bytes(hes_slide.read_bytes())
    hand.window.dropped.emit([saved])
    hand.qtbot.waitUntil(
        lambda: any(tab.path == copy for tab in hand.window.all_tabs), timeout=20_000
    )
    hand.place()
    assert [one.id for one in hand.objects()] == [drawn.id]
    assert hand.overlay.picture is not None
    assert hand.overlay.picture.count == 1


def test_a_slide_that_is_open_comes_to_the_front(
    hand: Hand, hes_slide: Path, dapi_image: Path
) -> None:
    first = hand.window.tab
    hand.open(dapi_image)
    assert hand.window.tab is not first
    drop(hand, hes_slide)
    assert hand.window.tab is first
    assert hand.view.hasFocus()
    assert len(hand.window.all_tabs) == 2


def uncalibrated(folder: Path, name: str) -> Path:
    path = folder / name
    pixels = np.full((600, 800, 3), 200, np.uint8)
    tifffile.imwrite(path, pixels, tile=(128, 128), photometric="rgb", metadata=None)
    return path


def test_the_size_of_a_pixel_is_asked_for_once_and_kept(hand: Hand, tmp_path: Path) -> None:
    path = uncalibrated(tmp_path, "plain.tif")
    hand.open(path)
    assert "plain.tif: the size of a pixel is unknown" in bar(hand).text
    give_size("0.3")
    hand.qtbot.mouseClick(buttons(hand)["Set it…"], LEFT)
    hand.wait()
    assert bar(hand).text == ""
    assert "0.3 µm/px (set by you)" in hand.window.status._pixel_size.text()
    hand.rectangle()
    (drawn,) = hand.objects()
    side = hand.l0(160, 160).x - hand.l0(60, 60).x
    assert drawn.measurements["Area µm^2"] == pytest.approx((side * 0.3) ** 2, rel=1e-3)
    hand.act("file.close")
    hand.open(path)
    assert hand.window.tab is not None
    assert hand.window.tab.um_per_px == 0.3
    assert "0.3 µm/px (set by you)" in hand.window.status._pixel_size.text()
    assert hand.window.tab.scale.pixel_size == PixelSize(0.3, 0.3)
    assert bar(hand).text == ""
    hand.close()
    again = Hand(hand.qtbot, tmp_path / "data")
    again.parts.desktop.offer_last()
    again.qtbot.mouseClick(buttons(again)["Continue"], LEFT)
    again.qtbot.waitUntil(lambda: again.window.tab is not None, timeout=20_000)
    again.wait()
    assert again.window.tab is not None
    assert again.window.tab.um_per_px == 0.3
    assert bar(again).text == ""
    again.close()


def test_a_size_that_is_entered_without_a_shape_is_kept(hand: Hand, hes_slide: Path) -> None:
    give_size("0.25")
    hand.window.status._pixel_size.click()
    hand.wait()
    hand.act("file.close")
    hand.open(hes_slide)
    assert hand.window.tab is not None
    assert hand.window.tab.um_per_px == 0.25


def test_not_now_is_not_asked_again(hand: Hand, tmp_path: Path) -> None:
    path = uncalibrated(tmp_path, "plain.tif")
    hand.open(path)
    hand.qtbot.mouseClick(buttons(hand)["Not now"], LEFT)
    hand.act("file.close")
    hand.open(path)
    assert bar(hand).text == ""


def test_the_size_is_asked_for_the_slide_in_front_alone(hand: Hand, tmp_path: Path) -> None:
    for name in ("first.tif", "second.tif"):
        hand.open(uncalibrated(tmp_path, name))
    assert bar(hand).text.startswith("second.tif: ")
    calibrated, first, second = hand.window.all_tabs
    hand.window.tabs.show_slide(first)
    assert bar(hand).text.startswith("first.tif: ")
    assert len(bar(hand).shown) == 1
    hand.window.tabs.show_slide(calibrated)
    assert bar(hand).text == ""
    hand.window.tabs.show_slide(second)
    assert bar(hand).text.startswith("second.tif: ")
    hand.act("file.close")
    assert bar(hand).text.startswith("first.tif: ")
    hand.qtbot.mouseClick(buttons(hand)["Not now"], LEFT)
    hand.window.tabs.show_slide(calibrated)
    hand.window.tabs.show_slide(first)
    assert bar(hand).text == ""


def test_a_size_that_is_not_given_after_all_is_still_asked_for(hand: Hand, tmp_path: Path) -> None:
    hand.open(uncalibrated(tmp_path, "plain.tif"))
    for _ in range(2):
        give_size("0.3", Qt.Key.Key_Escape)
        hand.qtbot.mouseClick(buttons(hand)["Set it…"], LEFT)
        assert bar(hand).text.startswith("plain.tif: ")
    give_size("0.3")
    hand.qtbot.mouseClick(buttons(hand)["Set it…"], LEFT)
    hand.wait()
    assert bar(hand).text == ""


def test_objects_of_ones_own_that_are_there_are_refused_with_a_remedy(
    hand: Hand, tmp_path: Path
) -> None:
    hand.rectangle()
    (drawn,) = hand.objects()
    own = tmp_path / "own.geojson"
    hand.parts.exchange.export(own, "geojson")
    hand.wait()
    drop(hand, own)
    assert f"{drawn.id} is already there; nothing was added" in bar(hand).text
    assert "delete what is there first, or leave the ids out of the file" in bar(hand).text
    hand.act("edit.all")
    hand.act("edit.delete")
    drop(hand, own)
    assert [one.id for one in hand.objects()] == [drawn.id]
    assert hand.window.status.currentMessage().startswith("1 object from own.geojson")
    told = json.loads(own.read_text())
    for feature in told["features"]:
        del feature["id"]
    own.write_text(json.dumps(told))
    drop(hand, own)
    assert len(hand.objects()) == 2


def test_tiles_that_cannot_be_read_are_told_once_and_tried_again(
    hand: Hand, tmp_path: Path
) -> None:
    path = tmp_path / "scan.tif"
    pixels = np.random.default_rng(1).integers(0, 255, (1024, 1024, 3)).astype(np.uint8)
    tifffile.imwrite(
        path, pixels, tile=(256, 256), photometric="rgb", compression="zlib",
        resolution=(40000, 40000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for offset, count in places[5:7]:
        damaged[offset : offset + count] = bytes(count)
    path.write_bytes(damaged)
    hand.window.open_slide(path)
    hand.qtbot.waitUntil(lambda: len(hand.window.all_tabs) == 2, timeout=20_000)
    tab = hand.window.tab
    assert tab is not None
    hand.qtbot.waitUntil(lambda: hand.window.tiles.faults(tab.pictures_id) == 2, timeout=20_000)
    QApplication.processEvents()
    told = [notice for notice in bar(hand).shown if "scan.tif" in notice.text]
    assert len(told) == 1
    assert "cannot be read" in told[0].text
    with path.open("r+b") as file:
        file.write(whole)
    hand.qtbot.mouseClick(buttons(hand)["Try again"], LEFT)
    hand.qtbot.waitUntil(lambda: tab.view.is_sharp, timeout=20_000)
    assert "scan.tif" not in bar(hand).text
    assert hand.window.tiles.faults(tab.pictures_id) == 0
    viewport = tab.view.viewport
    assert viewport is not None
    tab.view.move_to(replace(viewport, centre_l0=Point(512, 384), l0_per_px=1.0))
    hand.qtbot.waitUntil(lambda: tab.view.is_sharp, timeout=20_000)
    viewport = tab.view.viewport
    assert viewport is not None
    shown = tab.view.picture().convertToFormat(QImage.Format.Format_RGB888)
    for x, y in ((300, 300), (400, 400), (510, 380), (520, 300), (700, 420)):
        at = viewport.to_screen(Point(x + 0.5, y + 0.5))
        color = shown.pixelColor(int(at.x), int(at.y))
        assert (color.red(), color.green(), color.blue()) == tuple(pixels[y, x])


def test_a_question_is_whole_in_a_narrow_window(hand: Hand, dapi_image: Path) -> None:
    hand.window.resize(900, 600)
    hand.act("file.close")
    hand.open(dapi_image)
    hand.qtbot.waitUntil(bar(hand).isVisible, timeout=5000)
    QApplication.processEvents()
    assert not bar(hand).verticalScrollBar().isVisible()
    words = bar(hand).findChild(QTextEdit)
    assert words is not None
    bottom = words.mapTo(bar(hand), words.rect().bottomLeft()).y()
    assert bottom < bar(hand).height()
    assert words.document().size().height() <= words.height() + 1
