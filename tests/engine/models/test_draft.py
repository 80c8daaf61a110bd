"""The manifest that a graph gets: from what it says, one run of it, and what is known besides."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tests.engine.models.networks import FLOAT, Net, classifier, finished, unet

from tilescope.domain.encoding import Activation, Linear, Standardise, UnitRange
from tilescope.domain.geometry import Size
from tilescope.domain.manifest import ModelSpec
from tilescope.domain.scale import AtPixelSize, Native
from tilescope.errors import ModelError
from tilescope.inference.graph_description import describe
from tilescope.jobs.adding.assumption import Assumption, Unsettled
from tilescope.jobs.adding.graph_input import NORMALISATIONS, read_input
from tilescope.jobs.adding.graph_notes import read_notes
from tilescope.jobs.adding.model_draft import Weights, draft
from tilescope.jobs.adding.model_hints import Hints, Known


def looked_at(model: ModelProto, **said: Any) -> tuple[ModelSpec, tuple[Assumption, ...]]:
    """Return the manifest of a model, and everything that was assumed."""
    description = describe(model)
    known = Known([Hints("the command line", **said), read_notes(description.notes)])
    data = model.SerializeToString()
    weights = Weights(data, hashlib.sha256(data).hexdigest())
    manifest = draft(weights, "net", description, read_input(description, known), known)
    (spec,) = manifest.models
    return spec, tuple(known.assumptions)


def drafted(model: ModelProto, **said: Any) -> tuple[ModelSpec, str]:
    """Return the manifest of a model, and the words of everything that was assumed."""
    spec, assumed = looked_at(model, **said)
    return spec, "\n".join(one.words for one in assumed)


def settling(model: ModelProto, **said: Any) -> dict[str, Any]:
    """Return by option what was assumed; what no option settles is left out."""
    _, assumed = looked_at(model, **said)
    return {one.option: one.value for one in assumed if one.option is not None}


def decoding_of(spec: ModelSpec) -> tuple[str, tuple]:
    assert spec.decoding is not None
    return spec.decoding.form, spec.decoding.steps


def graph(
    nodes: list,
    taken: list,
    outputs: list[tuple[str, int, list | None]],
    weights: list | None = None,
    kind: int = FLOAT,
    **notes: str,
) -> ModelProto:
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", kind, taken)],
        [helper.make_tensor_value_info(*output) for output in outputs],
        weights or [],
    )
    return finished(made, **notes)


def values(name: str, array: Any, dtype: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.array(array, dtype), name)


# -- maps ----------------------------------------------------------------------------------------


def test_a_heat_map_of_any_size() -> None:
    spec, assumed = drafted(unet().model())
    assert (spec.task, spec.classes) == ("semantic", ("foreground",))
    assert decoding_of(spec) == ("class-map", (Activation("sigmoid"),))
    assert spec.tile.size == Size(2048, 2048)
    assert (spec.tile.fixed, spec.tile.multiple_of) == (False, 4)
    assert spec.tile.halo_px == 13  # three convolutions above, two below, one at the bottom
    assert spec.tile.max_batch > 1
    assert spec.sampling == Native()
    assert spec.encoding is not None
    assert (spec.encoding.colour, spec.encoding.steps) == ("grey", (UnitRange(),))
    assert "a sigmoid is applied" in assumed
    assert settling(unet().model()) == {
        "classes": ("foreground",),
        "um_per_px": None,
        "normalise": "0-1",
        "colour": "grey",
        "tile_px": 2048,
        "licence": "unknown",
    }


@pytest.mark.parametrize("net", [unet(), unet(3, 3), classifier(2)], ids=["one", "map", "scores"])
def test_assumptions_speak_of_no_command_line(net: Net) -> None:
    spec, assumed = looked_at(net.model())
    assert len(assumed) >= 5
    assert not [one.words for one in assumed if "--" in one.words]
    assert spec.card["assumed"] == [one.words for one in assumed]


def test_saying_what_was_assumed_changes_nothing() -> None:
    model = unet(3, 2).model()
    taken, _ = looked_at(model)
    values = settling(model)
    steps = NORMALISATIONS[values.pop("normalise")]
    again, left = looked_at(model, steps=steps, **values)
    assert {one.option for one in left if one.option} == {"um_per_px"}
    assert dataclasses.replace(again, card=taken.card) == taken


def test_what_is_said_is_not_assumed() -> None:
    spec, assumed = drafted(
        unet(3, 3).model(),
        classes=("a", "b", "c"),
        um_per_px=0.5,
        licence="MIT",
        steps=NORMALISATIONS["imagenet"],
        tile_px=250,
        colour="rgb",
        output_steps=(Activation("softmax"),),
    )
    assert assumed == ""
    assert spec.classes == ("a", "b", "c")
    assert spec.sampling == AtPixelSize(0.5)
    assert spec.tile.size == Size(252, 252)
    assert spec.encoding is not None
    gain = spec.encoding.steps[1]
    assert isinstance(gain, Linear)
    np.testing.assert_allclose(np.array(gain.offset) / gain.gain, [-0.485, -0.456, -0.406])


@pytest.mark.parametrize(
    ("op", "classes", "steps"),
    [("Sigmoid", 1, ()), ("Softmax", 3, ()), ("LogSoftmax", 3, (Activation("exp"),))],
)
def test_a_graph_that_ends_in_probabilities(op: str, classes: int, steps: tuple) -> None:
    net = unet(3, classes)
    net.add(op, [net.last], **({} if op == "Sigmoid" else {"axis": 1}))
    net.add("Identity", [net.last])
    spec, _ = drafted(net.model())
    assert decoding_of(spec) == ("class-map", steps)


def test_a_model_of_one_size_and_batch() -> None:
    spec, assumed = drafted(unet(3, 2).model((1, 128, 192)), tile_px=256)
    assert "the only ones that the graph takes, and not 256 px as the command line says" in assumed
    assert spec.tile.size == Size(192, 128)
    assert (spec.tile.fixed, spec.tile.max_batch) == (True, 1)


def test_a_batch_that_changes_the_result_is_not_used() -> None:
    net = unet()
    mean = net.add("ReduceMean", ["image"], axes=[0, 1, 2, 3], keepdims=1)
    net.add("Add", ["t12_0", mean])
    spec, _ = drafted(net.model())
    assert spec.tile.max_batch == 1


def test_channels_last_of_8_bits() -> None:
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=FLOAT),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
        helper.make_node("Softmax", ["y"], ["out"], axis=-1),
    ]
    model = graph(
        nodes,
        ["n", None, None, 3],
        [("out", FLOAT, None)],
        [values("w", np.eye(3))],
        kind=TensorProto.UINT8,
    )
    spec, assumed = drafted(model)
    assert (spec.inputs[0].layout, spec.inputs[0].dtype) == ("NHWC", "uint8")
    assert (spec.outputs[0].layout, spec.outputs[0].stride) == ("NHWC", 1)
    assert spec.classes == ("class 0", "class 1", "class 2")
    assert spec.tile.multiple_of == 1
    assert spec.outputs[0].channels == ("plane 0", "plane 1", "plane 2")
    assert "go through" not in assumed


def test_half_precision() -> None:
    nodes = [helper.make_node("Sigmoid", ["image"], ["out"])]
    model = graph(
        nodes, ["n", 1, "h", "w"], [("out", TensorProto.FLOAT16, None)], kind=TensorProto.FLOAT16
    )
    spec, _ = drafted(model)
    assert (spec.inputs[0].dtype, spec.outputs[0].dtype) == ("float16", "float16")


def test_an_output_of_a_quarter_of_the_size() -> None:
    net = Net(3)
    net.conv(4)
    net.pool()
    net.pool()
    net.conv(2, k=1, relu=False)
    spec, assumed = drafted(net.model())
    assert (spec.outputs[0].stride, spec.tile.multiple_of) == (4, 4)
    assert "stands for 4 x 4 pixels" in assumed


def test_class_numbers_need_names() -> None:
    net = unet(1, 3)
    net.add("ArgMax", [net.last], axis=1, keepdims=0)
    model = net.model(outputs=[(net.last, TensorProto.INT64, None)])
    with pytest.raises(ModelError, match="numbers of classes, and nothing says which") as caught:
        drafted(model)
    assert isinstance(caught.value, Unsettled)
    assert caught.value.options == ("classes",)
    spec, _ = drafted(model, classes=("a", "b", "c"))
    assert settling(model, classes=("a", "b", "c"))["first_label"] == 0
    assert (spec.task, spec.decoding and spec.decoding.form) == ("semantic", "label-map")
    assert spec.outputs[0].layout == "NHW"


def test_the_finest_of_several_maps_is_used() -> None:
    net = unet(3, 2)
    fine = net.last
    coarse = net.pool()
    spec, assumed = drafted(net.model(outputs=[(coarse, FLOAT, None), (fine, FLOAT, None)]))
    assert spec.decoding is not None
    assert spec.decoding.outputs == (fine,)
    assert {tensor.name for tensor in spec.outputs} == {fine, coarse}
    assert f"the output {fine} is used; {coarse} is not" in assumed


# -- scores --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "kind"), [(1, "sigmoid"), (4, "softmax")])
def test_a_classifier(count: int, kind: Any) -> None:
    spec, _ = drafted(classifier(count).model(("n", 64, 64)))
    assert spec.task == "classification"
    assert decoding_of(spec) == ("tile-scores", (Activation(kind),))
    assert (spec.tile.halo_px, spec.tile.fixed, spec.tile.size) == (0, True, Size(64, 64))


def test_a_classifier_of_any_size_is_used_at_one() -> None:
    spec, _ = drafted(classifier(2).model(), tile_px=96)
    assert (spec.tile.size, spec.tile.fixed) == (Size(96, 96), True)


# -- boxes ---------------------------------------------------------------------------------------


def constant_output(array: np.ndarray, **notes: str) -> ModelProto:
    """Return a detector that finds the same in every picture."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["m"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["m", "zero"], ["z"]),
        helper.make_node("Add", ["rows", "z"], ["out"]),
    ]
    weights = [values("zero", 0.0), values("rows", array)]
    return graph(nodes, [1, 3, 160, 160], [("out", FLOAT, None)], weights, **notes)


