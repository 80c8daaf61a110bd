"""Sessions: what they refuse, how they stop, and that they tell nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tilescope.errors import Cancelled, GraphMismatch, InferenceFailed, UsageError
from tilescope.inference.session import OnnxSession
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.toy import blur_graph, toy_model


def heavy_graph(layers: int = 60, channels: int = 32) -> bytes:
    """Return a graph that takes seconds for 512 x 512 pixels."""
    weight = numpy_helper.from_array(
        np.full((channels, channels, 3, 3), 1e-3, np.float32), "weight"
    )
    nodes = [
        helper.make_node("Conv", [f"t{i}", "weight"], [f"t{i + 1}"], pads=[1] * 4)
        for i in range(layers)
    ]
    sides: list[str | int] = ["n", channels, "h", "w"]
    graph = helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info("t0", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info(f"t{layers}", TensorProto.FLOAT, sides)],
        [weight],
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def test_a_run_gives_the_outputs_by_name() -> None:
    with OnnxSession(blur_graph(), threads=1) as session:
        outputs = session.run({"image": np.ones((1, 1, 9, 9), np.float32)}, CancellationToken())
    assert outputs["blurred"][0, 0, 4, 4] == pytest.approx(1.0)
    assert outputs["blurred"][0, 0, 0, 0] == pytest.approx(9 / 25)


def test_wrong_inputs_are_an_inference_failure() -> None:
    with OnnxSession(blur_graph(), threads=1) as session, pytest.raises(InferenceFailed):
        session.run({"image": np.ones((1, 3, 9, 9), np.float32)}, CancellationToken())


def test_a_long_inference_stops_when_cancelled() -> None:
    token = CancellationToken()
    with OnnxSession(heavy_graph(), threads=1) as session:
        timer = threading.Timer(0.3, token.cancel)
        timer.start()
        with pytest.raises(Cancelled):
            session.run({"t0": np.ones((1, 32, 512, 512), np.float32)}, token)
        timer.join()


def test_garbage_is_refused() -> None:
    with pytest.raises(GraphMismatch, match="refuses"):
        OnnxSession(b"not an onnx file", threads=1)


def test_a_provider_that_is_not_there_is_an_error_not_a_fallback() -> None:
    with pytest.raises(UsageError, match="not available"):
        OnnxSession(blur_graph(), threads=1, provider="cuda")
    with pytest.raises(UsageError, match="not one of"):
        OnnxSession(blur_graph(), threads=1, provider="abacus")


def test_another_tensor_name_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    spec = toy_model(tmp_path).spec
    with (
        OnnxSession(heavy_graph(1), threads=1) as session,
        pytest.raises(GraphMismatch, match="image"),
    ):
        session.check(spec)


def test_nothing_is_written_or_opened_for_telemetry(tmp_path: Path) -> None:
    program = (
        "import os, numpy as np\n"
        "from tilescope.inference.session import OnnxSession\n"
        "from tilescope.runtime.cancel import CancellationToken\n"
        "from tilescope.testing.toy import blur_graph\n"
        "session = OnnxSession(blur_graph(), threads=1)\n"
        "session.run({'image': np.ones((1, 1, 9, 9), np.float32)}, CancellationToken())\n"
    )
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment = {k: v for k, v in os.environ.items() if "TELEMETRY" not in k and k != "CI"}
    subprocess.run([sys.executable, "-c", program], env={**environment, **home}, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
