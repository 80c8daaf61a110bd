"""The C loops against numpy twins, on fuzzed shapes and hostile arguments."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tilescope._native import _pixels

DTYPES = (np.uint8, np.uint16, np.float32)

pixels = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=17),
        elements=st.floats(-1e6, 1e6, width=32) if dtype is np.float32 else None,
    )
)


def box2_twin(src):
    padded = np.pad(src, ((0, src.shape[0] % 2), (0, src.shape[1] % 2), (0, 0)), mode="edge")
    quads = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2, -1)
    if src.dtype == np.float32:
        return quads.astype(np.float64).mean((1, 3))
    return (quads.astype(np.uint32).sum((1, 3)) + 2) // 4


def argb_twin(words, background):
    alpha = (words >> 24)[..., None].astype(np.float64)
    colour = np.stack([words >> 16, words >> 8, words], 2) & 255
    return np.minimum(colour + np.floor(np.array(background) * (255 - alpha) / 255 + 0.5), 255)


def resample_twin(src, x_start, x_weights, y_start, y_weights):
    out = np.zeros((len(y_start), len(x_start), src.shape[2]))
    for j in range(len(y_start)):
        for i in range(len(x_start)):
            for a, wy in enumerate(y_weights[j]):
                for b, wx in enumerate(x_weights[i]):
                    if wy and wx:
                        out[j, i] += float(wy) * float(wx) * src[y_start[j] + a, x_start[i] + b]
    return out


def halved(src):
    out = np.empty((-(-src.shape[0] // 2), -(-src.shape[1] // 2), src.shape[2]), src.dtype)
    _pixels.box2(src, out)
    return out


@given(pixels)
def test_box2_is_its_twin(src):
    expected = box2_twin(src)
    if src.dtype == np.float32:
        np.testing.assert_allclose(halved(src), expected, rtol=1e-5, atol=0.5)
    else:
        np.testing.assert_array_equal(halved(src), expected)


def test_box2_rounds_half_up():
    src = np.array([[0, 1], [0, 1]], np.uint8)[..., None]
    assert halved(src).item() == 1


def test_box2_takes_an_empty_array():
    assert halved(np.empty((0, 4, 3), np.uint8)).shape == (0, 2, 3)


@given(
    hnp.arrays(np.uint32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    st.tuples(*[st.integers(0, 255)] * 3),
)
def test_argb_over_is_its_twin(words, background):
    alpha = words >> 24
    parts = [np.minimum((words >> s) & 255, alpha) << s for s in (16, 8, 0)]
    premultiplied = (alpha << 24) | parts[0] | parts[1] | parts[2]
    out = np.empty((*words.shape, 3), np.uint8)
    _pixels.argb_over(premultiplied, out, background)
    np.testing.assert_array_equal(out, argb_twin(premultiplied, background))


def test_argb_over_never_wraps_on_colour_above_its_alpha():
    out = np.empty((1, 1, 3), np.uint8)
    _pixels.argb_over(np.array([[0x00FFFFFF]], np.uint32), out, (255, 255, 255))
    assert out.tolist() == [[[255, 255, 255]]]


@st.composite
def resampling(draw):
    src = draw(pixels)
    taps = []
    for length in (src.shape[1], src.shape[0]):
        n, k = draw(st.integers(1, 6)), draw(st.integers(1, 4))
        start = draw(hnp.arrays(np.int32, n, elements=st.integers(0, length - 1)))
        weights = draw(hnp.arrays(np.float32, (n, k), elements=st.floats(0.125, 1, width=32)))
        for i in range(n):
            weights[i, max(1, min(k, length - start[i])) :] = 0
            weights[i] /= weights[i].sum()
        taps += [start, weights]
    return src, *taps


@settings(deadline=None)
@given(resampling())
def test_resample_is_its_twin(case):
    src, x_start, x_weights, y_start, y_weights = case
    out = np.empty((len(y_start), len(x_start), src.shape[2]), src.dtype)
    scratch = np.empty(src.shape[1] * src.shape[2], np.float32)
    _pixels.resample(src, out, x_start, x_weights, y_start, y_weights, scratch)
    expected = resample_twin(src, x_start, x_weights, y_start, y_weights)
    tolerance = np.abs(expected) * 1e-5 + (0.51 if src.dtype != np.float32 else 0.2)
    assert (np.abs(out - expected) <= tolerance).all()


def resample_arguments():
    return {
        "src": np.zeros((4, 4, 3), np.uint8),
        "dst": np.zeros((2, 2, 3), np.uint8),
        "x_start": np.array([0, 2], np.int32),
        "x_weights": np.full((2, 2), 0.5, np.float32),
        "y_start": np.array([0, 2], np.int32),
        "y_weights": np.full((2, 2), 0.5, np.float32),
        "scratch": np.zeros(12, np.float32),
    }


WRONG = {
    "a start below zero": ({"x_start": np.array([-1, 2], np.int32)}, ValueError),
    "a start too far": ({"y_start": np.array([0, 3], np.int32)}, ValueError),
    "the largest start": ({"y_start": np.array([0, 2**31 - 1], np.int32)}, ValueError),
    "no weight": ({"x_weights": np.zeros((2, 2), np.float32)}, ValueError),
    "no taps": ({"x_weights": np.zeros((2, 0), np.float32)}, ValueError),
    "too few taps": ({"x_weights": np.full((1, 2), 0.5, np.float32)}, ValueError),
    "other bands": ({"dst": np.zeros((2, 2, 4), np.uint8)}, ValueError),
    "short scratch": ({"scratch": np.zeros(11, np.float32)}, ValueError),
    "int64 starts": ({"x_start": np.array([0, 2])}, TypeError),
    "float64 weights": ({"x_weights": np.full((2, 2), 0.5)}, TypeError),
    "float64 pixels": ({"src": np.zeros((4, 4, 3))}, TypeError),
    "another dtype": ({"dst": np.zeros((2, 2, 3), np.uint16)}, TypeError),
    "big-endian": ({"src": np.zeros((4, 4, 3), ">u2")}, TypeError),
    "two axes": ({"src": np.zeros((4, 12), np.uint8)}, ValueError),
    "gaps in memory": ({"src": np.zeros((4, 8, 3), np.uint8)[:, ::2]}, ValueError),
    "no array": ({"src": None}, TypeError),
}


@pytest.mark.parametrize("what", WRONG)
def test_resample_refuses(what):
    changed, error = WRONG[what]
    with pytest.raises(error):
        _pixels.resample(*(resample_arguments() | changed).values())


def test_outputs_must_be_writable():
    out = np.zeros((1, 1, 1), np.uint8)
    out.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        _pixels.box2(np.zeros((2, 2, 1), np.uint8), out)


def test_an_output_must_not_overlap_an_input():
    flat = np.zeros(40, np.uint8)
    with pytest.raises(ValueError, match="overlaps"):
        _pixels.box2(flat[:16].reshape(4, 4, 1), flat[8:12].reshape(2, 2, 1))


@pytest.mark.parametrize(
    ("src", "dst", "error"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros((2, 3, 3), np.uint8), ValueError),
        (np.zeros((5, 4, 3), np.uint8), np.zeros((2, 2, 3), np.uint8), ValueError),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2, 3), np.uint16), TypeError),
        (np.zeros((4, 4, 3), np.int8), np.zeros((2, 2, 3), np.int8), TypeError),
    ],
)
def test_box2_refuses(src, dst, error):
    with pytest.raises(error):
        _pixels.box2(src, dst)


@pytest.mark.parametrize(
    ("src", "dst", "background", "error"),
    [
        (np.zeros((2, 2), np.uint32), np.zeros((2, 2, 4), np.uint8), (0, 0, 0), ValueError),
        (np.zeros((2, 2), np.uint32), np.zeros((2, 3, 3), np.uint8), (0, 0, 0), ValueError),
        (np.zeros((2, 2), np.int32), np.zeros((2, 2, 3), np.uint8), (0, 0, 0), TypeError),
        (np.zeros((2, 2), np.uint32), np.zeros((2, 2, 3), np.uint8), (0, 0), TypeError),
        (np.zeros((2, 2), np.uint32), np.zeros((2, 2, 3), np.uint8), (256, 0, 0), OverflowError),
    ],
)
def test_argb_over_refuses(src, dst, background, error):
    with pytest.raises(error):
        _pixels.argb_over(src, dst, background)


def test_buffers_are_released_after_an_error():
    src = bytearray(16)
    view = np.frombuffer(src, np.uint8).reshape(4, 4, 1)
    with pytest.raises(ValueError, match="half of src"):
        _pixels.box2(view, np.zeros((1, 1, 1), np.uint8))
    del view
    src.extend(b"more")


def test_other_threads_run_meanwhile():
    src = np.zeros((4096, 4096, 3), np.uint8)
    ran = threading.Event()
    done = threading.Event()

    def work():
        halved(src)
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    ran.set()
    worker.join()
    assert ran.is_set()
    assert done.is_set()
