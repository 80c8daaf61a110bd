"""Clicks in a process of their own: the same answers, and nothing of a model reaches this one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.engine.jobs.conftest import write_png
from tests.engine.jobs.test_click import CENTRES, stained
from tests.touchy_clicks import TouchyClicks, touchy_clicks

from tilescope.domain.clicks import Prompt
from tilescope.errors import ModelProcessEnded, SlideNotFound, UsageError
from tilescope.jobs.click import as_annotations, click
from tilescope.jobs.click_apart import ClickProcess, ClickRequest
from tilescope.jobs.clicking.session import MOST_PROMPTS
from tilescope.plugins.registry import find_model

PROMPTS = [Prompt.at(x, y) for x, y in [*CENTRES, (5.0, 310.0), (-9.0, 4.0)]]


@pytest.fixture
def touchy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TouchyClicks:
    made = touchy_clicks(tmp_path)
    monkeypatch.syspath_prepend(made.site)
    return made


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_png(tmp_path / "slide.png", stained())


@pytest.fixture
def process(touchy: TouchyClicks, slide: Path) -> Iterator[ClickProcess]:
    assert touchy.site.exists()
    with ClickProcess(ClickRequest(find_model("touchy"), slide)) as made:
        made.wait()
        yield made


def models_running() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "tilescope.jobs.click_apart" in child.cmdline()
    ]


def test_answers_as_a_session_in_this_process_does(slide: Path) -> None:
    model = find_model("nuclick-nucleus")
    here = click(model, slide, PROMPTS, um_per_px=0.25)
    with ClickProcess(ClickRequest(model, slide, 0.25)) as process:
        process.wait()
        apart = process.segment(PROMPTS)
        assert as_annotations(apart) == as_annotations(here)
        assert [r.status for r in apart.results] == [r.status for r in here.results]
        assert len(apart.found) == len(CENTRES)
        assert apart.pixel_size == here.pixel_size
        ring = apart.found[0].ring
        assert ring is not None
        (again,) = process.segment(PROMPTS[:1], committed=[ring]).results
        assert again.status == "covered"
    assert models_running() == []


@pytest.mark.parametrize(("fault", "how"), [("crash", "SIGSEGV"), ("leave", "exit code 3")])
def test_a_model_that_ends_its_process_is_told_of(
    touchy: TouchyClicks, process: ClickProcess, fault: str, how: str
) -> None:
    touchy.have(fault)
    for _ in range(2):
        with pytest.raises(ModelProcessEnded, match=f"Nucleus at a click.*{how}.*click again"):
            process.segment(PROMPTS[:1])


def test_a_model_that_never_answers_is_stopped(touchy: TouchyClicks, slide: Path) -> None:
    touchy.have("")
    request = ClickRequest(find_model("touchy"), slide)
    with ClickProcess(request, answer_s=0.5) as process:
        process.wait()
        assert len(process.segment(PROMPTS[:1]).found) == 1
        touchy.have("hang")
        with pytest.raises(ModelProcessEnded, match="did not answer and was stopped"):
            process.segment(PROMPTS[:1])


def test_whoever_waits_for_a_model_that_is_stopped_is_told(
    touchy: TouchyClicks, process: ClickProcess
) -> None:
    touchy.have("hang")
    stop = threading.Timer(0.3, process.kill)
    stop.start()
    with pytest.raises(ModelProcessEnded, match="was stopped"):
        process.segment(PROMPTS[:1])
    stop.join()


def test_an_error_ends_nothing(process: ClickProcess) -> None:
    with pytest.raises(UsageError, match="prompts at once"):
        process.segment(PROMPTS[:1] * (MOST_PROMPTS + 1))
    with pytest.raises(RuntimeError, match="Error: "):
        process.segment(PROMPTS[:1], committed=[np.zeros(3)])
    assert len(process.segment(PROMPTS[:1]).found) == 1


def test_what_stands_in_the_way_of_opening_is_told(tmp_path: Path, slide: Path) -> None:
    missing = ClickRequest(find_model("nuclick-nucleus"), tmp_path / "none.svs")
    with ClickProcess(missing) as process, pytest.raises(SlideNotFound, match=r"none\.svs"):
        process.wait()
    wrong = ClickRequest(find_model("nuclei-unet"), slide)
    with ClickProcess(wrong) as process, pytest.raises(UsageError, match="takes no clicks"):
        process.wait()


def test_closing_ends_the_process_whatever_it_does(
    touchy: TouchyClicks, process: ClickProcess
) -> None:
    assert len(models_running()) == 1
    touchy.have("hang")
    said: list[str] = []

    def ask() -> None:
        with pytest.raises(ModelProcessEnded) as caught:
            process.segment(PROMPTS[:1])
        said.append(str(caught.value))

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.2)
    process.close()
    asking.join(20)
    assert len(said) == 1
    assert models_running() == []
