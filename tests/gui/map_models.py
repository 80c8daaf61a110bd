"""Models that give maps, added to the user's store for real: they judge how bright a place is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tilescope.jobs.add_model import AddOptions, add_model
from tilescope.plugins.model_store import FOLDER_VARIABLE

CLASSES = ("dark", "middle", "bright")
_TYPICAL = (0.35, 0.65, 0.92)
_SHARPNESS = 60.0
_BLUR_PX = 9


def brightness_graph(typical: Sequence[float]) -> bytes:
    """Return a network: the nearer the mean of 9 x 9 pixels is to a brightness, the likelier."""
    blur = np.full((1, 3, _BLUR_PX, _BLUR_PX), 1 / (3 * _BLUR_PX**2), np.float32)
    at = np.array(typical, np.float32)
    constants = {
        "blur": blur,
        "slope": (2 * _SHARPNESS * at).reshape(-1, 1, 1, 1),
        "start": -_SHARPNESS * at**2,
    }
    pads = [_BLUR_PX // 2] * 4
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "blur"], ["grey"], pads=pads, name="blur"),
            helper.make_node("Conv", ["grey", "slope", "start"], ["judged"], name="judge"),
            helper.make_node("Softmax", ["judged"], ["classes"], axis=1, name="share"),
        ],
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("classes", TensorProto.FLOAT, ["n", len(at), "h", "w"])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def filled_store(folder: Path) -> Path:
    """Return a store of models with ``brightness``, which has three classes."""
    file = folder / "brightness.onnx"
    file.write_bytes(brightness_graph(_TYPICAL))
    store = folder / "models"
    options = AddOptions(
        id="brightness",
        task="semantic",
        classes=CLASSES,
        normalise="0-1",
        tile_px=64,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(store))
        added = add_model(file, options, 2 << 30)
    assert added.folder is not None, added.checks
    return store
