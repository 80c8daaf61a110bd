"""The wheel holds what a user needs, nothing else, and works without its source tree."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from tests.packaging.conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--wheel-dir", str(folder)]
    if importlib.util.find_spec("scikit_build_core") is not None:
        command.append("--no-build-isolation")
    built = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if not name.endswith("/")]


def read(wheel: Path, suffix: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(suffix)]
        return archive.read(name).decode()


def test_one_wheel_serves_every_later_python(wheel: Path) -> None:
    _, version, python, abi, _platform = wheel.stem.split("-")
    assert (python, abi) == ("cp311", "abi3")
    metadata = message_from_string(read(wheel, ".dist-info/METADATA"))
    assert metadata["Name"] == "tilescope"
    assert metadata["Version"] == version
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "BSD-3-Clause"


def test_all_extension_modules_are_there_and_use_the_stable_interface(names: list[str]) -> None:
    built = {name for name in names if name.endswith((".so", ".pyd", ".dylib"))}
    stems = {name.partition(".")[0] for name in built}
    names = ("_geojson", "_pixels", "_shapes")
    assert stems == {f"tilescope/_native/{name}" for name in names}
    assert len(built) == 3
    assert all(name.endswith((".abi3.so", ".pyd")) for name in built)


def test_files_that_are_no_modules_are_there(names: list[str]) -> None:
    expected = {
        "tilescope/py.typed",
        "tilescope/_native/_pixels.pyi",
        "tilescope/_native/_shapes.pyi",
        "tilescope/_native/_geojson.pyi",
        "tilescope/samples/CMU-1-Small-Region.svs",
        "tilescope/samples/fluorescence-nuclei.png",
        "tilescope/samples/README.md",
        "tilescope_nuclei/plugin.toml",
        "tilescope_nuclick/plugin.toml",
    }
    assert expected <= set(names)
    for folder, ending in (("weights", ".onnx"), ("golden", "-in.npz"), ("golden", "-out.npz")):
        found = [n for n in names if n.startswith(f"tilescope_nuclei/{folder}/")]
        assert any(name.endswith(ending) for name in found)


def test_every_module_of_the_source_roots_is_there(names: list[str], packages: list[Path]) -> None:
    modules = {
        file.relative_to(package.parent).as_posix()
        for package in packages
        for file in package.rglob("*.py")
    }
    assert modules == {name for name in names if name.endswith(".py")}


def test_nothing_else_is_there(names: list[str], packages: list[Path]) -> None:
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    assert {name.split("/")[0] for name in names} == {*(p.name for p in packages), info}
    unwanted = (".c", ".h", ".o", ".pyc", ".txt.in", ".cmake", "CMakeLists.txt", ".gitignore")
    assert [name for name in names if name.endswith(unwanted)] == []
    assert [name for name in names if "test_" in name or "conftest" in name] == []


def test_the_licence_is_there(wheel: Path) -> None:
    text = read(wheel, ".dist-info/licenses/LICENSE")
    assert text == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Redistribution and use in source and binary forms" in text


def test_its_entry_points(wheel: Path) -> None:
    text = read(wheel, ".dist-info/entry_points.txt")
    assert "tilescope=tilescope.cli.main:main" in text.replace(" ", "")
    assert "nuclei=tilescope_nuclei:plugin.toml" in text.replace(" ", "")


def test_the_unpacked_wheel_works_without_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # Without site-packages' .pth files, which would bring an editable installation back.
    paths = [str(site), sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def run(code: str, *arguments: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-S", "-P", "-c", code, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    where = "import tilescope._native._shapes as shapes, tilescope_nuclei as nuclei; "
    files = run(where + "print(shapes.__file__, nuclei.__file__, sep='\\n')").splitlines()
    assert all(Path(file).is_relative_to(site) for file in files), files
    main = "from tilescope.cli.main import main; main()"
    assert "nuclei-unet" in run(main, "models", "--json")
    sample = site / "tilescope" / "samples" / "CMU-1-Small-Region.svs"
    assert '"width": 2220' in run(main, "info", str(sample), "--json")
