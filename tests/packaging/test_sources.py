"""What holds for the source tree as a whole."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tilescope import errors

MOST_LINES = 500
# These extend zarr-python's classes; nobody imports them unasked.
EXTENDS_HEAVY = ("tilescope.io.zarr_store", "tilescope.io.zarr_fallback")
HEAVY = ["imagecodecs", "onnx", "onnxruntime", "openslide", "tifffile", "zarr"]
NEVER = ["PIL", "PySide6", "PyQt5", "PyQt6", "napari", "qtpy", "scipy", "skimage", "torch"]
SHAPELESS_NAMES = {"utils", "helpers", "common", "misc", "base"}


def modules_of(packages: list[Path]) -> dict[str, Path]:
    found = {}
    for package in packages:
        for file in sorted(package.rglob("*.py")):
            parts = list(file.relative_to(package.parent).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            found[".".join(parts)] = file
    return found


def test_no_module_is_too_long(packages: list[Path]) -> None:
    sources = [f for package in packages for f in package.rglob("*") if f.suffix in {".py", ".c"}]
    assert len(sources) > 50
    lengths = {str(f): len(f.read_text(encoding="utf-8").splitlines()) for f in sources}
    modules = {name: count for name, count in lengths.items() if name.endswith(".py")}
    assert [name for name, count in modules.items() if count > MOST_LINES] == []


def test_modules_are_named_after_what_they_hold(packages: list[Path]) -> None:
    assert {f.stem for f in modules_of(packages).values()} & SHAPELESS_NAMES == set()


def test_every_package_folder_is_a_package(packages: list[Path]) -> None:
    folders = {file.parent for file in modules_of(packages).values()}
    assert [str(f) for f in folders if not (f / "__init__.py").exists()] == []


def test_the_package_says_that_it_is_typed(packages: list[Path]) -> None:
    assert (packages[0] / "py.typed").read_bytes() == b""


def test_every_plugin_is_packaged_and_kept_to_its_layer(
    project: dict[str, Any], packages: list[Path]
) -> None:
    entries = project["project"]["entry-points"]["tilescope.plugins"]
    plugins = {value.partition(":")[0] for value in entries.values()}
    assert plugins
    linter = project["tool"]["importlinter"]
    contracts = linter["contracts"]
    assert plugins <= {package.name for package in packages}
    assert plugins <= set(linter["root_packages"])
    (layers,) = [c for c in contracts if c["type"] == "layers" and "containers" not in c]
    assert plugins <= {name.strip() for layer in layers["layers"] for name in layer.split("|")}
    for contract in contracts:
        if contract["type"] == "forbidden":
            # Plugins are either kept from something or what others are kept from.
            named = set(contract["source_modules"]) | set(contract["forbidden_modules"])
            assert plugins <= named, contract["name"]
    assert plugins <= set(project["tool"]["mypy"]["packages"])


def test_packages_of_the_wheel_and_of_the_linter_are_the_same(
    project: dict[str, Any], packages: list[Path]
) -> None:
    roots = project["tool"]["importlinter"]["root_packages"]
    assert sorted(roots) == sorted(package.name for package in packages)


def imported_by(modules: list[str], names: list[str]) -> list[str]:
    """Return which of the names a fresh interpreter has imported after the modules."""
    code = (
        "import importlib, sys\n"
        "modules, names = (text.split() for text in sys.argv[1:])\n"
        "for module in modules: importlib.import_module(module)\n"
        "print(*[name for name in names if name in sys.modules])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, " ".join(modules), " ".join(names)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def test_importing_everything_but_training_imports_nothing_heavy(packages: list[Path]) -> None:
    modules = [
        name
        for name in modules_of(packages)
        if name.split(".")[0] != "tilescope_training"
        and not name.startswith("tilescope.testing")
        and name not in EXTENDS_HEAVY
    ]
    assert "tilescope_nuclei.adapter" in modules
    assert "tilescope.jobs.run_model" in modules
    window = [name for name in modules if name.startswith("tilescope_desktop")]
    headless = [name for name in modules if name not in window]
    assert imported_by(headless, [*HEAVY, *NEVER, "pytest"]) == []
    assert imported_by(window, [*HEAVY, *(set(NEVER) - {"PySide6"}), "pytest"]) == []


def test_the_model_of_the_window_needs_no_qt(packages: list[Path]) -> None:
    modules = [n for n in modules_of(packages) if n.startswith("tilescope_desktop.model")]
    assert "tilescope_desktop.model.viewport" in modules
    assert imported_by(modules, [*HEAVY, *NEVER]) == []


def test_what_plugin_authors_test_with_needs_no_gui_and_no_torch(packages: list[Path]) -> None:
    modules = [name for name in modules_of(packages) if name.startswith("tilescope.testing")]
    assert len(modules) > 1
    assert imported_by(modules, NEVER) == []


def test_the_root_imports_next_to_nothing() -> None:
    assert imported_by(["tilescope"], [*HEAVY, *NEVER, "numpy", "typer"]) == []


def public_classes() -> dict[str, type]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__ and name[0] != "_"
    }


def test_errors_lists_exactly_its_public_classes() -> None:
    assert sorted(errors.__all__) == sorted(public_classes())
    assert len(set(errors.__all__)) == len(errors.__all__)


def test_every_error_but_cancelled_is_in_the_tree() -> None:
    for name, kind in public_classes().items():
        assert issubclass(kind, errors.TilescopeError) == (name != "Cancelled")
        assert issubclass(kind, Exception)
        assert kind.__doc__


@pytest.mark.parametrize("name", errors.__all__)
def test_the_tree_in_the_docstring_names_every_error(name: str) -> None:
    assert f" {name}" in (errors.__doc__ or "") or f"{name}\n" in (errors.__doc__ or "")


def test_what_refines_a_builtin_is_caught_by_it() -> None:
    error = errors.SlideNotFound("a.svs", "no such file")
    assert isinstance(error, FileNotFoundError)
    assert isinstance(error, errors.SlideError)
    assert str(error) == "a.svs: no such file"
    assert (error.path, error.reason) == ("a.svs", "no such file")
