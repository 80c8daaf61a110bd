"""What the read-outs say, in figures that people write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.geometry import Point
from tilescope.domain.scale import PixelSize
from tilescope_desktop.model.captions import caption
from tilescope_desktop.model.readout import magnification_text, place_text, rounded
from tilescope_desktop.model.viewport import Viewport


def at(l0_per_px: float) -> Viewport:
    return Viewport(400, 200, Point(0, 0), l0_per_px)


@pytest.mark.parametrize(
    ("l0_per_px", "um_per_px", "said"),
    [
        (1.0, None, "100 %"),
        (0.001757, None, "56,915 %"),
        (3.0, None, "33.3 %"),
        (2000.0, None, "0.05 %"),
        (1.0, 0.5, "20x"),
        (4.0, 0.25, "10x"),
        (0.001, 0.25, "40,000x"),
    ],
)
def test_how_large_a_slide_is_shown(l0_per_px: float, um_per_px: float | None, said: str) -> None:
    assert magnification_text(at(l0_per_px), um_per_px) == said


@given(st.floats(1e-6, 1e9), st.integers(1, 4))
def test_figures_are_right_and_have_no_exponent(value: float, digits: int) -> None:
    text = rounded(value, digits)
    assert set(text) <= set("0123456789.,")
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))
    if value >= 10**digits:
        assert "." not in text


@pytest.mark.parametrize(
    ("value", "text"), [(9.96, "10"), (99.6, "100"), (0.5, "0.5"), (210, "210")]
)
def test_no_figure_stands_for_nothing(value: float, text: str) -> None:
    assert rounded(value, 2) == text


def test_a_name_is_one_line_and_keeps_its_ampersands() -> None:
    assert caption("R&D\nslide.svs") == "R&&D slide.svs"


@pytest.mark.parametrize("edge", [-0.04, -0.0, 0.04])
def test_at_the_edge_there_is_no_minus(edge: float) -> None:
    at_edge = Point(edge, edge)
    assert place_text(at_edge, None) == "0, 0 px"
    assert place_text(at_edge, PixelSize(0.5, 0.5)) == "0, 0 px   0.0, 0.0 µm"
    far = place_text(Point(edge, 4000), PixelSize(0.5, 0.5))
    assert far == "0, 4000 px   0.000, 2.000 mm"
