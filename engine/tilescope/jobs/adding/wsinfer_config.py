"""``config.json`` of WSInfer: a classifier of patches.

Schema: WSInfer Zoo, ``model-config.schema.json``, version 1.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tilescope.domain.encoding import Linear, Step, UnitRange
from tilescope.jobs.adding.model_hints import (
    BadDescription,
    Hints,
    clean_classes,
    numbers,
    positive,
)

_LARGEST_PATCH = 16384
_LARGEST_SPACING = 100.0


def is_wsinfer(config: object) -> bool:
    """Tell whether a JSON value is a configuration of WSInfer."""
    return isinstance(config, dict) and {"num_classes", "patch_size_pixels"} <= config.keys()


def read_wsinfer(path: Path, config: Mapping[str, Any]) -> Hints:
    """Return what the configuration says.

    The patch of ``patch_size_pixels`` at ``spacing_um_px`` is resized to the network's size; here
    the slide is read at the spacing that gives that size at once.

    Raises
    ------
    BadDescription
        When it is of another version, or a value makes no sense.
    """
    version = config.get("spec_version", "1.0")
    if str(version).split(".")[0] != "1":
        raise BadDescription(path, f"spec_version {version!r} is not known; 1.0 is")
    patch = positive(config.get("patch_size_pixels"), _LARGEST_PATCH)
    spacing = positive(config.get("spacing_um_px"), _LARGEST_SPACING)
    count = positive(config.get("num_classes"), 10_000)
    if patch is None or spacing is None or count is None:
        raise BadDescription(
            path, "patch_size_pixels, spacing_um_px and num_classes must be positive numbers"
        )
    names = config.get("class_names") or [f"class {i}" for i in range(int(count))]
    classes = clean_classes(names) if isinstance(names, list) else None
    if classes is None or len(classes) != count:
        raise BadDescription(path, f"class_names must be {int(count)} names")
    size, steps = _transforms(path, config.get("transform") or [], int(patch))
    return Hints(
        source=path.name,
        task="classification",
        classes=classes,
        um_per_px=spacing * patch / size,
        tile_px=size,
        fixed=True,
        colour="rgb",
        steps=steps,
    )


def _transforms(path: Path, transforms: object, patch: int) -> tuple[int, tuple[Step, ...]]:
    if not isinstance(transforms, list) or not all(isinstance(t, dict) for t in transforms):
        raise BadDescription(path, "transform must be a list of tables")
    size = patch
    steps: list[Step] = []
    for transform in transforms:
        arguments = transform.get("arguments") or {}
        match transform.get("name"):
            case "Resize":
                size = _size(path, arguments)
            case "ToTensor":
                steps.append(UnitRange())
            case "Normalize":
                steps.append(_normalisation(path, arguments))
            case other:
                raise BadDescription(
                    path, f"transform {other!r} is not known; Resize, ToTensor and Normalize are"
                )
    return size, tuple(steps)


def _size(path: Path, arguments: Mapping[str, Any]) -> int:
    value = arguments.get("size")
    sides = value if isinstance(value, list) else [value]
    size = positive(sides[0] if sides else None, _LARGEST_PATCH)
    if size is None or size != int(size) or any(side != sides[0] for side in sides):
        raise BadDescription(path, f"Resize to {value!r}: the size must be one whole number")
    return int(size)


def _normalisation(path: Path, arguments: Mapping[str, Any]) -> Linear:
    mean, deviation = numbers(arguments.get("mean")), numbers(arguments.get("std"))
    if mean is None or deviation is None or len(mean) != len(deviation) or 0 in deviation:
        raise BadDescription(path, "Normalize needs a mean and a std of equal length, no std of 0")
    gain = tuple(1 / value for value in deviation)
    return Linear(gain, tuple(-m * g for m, g in zip(mean, gain, strict=True)))
