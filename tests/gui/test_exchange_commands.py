"""Exports and imports as users do them: by the menu and Qt's own dialogs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeDatabase, Qt, QTimer
from PySide6.QtWidgets import QApplication, QComboBox, QFileDialog, QLineEdit, QMessageBox
from tests.gui.hand import Hand

from tilescope.exchange.formats import FORMATS
from tilescope_desktop.view import exchange_commands
from tilescope_desktop.view.named_file import kind_meant

RETURN = Qt.Key.Key_Return


def in_dialog(hand: Hand, act: Callable[[QFileDialog], None]) -> None:
    """Do something in the next dialog of files, once it is there; it is closed then."""
    looks = QTimer(hand.window, interval=20)
    is_there: list[QFileDialog] = []

    def look() -> None:
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, QMessageBox):  # no such file, says the dialog below it
            dialog.reject()
        elif isinstance(dialog, QFileDialog) and dialog.isActiveWindow() and not is_there:
            is_there.append(dialog)
            try:
                act(dialog)
            finally:
                looks.stop()
                if dialog.isVisible():  # the test would wait for ever
                    dialog.reject()

    looks.timeout.connect(look)
    looks.start()


def type_name(hand: Hand, dialog: QFileDialog, path: Path) -> None:
    line = dialog.findChild(QLineEdit, "fileNameEdit")
    assert line.hasFocus()
    line.clear()
    hand.qtbot.keyClicks(line, str(path))
    hand.qtbot.keyClick(line, RETURN)


def export(hand: Hand, title: str, path: Path) -> None:
    def act(dialog: QFileDialog) -> None:
        assert title in dialog.nameFilters()
        dialog.selectNameFilter(title)
        type_name(hand, dialog, path)

    in_dialog(hand, act)
    hand.act("project.export")
    hand.wait()


@pytest.fixture(scope="module", autouse=True)
def _kinds_of_files() -> None:
    """Have Qt read what kinds of files there are, which it keeps open from the first dialog on."""
    QMimeDatabase().mimeTypeForName("text/plain").isValid()


@pytest.fixture
def drawn(hand: Hand) -> Hand:
    hand.act("tool.rectangle")
    hand.drag((100, 100), (150, 150), (220, 190))
    hand.deselect()
    return hand


@pytest.mark.parametrize(
    ("title", "ending", "needs"),
    [
        ("Table, Parquet (*.parquet)", ".parquet", "pyarrow"),
        ("GeoParquet (*.geo.parquet)", ".geo.parquet", "pyarrow"),
        ("SpatialData (*.zarr)", ".zarr", "pyarrow"),
        ("DICOM annotations (*.dcm)", ".dcm", "pydicom"),
        ("Label image, OME-Zarr (*.ome.zarr)", ".ome.zarr", "zarr"),
        ("Label image (*.tiff)", ".tiff", "tifffile"),
    ],
)
def test_every_format_that_can_be_written_is_in_the_menu(
    drawn: Hand, tmp_path: Path, title: str, ending: str, needs: str
) -> None:
    pytest.importorskip(needs)
    export(drawn, title, tmp_path / "out")
    path = tmp_path / f"out{ending}"
    assert path.exists(), drawn.window.notices.text
    assert path.is_dir() == ending.endswith("zarr")
    assert drawn.window.status.currentMessage().startswith(f"1 object to {path.name}")


def test_the_dialog_offers_all_formats_there_are(drawn: Hand) -> None:
    offered: list[str] = []

    def act(dialog: QFileDialog) -> None:
        offered.extend(dialog.nameFilters())
        dialog.reject()

    in_dialog(drawn, act)
    drawn.act("project.export")
    endings = {one[one.index("*") + 1 : -1] for one in offered}
    for known in FORMATS:
        if known.write is not None or known.paint is not None:
            assert endings & set(known.suffixes), known.name


def test_labels_go_out_and_come_in_by_the_menu(drawn: Hand, tmp_path: Path) -> None:
    export(drawn, "Label image, OME-Zarr (*.ome.zarr)", tmp_path / "out")
    (before,) = drawn.shapes()
    drawn.act("edit.all")
    drawn.act("edit.delete")
    assert drawn.shapes() == []

    in_dialog(drawn, lambda dialog: type_name(drawn, dialog, tmp_path / "out.ome.zarr"))
    drawn.act("project.import-labels")
    (after,) = drawn.shapes()
    assert after.intersection(before).area > 0.95 * after.union(before).area


def test_files_of_dicom_are_seen_in_the_dialog_of_imports(drawn: Hand, tmp_path: Path) -> None:
    filters: list[str] = []

    def act(dialog: QFileDialog) -> None:
        filters.extend(dialog.nameFilters())
        dialog.reject()

    in_dialog(drawn, act)
    drawn.act("project.import")
    assert "*.dcm" in filters[0]


def test_no_export_takes_the_place_of_an_open_slide(
    drawn: Hand, tmp_path: Path, dapi_image: Path
) -> None:
    other, front = tmp_path / "other.png", drawn.window.tab
    other.write_bytes(dapi_image.read_bytes())
    drawn.open(other)
    drawn.window.tabs.show_slide(front)
    drawn.parts.exchange.export(other, "geojson")
    drawn.wait()
    assert other.read_bytes() == dapi_image.read_bytes()
    assert "other.png is one of the open slides; choose another name" in drawn.window.notices.text


GEOJSON, PACKED = "GeoJSON (*.geojson)", "Packed GeoJSON (*.geojson.gz)"
TABLE, COCO = "Table (*.csv)", "COCO (*.json)"


@pytest.mark.parametrize(
    ("typed", "title", "name", "holds"),
    [
        ("b.csv", GEOJSON, "b.csv", b"Object ID,"),
        ("c.GeoJSON", TABLE, "c.GeoJSON", b'"FeatureCollection"'),
        ("d.geojson.gz", GEOJSON, "d.geojson.gz", b"\x1f\x8b"),
        ("e.gz", PACKED, "e.gz", b"\x1f\x8b"),
        ("f.json", GEOJSON, "f.json", b'"FeatureCollection"'),
        ("g.json", COCO, "g.json", b'"categories"'),
        ("h.json", TABLE, "h.json", b'"categories"'),
        ("case.12", TABLE, "case.12.csv", b"Object ID,"),
        ("CMU-1.ome", GEOJSON, "CMU-1.ome.geojson", b'"FeatureCollection"'),
        (".csv", GEOJSON, ".csv.geojson", b'"FeatureCollection"'),
        ("plain", "", "plain.geojson", b'"FeatureCollection"'),
    ],
)
def test_the_ending_that_is_typed_says_the_format_before_the_dialog_does(
    drawn: Hand,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    title: str,
    name: str,
    holds: bytes,
) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    chosen = str(folder / typed), title
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: chosen)
    drawn.act("project.export")
    drawn.wait()
    assert [path.name for path in folder.iterdir()] == [name], drawn.window.notices.text
    assert holds in (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("title", "name"),
    [("Table, Parquet (*.parquet)", "o.geo.parquet"), ("SpatialData (*.zarr)", "o.ome.zarr")],
)
def test_the_longest_ending_that_is_typed_counts(title: str, name: str) -> None:
    kinds = {kind.title: kind for kind in exchange_commands._EXPORTS}
    meant = kind_meant(name, title, list(kinds.values()))
    assert f".{name.partition('.')[2]}" == meant.endings[0]


@pytest.mark.parametrize("title", [kind.title for kind in exchange_commands._EXPORTS])
def test_a_format_that_is_chosen_in_the_dialog_is_written(drawn: Hand, title: str) -> None:
    """Choosing one lets the dialog put the last part of its ending in place of the one before."""
    named: list[str] = []

    def act(dialog: QFileDialog) -> None:
        box = dialog.findChild(QComboBox, "fileTypeCombo")
        index = box.findText(title)
        box.setCurrentIndex(index)
        box.activated.emit(index)
        named.append(dialog.findChild(QLineEdit, "fileNameEdit").text())
        dialog.reject()

    in_dialog(drawn, act)
    drawn.act("project.export")
    kinds = exchange_commands._EXPORTS
    meant = kind_meant(named[0], title, kinds)
    assert (meant.title, named[0].endswith(meant.endings)) == (title, True)


def test_an_export_whose_name_was_completed_is_asked_about(
    drawn: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, asked = tmp_path / "case.12.csv", []
    there.write_bytes(b"precious")

    def question(*args: object) -> QMessageBox.StandardButton:
        asked.append(str(args[2]))
        return QMessageBox.StandardButton.Cancel

    monkeypatch.setattr(QMessageBox, "question", question)
    chosen = str(tmp_path / "case.12"), TABLE
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: chosen)
    drawn.act("project.export")
    drawn.wait()
    assert asked == ["case.12.csv is there already. Replace it? What is in it is lost."]
    assert there.read_bytes() == b"precious"
