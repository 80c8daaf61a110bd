"""The click models that come with Tilescope: what they may be used for, and what they outline."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from tilescope.domain.clicks import Prompt
from tilescope.jobs.click import click
from tilescope.jobs.clicking.session import ClickOptions
from tilescope.plugins.registry import find_model, installed_models

MODELS = {
    "nuclick-nucleus": "BSD-3-Clause",
    "nuclick-cell": "GPL-3.0",
    "nuclick-gland": "research use only",
}


def test_the_model_of_free_data_is_the_first():
    ids = [m.spec.id for m in installed_models() if m.plugin_id == "tilescope.nuclick"]
    assert ids == list(MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_weights_are_small_and_say_what_they_may_be_used_for(model):
    spec = find_model(model).spec
    assert spec.weights.size_bytes <= 5 * 2**20
    assert spec.licence.startswith(MODELS[model])


def smear():
    """Return pale red cells and one white cell, nucleus and cytoplasm, of radius 30."""
    random = np.random.default_rng(0)
    rows, columns = np.indices((240, 240)) + 0.5
    picture = np.full((240, 240, 3), 244, np.float64)
    for x, y in random.uniform(0, 240, (12, 2)):
        if np.hypot(x - 120, y - 110) > 75:
            picture[np.hypot(columns - x, rows - y) < 20] = (226, 198, 200)
    away = np.hypot(columns - 120, rows - 110)
    picture[away < 30] = (186, 170, 208)
    picture[np.hypot(columns - 126, rows - 106) < 17] = (96, 48, 130)
    return np.clip(picture + random.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("at", [(126, 106), (98, 116)], ids=["nucleus", "cytoplasm"])
def test_a_white_cell_is_outlined_whole(at):
    report = click(find_model("nuclick-cell"), smear(), [Prompt.at(*at)], ClickOptions(60.0))
    (result,) = report.results
    assert result.is_found, result.reason
    found, true = shapely.Polygon(result.ring), shapely.Point(120, 110).buffer(30)
    assert 2 * found.intersection(true).area / (found.area + true.area) > 0.9


def test_between_cells_there_is_no_cell():
    glass = np.full((240, 240, 3), 244, np.uint8)
    glass = (glass - np.random.default_rng(1).integers(0, 6, glass.shape)).astype(np.uint8)
    prompts = [Prompt.at(60, 60), Prompt.at(180, 120)]
    report = click(find_model("nuclick-cell"), glass, prompts, ClickOptions(60.0))
    assert [r.status for r in report.results] == ["nothing", "nothing"]


def test_a_scribble_over_nothing_gives_no_gland():
    glass = np.full((300, 300, 3), 240, np.uint8)
    glass = (glass - np.random.default_rng(1).integers(0, 6, glass.shape)).astype(np.uint8)
    line = Prompt.over(np.array([[100.0, 150.0], [150.0, 140.0], [200.0, 160.0]]))
    report = click(find_model("nuclick-gland"), glass, [line], ClickOptions(120.0))
    assert [r.status for r in report.results] == ["nothing"]


def crypts():
    """Return pink stroma and two round crypts: dark epithelium around a pale lumen."""
    random = np.random.default_rng(3)
    rows, columns = np.indices((420, 420)) + 0.5
    picture = np.full((420, 420, 3), (226, 160, 196), np.float64)
    for x, y in ((130, 210), (300, 200)):
        away = np.hypot(columns - x, rows - y)
        picture[away < 60] = (128, 72, 142)
        picture[away < 36] = (222, 190, 216)
        picture[away < 18] = (243, 238, 243)
    picture += random.normal(0, 9, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def test_a_gland_is_outlined_with_its_lumen():
    line = Prompt.over(np.array([[95.0, 190.0], [130.0, 215.0], [165.0, 225.0]]))
    report = click(find_model("nuclick-gland"), crypts(), [line], ClickOptions(120.0))
    (result,) = report.results
    assert result.is_found, result.reason
    found, true = shapely.Polygon(result.ring), shapely.Point(130, 210).buffer(60)
    assert 2 * found.intersection(true).area / (found.area + true.area) > 0.85
