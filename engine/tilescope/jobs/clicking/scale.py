"""At which scale a prompt is looked at: first as guessed, then as large as the object came out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tilescope.domain.clicks import Clicks
from tilescope.domain.scale import AtObjectSize, PixelSize, Sampling
from tilescope.domain.slide import SlideInfo
from tilescope.errors import UsageError
from tilescope.jobs.clicking.look import Look, Looker
from tilescope.runtime.cancel import CancellationToken

#: Level-0 diameters that are tried on an uncalibrated slide, from 5x to 100x.
_DIAMETERS_PX = (7.0, 11.0, 17.0, 26.0, 40.0, 62.0, 96.0, 150.0)
#: So many prompts say how large objects are; the others begin at what these found.
_PROBES = 6
#: Within this ratio of the size that the network likes best a first look is good enough.
_GOOD_RATIO = 1.3
#: How far in log diameter an answer may be from what was assumed before it is doubted.
_SPREAD = 0.4
#: Further looks stay within this ratio of the first scale: what is smaller is a speck in the
#: object, what is larger is no object.
_LARGEST_CHANGE = 4.0
_LOOKS = 3
#: An object that leaves the patch is looked at from at least so much further away.
_CUT_STEP = 1.5


@dataclass(frozen=True, slots=True)
class ObjectSize:
    """How large a model's objects are.

    Attributes
    ----------
    working_px
        On the working grid, where the network sees them best.
    level0_px
        On the slide, None when nothing says so.
    """

    working_px: float
    level0_px: float | None

    @property
    def factor(self) -> float | None:
        """Level-0 pixels per working pixel."""
        return None if self.level0_px is None else self.level0_px / self.working_px


def expected_size(sampling: Sampling, info: SlideInfo, pixel_size: PixelSize | None) -> ObjectSize:
    """Return how large objects are by what the model and the slide say.

    Raises
    ------
    UsageError
        When the model does not say at which size it wants its objects.
    """
    if isinstance(sampling, AtObjectSize):
        known = None if pixel_size is None else sampling.diameter_um / pixel_size.mean_um
        return ObjectSize(sampling.diameter_px, known)
    raise UsageError(f"{info.path}: the model does not say how large its objects are")


def search_size(
    looker: Looker, clicks: Sequence[Clicks], working_px: float, token: CancellationToken
) -> float | None:
    """Return the level-0 diameter at which objects come out as large as assumed; None if none does.

    A few prompts, spread over all, are looked at in every size; each takes the one whose answer is
    sure and agrees with what was assumed, and the median of them counts.
    """
    step = max(1, len(clicks) // _PROBES)
    probes = clicks[::step][:_PROBES]
    sizes = [
        (c, max(d / working_px, looker.least_factor(c))) for c in probes for d in _DIAMETERS_PX
    ]
    looks = looker.look([c for c, _ in sizes], [f for _, f in sizes], token)
    found = []
    for i in range(len(probes)):
        tried = looks[i * len(_DIAMETERS_PX) : (i + 1) * len(_DIAMETERS_PX)]
        best = max(tried, key=lambda look: _credit(look, working_px))
        if _credit(best, working_px) > 0:
            found.append(best.diameter_px)
    return float(np.median(found)) if found else None


def _credit(look: Look, working_px: float) -> float:
    if not look.is_found or look.cut:
        return 0.0
    off = math.log(look.diameter_px / look.factor / working_px)
    return look.score * math.exp(-0.5 * (off / _SPREAD) ** 2)


def look_again(
    looker: Looker,
    clicks: Sequence[Clicks],
    looks: Sequence[Look],
    working_px: float,
    token: CancellationToken,
) -> list[Look]:
    """Return the looks, those whose object came out too large or too small replaced.

    The next look is at the scale at which the object would have the size that the network knows;
    one that finds nothing there does not count.
    """
    best = list(looks)
    bounds = [(v.factor / _LARGEST_CHANGE, v.factor * _LARGEST_CHANGE) for v in looks]
    todo = list(range(len(best)))
    for _ in range(_LOOKS - 1):
        wanted = {
            i: max(_next_factor(best[i], working_px, bounds[i]), looker.least_factor(clicks[i]))
            for i in todo
            if _is_off(best[i], working_px)
        }
        todo = [i for i, factor in wanted.items() if factor != best[i].factor]
        again = looker.look([clicks[i] for i in todo], [wanted[i] for i in todo], token)
        answered = [(i, v) for i, v in zip(todo, again, strict=True) if v.is_found]
        todo = [i for i, _ in answered]
        for i, look in answered:
            best[i] = look
    return best


def _is_off(look: Look, working_px: float) -> bool:
    if not look.is_found:
        return False
    ratio = look.diameter_px / look.factor / working_px
    return look.cut or not 1 / _GOOD_RATIO <= ratio <= _GOOD_RATIO


def _next_factor(look: Look, working_px: float, bounds: tuple[float, float]) -> float:
    ratio = look.diameter_px / look.factor / working_px
    if look.cut:
        ratio = max(ratio, _CUT_STEP)
    return min(max(look.factor * ratio, bounds[0]), bounds[1])
