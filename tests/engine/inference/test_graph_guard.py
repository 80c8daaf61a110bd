"""ONNX files made to do harm are refused by looking at them; sound ones pass."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, external_data_helper, helper, numpy_helper
from tests.engine.models.networks import classifier, unet, written

from tilescope.inference.graph_description import describe
from tilescope.inference.graph_guard import read_model
from tilescope.inference.graph_shapes import check_shapes
from tilescope.inference.graph_tensors import GraphRefused
from tilescope.inference.onnx_runtime import load_runtime
from tilescope.plugins.registry import find_model

FLOAT = TensorProto.FLOAT


def graph_of(nodes: list, weights: list | None = None, outputs: tuple = ("out",)) -> ModelProto:
    """Return a model of one 1 x 1 x 64 x 64 input called image."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", FLOAT, [1, 1, 64, 64])],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        weights or [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def number(name: str, *values: int, dtype: type = np.int64) -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), name)


def guarded(path: Path, model: ModelProto) -> ModelProto:
    """Do what is done with a file before any of it runs."""
    graph, _ = read_model(written(path, model))
    (taken,) = describe(graph).inputs
    check_shapes(graph, {taken.name: tuple(side or 64 for side in taken.dims)})
    return graph


def refused(path: Path, model: ModelProto, match: str) -> None:
    with pytest.raises(GraphRefused, match=match):
        guarded(path / "bad.onnx", model)


# -- what passes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [unet(3, 4).model(), classifier(2).model()], ids=["map", "head"])
def test_a_sound_model_passes_byte_for_byte(tmp_path: Path, model: ModelProto) -> None:
    path = written(tmp_path / "net.onnx", model)
    graph, data = read_model(path)
    assert data == path.read_bytes()
    shapes = check_shapes(graph, {"image": (1, 3, 64, 128)})
    assert shapes["image"] == (1, 3, 64, 128)
    assert len(shapes) > len(graph.graph.node)


def test_the_shipped_model_passes(tmp_path: Path) -> None:
    graph, _ = read_model(find_model("nuclei-unet").weights_path)
    (taken,) = describe(graph).inputs
    shapes = check_shapes(graph, {taken.name: (1, 3, 2048, 2048)})
    assert shapes[describe(graph).outputs[0].name] == (1, 4, 2048, 2048)


def test_external_data_beside_the_model_is_taken_in(tmp_path: Path) -> None:
    model = unet().model()
    image = np.random.default_rng(1).random((1, 1, 32, 32), np.float32)
    expected = run(model.SerializeToString(), image)
    path = tmp_path / "net.onnx"
    external_data_helper.convert_model_to_external_data(model, location="net.bin", size_threshold=0)
    external_data_helper.write_external_data_tensors(model, str(tmp_path))
    written(path, model)
    assert (tmp_path / "net.bin").stat().st_size > 10_000
    _, data = read_model(path)
    (tmp_path / "net.bin").unlink()
    np.testing.assert_array_equal(run(data, image), expected)


def run(data: bytes, image: np.ndarray) -> np.ndarray:
    session = load_runtime().InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


def test_functions_of_the_model_are_written_out(tmp_path: Path) -> None:
    twice = helper.make_function(
        "mine",
        "Twice",
        ["x"],
        ["y"],
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [helper.make_opsetid("", 17)],
    )
    model = graph_of([helper.make_node("Twice", ["image"], ["out"], domain="mine")])
    model.functions.append(twice)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    graph = guarded(tmp_path / "net.onnx", model)
    assert [node.op_type for node in graph.graph.node] == ["Add"]


# -- what is no ONNX file ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a model" * 9,
        b"\x89PNG\r\n\x1a\n" + bytes(99),
        bytes(1000),
        b"\x0a\xff\xff\xff\x7f",
    ],
    ids=["empty", "text", "png", "zeros", "length"],
)
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(GraphRefused, match=r"export the model again|no ONNX model"):
        read_model(path)


