"""How pixels become what a network takes, and what a network gives becomes a result: as values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Colour = Literal["rgb", "bgr", "grey", "bands"]
Form = Literal[
    "class-map",
    "label-map",
    "tile-scores",
    "yolo-objectness",
    "yolo-classes",
    "final-boxes",
    "box-lists",
]
ActivationName = Literal["sigmoid", "softmax", "exp"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _require_finite(name: str, values: Sequence[float]) -> None:
    _require(len(values) > 0, f"{name} is empty")
    _require(all(map(math.isfinite, values)), f"{name} {list(values)} is not finite")


@dataclass(frozen=True, slots=True)
class UnitRange:
    """To 0..1: 8-bit values by 255, others stretched over the slide's intensity window."""


@dataclass(frozen=True, slots=True)
class Linear:
    """``x * gain + offset``; each one number, or one per channel."""

    gain: tuple[float, ...]
    offset: tuple[float, ...]

    def __post_init__(self) -> None:
        _require_finite("gain", self.gain)
        _require_finite("offset", self.offset)


@dataclass(frozen=True, slots=True)
class Standardise:
    """To mean 0 and deviation 1, with the mean and deviation of the whole slide.

    ``per_channel`` False takes one mean and deviation for all channels together.
    """

    per_channel: bool = True
    eps: float = 1e-6

    def __post_init__(self) -> None:
        _require(0 < self.eps < 1, f"eps {self.eps} is not between 0 and 1")


@dataclass(frozen=True, slots=True)
class Stretch:
    """From the slide's intensity window to 0..1, without cutting off what lies outside.

    ``low_percentile`` and ``high_percentile`` are what the network was trained with; the slide's
    own window takes their place, because percentiles of every tile would make seams.
    """

    low_percentile: float = 0.0
    high_percentile: float = 100.0
    per_channel: bool = True
    eps: float = 1e-6

    def __post_init__(self) -> None:
        ordered = 0 <= self.low_percentile < self.high_percentile <= 100
        _require(ordered, f"{self.low_percentile}..{self.high_percentile} are no percentiles")
        _require(0 < self.eps < 1, f"eps {self.eps} is not between 0 and 1")


@dataclass(frozen=True, slots=True)
class Clip:
    """To values between ``low`` and ``high``."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require(self.low < self.high, f"clip {self.low}..{self.high} is empty")


@dataclass(frozen=True, slots=True)
class Activation:
    """``sigmoid``, ``softmax`` over the classes, or ``exp`` of logarithms."""

    name: ActivationName

    def __post_init__(self) -> None:
        known = get_args(ActivationName)
        _require(self.name in known, f"activation {self.name!r} is not one of {known}")


@dataclass(frozen=True, slots=True)
class Threshold:
    """To 1 above ``at`` and 0 elsewhere."""

    at: float


Step = UnitRange | Linear | Standardise | Stretch | Clip | Activation | Threshold


@dataclass(frozen=True, slots=True)
class Encoding:
    """From the bands of a slide to the channels of a network.

    Attributes
    ----------
    colour
        ``rgb`` and ``bgr`` are three channels; ``grey`` is one: the luminance of bright field,
        the band with the widest intensity window in fluorescence; ``bands`` takes the slide's
        bands one by one.
    channels
        How many channels the network takes.
    steps
        What happens to the values, in this order.
    """

    colour: Colour
    channels: int
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        known = get_args(Colour)
        _require(self.colour in known, f"colour {self.colour!r} is not one of {known}")
        _require(self.channels >= 1, f"{self.channels} channels")
        wanted = {"rgb": 3, "bgr": 3, "grey": 1}.get(self.colour, self.channels)
        _require(self.channels == wanted, f"colour {self.colour} has {wanted} channels")


@dataclass(frozen=True, slots=True)
class Decoding:
    """From the tensors of a network to a result.

    Attributes
    ----------
    form
        ``class-map``: one plane of values per class. ``label-map``: one plane of class numbers.
        ``tile-scores``: one value per class for the whole tile. Boxes as rows of ``cx, cy, w, h``
        with an objectness and one score per class (``yolo-objectness``) or with scores alone
        (``yolo-classes``), as rows of ``x0, y0, x1, y1, score, class`` (``final-boxes``), or as
        three tensors of corners, scores and labels (``box-lists``). Boxes are in pixels of the
        tile.
    outputs
        Which outputs of the graph are used: one, or corners, scores and labels.
    steps
        What happens to values and scores before they are taken for probabilities; places of boxes
        stay as they are.
    first_label
        Number of the first class where classes are numbers; what is smaller is background.
    """

    form: Form
    outputs: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    first_label: int = 0

    def __post_init__(self) -> None:
        known = get_args(Form)
        _require(self.form in known, f"form {self.form!r} is not one of {known}")
        wanted = 3 if self.form == "box-lists" else 1
        given = len(self.outputs)
        _require(given == wanted, f"form {self.form} has {wanted} outputs, not {given}")
        _require(self.first_label >= 0, f"first_label {self.first_label} is negative")
