"""Composing bands in C against the formula, on fuzzed shapes, strides and hostile arguments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilescope._native import _pixels

FULL = 255 << 7
VALUES = {"uint8": 256, "uint16": 65536, "float32": 0}


def twin(src, bands, colours, windows, levels):
    """Sums of brightness times colour, per component, before rounding; white is 255."""
    sums = np.zeros((*src.shape[:2], 3))
    for k, band in enumerate(bands):
        if src.dtype == np.float32:
            low, scale, gamma = windows[k].astype(np.float64)
            unit = np.nan_to_num(np.clip((src[..., band] - low) * scale, 0, 1)) ** gamma
        else:
            unit = levels[k][src[..., band]] / FULL
        sums += unit[..., None] * (colours[k] / 65535 * 255)
    return np.minimum(sums, 255)


def components(words):
    assert (words >> 24 == 255).all()
    return np.stack([words >> 16, words >> 8, words], axis=2) & 255


def composed(src, *tables):
    words = np.full(src.shape[:2], 7, np.uint32)
    _pixels.compose(src, words, *tables)
    return components(words)


def off(src, *tables):
    return np.abs(composed(src, *tables) - twin(src, *tables)).max(initial=0)


def laid_out(pixels, layout):
    """The same pixels in other places of memory."""
    if layout == "planes":
        return np.moveaxis(np.moveaxis(pixels, -1, 0).copy(), 0, -1)
    if layout == "backwards":
        return pixels[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1]
    if layout == "gaps":
        wide = np.zeros((pixels.shape[0], 2 * pixels.shape[1], pixels.shape[2]), pixels.dtype)
        wide[:, ::2] = pixels
        return wide[:, ::2]
    return pixels


@st.composite
def pictures(draw):
    dtype = draw(st.sampled_from(sorted(VALUES)))
    shape = draw(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 5, 255, 256, 257, 600])))
    count = draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    src = rng.integers(0, 256 if dtype == "uint8" else 65536, (*shape, count)).astype(dtype)
    bands = np.array(
        draw(st.lists(st.integers(0, count - 1), max_size=count + 2, unique=True)), np.int32
    )
    colours = rng.integers(0, 65536, (len(bands), 3)).astype(np.uint16)
    colours[rng.random(colours.shape) < 0.4] = 0
    windows = np.stack(
        [rng.uniform(-5, 30000, len(bands)), 1 / rng.uniform(1, 60000, len(bands)),
         rng.choice([0.1, 0.4, 1, 1, 2.2, 10], len(bands))], axis=1,
    ).astype(np.float32)  # fmt: skip
    levels = rng.integers(0, FULL + 1, (len(bands), VALUES[dtype])).astype(np.uint16)
    layout = draw(st.sampled_from(["tiles", "planes", "backwards", "gaps"]))
    return laid_out(src, layout), bands, colours, windows, levels


@settings(max_examples=200)
@given(pictures())
def test_compose_is_its_twin(picture):
    assert off(*picture) <= 1


def one_float_band(values, low, scale, gamma):
    src = np.asarray(values, np.float32).reshape(1, -1, 1)
    window = np.array([[low, scale, gamma]], np.float32)
    colour = np.full((1, 3), 65535, np.uint16)
    return src, np.zeros(1, np.int32), colour, window, np.empty((0, 1), np.uint16)


@pytest.mark.parametrize("gamma", [0.1, 0.25, 0.45, 0.9, 1.1, 2.0, 5.0, 10.0])
def test_every_brightness_is_bent_within_a_level(gamma):
    values = np.concatenate([np.linspace(0, 1, 100_001), np.geomspace(1e-30, 1, 10_001)])
    assert off(*one_float_band(values, 0, 1, gamma)) < 0.75


@pytest.mark.parametrize("gamma", [0.5, 1.0, 3.0])
def test_ends_of_the_window_are_black_and_white(gamma):
    values = [-np.inf, -1, 0, 1, 2, np.inf, np.nan]
    grey = composed(*one_float_band(values, 0, 1, gamma))[0, :, 0]
    assert grey.tolist() == [0, 0, 0, 255, 255, 255, 0]


def test_many_full_bands_are_white_and_never_wrap():
    for count in (2, 3, 8, 9, 300):
        src = np.full((2, 300, count), 255, np.uint8)
        colours = np.full((count, 3), 65535, np.uint16)
        levels = np.full((count, 256), FULL, np.uint16)
        windows = np.empty((0, 3), np.float32)
        out = composed(src, np.arange(count, dtype=np.int32), colours, windows, levels)
        assert (out == 255).all()


def test_levels_beyond_full_stay_within_a_byte():
    src = np.full((1, 256, 2), 9, np.uint8)
    levels = np.full((2, 256), 65535, np.uint16)
    colours = np.full((2, 3), 65535, np.uint16)
    words = np.zeros((1, 256), np.uint32)
    _pixels.compose(
        src, words, np.array([0, 1], np.int32), colours, np.empty((0, 3), np.float32), levels
    )
    assert (words >> 24 == 255).all()


def test_no_band_is_black():
    nothing = np.empty((0, 3), np.uint16), np.empty((0, 3), np.float32)
    levels = np.empty((0, 256), np.uint16)
    out = composed(np.full((3, 300, 2), 9, np.uint8), np.empty(0, np.int32), *nothing, levels)
    assert not out.any()


def arguments():
    return {
        "src": np.zeros((4, 5, 3), np.uint8),
        "dst": np.zeros((4, 5), np.uint32),
        "bands": np.array([0, 2], np.int32),
        "colours": np.zeros((2, 3), np.uint16),
        "windows": np.ones((2, 3), np.float32),
        "levels": np.zeros((2, 256), np.uint16),
    }


def float_arguments():
    return arguments() | {"src": np.zeros((4, 5, 3), np.float32)}


WRONG = {
    "a band below zero": ({"bands": np.array([0, -1], np.int32)}, ValueError),
    "a band too many": ({"bands": np.array([0, 3], np.int32)}, ValueError),
    "the largest band": ({"bands": np.array([0, 2**31 - 1], np.int32)}, ValueError),
    "int64 bands": ({"bands": np.array([0, 2])}, TypeError),
    "another height": ({"dst": np.zeros((3, 5), np.uint32)}, ValueError),
    "another width": ({"dst": np.zeros((4, 6), np.uint32)}, ValueError),
    "signed words": ({"dst": np.zeros((4, 5), np.int32)}, TypeError),
    "words with gaps": ({"dst": np.zeros((4, 10), np.uint32)[:, ::2]}, ValueError),
    "a colour too few": ({"colours": np.zeros((1, 3), np.uint16)}, ValueError),
    "four components": ({"colours": np.zeros((2, 4), np.uint16)}, ValueError),
    "float colours": ({"colours": np.zeros((2, 3), np.float32)}, TypeError),
    "short levels": ({"levels": np.zeros((2, 255), np.uint16)}, ValueError),
    "levels of one band": ({"levels": np.zeros((1, 256), np.uint16)}, ValueError),
    "bytes as levels": ({"levels": np.zeros((2, 256), np.uint8)}, TypeError),
    "float64 windows": ({"windows": np.ones((2, 3))}, TypeError),
    "levels of bytes": ({"src": np.zeros((4, 5, 3), np.uint16)}, ValueError),
    "float64 pixels": ({"src": np.zeros((4, 5, 3))}, TypeError),
    "int16 pixels": ({"src": np.zeros((4, 5, 3), np.int16)}, TypeError),
    "big-endian": ({"src": np.zeros((4, 5, 3), ">u2")}, TypeError),
    "two axes": ({"src": np.zeros((4, 15), np.uint8)}, ValueError),
    "no array": ({"src": None}, TypeError),
}

WRONG_WINDOWS = {
    "gamma of zero": [1, 1, 0],
    "gamma below zero": [1, 1, -1],
    "an endless gamma": [1, 1, np.inf],
    "no gamma": [1, 1, np.nan],
}


@pytest.mark.parametrize("what", WRONG)
def test_compose_refuses(what):
    changed, error = WRONG[what]
    with pytest.raises(error):
        _pixels.compose(*(arguments() | changed).values())


@pytest.mark.parametrize("what", WRONG_WINDOWS)
def test_compose_refuses_windows(what):
    changed = {"windows": np.array([[1, 1, 1], WRONG_WINDOWS[what]], np.float32)}
    with pytest.raises(ValueError, match="gamma 1"):
        _pixels.compose(*(float_arguments() | changed).values())
    with pytest.raises(ValueError, match="windows"):
        _pixels.compose(*(float_arguments() | {"windows": np.ones((2, 2), np.float32)}).values())


def test_the_arguments_of_the_refusals_are_right_otherwise():
    _pixels.compose(*arguments().values())
    _pixels.compose(*float_arguments().values())


def test_pixels_between_addresses_are_refused():
    memory = np.zeros(4 * 5 * 3 * 4 + 1, np.uint8)
    shifted = np.frombuffer(memory.data, np.float32, 60, offset=1).reshape(4, 5, 3)
    with pytest.raises(ValueError, match="aligned"):
        _pixels.compose(*(arguments() | {"src": shifted}).values())
    rows = np.lib.stride_tricks.as_strided(
        memory[:240].view(np.float32), (4, 5, 3), strides=(13, 8, 4)
    )
    with pytest.raises(ValueError, match="aligned"):
        _pixels.compose(*(arguments() | {"src": rows}).values())


def test_words_must_not_overlap_pixels_even_backwards():
    memory = np.zeros(400, np.uint8)
    words = memory[:80].view(np.uint32).reshape(4, 5)
    backwards = memory[79 : 79 + 60][::-1].reshape(4, 5, 3)
    for src in (memory[76:136].reshape(4, 5, 3), backwards):
        with pytest.raises(ValueError, match="overlaps"):
            _pixels.compose(*(arguments() | {"src": src, "dst": words}).values())
    beside = memory[80:140].reshape(4, 5, 3)
    _pixels.compose(*(arguments() | {"src": beside, "dst": words}).values())
