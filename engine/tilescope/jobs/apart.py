"""A run in a process of its own, for a window that must outlive whatever the model does.

A plugin that crashes natively or never returns ends its own process only; the run can be resumed as
after a kill.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator
from contextlib import closing

from tilescope.errors import ModelProcessEnded
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import follow
from tilescope.jobs.running.events import RunEvent
from tilescope.runtime.background import stand_back
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.child import Child, Fault, Parent

#: A model that was asked to stop and does not is stopped after this.
PATIENCE_S = 8.0
_STOP = b"stop"


def follow_apart(
    request: RunRequest, token: CancellationToken, patience_s: float | None = None
) -> Generator[RunEvent, None, None]:
    """Run a model over a slide in another process, yielding what `jobs.run_model.follow` yields.

    The cap on memory is that of the other process. It runs behind the processes of the user, and
    cancels itself when this one ends.

    Parameters
    ----------
    patience_s
        A run that was cancelled and goes on for so long is killed; what it finished is kept. By
        default ``PATIENCE_S``.

    Raises
    ------
    ModelProcessEnded
        When the process ends before the run does, or was killed for not answering.
    TilescopeError, Cancelled
        What ``follow`` raises.
    """
    name = request.model.spec.title
    patience_s = PATIENCE_S if patience_s is None else patience_s
    with Child(__spec__.name, PATIENCE_S) as child:
        leash = _Leash(child, token, patience_s)
        child.send(request)
        with leash:
            for message in child.messages():
                if isinstance(message, Fault):
                    raise message.error()
                yield message
                if message.report is not None:
                    return
        ending = child.ending()
        if leash.has_killed:
            raise ModelProcessEnded(name, f"did not stop within {patience_s:g} s and was stopped")
        raise ModelProcessEnded(name, f"ended by itself ({ending})")


class _Leash:
    """Passes a cancellation on to a process, and kills it when it does not heed it."""

    def __init__(self, child: Child, token: CancellationToken, patience_s: float) -> None:
        self.has_killed = False
        self._child = child
        self._token = token
        self._patience = threading.Timer(patience_s, self._kill)
        self._patience.daemon = True

    def __enter__(self) -> _Leash:
        self._forget = self._token.on_cancel(self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()
        self._patience.cancel()
        if self._patience.is_alive():
            self._patience.join()

    def _stop(self) -> None:
        self._patience.start()
        self._child.write(_STOP)

    def _kill(self) -> None:
        self.has_killed = True
        self._child.kill()


def serve() -> None:
    """Run what is asked for, and tell of it; the program of the other process."""
    stand_back()
    parent = Parent()
    request = next(parent.messages())
    token = CancellationToken()
    threading.Thread(target=_heed, args=(parent, token), name="tilescope-heed", daemon=True).start()
    try:
        with closing(follow(request, token)) as events:
            for event in events:
                parent.tell(event)
    except BrokenPipeError:
        token.cancel()
    except BaseException as error:  # noqa: BLE001 - told by whoever asked
        parent.tell(Fault.of(error))


def _heed(parent: Parent, token: CancellationToken) -> None:
    """Cancel when told so, or when nobody is there any more; then do not stay for ever."""
    is_told = parent.pipe.read(len(_STOP)) == _STOP
    token.cancel()
    if is_told:
        parent.pipe.read()  # until the other end is closed
    time.sleep(PATIENCE_S)
    os._exit(1)


if __name__ == "__main__":
    # By its name, so that what is pickled here is known by it on the other side.
    from tilescope.jobs.apart import serve as serve_by_name

    serve_by_name()
