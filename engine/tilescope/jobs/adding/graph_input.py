"""What picture a graph takes, from its input and from what is known besides."""

from __future__ import annotations

from dataclasses import dataclass

from tilescope.domain.encoding import (
    Colour,
    Encoding,
    Linear,
    Standardise,
    Step,
    Stretch,
    UnitRange,
)
from tilescope.domain.geometry import Size
from tilescope.domain.manifest import INPUT_DTYPES, TensorSpec
from tilescope.errors import ModelError
from tilescope.inference.graph_description import GraphDescription, GraphTensor
from tilescope.jobs.adding.assumption import Unsettled
from tilescope.jobs.adding.model_hints import Known

_MOST_CHANNELS = 16
_LARGEST_SIDE = 8192
_DEFAULT_SIDE = 512
_LAYOUTS = {4: ("NCHW", "NHWC"), 3: ("CHW", "HWC", "NHW")}

#: Mean and deviation of ImageNet's training images in 0..1, as torchvision publishes them.
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
IMAGENET = Linear(
    tuple(1 / d for d in _IMAGENET_DEVIATION),
    tuple(-m / d for m, d in zip(_IMAGENET_MEAN, _IMAGENET_DEVIATION, strict=True)),
)

NORMALISATIONS: dict[str, tuple[Step, ...]] = {
    "0-1": (UnitRange(),),
    "0-255": (UnitRange(), Linear((255.0,), (0.0,))),
    "imagenet": (UnitRange(), IMAGENET),
    "zero-mean": (Standardise(),),
    "percentile": (Stretch(1.0, 99.8),),
    "none": (),
}


#: What a number of channels usually means, and how that is said.
_USUAL_COLOURS: dict[int, tuple[Colour, str]] = {
    1: ("grey", "its channel is the luminance, in fluorescence the band with the most contrast"),
    3: ("rgb", "its channels are red, green and blue, in this order"),
}


@dataclass(frozen=True, slots=True)
class GraphInput:
    """The picture that a graph takes.

    Attributes
    ----------
    tensor, channels
        The input and how many channels it has.
    size
        Side lengths to use; the only ones possible when ``fixed``.
    """

    tensor: TensorSpec
    channels: int
    size: Size
    fixed: bool

    def shape(self, size: Size) -> tuple[int, ...]:
        """Return the shape of the input for a tile of ``size``."""
        sides = {"N": 1, "C": self.channels, "H": size.height, "W": size.width}
        return tuple(sides[letter] for letter in self.tensor.layout)


def read_input(description: GraphDescription, known: Known) -> GraphInput:
    """Return what picture the graph takes.

    Raises
    ------
    ModelError
        When it takes something else; without the name of the file.
    """
    if len(description.inputs) != 1:
        names = ", ".join(tensor.name for tensor in description.inputs[:5]) or "none"
        raise ModelError(
            f"it has {len(description.inputs)} inputs ({names}); Tilescope feeds one picture: "
            "export the model with one input, or write a plugin"
        )
    (tensor,) = description.inputs
    if tensor.dtype not in INPUT_DTYPES:
        raise ModelError(
            f"its input is {tensor.dtype}; export it for one of {', '.join(INPUT_DTYPES)}"
        )
    layout = _layout(tensor, known)
    sides = dict(zip(layout, tensor.dims, strict=True))
    if (sides.get("N") or 1) != 1:
        raise ModelError(
            f"it takes {sides['N']} pictures at once and no other number; export it with a batch "
            "of 1, or of any size"
        )
    channels = 1 if "C" not in layout else sides["C"] or _channels(description, known)
    size, fixed = _size(sides.get("H"), sides.get("W"), known)
    spec = TensorSpec(tensor.name, layout, tensor.dtype)  # type: ignore[arg-type]  # checked there
    return GraphInput(spec, channels, size, fixed)


def _layout(tensor: GraphTensor, known: Known) -> str:
    possible = _LAYOUTS.get(len(tensor.dims))
    if possible is None:
        raise ModelError(
            f"its input {tensor.name!r} has {len(tensor.dims)} axes; a picture has 3 or 4: export "
            "the model for planes"
        )
    said = known.get("input_layout")
    if said in possible:
        return str(said)
    fitting = [
        layout
        for layout in possible
        if "C" in layout and (tensor.dims[layout.index("C")] or 0) in range(1, _MOST_CHANNELS + 1)
    ]
    if fitting:
        return fitting[0]
    known.assume(f"the axes of the input are taken for {possible[0]} (the graph leaves them open)")
    return possible[0]


def _channels(description: GraphDescription, known: Known) -> int:
    if description.first_channels:
        return description.first_channels
    known.assume("the input is taken for RGB (the graph leaves its channels open)")
    return 3


def _size(height: int | None, width: int | None, known: Known) -> tuple[Size, bool]:
    if height and width:
        if max(height, width) > _LARGEST_SIDE:
            raise ModelError(
                f"it takes tiles of {width} x {height} px only; export it for at most "
                f"{_LARGEST_SIDE} px, or for any size"
            )
        if known.get("tile_px") not in {None, height, width}:
            known.assume(
                f"tiles are {width} x {height} px, the only ones that the graph takes, and not "
                f"{known.get('tile_px')} px as {known.source_of('tile_px')} says"
            )
        return Size(width, height), True
    given = height or width
    side = given or known.get("tile_px") or _DEFAULT_SIDE
    if not 16 <= side <= _LARGEST_SIDE:
        raise ModelError(f"tiles of {side} px are not between 16 and {_LARGEST_SIDE} px")
    return Size(side, side), bool(given) or bool(known.get("fixed"))


def read_encoding(taken: GraphInput, known: Known) -> Encoding:
    """Return how pixels become the input."""
    usual, words = _USUAL_COLOURS.get(
        taken.channels, ("bands", "its channels are the slide's bands")
    )
    colour = known.choose("colour", usual, words)
    steps = known.get("steps")
    if steps is None and taken.tensor.dtype == "uint8":
        steps = NORMALISATIONS["0-255"]
    elif steps is None:
        steps = NORMALISATIONS["0-1"]
        known.assume("pixel values are scaled to 0..1 before the network", "normalise", "0-1")
    if any(isinstance(step, Standardise) for step in steps):
        known.assume(
            "mean and deviation are those of the slide as a whole, not of every tile, so that "
            "neighbouring tiles agree"
        )
    if any(isinstance(step, Stretch) for step in steps):
        known.assume(
            "the slide's own intensity window stands for the percentiles of every tile, so that "
            "neighbouring tiles agree"
        )
    try:
        return Encoding(colour, taken.channels, tuple(steps))
    except ValueError as exc:
        raise Unsettled(f"{exc}; give another colour", "colour") from exc


def channel_names(encoding: Encoding) -> tuple[str, ...]:
    """Return names for the channels of the input."""
    match encoding.colour:
        case "rgb" | "bgr":
            return tuple(encoding.colour.upper())
        case "grey":
            return ("grey",)
        case _:
            return tuple(f"band {index}" for index in range(encoding.channels))
