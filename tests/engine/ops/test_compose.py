import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.ops.compose import ChannelStyle, Composer, compose

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def expected(pixels, styles):
    """The formula of the module, in double precision."""
    sums = np.zeros((*pixels.shape[:2], 3))
    for band, style in enumerate(styles):
        if style.visible:
            unit = (pixels[..., band].astype(np.float64) - style.low) / (style.high - style.low)
            sums += (np.nan_to_num(np.clip(unit, 0, 1)) ** style.gamma)[..., None] * style.color
    return np.minimum(sums, 255)


def components(words):
    assert (words >> 24 == 255).all()
    return np.stack([words >> 16, words >> 8, words], axis=2) & 255


def style_of(top):
    return st.builds(
        lambda low, width, gamma, color, visible: ChannelStyle(
            low, low + width, gamma, color, visible
        ),
        st.floats(-0.2 * top, 0.9 * top),
        st.floats(0.001 * top, 1.5 * top),
        st.one_of(st.just(1.0), st.floats(0.1, 10)),
        st.tuples(*[st.integers(0, 255)] * 3),
        st.booleans(),
    )


@given(st.data())
def test_a_picture_is_the_formula_within_a_level(data):
    dtype, top = data.draw(
        st.sampled_from([("uint8", 255), ("uint16", 4095), ("uint16", 65535), ("float32", 3.0)])
    )
    styles = data.draw(st.lists(style_of(top), min_size=1, max_size=7))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    pixels = (rng.random((3, 270, len(styles))) * top).astype(dtype)
    assert np.abs(components(compose(pixels, styles)) - expected(pixels, styles)).max() <= 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_colours_add_up_and_stop_at_white(dtype):
    pixels = np.array([[[0, 0, 0], [200, 0, 0], [200, 200, 0], [200, 200, 200]]], dtype)
    styles = [ChannelStyle(0, 200, color=c) for c in (RED, GREEN, WHITE)]
    assert [f"{w:08x}" for w in compose(pixels, styles)[0]] == [
        "ff000000", "ffff0000", "ffffff00", "ffffffff",
    ]  # fmt: skip


def test_hidden_bands_are_left_out():
    pixels = np.full((2, 2, 2), 255, np.uint8)
    styles = [ChannelStyle(0, 255, color=RED, visible=False), ChannelStyle(0, 255, color=BLUE)]
    assert (compose(pixels, styles) == 0xFF0000FF).all()
    hidden = [ChannelStyle(0, 255, visible=False)] * 2
    assert (compose(pixels, hidden) == 0xFF000000).all()


def test_what_is_not_a_number_is_black():
    pixels = np.array([[[np.nan], [np.inf], [-np.inf]]], np.float32)
    words = compose(pixels, [ChannelStyle(0, 1, gamma=0.5)])
    assert [f"{w:08x}" for w in words[0]] == ["ff000000", "ffffffff", "ff000000"]


def test_planes_are_shown_without_a_copy_and_into_the_array_of_the_caller():
    planes = np.random.default_rng(0).integers(0, 65536, (3, 40, 50), np.uint16)
    styles = [ChannelStyle(100, 60000, 0.7, c) for c in (RED, GREEN, BLUE)]
    show, out = Composer(styles, "uint16"), np.empty((40, 50), np.uint32)
    assert show(np.moveaxis(planes, 0, -1), out=out) is out
    np.testing.assert_array_equal(out, show(np.moveaxis(planes, 0, -1).copy()))


def test_more_bands_than_sixteen_bits_could_add():
    styles = [ChannelStyle(0, 255, color=WHITE)] * 40
    pixels = np.random.default_rng(0).integers(0, 13, (20, 30, 40), np.uint8)
    off = components(compose(pixels, styles)) - expected(pixels, styles)
    assert np.abs(off).max() <= 1


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"low": 5.0}, "window"),
        ({"high": float("nan")}, "window"),
        ({"high": float("inf")}, "window"),
        ({"gamma": 0.0}, "gamma"),
        ({"gamma": float("nan")}, "gamma"),
        ({"gamma": 10.5}, "gamma"),
        ({"color": (0, 0, 256)}, "256"),
        ({"color": (-1, 0, 0)}, "-1"),
    ],
)
def test_a_style_makes_sense(changed, match):
    with pytest.raises(ValueError, match=match):
        ChannelStyle(**({"low": 0.0, "high": 5.0} | changed))


def test_pixels_fit_the_styles():
    styles = [ChannelStyle(0, 1)] * 2
    with pytest.raises(ValueError, match="2 styles"):
        compose(np.zeros((4, 4, 3), np.uint8), styles)
    with pytest.raises(TypeError, match="uint16"):
        Composer(styles, "uint8")(np.zeros((4, 4, 2), np.uint16))
    with pytest.raises(TypeError, match="int32"):
        compose(np.zeros((4, 4, 2), np.int32), styles)
    with pytest.raises(ValueError, match="dst"):
        compose(np.zeros((4, 4, 2), np.uint8), styles, out=np.zeros((4, 5), np.uint32))
