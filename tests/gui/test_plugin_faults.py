"""Plugins that fail in the window: one message that says what and what to do, and it goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QLabel, QPushButton, QSpinBox
from pytestqt.qtbot import QtBot
from tests.engine.jobs.conftest import discs, write_png
from tests.engine.jobs.failing_plugins import REMEDY, install_broken, install_faulty
from tests.gui.hand import Hand

from tilescope.domain.scale import AtObjectSize
from tilescope.io.cache import shared_cache
from tilescope.runtime.memory import rss_bytes
from tilescope_desktop.app import TILE_BYTES, make_window, run_bench
from tilescope_desktop.model.run_settings import Extent, RunChoice
from tilescope_desktop.view import status
from tilescope_desktop.view.main_window import MainWindow
from tilescope_desktop.view.status import OBJECT_BYTES

CAP = 3 << 30
CENTRES = [(x, y, 12.0) for x in range(20, 260, 50) for y in range(20, 260, 50)]
FAULTS = {
    "raises": ("raise KeyError('x')", "KeyError: 'x'"),
    "gives": ("return 'nonsense'", "TypeError: str instead of Instances"),
    "exits": ("sys.exit(3)", "SystemExit: 3"),
    "ends": ("raise GeneratorExit", "GeneratorExit"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
}


@pytest.fixture
def open_hand(qtbot: QtBot, tmp_path: Path) -> Iterator[Callable[[], Hand]]:
    """Return a function that opens a window over what is installed by then."""
    made: list[Hand] = []
    before = shared_cache().use.max_bytes

    def make() -> Hand:
        made.append(Hand(qtbot, tmp_path / "data"))
        return made[-1]

    yield make
    for hand in made:
        hand.close()
    shared_cache().resize(before)


@pytest.fixture
def slide_in_hand(tmp_path: Path) -> Path:
    """A picture that does not say how large its pixels are."""
    return write_png(tmp_path / "slide.png", discs((280, 280), CENTRES))


def run(hand: Hand, choice: RunChoice) -> str:
    """Run a model to its end and return what the panel says of it."""
    bench = run_bench(hand.window)
    bench.start(choice)
    assert bench.runs.active
    hand.qtbot.waitUntil(lambda: not bench.runs.active, timeout=60_000)
    hand.wait()
    return " | ".join(label.text() for label in bench.panel.findChildren(QLabel))


def can_run(hand: Hand) -> bool:
    buttons = run_bench(hand.window).panel.findChildren(QPushButton)
    (button,) = [one for one in buttons if one.text() == "Run"]
    return button.isEnabled() and not button.isHidden()


@pytest.mark.parametrize("sampling", [None, AtObjectSize(24, 8)], ids=["a tile", "the scale"])
def test_each_fault_of_a_plugin_is_one_message_and_the_window_goes_on(
    open_hand: Callable[[], Hand], site: Path, slide_in_hand: Path, sampling: AtObjectSize | None
) -> None:
    for name, (fault, _) in FAULTS.items():
        install_faulty(site, decode=fault, sampling=sampling, model_id=name)
    install_faulty(site, sampling=sampling, model_id="works")
    hand = open_hand()
    hand.open(slide_in_hand)
    for name, (_, words) in FAULTS.items():
        hand.window.notices.clear()
        said = run(hand, RunChoice(name, Extent.SLIDE, CAP, "cpu"))
        text = hand.window.notices.text
        assert "\n" not in text
        assert f"plugin example.{name}: decode failed: {words}; {REMEDY}" in text
        assert text in said
        assert "Something failed" not in text
        assert can_run(hand)
    hand.act("tool.rectangle")
    hand.drag((100, 100), (140, 140), (180, 160))
    assert len(hand.shapes()) == 1
    run(hand, RunChoice("works", Extent.SLIDE, CAP, "cpu"))
    assert hand.window.notices.text == ""
    assert len(hand.shapes()) == 1 + len(CENTRES)


def test_a_plugin_that_cannot_be_loaded_is_told_of_when_it_is_run(
    open_hand: Callable[[], Hand], site: Path, slide_in_hand: Path
) -> None:
    install_faulty(site, module="import sys; sys.exit(3)")
    hand = open_hand()
    hand.open(slide_in_hand)
    hand.window.notices.clear()
    run(hand, RunChoice("faulty", Extent.SLIDE, CAP, "cpu"))
    text = hand.window.notices.text
    assert re.fullmatch(
        r"plugin example\.faulty: loading faulty_\d+\.adapter:Faulty failed: SystemExit: 3; "
        + re.escape(REMEDY),
        text,
    )


def test_what_is_installed_and_cannot_be_used_is_told_at_the_start(
    open_hand: Callable[[], Hand], site: Path, tmp_path: Path
) -> None:
    unread = install_broken(site, "half-written", 'schema = 1\nname = ["unclosed')
    install_broken(
        site, "from-the-future", 'schema = 1\nid = "late"\nname = "x"\nrequires = ">=99"'
    )
    stored = tmp_path / "models" / "mine"
    stored.mkdir(parents=True)
    (stored / "plugin.toml").write_text("id = 7")
    hand = open_hand()
    heading, *lines = hand.window.notices.text.splitlines()
    assert heading == "3 things went wrong:"
    by_name = {name: line for line in lines for name in NAMES if name in line}
    assert set(by_name) == set(NAMES)
    assert f"is not used: {unread}: " in by_name["(half-written)"]
    assert by_name["(half-written)"].endswith("or remove it: pip uninstall half-written")
    assert "from-the-future" in by_name["(from-the-future)"]
    assert "pip install --upgrade from-the-future" in by_name["(from-the-future)"]
    assert by_name["your model mine"].endswith("remove it: tilescope models remove mine")
    hand.window.notices.clear()
    run_bench(hand.window).refresh_models()
    assert hand.window.notices.text == ""
    assert run_bench(hand.window).panel.model_id == "nuclei-unet"


NAMES = ("(half-written)", "(from-the-future)", "your model mine")


def test_a_cap_that_is_too_small_is_changed_in_the_panel(
    open_hand: Callable[[], Hand], site: Path, slide_in_hand: Path
) -> None:
    install_faulty(site, model_id="works")
    hand = open_hand()
    hand.open(slide_in_hand)
    hand.window.notices.clear()
    said = run(hand, RunChoice("works", Extent.SLIDE, 1 << 20, "cpu"))
    text = hand.window.notices.text
    found = re.fullmatch(
        r"a memory cap of 1 MiB is too small for this model: it needs at least (\d+) MiB; "
        r"set Memory in the Models panel to (\d+) MiB or more",
        text,
    )
    assert found is not None, text
    assert found[1] == found[2]
    assert text in said
    boxes = run_bench(hand.window).panel.findChildren(QSpinBox)
    assert [box.accessibleName() for box in boxes] == ["Memory"]


def test_what_nobody_foresaw_is_to_be_reported_until_it_is_settled(hand: Hand) -> None:
    hand.window.notices.clear()
    hand.window.show_error(ZeroDivisionError("by zero"), "run")
    assert hand.window.notices.text == (
        "Something failed: ZeroDivisionError('by zero'); please report it"
    )
    hand.window.notices.settle("run")
    assert hand.window.notices.text == ""


def memory_label(window: MainWindow) -> QLabel:
    labels = window.status.findChildren(QLabel)
    (label,) = [one for one in labels if one.accessibleName() == "Memory"]
    return label


def first_of(window: MainWindow) -> float:
    """Return what the window says that it took when it was shown."""
    tip = memory_label(window).toolTip()
    found = re.search(r"([\d.]+ [MG]iB) for the window as it began", tip)
    assert found is not None
    return bytes_of(found[1])


def bytes_of(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"MiB": 2**20, "GiB": 2**30}[unit]


def budget_of(label: QLabel) -> float:
    return bytes_of(label.text().partition(" / ")[2])


def test_the_status_bar_says_what_the_program_takes_of_what_it_may(
    hand: Hand, tmp_path: Path
) -> None:
    # Of one that is shown now: a process of tests has taken and given back much since the first.
    before, window = rss_bytes(), make_window(folder=tmp_path / "beside")
    hand.qtbot.addWidget(window)
    window.show()
    assert 0.9 * before < first_of(window) < 1.1 * max(before, rss_bytes())
    window.close()
    label, bench = memory_label(hand.window), run_bench(hand.window)
    (box,) = bench.panel.findChildren(QSpinBox)
    box.setValue(2048)
    budget = first_of(hand.window) + TILE_BYTES + OBJECT_BYTES + (2 << 30)
    hand.qtbot.waitUntil(lambda: budget_of(label) == pytest.approx(budget, rel=0.05), timeout=5000)
    taken, _, _ = label.text().partition(" / ")
    mine = psutil.Process().memory_info().rss
    assert bytes_of(taken) == pytest.approx(mine, rel=0.25)
    tiles = sum(cache.use.size_bytes for cache in (hand.window.tiles.pictures, shared_cache()))
    assert 0 < tiles < bytes_of(taken)
    found = re.search(r"Tiles are (\d+ MiB) of it, at most (\d+) MiB\.", label.toolTip())
    assert found is not None
    assert bytes_of(found[1]) == pytest.approx(tiles, abs=2**20)
    assert int(found[2]) << 20 == TILE_BYTES


def test_while_a_model_runs_its_own_cap_counts(hand: Hand) -> None:
    bench = run_bench(hand.window)
    (box,) = bench.panel.findChildren(QSpinBox)
    bench.start(RunChoice("nuclei-unet", Extent.SLIDE, CAP, "cpu"))
    box.setValue(1024)
    assert bench.cap_bytes == CAP
    bench.cancel()
    hand.qtbot.waitUntil(lambda: not bench.runs.active, timeout=60_000)
    assert bench.cap_bytes == 1 << 30


def test_what_the_program_may_take_stays_and_more_is_warned_of(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "OBJECT_BYTES", 0)
    label, bench = memory_label(hand.window), run_bench(hand.window)
    (box,) = bench.panel.findChildren(QSpinBox)
    box.setValue(256)
    budget = hand.window.status.budget_bytes
    hand.qtbot.waitUntil(lambda: budget_of(label) == pytest.approx(budget, rel=0.05), timeout=5000)
    colour = label.palette().color(QPalette.ColorRole.WindowText)
    assert not label.font().bold()
    ballast = bytearray(b"1") * (640 << 20)
    hand.qtbot.waitUntil(lambda: label.font().bold(), timeout=5000)
    assert hand.window.status.budget_bytes == budget
    assert "more than foreseen" in label.toolTip()
    assert label.palette().color(QPalette.ColorRole.WindowText) != colour
    del ballast
    hand.qtbot.waitUntil(lambda: not label.font().bold(), timeout=5000)
    assert "more than foreseen" not in label.toolTip()
    assert label.palette().color(QPalette.ColorRole.WindowText) == colour
