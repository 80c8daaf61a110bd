"""What nobody said of a model, in words, and which option of adding it says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tilescope.errors import ModelError, UsageError

#: What a user may say of a model beside its files, and how much memory looking at it may take.
OptionName = Literal[
    "id",
    "task",
    "classes",
    "um_per_px",
    "normalise",
    "colour",
    "tile_px",
    "halo_px",
    "boxes",
    "first_label",
    "licence",
    "memory",
]
OptionValue = str | int | float | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Assumption:
    """One thing that was taken for true because nothing said otherwise.

    Attributes
    ----------
    words
        What was assumed, without how a front end has it changed.
    option
        What settles it, None where nothing does.
    value
        What the option would have to be to say the same, None where it is left out then.
    """

    words: str
    option: OptionName | None = None
    value: OptionValue = None


class Unsettled(UsageError, ModelError):
    """A model cannot be added as long as something is not said of it, or is said wrongly.

    Attributes
    ----------
    options
        What has to be given, or given otherwise.
    """

    def __init__(self, words: str, *options: OptionName) -> None:
        super().__init__(words)
        self.options = options


class ModelTaken(Unsettled):
    """There is a model of that id; ``is_stored`` tells whether the user added it."""

    def __init__(self, model_id: str, where: str, *, is_stored: bool) -> None:
        super().__init__(f"a model {model_id!r} is in {where} already", "id")
        self.model_id = model_id
        self.is_stored = is_stored