def test_a_model_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    data = unet().model().SerializeToString()
    path = tmp_path / "cut.onnx"
    for length in range(0, len(data) - 1, len(data) // 40):
        path.write_bytes(data[:length])
        with pytest.raises(GraphRefused):
            read_model(path)


def test_a_file_over_2_gib_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    path.touch()
    os.truncate(path, (2 << 30) + 1)  # sparse: it takes no room
    with pytest.raises(GraphRefused, match="larger than 2 GiB"):
        read_model(path)


# -- constants -----------------------------------------------------------------------------------


def test_a_constant_that_claims_more_than_there_is(tmp_path: Path) -> None:
    weight = number("w", 1, dtype=np.float32)
    weight.dims[:] = [1 << 20, 1 << 20]
    refused(tmp_path, graph_of([helper.make_node("Mul", ["image", "w"], ["out"])], [weight]), "'w'")


def test_a_hidden_constant_in_a_node_is_looked_at_too(tmp_path: Path) -> None:
    weight = number("w", 1, dtype=np.float32)
    weight.dims[:] = [1 << 40]
    nodes = [
        helper.make_node("Constant", [], ["c"], value=weight),
        helper.make_node("Mul", ["image", "c"], ["out"]),
    ]
    refused(tmp_path, graph_of(nodes), "claims the shape")


@pytest.mark.parametrize("dims", [[-1], [3]], ids=["negative", "short"])
def test_listed_values_are_counted(tmp_path: Path, dims: list[int]) -> None:
    weight = TensorProto(name="w", data_type=FLOAT, dims=dims, float_data=[1.0, 2.0])
    refused(tmp_path, graph_of([helper.make_node("Mul", ["image", "w"], ["out"])], [weight]), "'w'")


def test_a_sparse_tensor_that_would_fill_memory(tmp_path: Path) -> None:
    sparse = helper.make_sparse_tensor(
        number("w", 1, dtype=np.float32), number("i", 0), [1 << 20, 1 << 20]
    )
    model = graph_of([helper.make_node("Mul", ["image", "w"], ["out"])])
    model.graph.sparse_initializer.append(sparse)
    refused(tmp_path, model, "sparse tensor 'w'")


# -- data in other files -------------------------------------------------------------------------


def external(location: str, **more: str) -> ModelProto:
    weight = TensorProto(name="w", data_type=FLOAT, dims=[4])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        weight.external_data.add(key=key, value=value)
    return graph_of([helper.make_node("Mul", ["image", "w"], ["out"])], [weight])


@pytest.mark.parametrize(
    "location",
    [
        "/etc/passwd",
        "../secret.bin",
        "sub/../../secret.bin",
        "C:\\secret.bin",
        "\\\\host\\x",
        "",
        "missing.bin",
        ".",
        "a\0b",
    ],
)
def test_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    home = tmp_path / "model"
    (home / "sub").mkdir(parents=True)
    refused(home, external(location), "no file in its own folder")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    home = tmp_path / "model"
    home.mkdir()
    (home / "data.bin").symlink_to(tmp_path / "secret.bin")
    (home / "folder").symlink_to(tmp_path, target_is_directory=True)
    refused(home, external("data.bin"), "no file in its own folder")
    refused(home, external("folder/secret.bin"), "no file in its own folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.bin")
    refused(tmp_path, external("data.bin"), "no file in its own folder")


@pytest.mark.parametrize(
    "more",
    [{"offset": "4"}, {"length": "99"}, {"offset": "-1"}, {"offset": "x"}, {"length": "8"}],
    ids=["behind", "long", "negative", "text", "short"],
)
def test_data_that_is_not_all_there_is_refused(tmp_path: Path, more: dict[str, str]) -> None:
    (tmp_path / "data.bin").write_bytes(bytes(16))
    guarded(tmp_path / "good.onnx", external("data.bin"))
    refused(tmp_path, external("data.bin", **more), "needs 16 bytes of data.bin")


# -- nodes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "op"),
    [("evil.ops", "Run"), ("com.microsoft", "EPContext"), ("ai.onnx.contrib", "PyOp")],
)
def test_code_that_is_not_ours_is_refused(tmp_path: Path, domain: str, op: str) -> None:
    node = helper.make_node(op, ["image"], ["out"], name="culprit", domain=domain)
    refused(tmp_path, graph_of([node]), f"'culprit' is {domain}:{op}")


