"""Measures the program against its peers: ``python tests/benchmarks/run.py NAME --json``.

See README.md next to this file for the names, the keys and how to install the peers.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from report import Report, Settings

#: Module of every benchmark; it has ``run(settings, report)``.
BENCHMARKS = {
    "click": "clicks",
    "compose": "composition",
    "engine": "engine",
    "memory": "memory_cells",
    "store": "store",
    "tiles": "tiles",
    "viewer": "viewer",
    "zarr": "zarr_tiles",
}


def main(arguments: Sequence[str]) -> int:
    """Run one benchmark and print what it found; return the exit status."""
    options = _parser().parse_args(arguments)
    with ExitStack() as stack:
        folder: Path = options.keep_inputs or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="tilescope-benchmark-"))
        )
        folder.mkdir(parents=True, exist_ok=True)
        pythons = {name: Path(path) for name, path in options.python}
        settings = Settings(
            options.pairs, options.seed, folder, options.small, pythons, tuple(options.cells)
        )
        report = Report(options.name, settings)
        importlib.import_module(BENCHMARKS[options.name]).run(settings, report)
        found = report.as_json()
    if options.json:
        print(json.dumps(found))
        return 0
    for key, value in found.items():
        print(f"{key:32} {value}" if not isinstance(value, dict) else f"{key}: {json.dumps(value)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.add_argument("--pairs", type=_count, default=15, help="pairs per ratio (default 15)")
    parser.add_argument("--seed", type=int, default=1, help="of the random places (default 1)")
    parser.add_argument("--keep-inputs", type=Path, metavar="DIR", help="make inputs here, once")
    parser.add_argument("--small", action="store_true", help="only to see that everything runs")
    parser.add_argument(
        "--python",
        type=_named_path,
        action="append",
        default=[],
        metavar="PEER=PATH",
        help="interpreter of a peer with an environment of its own, e.g. pyfast=/opt/f/bin/python",
    )
    parser.add_argument(
        "--cells",
        type=_cell,
        action="append",
        default=[],
        metavar="MODEL:MIB:GIGAPIXELS",
        help="cells of 'memory' to run, each part may be *, e.g. light:400:*; all by default",
    )
    return parser


def _cell(text: str) -> str:
    if text.count(":") != 2:
        msg = f"MODEL:MIB:GIGAPIXELS, not {text}"
        raise argparse.ArgumentTypeError(msg)
    return text


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        msg = f"at least one pair, not {value}"
        raise argparse.ArgumentTypeError(msg)
    return value


def _named_path(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not Path(path).is_file():
        msg = f"PEER=PATH to an interpreter, not {text}"
        raise argparse.ArgumentTypeError(msg)
    return name, path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
