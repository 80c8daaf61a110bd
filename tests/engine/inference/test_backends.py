"""Backends: the same numbers from each, a refusal by name, a stop in the middle, nothing told."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tilescope.errors import Cancelled, GraphMismatch, InferenceFailed, UsageError
from tilescope.inference.backends import PROVIDERS, open_session, provider_states
from tilescope.inference.session import Session
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.toy import blur_graph, toy_model

# importing openvino to see whether it is there would let it tell its vendor
if not provider_states()["openvino"].is_usable:
    pytest.skip("the openvino extra is not installed", allow_module_level=True)

BOTH = pytest.mark.parametrize("provider", ["cpu", "openvino"])


def convolutions(layers: int, channels: int) -> bytes:
    """Return a graph of random 3 x 3 convolutions that keep the size."""
    rng = np.random.default_rng(3)
    scale = (9 * channels) ** -0.5
    weights = [
        numpy_helper.from_array(
            rng.normal(0, scale, (channels, channels, 3, 3)).astype(np.float32), f"w{i}"
        )
        for i in range(layers)
    ]
    nodes = [
        helper.make_node("Conv", [f"t{i}", f"w{i}"], [f"t{i + 1}"], pads=[1] * 4)
        for i in range(layers)
    ]
    sides: list[str | int] = ["n", channels, "h", "w"]
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("t0", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info(f"t{layers}", TensorProto.FLOAT, sides)],
        weights,
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


@pytest.fixture(scope="module")
def small() -> bytes:
    return convolutions(4, 8)


@pytest.fixture
def noise(rng: np.random.Generator) -> Callable[..., dict[str, np.ndarray]]:
    def made(*shape: int) -> dict[str, np.ndarray]:
        return {"t0": rng.normal(size=shape).astype(np.float32)}

    return made


def test_every_backend_gives_the_same_numbers_at_every_size(small: bytes, noise: Callable) -> None:
    with (
        open_session(small, threads=1) as cpu,
        open_session(small, threads=2, provider="openvino") as openvino,
    ):
        for shape in ((1, 8, 33, 47), (2, 8, 16, 16), (1, 8, 33, 47)):
            inputs = noise(*shape)
            expected = cpu.run(inputs, CancellationToken())
            actual = openvino.run(inputs, CancellationToken())
            np.testing.assert_allclose(actual["t4"], expected["t4"], atol=1e-5)


@BOTH
def test_outputs_stay_as_they_are_when_the_next_tile_runs(
    provider: str, small: bytes, noise: Callable
) -> None:
    with open_session(small, threads=1, provider=provider) as session:
        first = session.run(noise(1, 8, 20, 20), CancellationToken())["t4"]
        before = first.copy()
        session.run(noise(1, 8, 20, 20), CancellationToken())
    np.testing.assert_array_equal(first, before)


def test_an_array_of_any_memory_order_is_taken(small: bytes, noise: Callable) -> None:
    inputs = noise(1, 8, 20, 24)
    turned = {"t0": np.asfortranarray(inputs["t0"])}
    with open_session(small, threads=1, provider="openvino") as session:
        expected = session.run(inputs, CancellationToken())
        actual = session.run(turned, CancellationToken())
    np.testing.assert_array_equal(actual["t4"], expected["t4"])


@BOTH
@pytest.mark.parametrize("shape", [(1, 3, 9, 9), (8, 9, 9), (1, 8, 9, 9, 1)])
def test_inputs_that_do_not_fit_are_refused(
    provider: str, shape: tuple[int, ...], small: bytes, noise: Callable
) -> None:
    with (
        open_session(small, threads=1, provider=provider) as session,
        pytest.raises(InferenceFailed),
    ):
        session.run(noise(*shape), CancellationToken())


@BOTH
def test_an_input_of_another_type_or_name_is_refused(provider: str, small: bytes) -> None:
    with open_session(small, threads=1, provider=provider) as session:
        for wrong in (
            {"t0": np.zeros((1, 8, 9, 9), np.float64)},
            {"elsewhere": np.zeros((1, 8, 9, 9), np.float32)},
        ):
            with pytest.raises(InferenceFailed):
                session.run(wrong, CancellationToken())


@BOTH
def test_a_long_inference_stops_soon_and_the_session_goes_on(provider: str) -> None:
    large = {"t0": np.ones((1, 32, 256, 256), np.float32)}
    few = {"t0": np.ones((1, 32, 8, 8), np.float32)}
    with open_session(convolutions(60, 32), threads=1, provider=provider) as session:
        expected = session.run(few, CancellationToken())
        started = time.perf_counter()
        session.run(large, CancellationToken())
        whole = time.perf_counter() - started
        token = CancellationToken()
        timer = threading.Timer(0.1 * whole, token.cancel)
        timer.start()
        started = time.perf_counter()
        with pytest.raises(Cancelled):
            session.run(large, token)
        assert time.perf_counter() - started < 0.6 * whole
        timer.join()
        # stopped half-way, it must not remember the shapes of the other tile
        again = session.run(few, CancellationToken())
    np.testing.assert_array_equal(again["t60"], expected["t60"])


@BOTH
def test_a_token_that_is_set_runs_nothing(provider: str, small: bytes, noise: Callable) -> None:
    token = CancellationToken()
    token.cancel()
    with open_session(small, threads=1, provider=provider) as session, pytest.raises(Cancelled):
        session.run(noise(1, 8, 9, 9), token)


@BOTH
def test_a_file_that_is_no_graph_is_refused(provider: str) -> None:
    with pytest.raises(GraphMismatch, match="refuses the graph"):
        open_session(b"not an onnx file", threads=1, provider=provider)


@BOTH
def test_a_graph_that_the_manifest_does_not_describe_is_refused(
    provider: str, small: bytes, tmp_path: Path
) -> None:
    spec = toy_model(tmp_path).spec
    with (
        open_session(small, threads=1, provider=provider) as session,
        pytest.raises(GraphMismatch, match="image"),
    ):
        session.check(spec)
    with open_session(blur_graph(), threads=1, provider=provider) as session:
        session.check(spec)


def test_what_is_not_there_is_refused_with_the_remedy(small: bytes) -> None:
    states = provider_states()
    assert tuple(states) == PROVIDERS
    for provider, state in states.items():
        if not state.is_usable:
            with pytest.raises(UsageError, match=r"install|macOS"):
                open_session(small, threads=1, provider=provider)
    with pytest.raises(UsageError, match="not one of auto, cpu"):
        open_session(small, threads=1, provider="abacus")
    with pytest.raises(UsageError, match="'bf16' is not available"):
        open_session(small, threads=1, provider="cpu", precision="bf16")


def test_sessions_say_what_they_are(small: bytes) -> None:
    for provider in ("cpu", "openvino"):
        session: Session
        with open_session(small, threads=1, provider=provider) as session:
            assert (session.provider, session.precision) == (provider, "fp32")
            assert (session.input_names, session.output_names) == (("t0",), ("t4",))


def test_without_openvino_the_error_names_the_extra(small: bytes) -> None:
    program = (
        "import sys; sys.modules['openvino'] = None\n"
        "from tilescope.errors import UsageError\n"
        "from tilescope.inference.openvino_session import load_openvino\n"
        "try: load_openvino()\n"
        "except UsageError as exc: print(exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install 'tilescope[openvino]'" in done.stdout


def test_openvino_tells_nobody_and_writes_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, socket, numpy as np\n"
        "def refuse(*_): raise SystemExit('connected')\n"
        "socket.socket.connect = refuse\n"
        "from tilescope.inference.backends import open_session\n"
        "from tilescope.runtime.cancel import CancellationToken\n"
        "from tilescope.testing.toy import blur_graph\n"
        "session = open_session(blur_graph(), threads=1, provider='openvino')\n"
        "session.run({'image': np.ones((1, 1, 9, 9), np.float32)}, CancellationToken())\n"
        "assert sys.modules['openvino_telemetry'] is None\n"
    )
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment = {k: v for k, v in os.environ.items() if "TELEMETRY" not in k and k != "CI"}
    subprocess.run([sys.executable, "-c", program], env={**environment, **home}, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
