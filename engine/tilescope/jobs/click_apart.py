"""Clicks answered in a process of their own, for a window that outlives whatever a model does."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.clicks import Prompt
from tilescope.errors import ModelProcessEnded
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.jobs.click import ClickReport
from tilescope.jobs.clicking.session import ClickOptions, ClickSession
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.child import Child, Fault, Parent
from tilescope.runtime.closing import Closing

Ring = NDArray[np.float64]

#: A model that has not answered after so long never will, whatever the machine.
ANSWER_S = 120.0
_PATIENCE_S = 2.0
_CACHE_BYTES = 64 * 2**20
_REMEDY = "click again, and update or remove the model if that does not help"


@dataclass(frozen=True, slots=True)
class ClickRequest:
    """A click model over a slide.

    Attributes
    ----------
    slide
        The file, folder or address.
    um_per_px
        Pixel size to use instead of the slide's.
    """

    model: InstalledModel
    slide: Path
    um_per_px: float | None = None
    options: ClickOptions = field(default_factory=ClickOptions)


class ClickProcess(Closing):
    """A `ClickSession` in another process, which opens the slide itself.

    It starts at once; ``wait`` and ``segment`` are called by one thread. A process that a model
    ended stays ended.

    Parameters
    ----------
    answer_s
        A model that answers nothing for so long is stopped, in seconds.
    """

    def __init__(self, request: ClickRequest, answer_s: float = ANSWER_S) -> None:
        self._title = request.model.spec.title
        self._answer_s = answer_s
        self._was_stopped = False
        self._child = Child(__spec__.name, _PATIENCE_S)
        self._child.send(request)
        self._replies: Iterator[Any] = self._child.messages()

    def wait(self) -> None:
        """Wait until clicks are answered at once.

        Raises
        ------
        ModelProcessEnded
            When the process ended, or was stopped.
        TilescopeError
            What ``open_slide`` and `ClickSession` raise.
        """
        self._reply()

    def segment(self, prompts: Sequence[Prompt], *, committed: Sequence[Ring] = ()) -> ClickReport:
        """Return what `ClickSession.segment` finds.

        Raises
        ------
        ModelProcessEnded
            When the process ended, or was stopped.
        TilescopeError
            What stands in the way of answers.
        """
        patience = threading.Timer(self._answer_s, self.kill)
        patience.daemon = True
        patience.start()
        self._child.send((tuple(prompts), tuple(committed)))
        try:
            report = self._reply()
        finally:
            patience.cancel()
            patience.join()
        assert report is not None
        return report

    def kill(self) -> None:
        """Stop it, whatever it does; any thread. Who waits for an answer gets ModelProcessEnded."""
        self._was_stopped = True
        self._child.kill()

    def close(self) -> None:
        """End the process, which has nothing to lose; calling it twice is fine."""
        self._child.kill()
        self._child.close()

    def _reply(self) -> ClickReport | None:
        reply: ClickReport | Fault | None
        for reply in self._replies:
            if isinstance(reply, Fault):
                raise reply.error()
            return reply
        ending = self._child.ending()
        how = "did not answer and was stopped" if self._was_stopped else f"ended ({ending})"
        raise ModelProcessEnded(self._title, how, _REMEDY)


def serve() -> None:
    """Answer clicks until nobody is there any more; the program of the other process."""
    parent = Parent()
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_heed, args=(parent, messages), daemon=True).start()
    with suppress(BrokenPipeError), ExitStack() as stack:
        try:
            session = _opened(messages.get(), stack)
        except Exception as error:  # noqa: BLE001 - told by whoever asked
            parent.tell(Fault.of(error))
            return
        parent.tell(None)
        while (message := messages.get()) is not None:
            parent.tell(_answer(session, *message))


def _opened(request: ClickRequest, stack: ExitStack) -> ClickSession:
    cache = TileCache(_CACHE_BYTES)
    slide = open_slide(request.slide, cache=cache, um_per_px=request.um_per_px)
    source = stack.enter_context(slide)
    return stack.enter_context(ClickSession(request.model, source, cache, request.options))


def _answer(
    session: ClickSession, prompts: Sequence[Prompt], committed: Sequence[Ring]
) -> ClickReport | Fault:
    try:
        return ClickReport.of(session, session.segment(prompts, committed=committed))
    except Exception as error:  # noqa: BLE001 - told by whoever asked
        return Fault.of(error)


def _heed(parent: Parent, messages: queue.SimpleQueue[Any]) -> None:
    """Pass messages on; when nobody is there any more, do not stay for ever."""
    for message in parent.messages():
        messages.put(message)
    messages.put(None)
    time.sleep(_PATIENCE_S)
    os._exit(1)


if __name__ == "__main__":
    # By its name, so that what is pickled here is known by it on the other side.
    from tilescope.jobs.click_apart import serve as serve_by_name

    serve_by_name()
