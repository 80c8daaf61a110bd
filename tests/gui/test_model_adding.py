"""A user's model dropped on the window: told about in words, and said more of in a form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zarr
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QWidget,
)
from tests.conftest import SAMPLES
from tests.engine.models.networks import Net, TensorProto, unet, written
from tests.gui.hand import LEFT, Hand
from tests.gui.map_models import brightness_graph

from tilescope.domain.geometry import Rect
from tilescope.domain.scale import AtPixelSize, Native
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.registry import open_slide
from tilescope.plugins.model_store import FOLDER_VARIABLE
from tilescope.plugins.registry import find_model
from tilescope.testing.synthetic import pyramid, write_tiff_pyramid
from tilescope_desktop.app import run_bench
from tilescope_desktop.view.added_dialog import AddedDialog

SHAPE = (384, 512)
UM_PER_PX = 0.5
_KEY = Qt.Key


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with open_slide(SAMPLES / "CMU-1-Small-Region.svs") as slide:
        cut = Rect(600, 900, 600 + SHAPE[1], 900 + SHAPE[0])
        pixels = read_region(slide, TileCache(1 << 26), 0, cut)
    path = tmp_path_factory.mktemp("tissue") / "tissue.tif"
    return write_tiff_pyramid(path, pyramid(pixels, 1), um_per_px=UM_PER_PX)


@pytest.fixture
def slide_in_hand(tissue: Path) -> Path:
    return tissue


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


@pytest.fixture
def brightness(tmp_path: Path) -> Path:
    """A network of three classes that says nothing else about itself."""
    path = tmp_path / "brightness.onnx"
    path.write_bytes(brightness_graph((0.35, 0.65, 0.92)))
    return path


@pytest.fixture
def added(hand: Hand, brightness: Path) -> Iterator[AddedDialog]:
    hand.drop(brightness)
    made = dialog_of(hand)
    made.activateWindow()
    hand.qtbot.waitUntil(made.isActiveWindow, timeout=5000)
    yield made
    for run in run_bench(hand.window).runs.active:
        run.cancel()
    hand.qtbot.waitUntil(lambda: not run_bench(hand.window).runs.active, timeout=60_000)


def dialog_of(hand: Hand) -> AddedDialog:
    (found,) = [one for one in hand.window.findChildren(AddedDialog) if one.isVisible()]
    return found


def named(inside: QWidget, name: str) -> QWidget:
    (found,) = [w for w in inside.findChildren(QWidget) if w.accessibleName() == name]
    return found


def text_in(inside: QWidget, name: str) -> str:
    field = named(inside, name)
    assert isinstance(field, QLineEdit | QComboBox)
    return field.text() if isinstance(field, QLineEdit) else field.currentText()


def button(inside: QWidget, title: str) -> QPushButton:
    return next(b for b in inside.findChildren(QPushButton) if b.text() == title)


def write(inside: QWidget, name: str, text: str) -> QLineEdit:
    line = named(inside, name)
    assert isinstance(line, QLineEdit)
    QTest.mouseClick(line, LEFT)
    line.selectAll()
    QTest.keyClick(line, _KEY.Key_Delete)
    QTest.keyClicks(line, text)
    return line


def words_in(dialog: AddedDialog) -> str:
    """Return what is to be read, without what stands in fields."""
    labels = [label.text() for label in dialog.findChildren(QLabel) if label.isVisible()]
    report = dialog.findChild(QPlainTextEdit)
    assert isinstance(report, QPlainTextEdit)
    return "\n".join([*labels, report.toPlainText() if report.isVisible() else ""])


def press(hand: Hand, dialog: AddedDialog, title: str) -> None:
    wanted = button(dialog, title)
    assert wanted.isEnabled()
    QTest.mouseClick(wanted, LEFT)
    hand.wait()


def run_over_slide(hand: Hand) -> None:
    bench = run_bench(hand.window)
    provider = named(bench.panel, "On")
    assert isinstance(provider, QComboBox)
    hand.window.activateWindow()
    hand.qtbot.waitUntil(hand.window.isActiveWindow, timeout=5000)
    provider.setFocus()
    hand.qtbot.waitUntil(lambda: provider.findText("cpu") >= 0, timeout=60_000)
    provider.setCurrentText("cpu")  # measuring the others takes longer than the run
    QTest.mouseClick(button(bench.panel, "Run"), LEFT)
    hand.qtbot.waitUntil(lambda: bool(bench.runs.active), timeout=20_000)
    hand.qtbot.waitUntil(
        lambda: not bench.runs.active and not hand.window.work.jobs, timeout=120_000
    )


def map_shapes(hand: Hand) -> set[tuple[int, ...]]:
    """Return the sizes of the finest levels of all maps that runs have written."""
    runs = hand.annotations.folder / "runs"
    return {
        zarr.open_array(path / "0", mode="r").shape[-2:]
        for path in runs.glob("*/*/labels.ome.zarr")
    }


def test_what_was_assumed_is_told_without_a_command_line(added: AddedDialog) -> None:
    said = words_in(added)
    assert "brightness was added." in said
    assert "Assumed: classes are called class 0 to class 2" in said
    assert "ok: blank tile: " in said
    assert "--" not in said
    assert text_in(added, "Classes") == "class 0, class 1, class 2"
    assert text_in(added, "Pixel size (µm/px)") == ""
    assert text_in(added, "Pixel values") == "scaled to 0 to 1"
    assert text_in(added, "Channels") == "red, green, blue"
    assert not button(added, "Add again with these").isEnabled()  # nothing was changed


def test_classes_and_pixel_size_that_are_said_hold(
    hand: Hand, added: AddedDialog, brightness: Path
) -> None:
    panel = run_bench(hand.window).panel
    assert panel.model_id == "brightness"
    QTest.keyClick(added, _KEY.Key_Escape)
    hand.wait()
    run_over_slide(hand)
    assert map_shapes(hand) == {SHAPE}

    hand.drop(brightness)
    assert "'brightness' is in your models already" in hand.window.notices.text
    QTest.mouseClick(button(hand.window.notices, "Replace it"), LEFT)
    hand.wait()
    dialog = dialog_of(hand)
    write(dialog, "Classes", "dark , middle,bright")
    write(dialog, "Pixel size (µm/px)", "2,0")
    press(hand, dialog, "Add again with these")

    assert "brightness was added again with what you said." in words_in(dialog)
    assert "classes are called" not in words_in(dialog)
    assert "Assumed: pixel values are scaled" in words_in(dialog)
    assert text_in(dialog, "Classes") == "dark, middle, bright"
    spec = find_model("brightness").spec
    assert spec.classes == ("dark", "middle", "bright")
    assert spec.sampling == AtPixelSize(2.0)
    press(hand, dialog, "Close")
    assert panel.model_id == "brightness"
    shown = [label.text() for label in panel.findChildren(QLabel)]
    assert any("dark, middle, bright" in text for text in shown)
    run_over_slide(hand)
    coarse = tuple(round(side * UM_PER_PX / 2.0) for side in SHAPE)
    assert map_shapes(hand) == {SHAPE, coarse}  # the earlier run was not taken for this one


def test_it_can_be_done_by_keys_alone(hand: Hand, added: AddedDialog) -> None:
    QTest.keyClicks(added.focusWidget(), "a, b, c")  # it begins where classes are named
    reached: list[str] = []
    for _ in range(12):
        focused = added.focusWidget()
        name = focused.text() if isinstance(focused, QPushButton) else focused.accessibleName()
        assert name.strip()
        if name in reached:
            break
        reached.append(name)
        QTest.keyClick(focused, _KEY.Key_Tab)
    assert set(reached) == {
        *("Classes", "Pixel size (µm/px)", "Pixel values", "Channels", "Largest tile (px)"),
        *("Licence", "Add again with these", "Close", "What trying the model out found"),
    }
    while added.focusWidget() is not named(added, "Pixel values"):
        QTest.keyClick(added.focusWidget(), _KEY.Key_Tab)
    QTest.keyClick(added.focusWidget(), _KEY.Key_Down)
    QTest.keyClick(added.focusWidget(), _KEY.Key_Return)
    hand.wait()
    spec = find_model("brightness").spec
    assert spec.classes == ("a", "b", "c")
    assert spec.encoding is not None
    assert len(spec.encoding.steps) == 2  # 0 to 255


def test_what_makes_no_sense_is_said_and_nothing_is_lost(
    hand: Hand, added: AddedDialog, store: Path
) -> None:
    before = (store / "brightness" / "plugin.toml").read_bytes()
    write(added, "Licence", "CC0-1.0")
    for name, wrong, words, right in (
        ("Pixel size (µm/px)", "-0.5", "-0.5 is not between 0.01 and 100", "0.5"),
        ("Classes", "dark, bright", "the form names 2 classes and the network gives 3", "x, y, z"),
    ):
        line = write(added, name, wrong)
        press(hand, added, "Add again with these")
        said = words_in(added)
        assert f"{name}: {words}" in said
        assert "--" not in said
        assert str(store.parent) not in said
        assert (line.text(), text_in(added, "Licence")) == (wrong, "CC0-1.0")
        assert added.focusWidget() is line
        assert (store / "brightness" / "plugin.toml").read_bytes() == before
        write(added, name, right)
    press(hand, added, "Add again with these")
    assert "the network gives 3" not in words_in(added)
    spec = find_model("brightness").spec
    assert (spec.licence, spec.classes) == ("CC0-1.0", ("x", "y", "z"))
    assert spec.sampling == AtPixelSize(0.5)


def test_progress_is_shown_and_escape_keeps_what_was_added(
    hand: Hand, added: AddedDialog, store: Path
) -> None:
    before = (store / "brightness" / "plugin.toml").read_bytes()
    bar = added.findChild(QProgressBar)
    assert isinstance(bar, QProgressBar)
    assert not bar.isVisible()
    write(added, "Classes", "dark, middle, bright")
    QTest.mouseClick(button(added, "Add again with these"), LEFT)
    assert bar.isVisible()
    assert not named(added, "Classes").isEnabled()
    hand.qtbot.waitUntil(lambda: "Reading the graph…" in words_in(added), timeout=60_000)
    QTest.keyClick(added.focusWidget(), _KEY.Key_Escape)
    hand.wait()
    QApplication.processEvents()
    assert not hand.window.findChildren(AddedDialog)
    assert (store / "brightness" / "plugin.toml").read_bytes() == before
    assert [path.name for path in store.iterdir()] == ["brightness"]


def test_a_model_that_is_running_is_not_replaced(hand: Hand, added: AddedDialog) -> None:
    bench = run_bench(hand.window)
    QTest.mouseClick(button(bench.panel, "Run"), LEFT)
    assert bench.runs.active
    write(added, "Classes", "dark, middle, bright")
    QTest.mouseClick(button(added, "Add again with these"), LEFT)
    assert "The model is running now; wait for the run, or cancel it." in words_in(added)
    bench.cancel()
    hand.qtbot.waitUntil(lambda: not bench.runs.active, timeout=60_000)
    hand.wait()
    assert text_in(added, "Classes") == "dark, middle, bright"
    press(hand, added, "Add again with these")
    assert find_model("brightness").spec.classes == ("dark", "middle", "bright")


def test_a_model_that_fails_is_told_about_in_words(hand: Hand, tmp_path: Path, store: Path) -> None:
    net = Net(1)
    spread = net.add("Sub", ["image", net.add("ReduceMean", ["image"], axes=[2, 3])])
    square = net.add("Mul", [spread, spread])
    net.add("Sqrt", [net.add("ReduceMean", [square], axes=[2, 3])])
    net.add("Div", [spread, net.last])  # 0 / 0 on a blank tile
    offered = run_bench(hand.window).panel.model_id
    hand.drop(written(tmp_path / "spread.onnx", net.model()))
    dialog = dialog_of(hand)
    assert dialog.windowTitle() == "The model was not added"
    assert "spread does not work as it is." in words_in(dialog)
    assert "failed: blank tile: " in words_in(dialog)
    assert run_bench(hand.window).panel.model_id == offered
    press(hand, dialog, "Close")
    assert list(store.iterdir()) == []


def test_what_must_be_known_is_asked_for(hand: Hand, tmp_path: Path) -> None:
    net = unet(1, 3)
    net.add("ArgMax", [net.last], axis=1, keepdims=0)
    file = written(
        tmp_path / "labels.onnx", net.model(outputs=[(net.last, TensorProto.INT64, None)])
    )
    hand.drop(file)
    dialog = dialog_of(hand)
    assert "Classes: its outputs are numbers of classes, and nothing says which" in words_in(dialog)
    assert "--" not in words_in(dialog)
    line = write(dialog, "Classes", "a, b, c")
    QTest.keyClick(line, _KEY.Key_Return)
    hand.wait()
    assert "labels was added." in words_in(dialog)
    assert find_model("labels").spec.classes == ("a", "b", "c")
    assert find_model("labels").spec.sampling == Native()


def test_an_id_that_a_plugin_has_is_asked_for(hand: Hand, tmp_path: Path, store: Path) -> None:
    file = written(tmp_path / "nuclei-unet.onnx", unet(1, 2).model())
    hand.drop(file)
    dialog = dialog_of(hand)
    assert "Id: a model 'nuclei-unet' is in the plugin tilescope.nuclei already." in words_in(
        dialog
    )
    write(dialog, "Id", "My net")
    press(hand, dialog, "Add with these")
    assert "Id: 'My net' is no id for a model: use lower-case letters" in words_in(dialog)
    write(dialog, "Id", "my-net")
    press(hand, dialog, "Add with these")
    assert "my-net was added." in words_in(dialog)
    write(dialog, "Id", "")
    write(dialog, "Classes", "a, b")
    press(hand, dialog, "Add again with these")
    assert find_model("my-net").spec.classes == ("a", "b")
    assert [path.name for path in store.iterdir()] == ["my-net"]
