"""Plugins whose code or manifest is wrong, installed the way an installer would."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

from tilescope.domain.manifest import PluginManifest, Task
from tilescope.domain.scale import Native, Sampling
from tilescope.plugins.writing import manifest_text
from tilescope.testing.toy import toy_model

DISTRIBUTION = "faulty-plugin"
REMEDY = (
    f"update it: pip install --upgrade {DISTRIBUTION}, or remove it: pip uninstall {DISTRIBUTION}"
)

_ADAPTER = """
import os, signal, sys, threading

from tilescope.testing.toy import ToyAdapter


class Faulty(ToyAdapter):
    def encode(self, tile, /):
        if tile.contrast.high[0] != 255.0:  # a slide, no noise that a network is measured with
            {encode}
        return super().encode(tile)

    def decode(self, outputs, parameters, /):
        {decode}
        return super().decode(outputs, parameters)
"""
#: No two modules of a process may have one name.
_NUMBERS = count()


def install_faulty(
    site: Path,
    *,
    encode: str = "pass",
    decode: str = "pass",
    module: str | None = None,
    sampling: Sampling | None = None,
    model_id: str = "faulty",
    task: Task = "instances",
) -> None:
    """Put a plugin with one model into a folder on ``sys.path``.

    Parameters
    ----------
    encode, decode
        One statement, done before what the toy model does.
    module
        All of the adapter's module instead.
    task
        What the manifest says that the toy model does.
    """
    package = f"faulty_{next(_NUMBERS)}"
    home = site / package
    home.mkdir(parents=True)
    made = toy_model(home, sampling=sampling or Native()).spec
    adapter = f"{package}.adapter:Faulty"
    spec = replace(made, id=model_id, title=model_id, adapter=adapter, task=task)
    manifest = PluginManifest(1, f"example.{model_id}", "Faulty", ">=0.1", (spec,))
    text = module or _ADAPTER.format(encode=encode, decode=decode)
    (home / "adapter.py").write_text(text, encoding="utf-8")
    _install(site, DISTRIBUTION, package, manifest_text(manifest))


def install_broken(site: Path, name: str, manifest: str) -> Path:
    """Put a plugin into a folder on ``sys.path`` and return its manifest, which is this text."""
    package = f"broken_{next(_NUMBERS)}"
    (site / package).mkdir(parents=True)
    _install(site, name, package, manifest)
    return site / package / "plugin.toml"


def _install(site: Path, name: str, package: str, manifest: str) -> None:
    (site / package / "__init__.py").touch()
    (site / package / "plugin.toml").write_text(manifest, encoding="utf-8")
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    entry = f"[tilescope.plugins]\n{package} = {package}:plugin.toml\n"
    (info / "entry_points.txt").write_text(entry)
