"""Installed plugins and stored models: read without importing, loaded at first use."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tilescope import __version__
from tilescope.domain.manifest import ModelSpec, PluginManifest
from tilescope.errors import (
    UNKNOWN_PLUGIN,
    ManifestInvalid,
    ModelNotFound,
    UsageError,
    WeightsError,
)
from tilescope.plugins.api import ClickAdapter, TileAdapter
from tilescope.plugins.calling import plugin_call
from tilescope.plugins.model_store import MANIFEST_NAME, STORED_ADAPTER, stored_folders
from tilescope.plugins.parsing import load_manifest

ENTRY_POINT_GROUP = "tilescope.plugins"
#: What stands for the distribution of a model that a user added.
STORED = "models folder"
_OWN = "tilescope"


@dataclass(frozen=True, slots=True)
class FoundPlugin:
    """What discovery knows of one entry point or stored model: its manifest, or what is wrong."""

    entry: str
    distribution: str
    folder: Path | None
    manifest: PluginManifest | None
    problem: str | None

    @property
    def state(self) -> str:
        """``valid`` or ``invalid``."""
        return "valid" if self.manifest is not None else "invalid"

    @property
    def remedy(self) -> str:
        """What can be done about a problem."""
        return _remedy(self.distribution, self.entry)


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model and where its files are.

    ``folder`` is the plugin's package folder; weights and golden files lie inside it.
    ``distribution`` is what was installed, empty when nobody knows.
    """

    spec: ModelSpec
    plugin_id: str
    folder: Path
    distribution: str = ""

    @property
    def weights_path(self) -> Path:
        """Where the ONNX file must be."""
        return self.folder / self.spec.weights.file

    def weights_state(self) -> str:
        """Return ``present``, ``missing`` or ``mismatched``, by size; use checks the hash."""
        try:
            size = self.weights_path.stat().st_size
        except OSError:
            return "missing"
        return "present" if size == self.spec.weights.size_bytes else "mismatched"

    def verified_weights(self) -> bytes:
        """Return the weights file's bytes after checking them against the manifest.

        The bytes that were hashed are the bytes that are used, so that the file cannot change in
        between.

        Raises
        ------
        WeightsError
            When the file is missing, or has another size or hash.
        """
        path, spec = self.weights_path, self.spec.weights
        try:
            if path.stat().st_size != spec.size_bytes:
                raise WeightsError(
                    f"{path}: {path.stat().st_size} bytes, the manifest says {spec.size_bytes}; "
                    "install the plugin again"
                )
            data = path.read_bytes()
        except OSError as exc:
            raise WeightsError(f"{path}: {exc.strerror}; install the plugin again") from exc
        if hashlib.sha256(data).hexdigest() != spec.sha256:
            raise WeightsError(
                f"{path}: sha256 differs from the manifest; install the plugin again"
            )
        return data

    def load_adapter(self) -> TileAdapter:
        """Import the plugin's code and return its adapter.

        Raises
        ------
        UsageError
            When the model does not run tile by tile.
        PluginBroken
            When importing or constructing it raises, or when it lacks a method.
        """
        if self.spec.task == "click":
            raise UsageError(f"{self.spec.id} segments what is clicked on, not whole slides")
        with self.calling(f"loading {self.spec.adapter}"):
            adapter = self._adapter()
            if not isinstance(adapter, TileAdapter) or not _takes(adapter, 1, 2):
                raise self._unfit("encode(tile) and decode(outputs, parameters)")
            return adapter

    def load_click_adapter(self) -> ClickAdapter:
        """Import the plugin's code and return its adapter for clicks.

        Raises
        ------
        UsageError
            When the model is not one for clicks.
        PluginBroken
            When importing or constructing it raises, or when it lacks a method.
        """
        if self.spec.task != "click":
            raise UsageError(f"{self.spec.id} runs over whole slides and takes no clicks")
        with self.calling(f"loading {self.spec.adapter}"):
            adapter = self._adapter()
            if not isinstance(adapter, ClickAdapter) or not _takes(adapter, 2, 3):
                raise self._unfit("encode(patch, clicks) and decode(outputs, clicks, parameters)")
            return adapter

    def calling(self, action: str) -> AbstractContextManager[None]:
        """Return a block in which whatever is raised becomes a `PluginBroken`."""
        return plugin_call(self.plugin_id, action, _remedy(self.distribution, self.spec.id))

    def _adapter(self) -> object:
        module, _, name = self.spec.adapter.partition(":")
        kind = getattr(importlib.import_module(module), name)
        for_model = getattr(kind, "for_model", None)
        return kind() if for_model is None else for_model(self.spec)

    def _unfit(self, methods: str) -> TypeError:
        return TypeError(f"an adapter for {self.spec.task} needs {methods}")


