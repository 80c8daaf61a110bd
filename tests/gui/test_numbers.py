"""Numbers typed with either decimal sign, in any country; and what is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import QLocale, Qt
from PySide6.QtWidgets import QDoubleSpinBox, QLabel, QPushButton, QSpinBox, QToolTip
from pytestqt.qtbot import QtBot
from tests.gui.hand import LEFT, Hand
from tests.gui.runs_by_hand import NO, YES, answer, to_front
from tests.gui.sizes_by_hand import give_size

from tilescope.domain.manifest import Parameter
from tilescope.testing.toy import toy_model
from tilescope_desktop.model.run_settings import RunChoice
from tilescope_desktop.view.run_panel import RunPanel

ENTER = Qt.Key.Key_Return


@pytest.fixture(params=["C", "en_US", "de_DE"])
def country(request: pytest.FixtureRequest) -> Iterator[str]:
    """What the computer says numbers look like."""
    before = QLocale()
    QLocale.setDefault(QLocale(request.param))
    yield request.param
    QLocale.setDefault(before)


@pytest.fixture
def slide_in_hand(country: str, tmp_path: Path, rng: np.random.Generator) -> Path:
    """A slide of 0.5 µm a pixel, opened in every country."""
    path = tmp_path / "half.ome.tif"
    pixels = rng.integers(0, 255, (2, 96, 96), np.uint8)
    tags = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=tags)
    return path


def give(hand: Hand, typed: str) -> list[str]:
    shown = give_size(typed)
    hand.qtbot.mouseClick(hand.window.status._pixel_size, LEFT)
    hand.wait()
    return shown


def size(hand: Hand) -> float | None:
    assert hand.window.tab is not None
    return hand.window.tab.um_override


def gamma(hand: Hand) -> QDoubleSpinBox:
    labels = hand.window.channels.findChildren(QLabel)
    (box,) = [one.buddy() for one in labels if one.text() == "Gamma"]
    assert isinstance(box, QDoubleSpinBox)
    return box


def write(qtbot: QtBot, box: QDoubleSpinBox | QSpinBox, text: str) -> None:
    box.setFocus()
    box.selectAll()
    qtbot.keyClicks(box, text)


def tip(qtbot: QtBot) -> str:
    qtbot.waitUntil(lambda: bool(QToolTip.text()), timeout=5000)
    return QToolTip.text()


@pytest.mark.parametrize("typed", ["0,25", "0.25", "25e-2"])
def test_a_size_has_either_decimal_sign(hand: Hand, typed: str) -> None:
    assert QLocale().decimalPoint() == "."
    shown = give(hand, typed)
    assert shown[1] == typed.replace(",", ".")
    assert size(hand) == 0.25
    assert hand.window.status._pixel_size.text() == "0.25 µm/px (set by you)"
    gamma_box = gamma(hand)
    write(hand.qtbot, gamma_box, "0,7")
    assert gamma_box.text() == "0.7"
    hand.qtbot.keyClick(gamma_box, ENTER)
    assert (gamma_box.value(), gamma_box.text()) == (0.7, "0.70")
    assert hand.window.channels.styles[0].gamma == 0.7


@pytest.mark.parametrize("country", ["C"], indirect=True)
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("1e-9", "1e-09 is not between 0.02 and 50, as the pixels of slides are."),
        ("-1", "-1 is not between 0.02 and 50"),
        ("50,1", "50.1 is not between 0.02 and 50"),
        ("0.2x", "“0.2x” is no number."),
        ("1.000,5", "is no number"),
    ],
)
def test_a_size_that_no_pixel_has_is_refused_with_words(hand: Hand, typed: str, words: str) -> None:
    assert words in give(hand, typed)[1]
    assert size(hand) is None
    assert hand.window.status._pixel_size.text().startswith("0.5 µm/px (")


@pytest.mark.parametrize("country", ["C"], indirect=True)
def test_a_size_far_from_the_slides_own_is_asked_about(hand: Hand) -> None:
    give(hand, "2")
    assert size(hand) == 2
    asked = answer(NO)
    give(hand, "25")
    assert asked == [
        "25 µm/px is 50 times more than the 0.5 that half.ome.tif says. "
        "Measure with it all the same?"
    ]
    assert size(hand) == 2
    asked = answer(YES)
    give(hand, "0.05")
    assert "10 times less than the 0.5 that" in asked[0]
    assert size(hand) == 0.05
    give(hand, "0.05")  # it was meant the last time
    give(hand, "")
    assert size(hand) is None


@pytest.mark.parametrize("country", ["C"], indirect=True)
def test_no_sign_is_dropped_and_a_refusal_is_told(hand: Hand) -> None:
    to_front(hand)
    box = gamma(hand)
    before = box.value()
    write(hand.qtbot, box, "1x")
    assert box.text() == "1x"
    assert tip(hand.qtbot) == "“1x” is no number"
    hand.qtbot.keyClick(box, Qt.Key.Key_Backspace)
    hand.qtbot.waitUntil(lambda: not QToolTip.isVisible(), timeout=5000)
    write(hand.qtbot, box, "-1")
    assert box.text() == "-1"
    hand.view.setFocus()
    assert "-1 is not between" in tip(hand.qtbot)
    assert f"; {box.text()} stays" in QToolTip.text()
    assert box.value() == before
    QToolTip.hideText()


@pytest.fixture
def panel(qtbot: QtBot, country: str, tmp_path: Path) -> RunPanel:
    """The panel of a model with a large and a small parameter."""
    toy = toy_model(tmp_path).spec
    small = Parameter(1e-5, 1e-6, 1e-3, "Least share")
    made = RunPanel(1 << 30)
    qtbot.addWidget(made)
    made.show_models([replace(toy, parameters={**toy.parameters, "share": small})])
    made.set_ready(True)
    made.show()
    return made


def run(qtbot: QtBot, panel: RunPanel) -> RunChoice:
    (button,) = [one for one in panel.findChildren(QPushButton) if one.text() == "Run"]
    with qtbot.waitSignal(panel.wanted) as told:
        qtbot.mouseClick(button, LEFT)
    choice = told.args[0]
    assert isinstance(choice, RunChoice)
    return choice


def test_parameters_of_a_model_are_typed_alike(qtbot: QtBot, panel: RunPanel) -> None:
    threshold, share = panel.findChildren(QDoubleSpinBox)
    assert (threshold.text(), share.text()) == ("0.500", "1e-05")
    assert run(qtbot, panel).parameters == {}
    write(qtbot, threshold, "0,25")
    write(qtbot, share, "2e-6")
    choice = run(qtbot, panel)
    assert choice.parameters == {"threshold": 0.25, "share": 2e-6}
    assert (threshold.text(), share.text()) == ("0.250", "2e-06")
    write(qtbot, share, "-2")
    assert share.text() == "-2"
    assert run(qtbot, panel).parameters == choice.parameters


def test_memory_is_a_whole_number(qtbot: QtBot, panel: RunPanel) -> None:
    (box,) = panel.findChildren(QSpinBox)
    assert box.text() == "1024 MiB"
    for typed, shown, mib in (
        ("2e3", "2e3", 2000),
        ("512,5", "512.5", 2000),
        ("-700", "-700", 2000),
    ):
        write(qtbot, box, typed)
        assert box.text() == f"{shown} MiB"
        qtbot.keyClick(box, ENTER)
        assert (box.text(), panel.memory_bytes) == (f"{mib} MiB", mib << 20)
