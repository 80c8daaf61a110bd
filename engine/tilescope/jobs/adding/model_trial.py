"""A user's model looked at and tried out, in a process of its own.

``python -m tilescope.jobs.adding.model_trial FOLDER`` reads ``request.json`` in the folder and
writes ``result.json`` beside it: at each stage, so that the one that it did not survive is known.
The file is taken for hostile: nothing of it runs before :mod:`tilescope.inference.graph_guard` and
:mod:`tilescope.inference.graph_shapes` have passed it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tilescope.domain.manifest import GoldenRef, ModelSpec, PluginManifest
from tilescope.errors import ModelError, TilescopeError
from tilescope.inference.graph_description import describe
from tilescope.inference.graph_guard import read_model
from tilescope.inference.graph_shapes import check_shapes
from tilescope.inference.session import OnnxSession
from tilescope.jobs.adding.assumption import Assumption, OptionName, OptionValue, Unsettled
from tilescope.jobs.adding.conformance import Check, Subject, check_model, measure, with_cost
from tilescope.jobs.adding.graph_input import NORMALISATIONS, read_input
from tilescope.jobs.adding.graph_notes import read_notes
from tilescope.jobs.adding.model_draft import Weights, draft, model_id
from tilescope.jobs.adding.model_hints import Hints, Known
from tilescope.jobs.adding.model_package import ModelPackage, open_package
from tilescope.jobs.adding.package_test import run_package_test, with_golden
from tilescope.plugins.model_store import write_manifest
from tilescope.plugins.registry import InstalledModel, find_model
from tilescope.runtime import memory

REQUEST_NAME = "request.json"
RESULT_NAME = "result.json"
_STAGES_NAME = "stages.txt"
#: Options that change no result.
_NAMES_ONLY = ("id", "licence")


@dataclass(slots=True)
class TrialResult:
    """What came of it.

    Attributes
    ----------
    stage
        What was being done last, in words.
    error
        Why the model cannot be used; None when it can.
    options
        What has to be said, or said otherwise, for the error to go away; most errors have none.
    model
        Its id, once there is one.
    """

    stage: str = "reading the file"
    error: str | None = None
    options: list[OptionName] = field(default_factory=list)
    model: str | None = None
    assumed: list[Assumption] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write it for whoever waits; a half-written one is never seen."""
        partial = folder / f".{RESULT_NAME}.partial"
        partial.write_text(json.dumps(asdict(self)), encoding="utf-8")
        partial.replace(folder / RESULT_NAME)

    @classmethod
    def load(cls, folder: Path) -> TrialResult:
        """Return what was written, the beginning when nothing was."""
        try:
            values = json.loads((folder / RESULT_NAME).read_text(encoding="utf-8"))
        except OSError:
            return cls()
        checks = [Check(**check) for check in values.pop("checks")]
        assumed = [_assumption(one) for one in values.pop("assumed")]
        return cls(**values, checks=checks, assumed=assumed)


def stage_in(folder: Path) -> str:
    """Return what a trial that goes on is doing, in words; empty before it says anything."""
    try:
        text = (folder / _STAGES_NAME).read_text(encoding="utf-8")
    except OSError:
        return ""
    whole = text.split("\n")[:-1]
    return whole[-1] if whole else ""


