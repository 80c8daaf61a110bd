"""Values of a manifest that were not read from a file are checked all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilescope.domain.geometry import Size
from tilescope.domain.manifest import (
    ModelSpec,
    Parameter,
    PluginManifest,
    TensorSpec,
    TileSpec,
    WeightsRef,
)
from tilescope.domain.results import ModelRef
from tilescope.testing.toy import toy_model

SHA256 = "0123456789abcdef" * 4


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    return toy_model(tmp_path).spec


TILE = {"size": Size(64, 64), "halo_px": 0, "decode_margin_px": 0, "multiple_of": 8}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"halo_px": -1}, "halo -1 is negative"),
        ({"decode_margin_px": -1}, "decode_margin -1 is negative"),
        ({"multiple_of": 0}, "multiple_of 0 is not positive"),
        ({"size": Size(64, 65)}, "is not a multiple of 8"),
        ({"max_batch": 0}, "max_batch 0 is not positive"),
    ],
    ids=["halo", "margin", "multiple", "size", "batch"],
)
def test_a_wrong_tile_cannot_be_built(changes: dict[str, Any], message: str) -> None:
    TileSpec(**TILE)
    with pytest.raises(ValueError, match=message):
        TileSpec(**{**TILE, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "0123"}, "64 hexadecimal digits"),
        ({"sha256": SHA256.upper()}, "64 hexadecimal digits"),
        ({"size_bytes": 0}, "bytes = 0 is not positive"),
        ({"file": "model.pt"}, "not an ONNX file"),
        ({"file": "/model.onnx"}, "outside the package"),
        ({"file": "a/../../model.onnx"}, "outside the package"),
    ],
    ids=["short", "upper", "empty", "pickle", "absolute", "parent"],
)
def test_wrong_weights_cannot_be_built(changes: dict[str, Any], message: str) -> None:
    values = {"file": "weights/model.onnx", "sha256": SHA256, "size_bytes": 10}
    WeightsRef(**values)
    with pytest.raises(ValueError, match=message):
        WeightsRef(**{**values, **changes})


def test_a_wrong_tensor_or_schema_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="layout 'WHC'"):
        TensorSpec("x", "WHC", "float32")
    with pytest.raises(ValueError, match="dtype 'complex64'"):
        TensorSpec("x", "NCHW", "complex64")
    with pytest.raises(ValueError, match="stride 0 is not positive"):
        TensorSpec("x", "NCHW", "float32", stride=0)
    with pytest.raises(ValueError, match="schema 2 is not 1"):
        PluginManifest(2, "x", "X", "", ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "id ''"),
        ({"id": "Toy"}, "id 'Toy'"),
        ({"id": "../toy"}, "id '../toy'"),
        ({"task": "magic"}, "task 'magic'"),
        ({"adapter": "toy"}, "'toy' is not module:Class"),
        ({"adapter": "toy.py:Toy()"}, "is not module:Class"),
        ({"classes": ()}, "classes is empty"),
        ({"inputs": ()}, "0 inputs"),
    ],
    ids=["empty", "upper", "path", "task", "adapter", "call", "classes", "inputs"],
)
def test_a_wrong_model_cannot_be_built(
    spec: ModelSpec, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(spec, **changes)


def test_results_are_stamped_with_the_weights(spec: ModelSpec) -> None:
    assert spec.ref == ModelRef("toy", "1", spec.weights.sha256)


def test_parameters_have_defaults_and_limits(spec: ModelSpec) -> None:
    assert spec.resolved({}) == {"threshold": 0.5}
    assert spec.resolved({"threshold": 0.99}) == {"threshold": 0.99}
    with pytest.raises(ValueError, match=r"threshold = 1 is not in 0\.01\.\.0\.99"):
        spec.resolved({"threshold": 1.0})
    with pytest.raises(ValueError, match="threshold"):
        spec.resolved({"threshold": float("nan")})
    with pytest.raises(ValueError, match="no parameter 'treshold', only threshold"):
        spec.resolved({"treshold": 0.5})


@given(
    default=st.floats(allow_nan=True),
    minimum=st.floats(allow_nan=True),
    maximum=st.floats(allow_nan=True),
)
def test_a_parameter_is_what_its_limits_allow(
    default: float, minimum: float, maximum: float
) -> None:
    try:
        parameter = Parameter(default, minimum, maximum, "x")
    except ValueError:
        assert not minimum <= default <= maximum
    else:
        assert parameter.minimum <= parameter.default <= parameter.maximum
