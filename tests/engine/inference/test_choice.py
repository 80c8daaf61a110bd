"""Which backend runs: measured, remembered, and said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tilescope.errors import Cancelled, UsageError
from tilescope.inference.backends import ProviderState, provider_states
from tilescope.inference.choice import contenders, fastest
from tilescope.inference.measurements import Measurement, MeasurementStore
from tilescope.inference.measuring import measure, relative_difference
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.toy import blur_graph


def found(provider: str, seconds: float = 1.0, **changed: object) -> Measurement:
    values = {"load_bytes": 10, "bytes_per_px": 5.0, "difference": 0.0, **changed}
    return Measurement(provider, 64, seconds, **values)  # type: ignore[arg-type]


def states(**usable: bool) -> dict[str, ProviderState]:
    return {name: ProviderState(name, on, "because") for name, on in usable.items()}


NAMES = ("cpu", "openvino", "cuda")


def test_auto_may_take_all_that_can_be_used_the_reference_first() -> None:
    known = states(openvino=True, cpu=True, cuda=False)
    assert contenders("auto", known) == ("cpu", "openvino")
    assert contenders("openvino", known) == ("openvino",)
    with pytest.raises(UsageError, match="'cuda' is not available: because"):
        contenders("cuda", known)
    with pytest.raises(UsageError, match="not one of"):
        contenders("abacus", known)


def test_the_quickest_that_agrees_and_fits_is_taken_and_the_others_are_named() -> None:
    measured = {
        "cpu": found("cpu", 4.0),
        "openvino": found("openvino", 2.0),
        "cuda": found("cuda", 1.0, difference=0.5),
    }
    choice = fastest(NAMES, measured, lambda _: True)
    assert choice.provider == "openvino"
    assert choice.measurement is measured["openvino"]
    assert "2.00 times as fast as cpu" in choice.why
    assert "cuda differs from cpu by 0.5" in choice.why


def test_a_backend_that_needs_too_much_memory_loses() -> None:
    measured = {"cpu": found("cpu", 4.0), "openvino": found("openvino", 2.0)}
    choice = fastest(NAMES[:2], measured, lambda one: one.provider == "cpu")
    assert choice.provider == "cpu"
    assert "openvino does not fit under the memory cap" in choice.why
    measured["openvino"] = found("openvino", 2.0, load_bytes=11)
    nothing_fits = fastest(NAMES[:2], measured, lambda _: False)
    assert nothing_fits.provider == "cpu"
    assert "takes the least memory" in nothing_fits.why


def test_what_could_not_be_measured_is_not_taken() -> None:
    broken = found("openvino", math.inf, problem="could not be measured: driver")
    choice = fastest(NAMES, {"cpu": found("cpu"), "openvino": broken}, lambda _: True)
    assert choice.provider == "cpu"
    assert "openvino could not be measured: driver" in choice.why
    assert "cuda was not measured" in choice.why


def test_measuring_runs_the_backends_for_real(rng: np.random.Generator) -> None:
    if not provider_states()["openvino"].is_usable:
        pytest.skip("the openvino extra is not installed")
    samples = [{"image": rng.random((1, 1, n, n), np.float32)} for n in (64, 512)]
    measured = measure(blur_graph(), samples, ["openvino"], CancellationToken(), threads=1)
    assert set(measured) == {"cpu", "openvino"}
    for one in measured.values():
        assert not one.problem
        assert 0 < one.seconds < 60
        assert one.difference <= 1e-5
        # at least the output itself, 4 bytes a pixel
        assert 4 <= one.bytes_per_px < 400
    assert measured["openvino"].load_bytes > 1 << 20


def test_a_backend_that_is_not_there_is_a_finding_not_a_failure(rng: np.random.Generator) -> None:
    absent = next(name for name, state in provider_states().items() if not state.is_usable)
    sample = {"image": rng.random((1, 1, 16, 16), np.float32)}
    measured = measure(blur_graph(), [sample], [absent], CancellationToken(), threads=1)
    assert not measured["cpu"].problem
    assert "not available" in measured[absent].problem


def test_measuring_can_be_cancelled() -> None:
    token = CancellationToken()
    token.cancel()
    sample = {"image": np.zeros((1, 1, 16, 16), np.float32)}
    with pytest.raises(Cancelled):
        measure(blur_graph(), [sample], [], token, threads=1)


def test_differences_are_relative_to_the_largest_value() -> None:
    ones, hundred = np.ones((2, 2), np.float32), np.full((2, 2), 100, np.float32)
    assert relative_difference({"a": ones}, {"a": ones + 0.25}) == pytest.approx(0.25)
    assert relative_difference({"a": hundred}, {"a": hundred + 0.25}) == pytest.approx(0.0025)
    assert relative_difference({"a": ones}, {"b": ones}) == math.inf
    assert relative_difference({"a": ones}, {"a": ones[:1]}) == math.inf
    assert relative_difference({"a": ones}, {"a": ones * np.nan}) == math.inf
    assert relative_difference({"a": ones * np.nan}, {"a": ones * np.nan}) == 0


@pytest.fixture
def store(tmp_path: Path) -> MeasurementStore:
    return MeasurementStore("ab" * 32, 2, "fp32", tmp_path / "measurements")


def test_measurements_are_remembered_for_these_weights_and_threads(
    store: MeasurementStore, tmp_path: Path
) -> None:
    assert dict(store.load().measurements) == {}
    written = {"cpu": found("cpu"), "openvino": found("openvino", math.inf, problem="no")}
    assert store.save(written) == ""
    assert dict(store.load().measurements) == written
    for other in (("cd" * 32, 2, "fp32"), ("ab" * 32, 1, "fp32"), ("ab" * 32, 2, "int8")):
        assert not MeasurementStore(*other, store.folder).load().measurements
    assert [path.suffix for path in store.folder.iterdir()] == [".json"]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "deep": lambda _: b"[" * 60_000,
    "long": lambda _: b" " * 100_000,
    "binary": lambda _: b"\xff\xfe\x00",
    "format": lambda data: data.replace(b'"format": 2', b'"format": 1'),
    "weights": lambda data: data.replace(b"abab", b"cdcd"),
    "negative": lambda data: data.replace(b'"seconds": 1.0', b'"seconds": -1.0'),
    "text": lambda data: data.replace(b'"seconds": 1.0', b'"seconds": "soon"'),
    "nan": lambda data: data.replace(b'"seconds": 1.0', b'"seconds": NaN'),
    "key": lambda data: data.replace(b'"seconds"', b'"minutes"'),
    "provider": lambda data: data.replace(b'"provider": "cpu"', b'"provider": ["cpu"]'),
    "problem": lambda data: data.replace(b'"problem": ""', b'"problem": {}'),
    "batches": lambda data: data.replace(b'"batches": []', b'"batches": [3]'),
    "batch": lambda data: data.replace(
        b'"batches": []',
        b'"batches": [{"tiles": 1, "seconds_per_tile": 1.0, "bytes_per_px": 1.0}]',
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_is_not_ours_is_ignored_with_a_line(
    store: MeasurementStore, damage: str
) -> None:
    store.save({"cpu": found("cpu")})
    before = store.path.read_bytes()
    store.path.write_bytes(DAMAGE[damage](before))
    assert store.path.read_bytes() != before
    remembered = store.load()
    assert dict(remembered.measurements) == {}
    assert str(store.path) in remembered.complaint


def test_a_cache_that_cannot_be_written_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = MeasurementStore("ab" * 32, 2, "fp32", tmp_path / "file" / "measurements")
    assert "not remembered" in store.save({"cpu": found("cpu")})
    assert "measuring again" in store.load().complaint


def test_the_file_says_for_which_machine_it_is(store: MeasurementStore) -> None:
    store.save({"cpu": found("cpu")})
    key = json.loads(store.path.read_text())["key"]
    assert key["machine"]["processor"]
    assert "onnxruntime" in key["machine"]["libraries"]["cpu"]
