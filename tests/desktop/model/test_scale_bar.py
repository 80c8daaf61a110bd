"""The bar is round, fits, and says what it measures."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.geometry import Point
from tilescope.domain.scale import PixelSize
from tilescope_desktop.model.scale_bar import bar_across, scale_bar
from tilescope_desktop.model.viewport import Viewport

UNITS = {"nm": 1e-3, "µm": 1.0, "mm": 1e3, "cm": 1e4}


@given(st.floats(0.02, 500), st.floats(0.02, 50), st.floats(40, 400))
def test_the_bar_is_as_long_as_it_says(l0_per_px: float, um: float, room: float) -> None:
    bar = scale_bar(l0_per_px, um, room_px=room)
    number, unit = bar.text.split()
    assert re.fullmatch(r"[125]0*|0\.0*[125]", number)
    assert float(number) * UNITS[unit] == pytest.approx(bar.length_px * l0_per_px * um)
    assert room / 2.5 - 1e-6 <= bar.length_px <= room * (1 + 1e-6)


def test_without_calibration_it_says_pixels() -> None:
    bar = scale_bar(2.0, None, room_px=120)
    assert bar.text == "200 px"
    assert bar.length_px == 100


@given(
    st.floats(0, 360),
    st.booleans(),
    st.floats(0.05, 20),
    st.floats(0.02, 50),
    st.floats(0.02, 50),
)
def test_the_bar_is_right_along_the_screen_however_long_pixels_are(
    angle: float, is_flipped: bool, l0_per_px: float, um_x: float, um_y: float
) -> None:
    view = Viewport(400, 300, Point(90, 70), l0_per_px, angle, is_flipped)
    bar = bar_across(view, PixelSize(um_x, um_y), room_px=160)
    number, unit = bar.text.split()
    left, right = view.to_l0(Point(10, 50)), view.to_l0(Point(10 + bar.length_px, 50))
    length_um = math.hypot((right.x - left.x) * um_x, (right.y - left.y) * um_y)
    assert float(number) * UNITS[unit] == pytest.approx(length_um)
    assert bar_across(view, None, room_px=160) == scale_bar(l0_per_px, None, room_px=160)
