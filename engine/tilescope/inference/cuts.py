"""Where a graph can be cut in two so that its first part runs over patches of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tilescope.inference.graph import Graph, Node
from tilescope.inference.reach import Field, Known, Value


@dataclass(frozen=True, slots=True)
class Cut:
    """A place between two nodes.

    Attributes
    ----------
    place
        How many nodes of the graph's order come before.
    live
        What is made before and used behind, or is an output: the second part's inputs. All of
        them depend on a bounded part of the image.
    """

    place: int
    live: tuple[str, ...]


def makes_numbers(node: Node, values: Mapping[str, Value]) -> bool:
    """Tell whether a node only makes what does not depend on the image's pixels."""
    return all(isinstance(values.get(name), Known) for name in node.outputs if name)


def is_told(value: Value | None) -> bool:
    """Tell whether every number of a tensor can be told from the image's size."""
    return (
        isinstance(value, Known)
        and value.shape is not None
        and value.values is not None
        and None not in value.values
    )


def find_cuts(graph: Graph, values: Mapping[str, Value]) -> list[Cut]:
    """Return every cut at which all that is live can be made patch by patch, first ones first.

    Parameters
    ----------
    values
        What is known of the tensors for images of any size.
    """
    last_use = _last_uses(graph, values)
    numbers = made_from_shapes(graph.nodes, values)
    hidden = {name for name in numbers if not is_told(values.get(name))}
    leaving: list[list[str]] = [[] for _ in range(len(graph.nodes) + 2)]
    live: dict[str, None] = {}
    blocked: set[str] = set()
    cuts: list[Cut] = []
    for place, node in enumerate(graph.nodes, 1):
        for name in leaving[place]:
            live.pop(name, None)
            blocked.discard(name)
        for name in filter(None, node.outputs):
            last = last_use.get(name, 0)
            if last < place or (isinstance(values.get(name), Known) and name not in hidden):
                continue
            leaving[min(last + 1, len(leaving) - 1)].append(name)
            live[name] = None
            if not _is_image(values.get(name)):
                blocked.add(name)
        if live and not blocked and not makes_numbers(node, values):
            cuts.append(Cut(place, tuple(live)))
    return cuts


def _is_image(value: Value | None) -> bool:
    return isinstance(value, Field) and not value.is_merged


def _last_uses(graph: Graph, values: Mapping[str, Value]) -> dict[str, int]:
    """Return the last cut, by its place, at which each tensor is live."""
    uses: dict[str, int] = {}
    for place, node in enumerate(graph.nodes):
        # Numbers that can be told are given to the second part; nobody has to make them.
        if not all(is_told(values.get(name)) for name in node.outputs if name):
            uses.update((name, place) for name in node.inputs)
    uses.update((name, len(graph.nodes)) for name in graph.outputs)
    return uses


def made_from_shapes(nodes: Sequence[Node], values: Mapping[str, Value]) -> set[str]:
    """Return the numbers that a graph computes from shapes of what depends on the image."""
    found: set[str] = set()
    for node in nodes:
        from_image = any(
            name in found or isinstance(values.get(name), Field) for name in node.inputs
        )
        if from_image and makes_numbers(node, values):
            found.update(filter(None, node.outputs))
    return found
