"""A slide and a click model, open and warm: prompts in, outlined objects out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.clicks import Clicks, Prompt
from tilescope.domain.geometry import Rect
from tilescope.domain.manifest import ModelSpec
from tilescope.errors import UsageError
from tilescope.inference.session import OnnxSession
from tilescope.io.cache import TileCache
from tilescope.io.source import SlideSource
from tilescope.jobs.clicking.look import NOTHING, Look, Looker, View
from tilescope.jobs.clicking.overlap import Beside
from tilescope.jobs.clicking.scale import expected_size, look_again, search_size
from tilescope.jobs.running.survey import survey_slide
from tilescope.ops.shapes import clip
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.closing import Closing

Ring = NDArray[np.float64]
Status = Literal["found", "nothing", "outside", "duplicate", "covered"]

#: More prompts than a person makes in a day, few enough to be held in memory.
MOST_PROMPTS = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class ClickResult:
    """The answer to one prompt.

    Attributes
    ----------
    status
        ``found``; ``nothing``: no object where was pointed at; ``outside``: a point on the object
        lies outside the slide; ``duplicate``: the same object as that of an earlier prompt;
        ``covered``: objects that are there already take its place.
    reason
        One sentence, empty when found.
    prompt
        The prompt; when an object was found, with the scale at which it was, so that it gives the
        same object again.
    ring
        Outline in level-0 pixels, ``float64[k, 2]``; None unless found.
    score
        Mean probability inside the outline.
    whole
        Whether the object lay wholly inside what the network was shown.
    """

    status: Status
    reason: str
    prompt: Prompt
    ring: Ring | None = None
    score: float = 0.0
    whole: bool = True

    @property
    def is_found(self) -> bool:
        """Tell whether there is an outline."""
        return self.ring is not None


@dataclass(frozen=True, slots=True)
class ClickOptions:
    """How prompts are answered.

    Attributes
    ----------
    diameter_px
        About how large objects are, in level-0 pixels, whatever the slide says.
    parameters
        The model's parameters that differ from their defaults.
    threads, provider
        Of one inference.
    plane
        Index of the plane, ``t * z_count + z``.
    """

    diameter_px: float | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    threads: int = 2
    provider: str = "cpu"
    plane: int = 0


class ClickSession(Closing):
    """A click model over one slide; every call from one thread at a time.

    Opening it reads the slide's overview, loads the weights and runs the graph once, so that the
    first click is as fast as the tenth.

    Parameters
    ----------
    model
        An installed model of the task ``click``.
    source, cache
        The slide and where its tiles are kept; both stay the caller's.
    options
        How prompts are answered.

    Raises
    ------
    UsageError
        When the model takes no clicks or a parameter makes no sense.
    WeightsError, GraphMismatch, PluginBroken
        When the model cannot be loaded.
    TileReadError
        When the overview of the slide cannot be read.
    """

    def __init__(
        self,
        model: InstalledModel,
        source: SlideSource,
        cache: TileCache,
        options: ClickOptions | None = None,
    ) -> None:
        options = options or ClickOptions()
        spec, info = model.spec, source.info
        self.model = spec.ref
        self.licence = spec.licence
        self.class_name = spec.classes[0]
        self.pixel_size = info.pixel_size
        self.parameters = _resolved(spec, options.parameters)
        self._bounds = Rect.of_size(info.size)
        self._size = expected_size(spec.sampling, info, info.pixel_size)
        if options.diameter_px is not None:
            self.use_diameter(options.diameter_px)
        adapter = model.load_click_adapter()
        self._survey = survey_slide(source, cache, options.plane)
        with ExitStack() as stack:
            self._session = stack.enter_context(
                OnnxSession(
                    model.verified_weights(), threads=options.threads, provider=options.provider
                )
            )
            self._session.check(spec)
            view = View(source, cache, self._survey.contrast, options.plane)
            self._looker = Looker(model, adapter, self._session, view, self.parameters)
            self._warm()
            stack.pop_all()

    @property
    def diameter_px(self) -> float | None:
        """The level-0 diameter that objects are expected to have, None until one was seen."""
        return self._size.level0_px

    def use_diameter(self, diameter_px: float) -> None:
        """Expect objects of this level-0 diameter from now on.

        Raises
        ------
        UsageError
            When it is not between 1 and 100,000 pixels.
        """
        if not 1 <= diameter_px <= 1e5:
            raise UsageError(f"objects of {diameter_px:g} px: say a number from 1 to 100000")
        self._size = replace(self._size, level0_px=float(diameter_px))

    def segment(
        self,
        prompts: Sequence[Prompt],
        *,
        committed: Sequence[Ring] = (),
        allow_overlap: bool = False,
        token: CancellationToken | None = None,
    ) -> tuple[ClickResult, ...]:
        """Return the answer to every prompt, in their order.

        Parameters
        ----------
        prompts
            Any number; those whose scale is set are looked at in it and nothing else.
        committed
            Outlines that are there already, level-0 pixels; what is found stays clear of them.
        allow_overlap
            Give every object whole, whatever lies under it.

        Raises
        ------
        UsageError
            For more than ``MOST_PROMPTS``.
        TileReadError, InferenceFailed, PluginBroken, Cancelled
            Whatever stands in the way of answers.
        """
        if len(prompts) > MOST_PROMPTS:
            raise UsageError(f"{len(prompts)} prompts at once; {MOST_PROMPTS} can be taken")
        token = token or CancellationToken()
        on_slide = [i for i, p in enumerate(prompts) if self._is_on_slide(p.clicks)]
        # The same prompt twice is looked at once.
        firsts = {
            prompts[i].key: prompts[i]
            for i in reversed(on_slide)
            if self._may_hold_something(prompts[i].clicks)
        }
        looks = self._looks(list(firsts.values()), token)
        by_key = dict(zip(firsts, looks, strict=True))
        answers = {i: by_key.get(prompts[i].key, NOTHING) for i in on_slide}
        beside = Beside(committed)
        placed: dict[int, int] = {}
        results = []
        for i, prompt in enumerate(prompts):
            if i not in answers:
                reason = "the point lies outside the slide"
                results.append(ClickResult("outside", reason, prompt))
                continue
            result = self._result(prompt, answers[i])
            if result.is_found and not allow_overlap:
                result = _settled(result, beside, placed, i)
            results.append(result)
        return tuple(results)

    def close(self) -> None:
        """Give back the weights and the threads; the slide stays open."""
        self._session.close()

    def _warm(self) -> None:
        x, y = self._bounds.width / 2, self._bounds.height / 2
        factor = self._size.factor or 1.0
        self._looker.look([Prompt.at(x, y).clicks], [factor], CancellationToken())

    def _is_on_slide(self, clicks: Clicks) -> bool:
        return all(self._bounds.contains(float(x), float(y)) for x, y in clicks.on_object)

    def _may_hold_something(self, clicks: Clicks) -> bool:
        points, away = clicks.on_object, self._survey.mask_factor
        x0, y0 = points.min(axis=0) - away
        x1, y1 = points.max(axis=0) + away
        return self._survey.holds_something((float(x0), float(y0), float(x1), float(y1)))

    def _looks(self, prompts: Sequence[Prompt], token: CancellationToken) -> list[Look]:
        free = [i for i, p in enumerate(prompts) if p.factor is None]
        fixed = [i for i, p in enumerate(prompts) if p.factor is not None]
        answers: dict[int, Look] = {}
        if fixed:
            factors = [f for i in fixed if (f := prompts[i].factor) is not None]
            looks = self._looker.look([prompts[i].clicks for i in fixed], factors, token)
            answers |= dict(zip(fixed, looks, strict=True))
        if free:
            looks = self._free_looks([prompts[i] for i in free], token)
            answers |= dict(zip(free, looks, strict=True))
        return [answers[i] for i in range(len(prompts))]

    def _free_looks(self, prompts: Sequence[Prompt], token: CancellationToken) -> list[Look]:
        looker, working = self._looker, self._size.working_px
        clicks = [p.clicks for p in prompts]
        usual = self._size.level0_px
        unsized = [p.clicks for p in prompts if p.diameter_px is None]
        if usual is None and unsized:
            usual = search_size(looker, unsized, working, token)
            if usual is not None:
                self._size = replace(self._size, level0_px=usual)
        factors = [
            max((p.diameter_px or usual or working) / working, looker.least_factor(p.clicks))
            for p in prompts
        ]
        looks = looker.look(clicks, factors, token)
        return look_again(looker, clicks, looks, working, token)

    def _result(self, prompt: Prompt, look: Look) -> ClickResult:
        if look.doubt:
            reason = f"there may be no {self.class_name} where you clicked: {look.doubt}"
            return ClickResult("nothing", reason, prompt)
        outline = look.ring()
        ring = None if outline is None else clip(outline, self._bounds)
        if ring is None:
            reason = f"there is no {self.class_name} where you clicked"
            return ClickResult("nothing", reason, prompt)
        used = replace(prompt, factor=look.factor)
        return ClickResult("found", "", used, ring, look.score, not look.cut)


def _resolved(spec: ModelSpec, parameters: Mapping[str, float]) -> dict[str, float]:
    try:
        return spec.resolved(parameters)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc


def _settled(
    result: ClickResult, beside: Beside, placed: dict[int, int], index: int
) -> ClickResult:
    """Return the result beside the objects that came before it.

    ``placed`` leads from an object's place among all to the prompt that made it.
    """
    assert result.ring is not None
    count = len(beside)
    answer = beside.place(result.ring, result.prompt.clicks.middle)
    if answer.ring is not None:
        placed[count] = index
        return replace(result, ring=answer.ring)
    if answer.same_as is None:
        reason = "objects that are there already take its place"
        return ClickResult("covered", reason, result.prompt)
    earlier = placed.get(answer.same_as)
    if earlier is None:
        return ClickResult("covered", "the object is there already", result.prompt)
    reason = f"the same object as that of prompt {earlier + 1}"
    return ClickResult("duplicate", reason, result.prompt)
