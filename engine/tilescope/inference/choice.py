"""Which backend runs a model here, and why another one does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tilescope.errors import UsageError
from tilescope.inference.backends import PROVIDER_CHOICES, ProviderState
from tilescope.inference.measurements import BatchCost, Measurement
from tilescope.inference.measuring import REFERENCE

#: Largest relative difference from the reference at which a backend counts as giving its results.
AGREEMENT = 1e-3
#: More tiles at once have to take at most this share of the time.
_WORTH_A_BATCH = 0.9


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend and the sentence that says why.

    Attributes
    ----------
    provider
        One of `backends.PROVIDERS`.
    why
        For ``run.json``, for stderr and for people.
    measurement
        What it costs; None when it was not measured.
    """

    provider: str
    why: str
    measurement: Measurement | None = None

    @property
    def bytes_per_px(self) -> float | None:
        """What an inference takes per input pixel; None when that was not measured."""
        return None if self.measurement is None else self.measurement.bytes_per_px


def contenders(wanted: str, states: Mapping[str, ProviderState]) -> tuple[str, ...]:
    """Return the providers that a run may use, the reference first.

    Raises
    ------
    UsageError
        When the one that was asked for by name does not exist or cannot be used.
    """
    if wanted not in PROVIDER_CHOICES:
        raise UsageError(f"provider {wanted!r} is not one of {', '.join(PROVIDER_CHOICES)}")
    if wanted != "auto":
        state = states[wanted]
        if not state.is_usable:
            raise UsageError(f"provider {wanted!r} is not available: {state.reason}")
        return (wanted,)
    usable = [name for name, state in states.items() if state.is_usable]
    return tuple(sorted(usable, key=lambda name: name != REFERENCE))


def fastest(
    names: tuple[str, ...],
    measured: Mapping[str, Measurement],
    fits: Callable[[Measurement], bool],
    *,
    agreement: float = AGREEMENT,
) -> Choice:
    """Return the quickest of the contenders that gives the reference's results within the cap.

    Parameters
    ----------
    names
        From `contenders`; the first is taken when none could be measured.
    measured
        By provider.
    fits
        Tells whether a backend's memory stays under the cap.
    agreement
        Largest relative difference from the reference's outputs.
    """
    reference = measured.get(names[0])
    refused = []
    good = []
    for name in names:
        found = measured.get(name)
        problem = "was not measured" if found is None else _problem(found, agreement)
        if found is None or problem:
            refused.append(f"{name} {problem}")
        else:
            good.append(found)
    good.sort(key=lambda found: found.seconds_per_tile)
    for found in good:
        if fits(found):
            return Choice(found.provider, _sentence(found, good, refused), found)
        refused.append(f"{found.provider} does not fit under the memory cap")
    if good:
        leanest = min(good, key=lambda found: found.load_bytes + found.tile_bytes)
        return Choice(leanest.provider, "; ".join(["takes the least memory", *refused]), leanest)
    return Choice(names[0], "; ".join(["nothing could be measured", *refused]), reference)


def quickest_batch(alone: Measurement, costs: Iterable[BatchCost]) -> BatchCost | None:
    """Return the batch with which a tile takes least time, None for tiles one by one.

    More tiles take more memory and make a cancel wait longer, so they have to be worth it.
    """
    best, seconds = None, alone.seconds
    for cost in sorted(costs, key=lambda cost: cost.tiles):
        if cost.seconds_per_tile < _WORTH_A_BATCH * seconds:
            best, seconds = cost, cost.seconds_per_tile
    return best


def _problem(found: Measurement, agreement: float) -> str:
    if found.problem:
        return found.problem
    if not found.difference <= agreement:
        return f"differs from {REFERENCE} by {found.difference:.2g}, {agreement:g} is allowed"
    return ""


def _sentence(chosen: Measurement, good: list[Measurement], refused: list[str]) -> str:
    others = [
        f"{other.seconds_per_tile / chosen.seconds_per_tile:.2f} times as fast as {other.provider}"
        for other in good
        if other is not chosen and other.seconds_per_tile >= chosen.seconds_per_tile
    ]
    tile = f"{chosen.side_px} x {chosen.side_px} px in {chosen.seconds_per_tile:.3g} s"
    return "; ".join([", ".join([f"measured here: {tile}", *others]), *refused])
