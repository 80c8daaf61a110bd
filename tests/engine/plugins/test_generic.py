"""The adapter that needs no code: what it feeds a network and what it makes of the outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilescope.domain.contrast import Contrast
from tilescope.domain.encoding import (
    Activation,
    Clip,
    Decoding,
    Encoding,
    Linear,
    Standardise,
    Stretch,
    Threshold,
    UnitRange,
)
from tilescope.domain.geometry import Size
from tilescope.domain.manifest import ModelSpec, Parameter, TensorSpec, TileSpec
from tilescope.plugins.api import Boxes, ClassMap, TileAdapter, TileImage, TileScores
from tilescope.plugins.generic import GenericAdapter
from tilescope.testing.toy import toy_model

BRIGHT = Contrast(False, (10.0, 20.0, 30.0), (200.0, 210.0, 220.0))
DARK = Contrast(True, (5.0, 0.0, 0.0), (25.0, 250.0, 20.0))
RGB = Encoding("rgb", 3)
MAP = Decoding("class-map", ("y",))
LUMINANCE = [0.299, 0.587, 0.114]


def adapter(
    folder: Path,
    encoding: Encoding = RGB,
    decoding: Decoding = MAP,
    layout: str = "NCHW",
    dtype: str = "float32",
    outputs: tuple[TensorSpec, ...] = (TensorSpec("y", "NCHW", "float32"),),
    classes: tuple[str, ...] = ("a", "b"),
) -> GenericAdapter:
    spec: ModelSpec = replace(
        toy_model(folder).spec,
        classes=classes,
        tile=TileSpec(Size(64, 64), 0, 0, 1),
        inputs=(TensorSpec("x", layout, dtype),),
        outputs=outputs,
        encoding=encoding,
        decoding=decoding,
        parameters={
            "score": Parameter(0.25, 0, 1, "score"),
            "overlap": Parameter(0.5, 0, 1, "overlap"),
        },
    )
    made = GenericAdapter.for_model(spec)
    assert isinstance(made, TileAdapter)
    return made


def pixels(rng: np.random.Generator, bands: int = 3, dtype: str = "uint8") -> np.ndarray:
    return rng.integers(0, 256, (6, 9, bands)).astype(dtype)


def encoded(made: GenericAdapter, values: np.ndarray, contrast: Contrast = BRIGHT) -> np.ndarray:
    return made.encode(TileImage(values, contrast))["x"]


# -- channels and layouts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "order"),
    [("NCHW", (2, 0, 1)), ("NHWC", (0, 1, 2)), ("CHW", (2, 0, 1)), ("HWC", (0, 1, 2))],
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_every_layout_and_type(
    tmp_path: Path, rng: np.random.Generator, layout: str, order: tuple, dtype: str
) -> None:
    values = pixels(rng)
    found = encoded(adapter(tmp_path, layout=layout, dtype=dtype), values)
    expected = values.transpose(order)
    assert found.dtype == dtype
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected[None] if "N" in layout else expected)


def test_blue_first(tmp_path: Path, rng: np.random.Generator) -> None:
    values = pixels(rng)
    found = encoded(adapter(tmp_path, Encoding("bgr", 3)), values)
    np.testing.assert_array_equal(found[0], values[..., ::-1].transpose(2, 0, 1))


def test_a_grey_slide_for_a_network_of_three_channels(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    values = pixels(rng, 1)
    contrast = Contrast(False, (0.0,), (255.0,))
    found = encoded(adapter(tmp_path), values, contrast)
    np.testing.assert_array_equal(found[0], np.repeat(values.transpose(2, 0, 1), 3, axis=0))


def test_grey_is_luminance_of_bright_field(tmp_path: Path, rng: np.random.Generator) -> None:
    values = pixels(rng)
    found = encoded(adapter(tmp_path, Encoding("grey", 1)), values)
    np.testing.assert_allclose(found[0, 0], values @ np.array(LUMINANCE), rtol=1e-5)


def test_grey_is_the_band_that_holds_something_of_fluorescence(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    values = pixels(rng)
    found = encoded(adapter(tmp_path, Encoding("grey", 1)), values, DARK)
    np.testing.assert_array_equal(found[0, 0], values[..., 1])


@pytest.mark.parametrize(
    ("encoding", "bands"), [(Encoding("rgb", 3), 4), (Encoding("bands", 4), 3)], ids=["few", "many"]
)
def test_bands_that_do_not_fit_are_an_error_in_words(
    tmp_path: Path, rng: np.random.Generator, encoding: Encoding, bands: int
) -> None:
    contrast = Contrast(False, (0.0,) * bands, (1.0,) * bands)
    with pytest.raises(ValueError, match=f"{encoding.channels} channels .* {bands} bands"):
        encoded(adapter(tmp_path, encoding), pixels(rng, bands), contrast)


# -- normalisation -------------------------------------------------------------------------------


def test_unit_range_divides_8_bit_and_windows_everything_else(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    made = adapter(tmp_path, Encoding("rgb", 3, (UnitRange(),)))
    values = pixels(rng)
    np.testing.assert_allclose(encoded(made, values)[0], values.transpose(2, 0, 1) / 255, rtol=1e-5)
    found = encoded(made, values.astype(np.uint16))[0]
    low, high = (np.array(ends)[:, None, None] for ends in (BRIGHT.low, BRIGHT.high))
    expected = np.clip((values.transpose(2, 0, 1) - low) / (high - low), 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_16_bit_slide_for_an_8_bit_network(tmp_path: Path) -> None:
    steps = (UnitRange(), Linear((255.0,), (0.0,)))
    contrast = Contrast(True, (100.0,), (4100.0,))
    made = adapter(tmp_path, Encoding("grey", 1, steps), dtype="uint8")
    values = np.array([[[0], [100], [2100], [4100], [60000]]], np.uint16)
    found = encoded(made, values, contrast)
    assert found.ravel().tolist() == [0, 0, 128, 255, 255]


def test_mean_and_deviation_are_the_slide_s(tmp_path: Path, rng: np.random.Generator) -> None:
    contrast = replace(BRIGHT, mean=(100.0, 120.0, 140.0), deviation=(10.0, 20.0, 40.0))
    made = adapter(tmp_path, Encoding("rgb", 3, (Standardise(eps=1e-6),)))
    values = pixels(rng)
    whole = encoded(made, values, contrast)
    part = encoded(made, values[:2], contrast)
    np.testing.assert_array_equal(part, whole[:, :, :2])  # no seam between tiles
    expected = (values - np.array(contrast.mean)) / contrast.deviation
    np.testing.assert_allclose(whole[0], expected.transpose(2, 0, 1), rtol=1e-4, atol=1e-4)


def test_the_tile_itself_stays_as_it_is(tmp_path: Path, rng: np.random.Generator) -> None:
    steps = (UnitRange(), Linear((2.0,), (1.0,)), Standardise(), Clip(-1.0, 1.0))
    for encoding, bands in ((Encoding("rgb", 3, steps), 3), (Encoding("grey", 1, steps), 1)):
        values = pixels(rng, bands, "float32")
        before = values.copy()
        contrast = Contrast(False, BRIGHT.low[:bands], BRIGHT.high[:bands])
        first = encoded(adapter(tmp_path, encoding), values, contrast).copy()
        np.testing.assert_array_equal(values, before)
        np.testing.assert_array_equal(encoded(adapter(tmp_path, encoding), values, contrast), first)


def test_outputs_stay_as_they_are(tmp_path: Path, rng: np.random.Generator) -> None:
    steps = (Activation("softmax"), Clip(0.2, 0.8))
    logits = rng.normal(size=(1, 2, 5, 7)).astype(np.float32)
    before = logits.copy()
    adapter(tmp_path, decoding=Decoding("class-map", ("y",), steps)).decode({"y": logits}, {})
    np.testing.assert_array_equal(logits, before)


def test_one_mean_for_all_channels(tmp_path: Path, rng: np.random.Generator) -> None:
    values = pixels(rng)
    moments = values.reshape(-1, 3).mean(axis=0), values.reshape(-1, 3).std(axis=0)
    contrast = replace(BRIGHT, mean=tuple(moments[0]), deviation=tuple(moments[1]))
    made = adapter(tmp_path, Encoding("rgb", 3, (Standardise(per_channel=False),)))
    found = encoded(made, values, contrast)[0]
    expected = (values - values.mean()) / values.std()
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), rtol=1e-4, atol=1e-4)


def test_without_the_slide_s_mean_the_tile_s_own_is_taken(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    made = adapter(tmp_path, Encoding("rgb", 3, (Standardise(),)))
    found = encoded(made, pixels(rng))[0]
    np.testing.assert_allclose(found.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=(1, 2)), 1, atol=1e-4)


@pytest.mark.parametrize("value", [0, 255])
def test_a_blank_tile_becomes_zeros_and_not_noise(tmp_path: Path, value: int) -> None:
    made = adapter(tmp_path, Encoding("rgb", 3, (Standardise(),)))
    found = encoded(made, np.full((4, 4, 3), value, np.uint8))
    np.testing.assert_array_equal(found, 0)


def test_statistics_go_through_earlier_steps(tmp_path: Path, rng: np.random.Generator) -> None:
    contrast = replace(BRIGHT, mean=(100.0, 120.0, 140.0), deviation=(10.0, 20.0, 40.0))
    plain = adapter(tmp_path, Encoding("rgb", 3, (Standardise(),)))
    scaled = adapter(tmp_path, Encoding("rgb", 3, (Linear((-0.5,), (7.0,)), Standardise())))
    values = pixels(rng)
    np.testing.assert_allclose(
        encoded(scaled, values, contrast), -encoded(plain, values, contrast), atol=1e-3
    )


def test_stretching_takes_the_slide_s_window(tmp_path: Path, rng: np.random.Generator) -> None:
    made = adapter(tmp_path, Encoding("rgb", 3, (Stretch(1.0, 99.8), Clip(0.0, 0.5))))
    values = pixels(rng)
    low, high = np.array(BRIGHT.low), np.array(BRIGHT.high)
    expected = np.clip((values - low) / (high - low), 0, 0.5).transpose(2, 0, 1)
    np.testing.assert_allclose(encoded(made, values)[0], expected, atol=1e-5)
    together = adapter(tmp_path, Encoding("rgb", 3, (Stretch(per_channel=False),)))
    expected = ((values.astype(float) - 10) / 210).transpose(2, 0, 1)
    np.testing.assert_allclose(encoded(together, values)[0], expected, atol=1e-5)


# -- maps and scores -----------------------------------------------------------------------------


def test_softmax_over_classes_in_any_layout(tmp_path: Path, rng: np.random.Generator) -> None:
    logits = rng.normal(0, 30, (1, 2, 5, 7)).astype(np.float32)
    steps = (Activation("softmax"),)
    first = adapter(tmp_path, decoding=Decoding("class-map", ("y",), steps))
    found = first.decode({"y": logits}, {})
    assert isinstance(found, ClassMap)
    powers = np.exp(logits[0].astype(np.float64))
    np.testing.assert_allclose(found.probabilities, powers / powers.sum(axis=0), atol=1e-5)
    last = adapter(
        tmp_path,
        decoding=Decoding("class-map", ("y",), steps),
        outputs=(TensorSpec("y", "NHWC", "float32"),),
    )
    again = last.decode({"y": logits.transpose(0, 2, 3, 1)}, {})
    np.testing.assert_array_equal(again.probabilities, found.probabilities)


def test_a_heat_map_of_half_precision_and_a_quarter_of_the_size(tmp_path: Path) -> None:
    steps = (Activation("sigmoid"), Threshold(0.5))
    made = adapter(
        tmp_path,
        decoding=Decoding("class-map", ("y",), steps),
        outputs=(TensorSpec("y", "NCHW", "float16", stride=4),),
        classes=("tumour",),
    )
    values = np.array([[[[-60000.0, 60000.0], [0.1, -0.1]]]], np.float16)
    found = made.decode({"y": values}, {}).probabilities
    np.testing.assert_array_equal(found, [[[0, 1], [1, 0]]])


def test_one_value_for_two_classes_is_the_second(tmp_path: Path) -> None:
    made = adapter(
        tmp_path,
        decoding=Decoding("tile-scores", ("y",)),
        outputs=(TensorSpec("y", "NC", "float32"),),
    )
    found = made.decode({"y": np.array([[0.75]], np.float32)}, {})
    assert isinstance(found, TileScores)
    assert found.probabilities.tolist() == [0.25, 0.75]


def test_class_numbers_become_planes(tmp_path: Path) -> None:
    made = adapter(
        tmp_path,
        decoding=Decoding("label-map", ("y",), first_label=1),
        outputs=(TensorSpec("y", "NHW", "int64"),),
    )
    found = made.decode({"y": np.array([[[0, 1], [2, 9]]])}, {}).probabilities
    np.testing.assert_array_equal(found, [[[0, 1], [0, 0]], [[0, 0], [1, 0]]])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_is_refused(tmp_path: Path, bad: float) -> None:
    values = np.zeros((1, 2, 4, 4), np.float32)
    values[0, 1, 2, 3] = bad
    with pytest.raises(ValueError, match="'y' holds NaN"):
        adapter(tmp_path).decode({"y": values}, {})


def test_other_classes_than_named_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gives 3 classes, the manifest names 2"):
        adapter(tmp_path).decode({"y": np.zeros((1, 3, 4, 4), np.float32)}, {})


# -- boxes ---------------------------------------------------------------------------------------

LEVELS = {"score": 0.25, "overlap": 0.5}


def boxes_of(made: GenericAdapter, **outputs: np.ndarray) -> Boxes:
    found = made.decode(outputs, LEVELS)
    assert isinstance(found, Boxes)
    return found


def detector(folder: Path, form: Any, layout: str, **more: Any) -> GenericAdapter:
    return adapter(
        folder,
        decoding=Decoding(form, ("y",), **more),
        outputs=(TensorSpec("y", layout, "float32"),),
    )


#: cx, cy, w, h, objectness, two classes: a pair of one class, the same place in another class, one
#: that is too faint, one without a size.
ROWS = np.array(
    [
        [20, 30, 10, 20, 0.9, 0.8, 0.1],
        [21, 30, 10, 20, 0.9, 0.9, 0.1],
        [20, 30, 10, 20, 0.9, 0.1, 0.7],
        [60, 60, 10, 10, 0.4, 0.6, 0.1],
        [50, 50, 0, 10, 0.9, 0.9, 0.1],
    ],
    np.float32,
)


def test_rows_with_objectness(tmp_path: Path) -> None:
    found = boxes_of(detector(tmp_path, "yolo-objectness", "NAC"), y=ROWS[None])
    np.testing.assert_allclose(found.corners, [[16, 20, 26, 40], [15, 20, 25, 40]])
    np.testing.assert_allclose(found.scores, [0.81, 0.63], atol=1e-6)
    assert found.classes.tolist() == [0, 1]
    assert found.classes.dtype == np.uint16


def test_columns_with_classes_alone_and_logits(tmp_path: Path) -> None:
    rows = np.delete(ROWS, 4, axis=1)
    rows[:, 4:] = np.log(rows[:, 4:] / (1 - rows[:, 4:]))
    made = detector(tmp_path, "yolo-classes", "NCA", steps=(Activation("sigmoid"),))
    found = boxes_of(made, y=rows.T[None])
    np.testing.assert_allclose(found.scores, [0.9, 0.7, 0.6], atol=1e-6)
    assert found.classes.tolist() == [0, 1, 0]


def test_rows_that_are_final(tmp_path: Path) -> None:
    rows = np.array([[1, 2, 3, 4, 0.9, 1], [1, 2, 3, 4, 0.8, 1], [0, 0, 0, 0, 0, 0]], np.float32)
    found = boxes_of(detector(tmp_path, "final-boxes", "NAC"), y=rows[None])
    np.testing.assert_array_equal(found.corners, [[1, 2, 3, 4]] * 2)
    assert found.classes.tolist() == [1, 1]


@pytest.mark.parametrize("count", [0, 3])
def test_three_lists(tmp_path: Path, count: int) -> None:
    made = adapter(
        tmp_path,
        decoding=Decoding("box-lists", ("b", "s", "l"), first_label=1),
        outputs=(
            TensorSpec("b", "AC", "float32"),
            TensorSpec("l", "A", "int64"),
            TensorSpec("s", "A", "float32"),
        ),
    )
    corners = np.array([[0, 0, 5, 5], [1, 1, 6, 6], [2, 2, 7, 7]], np.float32)[:count]
    labels, scores = np.array([1, 0, 2])[:count], np.array([0.9, 0.9, 0.5], np.float32)[:count]
    found = boxes_of(made, b=corners, l=labels, s=scores)
    assert found.classes.tolist() == [0, 1][: count and 2]  # label 0 is background
    assert found.corners.shape == (len(found.scores), 4)


@pytest.mark.parametrize("form", ["yolo-objectness", "yolo-classes", "final-boxes"])
def test_no_candidates_are_no_boxes(tmp_path: Path, form: str) -> None:
    columns = {"yolo-objectness": 7, "yolo-classes": 6, "final-boxes": 6}[form]
    made = detector(tmp_path, form, "NAC", steps=(Activation("sigmoid"),))
    found = boxes_of(made, y=np.zeros((1, 0, columns), np.float32))
    assert found.corners.shape == (0, 4)


def test_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows of 9 numbers, the manifest means 7"):
        boxes_of(detector(tmp_path, "yolo-objectness", "NAC"), y=np.zeros((1, 3, 9), np.float32))


def test_a_manifest_without_the_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs the tables encoding and decoding"):
        GenericAdapter.for_model(toy_model(tmp_path).spec)
