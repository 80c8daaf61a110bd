"""One model over one slide: survey, plan, blocks, seams, files; resumable at every block."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial

from tilescope.exchange.staging import output_errors
from tilescope.inference.backends import open_session
from tilescope.inference.receptive import compute_halo
from tilescope.inference.session import Session
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.jobs.report import RunReport
from tilescope.jobs.request import OnProgress, RunProgress, RunRequest, ignore_progress
from tilescope.jobs.running.block_run import BlockRun, Clock
from tilescope.jobs.running.decisions import Remembered
from tilescope.jobs.running.events import RunEvent
from tilescope.jobs.running.footprint import cache_bytes
from tilescope.jobs.running.planning import Network
from tilescope.jobs.running.preparation import (
    Opened,
    Settings,
    check_settings,
    identity_of,
    in_patches,
    prepare,
)
from tilescope.jobs.running.project_results import ProjectResults
from tilescope.jobs.running.providers import (
    choose_provider,
    patchwork_of,
    resumed,
    weights_for,
    wish_of,
)
from tilescope.jobs.running.survey import survey_slide
from tilescope.jobs.running.task_context import TaskContext
from tilescope.jobs.running.tasks import check_formats, check_project, ledger_of, task_of
from tilescope.runtime.cancel import CancellationToken
from tilescope.store.run_ledger import RunLedger

LEDGER_NAME = "run.ledger"


def run_model(
    request: RunRequest,
    token: CancellationToken,
    on_progress: OnProgress = ignore_progress,
) -> RunReport:
    """Run a model over a slide and return the report, which is also in ``run.json``.

    A run that was killed or cancelled continues where it stopped. Tiles that fail are named in
    the report and tried again by the next run. Raises what :func:`follow` does.
    """
    told: RunProgress | None = None
    with closing(follow(request, token)) as events:
        for event in events:
            if event.report is not None:
                return event.report
            if event.progress != told:
                told = event.progress
                on_progress(told)
    msg = "a run ended without a report"
    raise AssertionError(msg)


def follow(request: RunRequest, token: CancellationToken) -> Generator[RunEvent, None, None]:
    """Run a model over a slide, yielding what it does and what it finds as it comes.

    The last event has the report. Reading and inference go on in threads of their own; decoding
    and writing happen in the thread that takes the events, at its pace. Closing the iterator
    cancels the run, as setting the token does.

    Raises
    ------
    SlideError
        When the slide cannot be opened; nothing is written then.
    UsageError, ModelError, PluginBroken, BudgetTooSmall
        When the request cannot be carried out; nothing is written then.
    RunMismatch
        When the folder holds a run of another model, slide or set of parameters.
    ProjectError
        When the project is busy or damaged, or cannot be written; nothing is written then.
    OutputError
        When the output folder cannot be made. A disk that fills up later ends the run with the
        status ``failed``; the same request resumes it when there is room.
    Cancelled
        When the token is set before the first block.
    """
    clock = Clock()
    check_formats(request)
    check_project(request)
    weights = weights_for(request.model, request.precision)
    adapter = request.model.load_adapter()
    cache = TileCache(cache_bytes(request.memory_bytes))
    spec = request.model.spec
    network = Network(spec, compute_halo(weights, spec.layouts))
    with ExitStack() as stack:
        source = stack.enter_context(open_slide(request.slide, cache=cache))
        settings = check_settings(request, source)
        identity = identity_of(request, settings, source)
        earlier = _earlier(request, identity)
        results = _results(request, settings)
        if results is not None:
            results.check(source)
        wish = wish_of(request)
        if earlier is not None:
            wish = resumed(wish, earlier.provider, request.folder)
        choice = choose_provider(request.model, weights, adapter, wish, token)
        session = stack.enter_context(_session(request, weights, choice.provider))
        opened = Opened(source, cache, session, adapter, network, choice)
        yield RunEvent(RunProgress("survey"))
        survey = survey_slide(source, cache, source.info.plane_index(*request.plane))
        yield RunEvent(RunProgress("scale"))
        if earlier is not None:
            # Of a slide that was damaged or mended since, it may come out otherwise.
            survey = replace(survey, contrast=earlier.contrast)
        patchwork = partial(patchwork_of, request.model, weights, adapter, wish, token)
        prepared = prepare(request, settings, opened, survey, earlier, patchwork, token)
        if prepared.cut.schedule is not None:
            yield RunEvent(RunProgress("patches"))
            session.close()
            opened = in_patches(request, opened, prepared)
            stack.enter_context(opened.session)
        token.raise_if_cancelled()
        context = TaskContext(request, opened, prepared, token)
        yield from _blocks(context, identity, earlier, results, clock)


def _blocks(
    context: TaskContext,
    identity: dict[str, str],
    earlier: Remembered | None,
    results: ProjectResults | None,
    clock: Clock,
) -> Iterator[RunEvent]:
    request = context.request
    with _create(request, identity) as ledger:
        if earlier is None:
            provider = context.opened.session.provider
            decisions = context.prepared.remembered(request.memory_bytes, provider)
            ledger.remember("decisions", decisions.as_dict())
        yield from BlockRun(context, ledger, task_of(context, ledger), results, clock).events()


def _session(request: RunRequest, weights: bytes, provider: str) -> Session:
    session = open_session(
        weights,
        threads=request.threads,
        provider=provider,
        precision=request.precision,
        device_bytes=request.memory_bytes,
    )
    session.check(request.model.spec)
    return session


def _results(request: RunRequest, settings: Settings) -> ProjectResults | None:
    if request.project is None:
        return None
    model = request.model.spec.ref
    return ProjectResults(request.project, request.slide, model, settings.scope)


def _earlier(request: RunRequest, identity: dict[str, str]) -> Remembered | None:
    """Return the decisions of an interrupted run in the folder, None when there is none."""
    path = request.folder / LEDGER_NAME
    if request.overwrite or not path.exists():
        return None
    with ledger_of(request.model.spec.task)(path, identity) as ledger:
        values = ledger.note("decisions")
    return Remembered.of(values) if values else None


def _create(request: RunRequest, identity: dict[str, str]) -> RunLedger:
    folder = request.folder
    with output_errors(folder):
        if request.overwrite and (folder / LEDGER_NAME).exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
    return ledger_of(request.model.spec.task)(folder / LEDGER_NAME, identity)
