"""Memory and time of a network run at once and patch by patch, each in a process of its own.

The network is an encoder like MobileNetV2 (inverted residuals, width 1, ReLU6, stride 32) with a
dense head; its weights are random, memory does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

#: Expansion, channels, repeats, stride (Sandler et al., CVPR 2018, table 2).
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run took; ``peak_bytes`` counts from before the input was made."""

    patches: tuple[int, int]
    peak_bytes: int
    model_peak_bytes: int
    extra_work: float
    seconds: float
    checksum: float


def mobile_net(seed: int = 0, classes: int = 2) -> bytes:
    """Return an ONNX model: a map of logits with a quarter of the rows and columns of its input."""
    from onnx import TensorProto, helper, numpy_helper

    rng, nodes, weights = np.random.default_rng(seed), [], []
    limits = [numpy_helper.from_array(np.float32(n), f"limit{n}") for n in (0, 6)]

    def conv(source: str, ins: int, out: int, k: int, stride: int = 1, groups: int = 1) -> str:
        name = f"c{len(nodes)}"
        scale = np.sqrt(2 * groups / (ins * k * k))
        values = rng.standard_normal((out, ins // groups, k, k)).astype(np.float32) * scale
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"{name}_w"))
        sides = {"strides": [stride] * 2, "pads": [k // 2] * 4, "kernel_shape": [k, k]}
        nodes.append(helper.make_node("Conv", [source, f"{name}_w"], [name], group=groups, **sides))
        return name

    def clipped(source: str) -> str:
        nodes.append(helper.make_node("Clip", [source, "limit0", "limit6"], [f"{source}_r"]))
        return f"{source}_r"

    last, channels = clipped(conv("image", 3, 32, 3, 2)), 32
    for expansion, out, repeats, stride in BLOCKS:
        for i in range(repeats):
            step = stride if i == 0 else 1
            source, wide = last, channels * expansion
            if expansion > 1:
                last = clipped(conv(last, channels, wide, 1))
            last = clipped(conv(last, wide, wide, 3, step, wide))
            last = conv(last, wide, out, 1)
            if step == 1 and channels == out:
                nodes.append(helper.make_node("Add", [source, last], [f"{last}_a"]))
                last = f"{last}_a"
            channels = out
    last = conv(clipped(conv(last, channels, 128, 3)), 128, classes, 1)
    weights.append(numpy_helper.from_array(np.array([1, 1, 8, 8], np.float32), "scales"))
    nodes.append(helper.make_node("Resize", [last, "", "scales"], ["logits"], mode="linear"))
    graph = helper.make_graph(
        nodes,
        "mobile",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [*weights, *limits],
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def measure(side: int, budget_bytes: int | None, threads: int = 1) -> Measured:
    """Return what one image of ``side`` pixels takes, within a budget or, for None, at once."""
    command = [sys.executable, __file__, str(side), str(budget_bytes or 0), str(threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    values = json.loads(done.stdout.splitlines()[-1])
    return Measured(**{**values, "patches": tuple(values["patches"])})


def _run_here(side: int, budget_bytes: int, threads: int) -> Measured:
    from tilescope.inference.session import OnnxSession, Session
    from tilescope.inference.staged import plan_stages, staged_session
    from tilescope.runtime import memory
    from tilescope.runtime.cancel import CancellationToken

    memory.return_memory_eagerly()
    model = mobile_net()
    schedule = plan_stages(model, (side, side), budget_bytes or sys.maxsize)

    def opened(weights: bytes) -> Session:
        return OnnxSession(weights, threads=threads, provider="cpu-lean")

    with staged_session(model, schedule, opened) as session:
        # Code and threads of the runtime are there from the first run on; they are no tensors.
        session.run({"image": np.zeros((1, 3, 256, 256), np.float32)}, CancellationToken())
        memory.trim()
        before = _reset_peak()
        image = np.random.default_rng(1).random((1, 3, side, side), np.float32)
        started = time.perf_counter()
        outputs = session.run({"image": image}, CancellationToken())
        seconds = time.perf_counter() - started
        peak = memory.peak_rss_bytes() - before
    (logits,) = outputs.values()
    return Measured(
        schedule.patches,
        peak,
        schedule.peak_bytes,
        schedule.extra_work,
        round(seconds, 3),
        float(np.abs(logits).sum(dtype=np.float64)),
    )


def _reset_peak() -> int:
    """Return resident bytes now, from which on the peak is counted anew where Linux allows it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found.group(1)) * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("side", "budget_bytes", "threads"):
        parser.add_argument(name, type=int)
    print(json.dumps(asdict(_run_here(**vars(parser.parse_args())))))
