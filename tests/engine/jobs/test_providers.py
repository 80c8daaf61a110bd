"""Which backend a run takes, how that is remembered, and how a run goes on with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tilescope.domain.geometry import Size
from tilescope.errors import BudgetTooSmall, RunMismatch, UsageError
from tilescope.inference.backends import provider_states
from tilescope.inference.measurements import BatchCost, Measurement, MeasurementStore
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import run_model
from tilescope.jobs.running.footprint import Footprint
from tilescope.jobs.running.providers import Wish, choose_provider, resumed, samples_of
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.synthetic import write_tiff_pyramid
from tilescope.testing.toy import toy_model

GIB = 2**30


@pytest.fixture
def model(tmp_path: Path) -> InstalledModel:
    return toy_model(tmp_path)


def wish(provider: str = "auto", memory_bytes: int = 4 * GIB) -> Wish:
    return Wish(provider, "fp32", 1, memory_bytes)


def choose(model: InstalledModel, wanted: Wish):
    weights = model.verified_weights()
    return choose_provider(model, weights, model.load_adapter(), wanted, CancellationToken())


def remember(model: InstalledModel, **seconds: float) -> MeasurementStore:
    """Pretend to have measured before: seconds by provider."""
    store = MeasurementStore.of(model.verified_weights(), threads=1, precision="fp32")
    names = {name.replace("_", "-"): value for name, value in seconds.items()}
    store.save({name: Measurement(name, 64, s, 1, 50.0, 0.0) for name, s in names.items()})
    return store


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILESCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_auto_measures_once_and_remembers(model: InstalledModel, cache: Path) -> None:
    first = choose(model, wish())
    (file,) = (cache / "measurements").iterdir()
    usable = {name for name, state in provider_states().items() if state.is_usable}
    found = json.loads(file.read_text())["measurements"]
    assert {one["provider"] for one in found} == usable
    assert first.provider in usable
    assert "measured here: 64 x 64 px" in first.why
    assert first.bytes_per_px is not None
    before = file.stat().st_mtime_ns
    assert choose(model, wish()) == first
    assert file.stat().st_mtime_ns == before


def test_what_is_remembered_decides(model: InstalledModel, cache: Path) -> None:
    if not provider_states()["openvino"].is_usable:
        pytest.skip("the openvino extra is not installed")
    remember(model, cpu=3.0, cpu_lean=4.0, openvino=1.0)
    assert choose(model, wish()).provider == "openvino"
    remember(model, cpu=1.0, cpu_lean=4.0, openvino=2.0)
    choice = choose(model, wish())
    assert choice.provider == "cpu"
    assert "2.00 times as fast as openvino" in choice.why


def test_a_damaged_memory_is_measured_again_and_said(model: InstalledModel, cache: Path) -> None:
    store = remember(model, cpu=3.0)
    store.path.write_bytes(b"\0")
    choice = choose(model, wish("cpu"))
    assert "damaged" in choice.why
    assert choice.measurement is not None
    assert store.load().measurements["cpu"].seconds < 3.0


def test_the_samples_are_what_the_graph_takes(model: InstalledModel) -> None:
    samples = samples_of(model, model.load_adapter())
    assert [sample["image"].shape for sample in samples] == [(1, 1, 32, 32), (1, 1, 64, 64)]


def test_a_run_goes_on_with_the_backend_it_was_begun_with(tmp_path: Path) -> None:
    for earlier in ("cpu", "openvino"):
        if provider_states()[earlier].is_usable:
            assert resumed(wish(), earlier, tmp_path).provider == earlier
            assert resumed(wish(earlier), earlier, tmp_path).provider == earlier
    assert resumed(wish("cpu-lean"), "cpu", tmp_path).provider == "cpu-lean"
    with pytest.raises(RunMismatch, match="provider was openvino, now cpu"):
        resumed(wish("cpu"), "openvino", tmp_path)
    absent = next(name for name, state in provider_states().items() if not state.is_usable)
    with pytest.raises(RunMismatch, match=f"provider was {absent}, which is not available now"):
        resumed(wish(), absent, tmp_path)
    with pytest.raises(RunMismatch, match="unknown"):
        resumed(wish(), "abacus", tmp_path)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    pixels = np.full((300, 400, 3), 10, np.uint8)
    pixels[40:60, 50:80] = pixels[200:240, 300:330] = 230
    return write_tiff_pyramid(tmp_path / "slide.tiff", [pixels])


def test_the_report_says_which_backend_ran_and_why(
    model: InstalledModel, slide: Path, tmp_path: Path
) -> None:
    request = RunRequest(model, slide, tmp_path / "out", 4 * GIB, 1, provider="cpu-lean")
    report = run_model(request, CancellationToken())
    written = json.loads((request.folder / "run.json").read_text())
    for found in (json.loads(report.as_json(with_outputs=False)), written):
        assert found["provider"] == "cpu-lean"
        assert found["precision"] == "fp32"
        assert "asked for; onnxruntime" in found["provider_why"]


def test_another_backend_or_precision_in_the_same_folder_is_refused(
    model: InstalledModel, slide: Path, tmp_path: Path
) -> None:
    if not provider_states()["openvino"].is_usable:
        pytest.skip("the openvino extra is not installed")
    request = RunRequest(model, slide, tmp_path / "out", 4 * GIB, 1, provider="cpu")
    first = run_model(request, CancellationToken())
    with pytest.raises(RunMismatch, match="provider was cpu, now openvino"):
        run_model(replace(request, provider="openvino"), CancellationToken())
    assert run_model(replace(request, provider="auto"), CancellationToken()).provider == "cpu"
    with pytest.raises(UsageError, match="models quantize toy --precision int8"):
        run_model(replace(request, precision="int8"), CancellationToken())
    assert first.status == "complete"


def test_backends_find_the_same_objects(model: InstalledModel, slide: Path, tmp_path: Path) -> None:
    if not provider_states()["openvino"].is_usable:
        pytest.skip("the openvino extra is not installed")
    written = []
    for provider in ("cpu", "cpu-lean", "openvino"):
        request = RunRequest(model, slide, tmp_path / provider, 4 * GIB, 1, provider=provider)
        report = run_model(request, CancellationToken())
        assert report.provider == provider
        written.append((request.folder / "objects.csv").read_text())
    assert written[0] == written[1]
    assert written[0].count("\n") == written[2].count("\n") == 3


def test_the_plan_uses_what_was_measured(model: InstalledModel) -> None:
    declared = Footprint(0, 0, model.spec, 3, 1)
    measured = Footprint(0, 0, model.spec, 3, 1, 500.0)
    assert declared.peak_bytes_per_px == 64
    assert 500 <= measured.peak_bytes_per_px <= 600
    tile = Size(512, 512)
    assert measured.bytes_at(tile) - declared.bytes_at(tile) == pytest.approx(
        (measured.peak_bytes_per_px - 64) * 512**2, abs=2
    )


def test_several_tiles_at_once_are_planned_for(model: InstalledModel) -> None:
    footprint, tile = Footprint(0, 0, model.spec, 3, 1, 500.0), Size(64, 64)
    batch = BatchCost(4, 1.0, 2000.0)
    more = footprint.bytes_at(tile, batch) - footprint.bytes_at(tile)
    assert more >= (2000 - 500 + 3 * 3 * footprint.flight_bytes_per_px) * tile.area


def test_a_cap_too_small_for_every_backend_names_the_least(
    model: InstalledModel, slide: Path, tmp_path: Path
) -> None:
    request = RunRequest(model, slide, tmp_path / "out", 64 << 20, 1)
    with pytest.raises(BudgetTooSmall, match="needs at least"):
        run_model(request, CancellationToken())
    assert not request.folder.exists()