def test_code_that_is_not_ours_inside_a_branch_is_refused(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [helper.make_node("Run", ["image"], ["o"], domain="evil.ops")],
        "inner",
        [],
        [helper.make_tensor_value_info("o", FLOAT, None)],
    )
    node = helper.make_node("If", ["yes"], ["out"], then_branch=inner, else_branch=inner)
    refused(tmp_path, graph_of([node], [number("yes", True, dtype=bool)]), "evil.ops:Run")


def test_a_cycle_is_refused_and_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["image", "b"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="second"),
        helper.make_node("Relu", ["b"], ["out"]),
    ]
    refused(tmp_path, graph_of(nodes), "'first'.*cycle")


def test_names_that_nothing_makes_or_two_make(tmp_path: Path) -> None:
    refused(tmp_path, graph_of([helper.make_node("Relu", ["ghost"], ["out"])]), "'ghost'")
    twice = [helper.make_node("Relu", ["image"], ["out"])] * 2
    refused(tmp_path, graph_of(twice), "two nodes make the tensor 'out'")


def branch(depth: int) -> helper.GraphProto:
    nodes = [helper.make_node("Relu", ["image"], ["o"])]
    if depth:
        inner = branch(depth - 1)
        nodes = [helper.make_node("If", ["yes"], ["o"], then_branch=inner, else_branch=inner)]
    return helper.make_graph(nodes, "b", [], [helper.make_tensor_value_info("o", FLOAT, None)])


def test_graphs_in_graphs_are_bounded(tmp_path: Path) -> None:
    yes = [number("yes", True, dtype=bool)]

    def nested(depth: int) -> ModelProto:
        inner = branch(depth)
        node = helper.make_node("If", ["yes"], ["out"], then_branch=inner, else_branch=inner)
        return graph_of([node], yes)

    guarded(tmp_path / "good.onnx", nested(5))
    refused(tmp_path, nested(10), "nested more than 8 deep")


def with_functions(*calls: tuple[str, list[str]]) -> ModelProto:
    """Return a model that calls ``f0``; each function calls the ones named, one after the other."""
    model = graph_of([helper.make_node("f0", ["image"], ["out"], domain="mine")])
    model.opset_import.append(helper.make_opsetid("mine", 1))
    for name, called in calls:
        nodes = [
            helper.make_node(op, [f"v{i}"], [f"v{i + 1}"], domain="" if op == "Relu" else "mine")
            for i, op in enumerate(called)
        ]
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
        model.functions.append(
            helper.make_function("mine", name, ["v0"], [f"v{len(called)}"], nodes, imports)
        )
    return model


def test_functions_that_would_fill_memory_when_written_out(tmp_path: Path) -> None:
    guarded(tmp_path / "good.onnx", with_functions(("f0", ["f1"] * 5), ("f1", ["Relu"] * 5)))
    bomb = [(f"f{i}", [f"f{i + 1}"] * 10) for i in range(12)]
    refused(tmp_path, with_functions(*bomb, ("f12", ["Relu"])), "stands for more than 100000")


@pytest.mark.parametrize("calls", [[("f0", ["f0"])], [("f0", ["f1"]), ("f1", ["f0"])]])
def test_functions_that_call_themselves(tmp_path: Path, calls: list) -> None:
    refused(tmp_path, with_functions(*calls), "calls itself")


