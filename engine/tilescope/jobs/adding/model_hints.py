"""What is known of a user's model besides its graph, and who said so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tilescope.domain.encoding import Colour, Form, Step
from tilescope.domain.manifest import Task
from tilescope.errors import ModelError
from tilescope.jobs.adding.assumption import Assumption, OptionName, OptionValue

_LONGEST_TEXT = 200
_MOST_CLASSES = 10_000


@dataclass(frozen=True, slots=True)
class Hints:
    """What one source says; None where it says nothing.

    Attributes
    ----------
    source
        Who says it, in words.
    tile_px
        Side of the tiles that the model was trained on; ``fixed`` when it takes no other.
    step_px
        Sides must be multiples of it.
    um_per_px
        Micrometres per pixel that the network sees.
    input_layout, output_layouts
        One letter per axis, as in `TensorSpec`; outputs by name.
    steps, output_steps
        What happens to the input before and to the output after the network.
    """

    source: str
    name: str | None = None
    version: str | None = None
    licence: str | None = None
    description: str | None = None
    task: Task | None = None
    classes: tuple[str, ...] | None = None
    um_per_px: float | None = None
    tile_px: int | None = None
    fixed: bool | None = None
    step_px: int | None = None
    halo_px: int | None = None
    input_layout: str | None = None
    output_layouts: dict[str, str] = field(default_factory=dict)
    colour: Colour | None = None
    steps: tuple[Step, ...] | None = None
    output_steps: tuple[Step, ...] | None = None
    boxes: Form | None = None
    first_label: int | None = None


class Known:
    """Hints of several sources, the strongest first, and what was assumed for want of them."""

    def __init__(self, hints: Sequence[Hints]) -> None:
        self._hints = tuple(hints)
        self.assumptions: list[Assumption] = []

    def get(self, name: str) -> Any:  # noqa: ANN401 - whatever type the hint of that name has
        """Return what the strongest source says, None when none says anything."""
        return next(
            (v for v in (getattr(h, name) for h in self._hints) if v not in (None, {})), None
        )

    def source_of(self, name: str) -> str:
        """Return who said it."""
        return next(h.source for h in self._hints if getattr(h, name) not in (None, {}))

    def choose(self, name: OptionName, default: Any, otherwise: str) -> Any:  # noqa: ANN401 - as above
        """Return what is known of ``name``, or ``default``, and note ``otherwise`` then."""
        value = self.get(name)
        if value is not None:
            return value
        self.assume(otherwise, name, default)
        return default

    def assume(
        self, words: str, option: OptionName | None = None, value: OptionValue = None
    ) -> None:
        """Note what is taken for true; the arguments are those of `Assumption`."""
        self.assumptions.append(Assumption(words, option, value))


class BadDescription(ModelError):
    """A description beside a model cannot be used; says which and why."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


def clean_text(value: object) -> str | None:
    """Return a text in one line without control characters, None when it is none."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    words = "".join(c if c.isprintable() else " " for c in str(value)[: 4 * _LONGEST_TEXT]).split()
    text = " ".join(words)[:_LONGEST_TEXT].encode("utf-8", "ignore").decode()
    return text or None


def clean_classes(values: Iterable[object]) -> tuple[str, ...] | None:
    """Return names of classes, None when they are none."""
    names = [clean_text(value) for value in values]
    if not names or len(names) > _MOST_CLASSES or None in names:
        return None
    return tuple(name for name in names if name)


def positive(value: object, most: float) -> float | None:
    """Return a number above zero and up to ``most``, None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most:
        return float(value)
    return None


def numbers(value: object) -> tuple[float, ...] | None:
    """Return one number or a list of them as a tuple, None for anything else."""
    values: list[Any] = value if isinstance(value, list) else [value]
    if not values or len(values) > _MOST_CLASSES:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return None
    return tuple(float(v) for v in values)