class _Trial:
    """The stages of one request."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._request: Mapping[str, Any] = json.loads(
            (folder / REQUEST_NAME).read_text(encoding="utf-8")
        )
        self._result = TrialResult()

    def execute(self) -> None:
        memory.return_memory_eagerly()
        _limit_address_space(self._request["memory_bytes"])
        self._result.save(self._folder)
        try:
            if "model" in self._request:
                model = find_model(self._request["model"])
                self._result.model = model.spec.id
                self._check(model, None)
            else:
                self._add()
        except Unsettled as exc:
            self._result.error = str(exc)
            self._result.options = list(exc.options)
        except TilescopeError as exc:
            self._result.error = str(exc)
        except MemoryError:
            name = self._request.get("source") or self._request["model"]
            self._result.error = (
                f"{name}: {self._result.stage} needs more memory than it may have; give it more"
            )
            self._result.options = ["memory"]
        self._result.save(self._folder)

    def _stage(self, words: str) -> None:
        self._result.stage = words
        self._result.save(self._folder)
        # A file that is only added to: one that is replaced could not be on Windows while read.
        with (self._folder / _STAGES_NAME).open("a", encoding="utf-8") as file:
            file.write(f"{words}\n")

    def _add(self) -> None:
        source = Path(self._request["source"])
        scratch = self._folder / "unpacked"
        scratch.mkdir()
        package = open_package(source, scratch)
        try:
            model = self._drafted_of(package)
        except Unsettled as exc:
            raise Unsettled(f"{source}: {exc}", *exc.options) from exc
        except (ModelError, ValueError) as exc:
            raise ModelError(f"{source}: {exc}") from exc
        self._check(model, package)

    def _drafted_of(self, package: ModelPackage) -> InstalledModel:
        self._stage("reading the graph")
        graph, data = read_model(package.onnx)
        description = describe(graph)
        asked = _hints_of(self._request["options"], self._request["said_by"])
        known = Known([asked, *package.hints, read_notes(description.notes)])
        taken = read_input(description, known)
        check_shapes(graph, {taken.tensor.name: taken.shape(taken.size)})
        del graph
        ident = self._request["options"].get("id") or model_id(package.source, package.onnx, known)
        self._result.model = ident
        self._stage("running it for the first time")
        weights = Weights(data, hashlib.sha256(data).hexdigest())
        manifest = _marked(
            draft(weights, ident, description, taken, known), self._request["options"]
        )
        self._result.assumed = known.assumptions
        staged = Path(self._request["staged"])
        (spec,) = manifest.models
        (staged / spec.weights.file).write_bytes(data)
        write_manifest(staged, manifest)
        return InstalledModel(spec, manifest.id, staged)

    def _check(self, model: InstalledModel, package: ModelPackage | None) -> None:
        self._stage("trying it out")
        weights = model.verified_weights()
        with OnnxSession(weights, threads=1, provider="cpu") as session:
            session.check(model.spec)
            subject = Subject(model, session)
            for check in check_model(subject):
                self._result.checks.append(check)
                self._stage(f"trying it out ({check.name} done)")
            if any(check.verdict == "failed" for check in self._result.checks):
                return
            check, cost = measure(subject)
            self._result.checks.append(check)
            if package is not None:
                golden = self._author_s_test(model, session, package)
                self._keep(model, with_golden(with_cost(model.spec, cost), golden))

    def _author_s_test(
        self, model: InstalledModel, session: OnnxSession, package: ModelPackage
    ) -> GoldenRef | None:
        if package.test_pair is None:
            return None
        check, golden = run_package_test(model.spec, session, package.test_pair, model.folder)
        self._result.checks.append(check)
        return golden

    @staticmethod
    def _keep(model: InstalledModel, spec: ModelSpec) -> None:
        from tilescope.plugins.parsing import load_manifest

        manifest = load_manifest(model.folder / "plugin.toml")
        write_manifest(model.folder, replace(manifest, models=(spec,)))


def _assumption(values: Mapping[str, Any]) -> Assumption:
    value = values["value"]
    said: OptionValue = tuple(value) if isinstance(value, list) else value
    return Assumption(values["words"], values["option"], said)


def _marked(manifest: PluginManifest, options: Mapping[str, Any]) -> PluginManifest:
    """Return the manifest with a version of its own for what a user said.

    A run knows what it ran by id, version and weights: with other options it is another run.
    """
    said = {name: options[name] for name in sorted(options) if name not in _NAMES_ONLY}
    if not any(value is not None for value in said.values()):
        return manifest
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:8]
    (spec,) = manifest.models
    return replace(manifest, models=(replace(spec, version=f"{spec.version}+{digest}"),))


def _hints_of(options: Mapping[str, Any], said_by: str) -> Hints:
    normalise = options.get("normalise")
    classes = options.get("classes")
    return Hints(
        source=said_by,
        licence=options.get("licence"),
        task=options.get("task"),
        classes=tuple(classes) if classes else None,
        um_per_px=options.get("um_per_px"),
        tile_px=options.get("tile_px"),
        halo_px=options.get("halo_px"),
        colour=options.get("colour"),
        steps=None if normalise is None else NORMALISATIONS[normalise],
        boxes=options.get("boxes"),
        first_label=options.get("first_label"),
    )


def _limit_address_space(memory_bytes: int) -> None:
    """Have allocations beyond the limit fail, where the system can; the parent watches as well."""
    try:
        import resource
    except ImportError:  # Windows
        return
    import psutil

    size = psutil.Process().memory_info().vms + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _Trial(Path(sys.argv[1])).execute()
