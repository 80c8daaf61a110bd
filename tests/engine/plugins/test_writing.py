"""What is written as a manifest is read back as the same manifest."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

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
from tilescope.domain.manifest import (
    GoldenRef,
    ModelSpec,
    Parameter,
    PluginManifest,
    TensorSpec,
    TileSpec,
    WeightsRef,
)
from tilescope.domain.scale import AtObjectSize, AtPixelSize, FitWithin, Native
from tilescope.plugins.parsing import load_manifest
from tilescope.plugins.registry import find_model
from tilescope.plugins.writing import manifest_text

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
numbers = st.floats(-1e6, 1e6).map(float)
positive = st.floats(1e-3, 1e6)
lists = st.lists(numbers, min_size=1, max_size=4).map(tuple)
steps = st.lists(
    st.one_of(
        st.just(UnitRange()),
        st.builds(Linear, lists, lists),
        st.builds(Standardise, st.booleans(), st.floats(1e-9, 0.5)),
        st.builds(Stretch, st.floats(0, 40), st.floats(60, 100), st.booleans(), st.just(1e-6)),
        st.builds(Clip, st.floats(-9, 0), st.floats(1, 9)),
        st.builds(Activation, st.sampled_from(["sigmoid", "softmax", "exp"])),
        st.builds(Threshold, numbers),
    ),
    max_size=4,
).map(tuple)
cards: Any = st.recursive(
    texts | numbers | st.integers(-(2**60), 2**60) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def specs(draw: Any) -> ModelSpec:
    step = draw(st.integers(1, 64))
    name = draw(texts)
    return ModelSpec(
        id=draw(st.from_regex(r"[a-z0-9][a-z0-9._-]*", fullmatch=True)),
        version=draw(texts),
        title=draw(texts),
        task=draw(st.sampled_from(["instances", "semantic", "classification", "detect", "click"])),
        adapter="tilescope.plugins.generic:GenericAdapter",
        classes=tuple(draw(st.lists(texts, min_size=1, max_size=3))),
        licence=draw(texts),
        sampling=draw(
            st.one_of(
                st.just(Native()),
                st.builds(AtPixelSize, positive),
                st.builds(AtObjectSize, positive, positive),
                st.builds(FitWithin, st.integers(1, 9999)),
            )
        ),
        tile=TileSpec(
            Size(step * draw(st.integers(1, 9)), step * draw(st.integers(1, 9))),
            draw(st.integers(0, 99)),
            draw(st.integers(0, 99)),
            step,
            draw(st.integers(1, 9)),
            draw(st.none() | positive),
            draw(st.booleans()),
        ),
        weights=WeightsRef("a b/ü.onnx", "0123456789abcdef" * 4, draw(st.integers(1, 2**40))),
        inputs=(TensorSpec("x", "NHWC", draw(st.sampled_from(["float32", "float16", "uint8"]))),),
        outputs=(TensorSpec(name, "NCHW", "int64", tuple(draw(st.lists(texts, max_size=2))), 4),),
        golden=draw(st.none() | st.builds(GoldenRef, st.just("i"), st.just("o"), positive)),
        encoding=draw(st.none() | st.builds(Encoding, st.just("bands"), st.integers(1, 9), steps)),
        decoding=draw(
            st.none()
            | st.builds(Decoding, st.just("class-map"), st.just((name,)), steps, st.integers(0, 1))
        ),
        parameters={draw(texts): Parameter(0.5, -1.0, 2.0, draw(texts))},
        card=draw(st.dictionaries(texts, cards, max_size=3)),
    )


@given(specs())
def test_written_and_read_is_the_same(spec: ModelSpec) -> None:
    manifest = PluginManifest(1, spec.title, spec.version, ">=0.1,<0.2", (spec,))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "plugin.toml"
        path.write_bytes(manifest_text(manifest).encode())
        assert load_manifest(path) == manifest


def test_the_shipped_manifest_survives_too(tmp_path: Path) -> None:
    model = find_model("nuclei-unet")
    manifest = load_manifest(model.folder / "plugin.toml")
    path = tmp_path / "plugin.toml"
    path.write_text(manifest_text(manifest), encoding="utf-8")
    assert load_manifest(path) == manifest