@pytest.mark.parametrize(
    ("shape", "said", "form", "classes"),
    [
        ((1, 6, 84), {}, "yolo-classes", 2),
        ((1, 84, 8), {}, "yolo-objectness", 3),
        ((1, 3000, 6), {}, "yolo-objectness", 1),
        ((1, 300, 6), {"classes": ("a", "b", "c")}, "final-boxes", 3),
        ((1, 300, 6), {"boxes": "yolo-objectness"}, "yolo-objectness", 1),
        ((1, 84, 6), {"classes": ("a", "b")}, "yolo-classes", 2),
    ],
)
def test_rows_of_boxes(shape: tuple, said: dict, form: str, classes: int) -> None:
    spec, assumed = drafted(constant_output(np.full(shape, 0.5)), **said)
    assert (spec.task, decoding_of(spec)[0], len(spec.classes)) == ("detect", form, classes)
    assert set(spec.parameters) == ({"score"} if form == "final-boxes" else {"score", "overlap"})
    assert spec.tile.decode_margin_px == 16
    assert "at most 32 px across" in assumed
    settled = settling(constant_output(np.full(shape, 0.5)), **said)
    assert settled.get("boxes") == (None if "boxes" in said else form)


def test_rows_of_logits_and_the_notes_of_the_exporter() -> None:
    model = constant_output(
        np.full((1, 6, 84), -7.0), names="{0: 'cell', 1: 'mitosis'}", task="detect", mpp="0.25"
    )
    spec, _ = drafted(model)
    assert decoding_of(spec) == ("yolo-classes", (Activation("sigmoid"),))
    assert spec.classes == ("cell", "mitosis")
    assert spec.sampling == AtPixelSize(0.25)


