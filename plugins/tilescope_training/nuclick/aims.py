"""What each set of click weights is about: how large its objects are shown, and how asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

BACKGROUND_SHARE = 0.07


@dataclass(frozen=True, slots=True)
class Aim:
    """One kind of object.

    Attributes
    ----------
    name
        What the objects are; models are called ``nuclick-`` and this.
    patch_px
        Side of a patch on the working grid.
    diameter_px
        Of a usual object on the working grid.
    bounds_px
        Diameters on the working grid that a prompt may be about.
    stroke_share
        How often a prompt is a scribble rather than a click.
    background_share
        How often the prompt is on no object.
    grey_share
        How often a stained patch is shown without its colours.
    """

    name: str
    patch_px: int
    diameter_px: float
    bounds_px: tuple[float, float]
    stroke_share: float = 0.06
    background_share: float = BACKGROUND_SHARE
    grey_share: float = 0.35

    def __post_init__(self) -> None:
        if self.patch_px % 16 or not 0 < self.bounds_px[0] < self.diameter_px < self.bounds_px[1]:
            raise ValueError(f"not an aim: {self}")

    @property
    def stored_px(self) -> float:
        """The object size at which samples are kept in memory: 1.5 times the working one."""
        return 1.5 * self.diameter_px


NUCLEUS = Aim("nucleus", 128, 32.0, (9.0, 84.0))
H_AND_E = replace(NUCLEUS, grey_share=0.1)
"""Nuclei of the research weights."""

CELL = Aim("cell", 128, 56.0, (20.0, 96.0), background_share=0.1, grey_share=0.15)
GLAND = Aim(
    "gland",
    192,
    56.0,
    (16.0, 150.0),
    stroke_share=0.75,
    background_share=0.1,
    grey_share=0.1,
)

AIMS = {aim.name: aim for aim in (NUCLEUS, CELL, GLAND)}
