"""What every session says of its graph: the names of its tensors."""

from __future__ import annotations

from tilescope.domain.manifest import ModelSpec
from tilescope.errors import GraphMismatch
from tilescope.runtime.closing import Closing


class NamedGraph(Closing):
    """A graph whose tensors have names; subclasses set them when they open it."""

    _inputs: tuple[str, ...]
    _outputs: tuple[str, ...]

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        return self._inputs

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the graph's outputs."""
        return self._outputs

    def check(self, spec: ModelSpec) -> None:
        """Compare the graph's tensors with the manifest.

        Raises
        ------
        GraphMismatch
            Naming both.
        """
        for kind, declared, actual in (
            ("inputs", spec.inputs, self._inputs),
            ("outputs", spec.outputs, self._outputs),
        ):
            names = tuple(tensor.name for tensor in declared)
            if set(names) != set(actual):
                raise GraphMismatch(f"{spec.id}: {kind} are {actual}, the manifest says {names}")