def test_three_lists_in_any_order() -> None:
    nodes = [
        helper.make_node("Shape", ["image"], ["s"]),
        helper.make_node("Slice", ["s", "one", "two"], ["labels"]),
        helper.make_node("ReduceMean", ["image"], ["scores"], axes=[1, 2], keepdims=0),
        helper.make_node("Slice", ["image", "one", "two"], ["c"]),
        helper.make_node("ReduceMean", ["image"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["m", "two1"], ["u"]),
        helper.make_node("Expand", ["u", "four"], ["boxes"]),
    ]
    nodes = [n for n in nodes if n.output[0] != "c"]
    nodes[1] = helper.make_node("Cast", ["s"], ["labels"], to=TensorProto.INT64)
    weights = [values("two1", [1], np.int64), values("four", [3, 4], np.int64)]
    outputs = [
        ("labels", TensorProto.INT64, [None]),
        ("boxes", FLOAT, [None, 4]),
        ("scores", FLOAT, [None]),
    ]
    spec, assumed = drafted(graph(nodes, [3, 64, 64], outputs, weights), classes=("a", "b"))
    assert spec.inputs[0].layout == "CHW"
    assert spec.decoding is not None
    assert spec.decoding.form == "box-lists"
    assert spec.decoding.outputs == ("boxes", "scores", "labels")
    assert spec.decoding.first_label == 1
    assert [tensor.layout for tensor in spec.outputs] == ["A", "AC", "A"]
    assert "labels are taken to begin at 1" in assumed


# -- what cannot be used -------------------------------------------------------------------------


def test_names_that_do_not_fit() -> None:
    with pytest.raises(ModelError, match=r"the command line names 3 classes .* gives 2"):
        drafted(unet(3, 2).model(), classes=("a", "b", "c"))


def test_a_network_that_loses_its_border() -> None:
    net = Net(1)
    net.add("Conv", ["image", net.constant(np.ones((1, 1, 5, 5), np.float32))])
    spec, assumed = drafted(net.model())
    assert (spec.task, spec.tile.halo_px) == ("semantic", 2)
    assert "lacks 2 pixels on each side" in assumed


def test_a_network_whose_output_is_neither_here_nor_there() -> None:
    net = Net(1)
    weight = net.constant(np.ones((1, 1, 5, 5), np.float32))
    net.add("Conv", ["image", weight], strides=[3, 3])
    with pytest.raises(ModelError, match="no class map, boxes or scores that is known"):
        drafted(net.model())


def test_weights_that_give_nan() -> None:
    net = Net(1)
    net.add("Log", [net.constant(np.array([-1], np.float32))])
    net.add("Add", ["image", net.last])
    with pytest.raises(ModelError, match="NaN for a tile of noise"):
        drafted(net.model())


@pytest.mark.parametrize(
    ("taken", "kind", "reason"),
    [
        ([1, 1, 8, 64, 64], FLOAT, "has 5 axes"),
        ([4, 3, 64, 64], FLOAT, "takes 4 pictures at once"),
        ([1, 3, 64, 64], TensorProto.INT64, "its input is int64"),
        ([1, 3, 9000, 9000], FLOAT, "9000 x 9000 px only"),
    ],
    ids=["volume", "batch", "type", "size"],
)
def test_inputs_that_are_no_picture(taken: list, kind: int, reason: str) -> None:
    model = graph(
        [helper.make_node("Relu", ["image"], ["out"])], taken, [("out", kind, None)], kind=kind
    )
    with pytest.raises(ModelError, match=reason):
        drafted(model)


def test_two_inputs() -> None:
    model = unet().model()
    model.graph.input.append(helper.make_tensor_value_info("clicks", FLOAT, [1, 1, 64, 64]))
    with pytest.raises(ModelError, match=r"2 inputs \(image, clicks\)"):
        drafted(model)


def test_normalising_inside_the_slide_is_said() -> None:
    _, assumed = drafted(unet().model(), steps=(Standardise(),))
    assert "those of the slide as a whole" in assumed
