"""The project as its files have it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def packages(project: dict[str, Any]) -> list[Path]:
    """Return the folders of the packages that the wheel is made of."""
    return [ROOT / name for name in project["tool"]["scikit-build"]["wheel"]["packages"]]