# -- sizes ---------------------------------------------------------------------------------------

HUGE = 1 << 20


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        (
            [helper.make_node("ConstantOfShape", ["s"], ["c"])],
            [number("s", 1, 1, HUGE, HUGE)],
        ),
        ([helper.make_node("Expand", ["image", "s"], ["c"])], [number("s", HUGE, 1, 64, 64)]),
        ([helper.make_node("Tile", ["image", "s"], ["c"])], [number("s", HUGE, 1, 1, 1)]),
        (
            [helper.make_node("Resize", ["image", "", "", "s"], ["c"])],
            [number("s", 1, 1, HUGE, HUGE)],
        ),
        (
            [helper.make_node("Resize", ["image", "", "s"], ["c"])],
            [number("s", 1, 1, 9999, 9999, dtype=np.float32)],
        ),
        (
            [helper.make_node("Pad", ["image", "s"], ["c"])],
            [number("s", 0, 0, HUGE, HUGE, 0, 0, 0, 0)],
        ),
        (
            [helper.make_node("Range", ["a", "b", "d"], ["c"])],
            [
                numpy_helper.from_array(np.array(v, np.int64), n)
                for n, v in (("a", 0), ("b", 1 << 40), ("d", 1))
            ],
        ),
        (
            [
                helper.make_node("Mul", ["s", "s"], ["m"]),
                helper.make_node("ConstantOfShape", ["m"], ["c"]),
            ],
            [number("s", 1, 1, HUGE, HUGE)],
        ),
        (
            [
                helper.make_node("Shape", ["image"], ["t"]),
                helper.make_node("Mul", ["t", "s"], ["m"]),
                helper.make_node("Expand", ["image", "m"], ["c"]),
            ],
            [number("s", HUGE, 1, 1, 1)],
        ),
        (
            [
                helper.make_node("Exp", ["f"], ["e"]),
                helper.make_node("Cast", ["e"], ["m"], to=TensorProto.INT64),
                helper.make_node("ConstantOfShape", ["m"], ["c"]),
            ],
            [number("f", 27, dtype=np.float32)],
        ),
        (
            [helper.make_node("ConvTranspose", ["image", "w"], ["c"], strides=[9999, 9999])],
            [number("w", 1, dtype=np.float32)],
        ),
    ],
    ids=[
        "fill",
        "expand",
        "tile",
        "resize",
        "scale",
        "pad",
        "range",
        "product",
        "shape",
        "exp",
        "stride",
    ],
)
def test_a_bomb_by_shape_is_refused_unexploded(tmp_path: Path, nodes: list, weights: list) -> None:
    for weight in weights:
        if weight.name == "w":
            weight.dims[:] = [1, 1, 1, 1]
    last = helper.make_node("Identity", ["c"], ["out"])
    refused(tmp_path, graph_of([*nodes, last], weights), "would have the shape|constant size")


def test_a_bomb_in_a_branch_is_refused(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [helper.make_node("ConstantOfShape", ["s"], ["o"])],
        "b",
        [],
        [helper.make_tensor_value_info("o", FLOAT, None)],
        [number("s", HUGE, HUGE)],
    )
    node = helper.make_node("If", ["yes"], ["out"], then_branch=inner, else_branch=inner)
    refused(tmp_path, graph_of([node], [number("yes", True, dtype=bool)]), "shape|constant size")


def test_what_a_file_says_of_its_outputs_is_not_believed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Expand", ["image", "s"], ["c"]),
        helper.make_node("Identity", ["c"], ["out"]),
    ]
    model = graph_of(nodes, [number("s", HUGE, 1, 64, 64)])
    claims = [helper.make_tensor_value_info(name, FLOAT, [1]) for name in ("c", "out")]
    model.graph.value_info.append(claims[0])
    model.graph.output[0].CopyFrom(claims[1])
    refused(tmp_path, model, "would have the shape|constant size")
