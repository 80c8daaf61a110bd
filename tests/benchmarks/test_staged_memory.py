"""Patches take less memory, as measured from outside and as the arithmetic says."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture
def staged_memory(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("staged_memory")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is counted by Linux")
def test_an_encoder_run_in_patches_takes_a_third_of_the_memory(staged_memory: ModuleType) -> None:
    whole = staged_memory.measure(1024, None)
    staged = staged_memory.measure(1024, whole.model_peak_bytes // 4)
    assert whole.patches == (1, 1)
    assert staged.patches != (1, 1)
    assert staged.model_peak_bytes <= whole.model_peak_bytes / 4
    assert staged.peak_bytes < whole.peak_bytes / 3
    assert staged.peak_bytes < 1.25 * staged.model_peak_bytes
    assert staged.checksum == pytest.approx(whole.checksum, rel=1e-4)
