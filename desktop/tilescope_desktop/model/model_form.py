"""What a user may say of a model that is added: fields, what stands in them, what that means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tilescope.jobs.add_model import AddedModel, AddOptions
from tilescope.jobs.adding.assumption import OptionName, OptionValue, Unsettled


@dataclass(frozen=True, slots=True)
class Field:
    """How one option is asked for.

    Attributes
    ----------
    hint
        What stands in an empty field.
    choices
        What can be chosen, in words by value; empty where one writes.
    """

    title: str
    hint: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)


#: In the order in which they are asked for; what is not here the window has no field for.
FIELDS: Mapping[OptionName, Field] = {
    "id": Field("Id", "Lower-case letters, digits and -"),
    "task": Field(
        "Gives",
        choices={
            "semantic": "a class for every pixel",
            "classification": "a class for every tile",
            "detect": "boxes around objects",
        },
    ),
    "classes": Field("Classes", "Names, separated by commas"),
    "um_per_px": Field("Pixel size (µm/px)", "Not known: slides are taken pixel by pixel"),
    "normalise": Field(
        "Pixel values",
        choices={
            "0-1": "scaled to 0 to 1",
            "0-255": "scaled to 0 to 255",
            "imagenet": "by mean and deviation of ImageNet",
            "zero-mean": "to mean 0 and deviation 1",
            "percentile": "stretched between percentiles",
            "none": "left as they are",
        },
    ),
    "colour": Field(
        "Channels",
        choices={
            "rgb": "red, green, blue",
            "bgr": "blue, green, red",
            "grey": "one, grey",
            "bands": "the slide's bands, in their order",
        },
    ),
    "boxes": Field(
        "Rows of boxes",
        choices={
            "yolo-objectness": "centre, size, objectness, classes",
            "yolo-classes": "centre, size, classes",
            "final-boxes": "corners, score, class",
            "box-lists": "lists of corners, scores, labels",
        },
    ),
    "first_label": Field("Number of the first class", choices={"0": "0", "1": "1"}),
    "tile_px": Field("Largest tile (px)"),
    "halo_px": Field("Context around a tile (px)"),
    "licence": Field("Licence", "Not known"),
}


@dataclass(frozen=True, slots=True)
class ModelForm:
    """What is asked about a model.

    Attributes
    ----------
    said
        What the user has said so far.
    assumed
        What holds while nothing is said, by option; exactly these are asked for.
    """

    said: AddOptions = field(default_factory=AddOptions)
    assumed: Mapping[OptionName, OptionValue] = field(default_factory=dict)

    def about(self, added: AddedModel, said: AddOptions) -> ModelForm:
        """Return the form with what a model that was tried out leaves open."""
        open_now: dict[OptionName, OptionValue] = {
            c.option: None for c in added.checks if c.option is not None
        }
        open_now |= {a.option: a.value for a in added.assumed if a.option is not None}
        return ModelForm(said, _known({**self.assumed, **open_now}))

    def asking(self, options: Sequence[OptionName]) -> ModelForm:
        """Return the form with these asked for, too."""
        return replace(self, assumed=_known({**dict.fromkeys(options), **self.assumed}))

    @property
    def texts(self) -> dict[OptionName, str]:
        """What stands in the fields, in their order."""
        return {option: self._text(option) for option in FIELDS if option in self.assumed}

    def options(self, texts: Mapping[OptionName, str]) -> AddOptions:
        """Return what is said with these texts in the fields; what was assumed is not said.

        Raises
        ------
        Unsettled
            When one of them makes no sense; says which.
        """
        said: dict[str, Any] = dict.fromkeys(self.assumed)
        for option, text in texts.items():
            clean = text.strip()
            if clean and clean != _text_of(self.assumed[option]):
                said[option] = _value(option, clean)
        return replace(self.said, **said)

    def _text(self, option: OptionName) -> str:
        said = getattr(self.said, option)
        return _text_of(self.assumed[option] if said is None else said)


def problem_text(error: BaseException, words: str) -> str:
    """Return what is wrong with what was said, with the fields that it is about."""
    options = error.options if isinstance(error, Unsettled) else ()
    titles = ", ".join(FIELDS[option].title for option in options if option in FIELDS)
    return f"{titles}: {words}." if titles else f"{words[:1].upper()}{words[1:]}."


def report_lines(added: AddedModel) -> list[str]:
    """Return what was assumed of a model and what trying it out found, a line each."""
    lines = [f"Assumed: {one.words}" for one in added.assumed]
    return lines + [f"{check.verdict}: {check.name}: {check.words}" for check in added.checks]


def _known(options: Mapping[OptionName, OptionValue]) -> dict[OptionName, OptionValue]:
    return {option: options[option] for option in FIELDS if option in options}


def _text_of(value: OptionValue) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _value(option: OptionName, text: str) -> OptionValue:
    match option:
        case "classes":
            return tuple(name.strip() for name in text.split(","))
        case "um_per_px":
            return _number(option, text.replace(",", "."), float)
        case "tile_px" | "halo_px" | "first_label":
            return _number(option, text, int)
        case _:
            return text


def _number(
    option: OptionName, text: str, read: Callable[[str], float] | Callable[[str], int]
) -> float | int:
    try:
        return read(text)
    except ValueError as exc:
        kind = "whole number" if read is int else "number"
        raise Unsettled(f"{text[:40]!r} is no {kind}", option) from exc
