"""What happens before a command does anything: light imports, help, usage errors."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from tests.engine.cli.conftest import Process, Tilescope

from tilescope import __version__
from tilescope.cli.main import app

HEAVY = (
    *("PIL", "PySide6", "imagecodecs", "napari", "numcodecs", "numpy", "onnx", "onnxruntime"),
    *("openslide", "shapely", "tifffile", "torch", "zarr"),
)

IMPORTED = """
import sys
from tilescope.cli.main import main

heavy = sys.argv.pop().split(",")
try:
    main()
except SystemExit as exc:
    assert exc.code == 0, exc.code
print("imported:", *sorted(set(heavy) & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["run", "--help"], ["models", "--help"], ["models", "show", "-h"]],
    ids=["help", "version", "run", "models", "models-show"],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments, ",".join(HEAVY)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "imported:"


ALONE = """
import sys
from tilescope.cli import main

every, groups = list(main.app.registered_commands), list(main.app.registered_groups)
for name in sys.stdin.read().split():
    main.app.registered_commands, main.app.registered_groups = list(every), list(groups)
    sys.argv = ["tilescope", name, "--help"]
    try:
        main.main()
    except SystemExit as exc:
        print("ended", exc.code, len(main.app.registered_commands))
"""


def test_a_command_that_is_built_alone_is_the_one_that_is_asked_for(
    tilescope: Tilescope,
) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    names = [name for name in group.commands if name not in {"models", "project"}]
    ended = subprocess.run(
        [sys.executable, "-c", ALONE],
        input=" ".join(names),
        capture_output=True,
        text=True,
        check=True,
    )
    helps = ended.stdout.split("ended 0 1\n")
    assert len(helps) == len(names) + 1 > 12
    for name, text in zip(names, helps, strict=False):
        wanted = tilescope(name, "--help").stdout
        assert "".join(text.split()) == "".join(wanted.split())


def test_the_version(process: Process) -> None:
    ended = process("--version")
    assert (ended.returncode, ended.stdout) == (0, f"tilescope {__version__}\n")


def test_every_command_is_in_the_help(tilescope: Tilescope) -> None:
    text = tilescope("--help").stdout
    for name in ("demo", "info", "thumbnail", "convert", "run", "models", "plugins", "doctor"):
        assert name in text
    text = tilescope("models", "--help").stdout
    for name in ("list", "show", "test", "probe"):
        assert name in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["info"],
        ["info", "a.svs", "--yaml"],
        ["run", "nuclei-unet", "a.svs"],
        ["run", "nuclei-unet", "-o", "out"],
        ["run", "nuclei-unet", "a.svs", "-o", "out", "--threads", "0"],
        ["run", "nuclei-unet", "a.svs", "-o", "out", "--um-per-px", "small"],
        ["thumbnail", "a.svs", "a.png", "--max-side", "1"],
        ["models", "show"],
    ],
    ids="-".join,
)
def test_usage_errors_exit_with_2(tilescope: Tilescope, arguments: list[str]) -> None:
    result = tilescope(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr
    assert "Traceback" not in result.stderr