def _remedy(distribution: str, name: str) -> str:
    """Return what can be done about a plugin, or a stored model called ``name``, that fails."""
    if distribution == STORED:
        return f"add the model again, or remove it: tilescope models remove {name}"
    if distribution == _OWN:
        return f"update it: pip install --upgrade {distribution}"
    if not distribution:
        return UNKNOWN_PLUGIN
    return (
        f"update it: pip install --upgrade {distribution}, or remove it: "
        f"pip uninstall {distribution}"
    )


def _takes(adapter: TileAdapter | ClickAdapter, to_encode: int, to_decode: int) -> bool:
    """Tell whether the methods can be called with so many arguments."""
    for method, count in ((adapter.encode, to_encode), (adapter.decode, to_decode)):
        try:
            inspect.signature(method).bind(*[None] * count)
        except (TypeError, ValueError):
            return False
    return True


def discover(entries: Iterable[EntryPoint] | None = None) -> tuple[FoundPlugin, ...]:
    """Return every installed plugin and stored model, broken ones included.

    Plugins come in order of distribution and name, then the models of the user's store; of given
    ``entries`` nothing else is looked for. Nothing of a plugin is imported: only the top-level
    package is located. The second plugin that claims an id is invalid.
    """
    found = sorted(
        entry_points(group=ENTRY_POINT_GROUP) if entries is None else entries,
        key=lambda entry: (_distribution(entry), entry.name),
    )
    stored = stored_folders() if entries is None else ()
    plugins: list[FoundPlugin] = []
    taken: set[str] = set()
    for plugin in [*map(_found, found), *map(_stored, stored)]:
        checked = plugin
        if plugin.manifest is not None:
            ids = {plugin.manifest.id, *(model.id for model in plugin.manifest.models)}
            double = sorted(ids & taken)
            if double:
                problem = f"duplicate of {', '.join(double)}"
                checked = replace(plugin, folder=None, manifest=None, problem=problem)
            taken |= ids
        plugins.append(checked)
    return tuple(plugins)


def _distribution(entry: EntryPoint) -> str:
    # An uninstaller that was interrupted leaves entry points without metadata behind.
    if entry.dist is None:
        return ""
    try:
        metadata = entry.dist.metadata
    except FileNotFoundError:
        return ""
    has_name = "Name" in metadata
    return metadata["Name"] if has_name else ""


def _invalid(entry: EntryPoint, problem: str) -> FoundPlugin:
    return FoundPlugin(entry.name, _distribution(entry), None, None, problem)


def _found(entry: EntryPoint) -> FoundPlugin:
    package, _, file = entry.value.partition(":")
    try:
        spec = find_spec(package) if "." not in package else None
    except ValueError:  # no name, or a module that hides where it comes from
        spec = None
    if spec is None or not spec.submodule_search_locations:
        return _invalid(entry, f"{package!r} is not a top-level package")
    folder = Path(next(iter(spec.submodule_search_locations)))
    try:
        manifest = load_manifest(folder / file)
    except ManifestInvalid as exc:
        return _invalid(entry, str(exc))
    problem = version_problem(manifest.requires, __version__)
    if problem is not None:
        return _invalid(entry, problem)
    return FoundPlugin(entry.name, _distribution(entry), folder, manifest, None)


def _stored(folder: Path) -> FoundPlugin:
    try:
        manifest = load_manifest(folder / MANIFEST_NAME)
    except ManifestInvalid as exc:
        return FoundPlugin(folder.name, STORED, None, None, str(exc))
    problem = version_problem(manifest.requires, __version__)
    if [model.id for model in manifest.models] != [folder.name]:
        problem = f"{folder}: must hold one model of the id {folder.name!r}"
    elif manifest.models[0].adapter != STORED_ADAPTER:
        # Stored models are data: whoever can write there must not have code run.
        problem = f"{folder}: a stored model must have the adapter {STORED_ADAPTER}"
    if problem is not None:
        return FoundPlugin(folder.name, STORED, None, None, problem)
    return FoundPlugin(folder.name, STORED, folder, manifest, None)


def version_problem(requires: str, running: str) -> str | None:
    """Return why a plugin that requires ``requires`` does not fit, None when it does.

    A development version counts as the release it leads to; a source tree that was never installed
    has no version and takes everything.
    """
    version = Version(running)
    if version.local == "unknown" or version.base_version in SpecifierSet(requires):
        return None
    return f"requires Tilescope {requires}; this is {running}"


def installed_models(plugins: Iterable[FoundPlugin] | None = None) -> tuple[InstalledModel, ...]:
    """Return the models of every valid plugin."""
    return tuple(
        InstalledModel(model, plugin.manifest.id, plugin.folder, plugin.distribution)
        for plugin in (discover() if plugins is None else plugins)
        if plugin.manifest is not None and plugin.folder is not None
        for model in plugin.manifest.models
    )


def find_model(model_id: str) -> InstalledModel:
    """Return the installed model of that id.

    Raises
    ------
    ModelNotFound
        Listing the ids that there are.
    """
    models = installed_models()
    for model in models:
        if model.spec.id == model_id:
            return model
    raise ModelNotFound(model_id, [model.spec.id for model in models])
