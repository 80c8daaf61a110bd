"""The author's own test of a model: reproduced, not reproduced, or made to do harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.engine.models.networks import unet
from tests.engine.models.test_draft import drafted

from tilescope.domain.encoding import Activation, Standardise, Stretch
from tilescope.domain.manifest import GoldenRef
from tilescope.inference.session import OnnxSession
from tilescope.jobs.adding.conformance import Check
from tilescope.jobs.adding.package_test import run_package_test


def tried(
    folder: Path, given: np.ndarray, expected: np.ndarray | bytes, step: object
) -> tuple[Check, GoldenRef | None]:
    model = unet(1, 2).model()
    spec, _ = drafted(model, steps=(step,), output_steps=(Activation("softmax"),))
    np.save(folder / "in.npy", given)
    if isinstance(expected, bytes):
        (folder / "out.npy").write_bytes(expected)
    else:
        np.save(folder / "out.npy", expected)
    with OnnxSession(model.SerializeToString(), threads=1, provider="cpu") as session:
        return run_package_test(spec, session, (folder / "in.npy", folder / "out.npy"), folder)


def output(image: np.ndarray) -> np.ndarray:
    with OnnxSession(unet(1, 2).model().SerializeToString(), threads=1, provider="cpu") as session:
        from tilescope.runtime.cancel import CancellationToken

        (logits,) = session.run({"image": image.astype(np.float32)}, CancellationToken()).values()
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture
def given(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 5000, (1, 1, 64, 96)).astype(np.uint16)


def test_percentiles_of_the_test_input(tmp_path: Path, given: np.ndarray) -> None:
    low, high = np.percentile(given, [1, 99])
    expected = output((given - low) / (high - low))
    check, golden = tried(tmp_path, given, expected, Stretch(1.0, 99.0))
    assert check.verdict == "ok", check.words
    assert golden is not None
    with np.load(tmp_path / golden.inputs) as stored:
        np.testing.assert_allclose(stored["image"], (given - low) / (high - low), atol=1e-4)


def test_another_normalisation_is_found_out(tmp_path: Path, given: np.ndarray) -> None:
    expected = output((given - given.mean()) / given.std())
    assert tried(tmp_path, given, expected, Standardise())[0].verdict == "ok"
    check, golden = tried(tmp_path, given, expected, Stretch(0.0, 100.0))
    assert (check.verdict, golden) == ("warning", None)
    assert "is not reproduced" in check.words
    assert check.option == "normalise"
    assert "--" not in check.words


@pytest.mark.parametrize(
    "expected",
    [
        b"",
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, "
        b"'shape': (99999999999,), }".ljust(127)
        + b"\n",
        np.array([{"a": 1}], object),
        np.zeros((1, 1, 8, 8), np.float32),
        np.full((1, 2, 64, 96), np.nan, np.float32),
    ],
    ids=["empty", "bomb", "pickle", "small", "nan"],
)
def test_files_that_are_no_test(
    tmp_path: Path, given: np.ndarray, expected: np.ndarray | bytes
) -> None:
    check, golden = tried(tmp_path, given, expected, Standardise())
    assert (check.verdict, golden) == ("warning", None)
