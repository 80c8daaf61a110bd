"""Pictures of the view: as a file of pixels, as a drawing, on the clipboard."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as Tree

import numpy as np
import pytest
from PySide6.QtCore import QRectF
from PySide6.QtGui import QAction, QImage, QPainter
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication, QFileDialog, QMessageBox
from tests.gui.hand import Hand

from tilescope.domain.geometry import Point
from tilescope_desktop.view import snapshot

SVG = "{http://www.w3.org/2000/svg}"


def rgb(image: QImage) -> np.ndarray:
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
    return rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).astype(int)


def save(hand: Hand, monkeypatch: pytest.MonkeyPatch, path: Path, title: str) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), title))
    hand.act("project.save-picture")
    hand.wait()


def with_a_rectangle(hand: Hand) -> None:
    hand.act("tool.rectangle")
    hand.drag((100, 100), (200, 150), (320, 220))
    hand.act("tool.move")
    hand.deselect()
    hand.wait()


def test_a_png_is_what_one_sees_with_a_scale_bar(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_rectangle(hand)
    seen = hand.pixels()
    hand.act("view.scale-bar")
    without = hand.pixels()
    save(hand, monkeypatch, tmp_path / "view.png", "")
    saved = rgb(QImage(str(tmp_path / "view.png")))
    assert (saved == seen).all()
    assert (saved != without).any()
    assert "Saved view.png" in hand.window.status.currentMessage()
    assert (hand.pixels() == without).all()


def test_a_drawing_shows_the_same_and_holds_outlines_as_lines(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_rectangle(hand)
    seen = hand.pixels()
    save(hand, monkeypatch, tmp_path / "view", "SVG: picture, with outlines as lines (*.svg)")
    path = tmp_path / "view.svg"
    root = Tree.parse(path).getroot()
    groups = [group for group in root.iter(f"{SVG}g") if group.get("stroke")]
    assert sum(len(list(group.iter(f"{SVG}path"))) for group in groups) == 1
    assert next(root.iter(f"{SVG}text")).text == "50 µm"
    renderer = QSvgRenderer(str(path))
    assert renderer.isValid()
    image = QImage(seen.shape[1], seen.shape[0], QImage.Format.Format_RGB32)
    painter = QPainter(image)
    renderer.render(painter, QRectF(image.rect()))
    painter.end()
    # Lines and letters are not painted pixel for pixel alike; the slide is.
    differ = np.abs(rgb(image) - seen).max(axis=2) > 24
    assert differ.mean() < 0.01
    assert not differ[100:140, 400:].any()
    assert "1 object as lines" in hand.window.status.currentMessage()


def test_a_drawing_of_a_slide_without_objects(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(hand, monkeypatch, tmp_path / "bare.svg", "")
    root = Tree.parse(tmp_path / "bare.svg").getroot()
    assert [group for group in root.iter(f"{SVG}g") if group.get("stroke")] == []


@pytest.mark.parametrize("name", ["view.png", "view.svg"])
def test_where_nothing_can_be_written_it_is_said(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    save(hand, monkeypatch, tmp_path / "no such folder" / name, "")
    assert "cannot be written; choose another folder" in hand.window.notices.text


def test_the_clipboard_gets_the_view(hand: Hand) -> None:
    with_a_rectangle(hand)
    hand.act("project.copy-picture")
    assert (rgb(QApplication.clipboard().image()) == hand.pixels()).all()


def test_projects_and_slides_are_recent_files(hand: Hand, tmp_path: Path) -> None:
    with_a_rectangle(hand)
    project = hand.annotations.project
    assert project is not None
    hand.act("project.close")
    hand.drop(project.path)
    assert hand.annotations.remembered.recent[0] == project.path
    assert hand.annotations.remembered.recent[1].suffix == ".svs"


def looks(hand: Hand, monkeypatch: pytest.MonkeyPatch, path: Path, command: str) -> QImage:
    """Take a picture right after the view has gone elsewhere."""
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    hand.wait()
    assert hand.view.viewport is not None
    hand.window.tiles.pictures.clear()
    hand.view.move_to(replace(hand.view.viewport, centre_l0=Point(600, 2300), l0_per_px=0.9))
    assert not hand.view.is_sharp
    action = hand.window.findChild(QAction, command)
    assert isinstance(action, QAction)
    action.trigger()
    assert "waiting until it is sharp" in hand.window.status.going
    hand.qtbot.waitUntil(lambda: not hand.window.status.going, timeout=20_000)
    hand.wait()
    return QImage(str(path)) if path.exists() else QApplication.clipboard().image()


@pytest.mark.parametrize("command", ["project.save-picture", "project.copy-picture"])
def test_a_picture_waits_until_the_view_is_sharp(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    with_a_rectangle(hand)
    taken = looks(hand, monkeypatch, tmp_path / "view.png", command)
    assert (rgb(taken) == hand.pixels()).all()
    assert "not sharp" not in hand.window.status.currentMessage()


def test_a_drawing_waits_until_the_view_is_sharp(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(hand, monkeypatch, tmp_path / "view.svg", "project.save-picture")
    (image,) = Tree.parse(tmp_path / "view.svg").getroot().iter(f"{SVG}image")
    data = image.attrib["{http://www.w3.org/1999/xlink}href"].partition(",")[2]
    taken = QImage.fromData(base64.b64decode(data))
    assert (rgb(taken) == rgb(hand.view.picture())).all()


def test_no_picture_waits_for_ever(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_PATIENCE_S", 0.1)
    path = tmp_path / "view.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    hand.window.hide()  # what is not seen is not painted either
    assert hand.view.viewport is not None
    hand.view.move_to(replace(hand.view.viewport, centre_l0=Point(600, 2300), l0_per_px=0.9))
    action = hand.window.findChild(QAction, "project.save-picture")
    assert isinstance(action, QAction)
    action.trigger()
    hand.qtbot.waitUntil(lambda: not hand.window.status.going, timeout=5000)
    assert not QImage(str(path)).isNull()
    assert "not sharp yet" in hand.window.status.currentMessage()


def test_a_picture_of_a_slide_that_is_closed_is_not_taken(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "view.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    assert hand.view.viewport is not None
    hand.view.move_to(replace(hand.view.viewport, centre_l0=Point(600, 2300), l0_per_px=0.9))
    for name in ("project.save-picture", "file.close"):
        action = hand.window.findChild(QAction, name)
        assert isinstance(action, QAction)
        action.trigger()
    hand.qtbot.waitUntil(lambda: not hand.window.status.going, timeout=5000)
    assert not path.exists()


def test_a_drawing_counts_what_is_drawn(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_rectangle(hand)
    hand.act("objects.shows-annotations")
    save(hand, monkeypatch, tmp_path / "hidden.svg", "")
    assert "Saved hidden.svg with 0 objects as lines" in hand.window.status.currentMessage()


@pytest.fixture
def picture_slide(tmp_path: Path, dapi_image: Path) -> Path:
    """A slide that has a name as pictures of views have, in a folder of its own."""
    path = tmp_path / "slides" / "mine.png"
    path.parent.mkdir()
    path.write_bytes(dapi_image.read_bytes())
    return path


def test_no_picture_takes_the_place_of_an_open_slide(
    hand: Hand, picture_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = picture_slide.read_bytes()
    front = hand.window.tab
    hand.open(picture_slide)
    hand.window.tabs.show_slide(front)
    hand.wait()
    save(hand, monkeypatch, picture_slide, "")
    assert picture_slide.read_bytes() == before
    assert "mine.png is one of the open slides; choose another name" in hand.window.notices.text
    assert list(picture_slide.parent.iterdir()) == [picture_slide]
    assert hand.window.status.going == ""


def test_no_picture_takes_the_place_of_a_slide_of_the_project(
    hand: Hand, picture_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = picture_slide.read_bytes()
    hand.open(picture_slide)
    hand.rectangle()
    hand.act("file.close")
    save(hand, monkeypatch, picture_slide.parent / ".." / "slides" / "mine.png", "")
    assert picture_slide.read_bytes() == before
    assert "is the project or one of its slides; choose another name" in hand.window.notices.text


def test_the_name_that_is_offered_is_no_file_that_is_there(
    hand: Hand, picture_slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.open(picture_slide)
    offered: list[Path] = []
    chosen = [Path()]

    def ask(_window: object, _title: str, name: str, _files: str) -> tuple[str, str]:
        offered.append(Path(name))
        chosen[0] = chosen[0] if chosen[0].name else offered[-1]
        return str(chosen[0]), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    hand.act("project.save-picture")
    assert offered == [picture_slide.with_name("mine-view.png")]
    assert not QImage(str(offered[0])).isNull()
    chosen[0] = tmp_path / "elsewhere.png"
    hand.act("project.save-picture")
    assert offered[-1] == picture_slide.with_name("mine-view-2.png")
    hand.act("project.save-picture")
    assert offered[-1] == tmp_path / "mine-view.png"


@pytest.mark.parametrize("name", ["view.png", "view.svg"])
def test_a_picture_that_cannot_be_written_leaves_nothing_behind(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    in_the_way = tmp_path / "pictures" / name
    in_the_way.mkdir(parents=True)
    save(hand, monkeypatch, in_the_way, "")
    assert f"{name} cannot be written" in hand.window.notices.text
    assert list(in_the_way.parent.iterdir()) == [in_the_way]


SVG_TITLE = "SVG: picture, with outlines as lines (*.svg)"
YES, CANCEL = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.Cancel


@pytest.mark.parametrize(("title", "ending"), [("PNG (*.png)", ".png"), (SVG_TITLE, ".svg")])
@pytest.mark.parametrize("answer", [YES, CANCEL])
def test_a_picture_whose_name_was_completed_is_asked_about(
    hand: Hand,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    title: str,
    ending: str,
    answer: QMessageBox.StandardButton,
) -> None:
    there, asked = tmp_path / f"figure1{ending}", []
    there.write_bytes(b"precious")

    def question(*args: object) -> QMessageBox.StandardButton:
        asked.append(str(args[2]))
        return answer

    monkeypatch.setattr(QMessageBox, "question", question)
    save(hand, monkeypatch, tmp_path / "figure1", title)
    assert asked == [f"{there.name} is there already. Replace it? What is in it is lost."]
    assert (there.read_bytes() == b"precious") == (answer == CANCEL)
    assert ("Saved" in hand.window.status.currentMessage()) == (answer == YES)


@pytest.mark.parametrize(
    ("typed", "title", "name", "begin"),
    [
        ("view.svg", "PNG (*.png)", "view.svg", b"<"),
        ("view.PNG", SVG_TITLE, "view.PNG", b"\x89PNG"),
        ("case.12", SVG_TITLE, "case.12.svg", b"<"),
        ("view.jpg", "PNG (*.png)", "view.jpg.png", b"\x89PNG"),
    ],
)
def test_the_ending_of_a_picture_says_what_it_is_before_the_dialog_does(
    hand: Hand,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    title: str,
    name: str,
    begin: bytes,
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    save(hand, monkeypatch, folder / typed, title)
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_bytes().startswith(begin)
