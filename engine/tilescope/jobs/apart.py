"""A run in a process of its own, for a window that must outlive whatever the model does.

A plugin that crashes natively or never returns ends its own process only; the run can be resumed as
after a kill. Requests go to the process, and events come from it, as pickles over pipes: both ends
are this module.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from tilescope.errors import ModelProcessEnded, TilescopeError
from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import follow
from tilescope.jobs.running.events import RunEvent
from tilescope.runtime.background import stand_back
from tilescope.runtime.cancel import CancellationToken

#: A model that was asked to stop and does not is stopped after this.
PATIENCE_S = 8.0
_LONGEST_TAIL = 4096
_STOP = b"stop"


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception on its way: how it is made differs by class, what it holds does not."""

    kind: type[BaseException]
    args: tuple[Any, ...]
    state: dict[str, Any]

    @classmethod
    def of(cls, error: BaseException) -> Fault:
        """Return an exception as it is sent."""
        if type(error).__module__ == TilescopeError.__module__:
            return cls(type(error), error.args, dict(vars(error)))
        # The class of another may be a plugin's, which is not to be imported on the other side.
        return cls(RuntimeError, (f"{type(error).__name__}: {error}",), {})

    def error(self) -> BaseException:
        """Return it as it was."""
        made = self.kind.__new__(self.kind, *self.args)
        vars(made).update(self.state)
        return made


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
    with tempfile.TemporaryFile() as errors, _process(errors) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        leash = _Leash(process, token, patience_s)
        with suppress(BrokenPipeError):
            _send(process.stdin, request)
        with leash:
            for message in _messages(process.stdout):
                if isinstance(message, Fault):
                    raise message.error()
                yield message
                if message.report is not None:
                    return
        process.wait()
        if leash.has_killed:
            raise ModelProcessEnded(name, f"did not stop within {patience_s:g} s and was stopped")
        raise ModelProcessEnded(name, f"ended by itself ({_ending(process.returncode, errors)})")


class _Leash:
    """Passes a cancellation on to a process, and kills it when it does not heed it."""

    def __init__(
        self, process: subprocess.Popen[bytes], token: CancellationToken, patience_s: float
    ) -> None:
        self.has_killed = False
        self._process = process
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
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(OSError, ValueError):  # it has ended
            stdin.write(_STOP)
            stdin.flush()

    def _kill(self) -> None:
        self.has_killed = True
        self._process.kill()


@contextmanager
def _process(errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Provide the process that runs a model; it has ended afterwards."""
    # Nothing of the current folder can be imported by it.
    path = os.pathsep.join(entry for entry in sys.path if entry)
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", __spec__.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let a process come to its end, or end it."""
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):
            pipe.close()  # which cancels what still runs
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _send(pipe: IO[bytes], message: object) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    pipe.write(len(data).to_bytes(8, "little") + data)
    pipe.flush()


def _messages(pipe: IO[bytes]) -> Iterator[Any]:
    """Yield what comes from the other end, until it is closed, in the middle of something too."""
    while len(head := pipe.read(8)) == 8:
        size = int.from_bytes(head, "little")
        data = pipe.read(size)
        if len(data) < size:
            return
        yield pickle.loads(data)  # noqa: S301 - our own process


def _ending(code: int, errors: IO[bytes]) -> str:
    """Return how a process ended, in words."""
    errors.seek(0, os.SEEK_END)
    errors.seek(max(0, errors.tell() - _LONGEST_TAIL))
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    how = f"exit code {code}"
    if code < 0:
        try:
            how = signal.Signals(-code).name
        except ValueError:
            how = f"signal {-code}"
    return f"{how}: {lines[-1]}" if lines else how


def serve() -> None:
    """Run what is asked for on the standard input, and tell of it on the standard output."""
    stand_back()
    # Ctrl-C in a terminal is for the other end, which closes the pipes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a plugin prints must not come between the messages.
    tell = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    ask = sys.stdin.buffer
    request = next(_messages(ask))
    token = CancellationToken()
    threading.Thread(target=_heed, args=(ask, token), name="tilescope-heed", daemon=True).start()
    try:
        with closing(follow(request, token)) as events:
            for event in events:
                _send(tell, event)
    except BrokenPipeError:
        token.cancel()
    except BaseException as error:  # noqa: BLE001 - told by whoever asked
        _send(tell, Fault.of(error))


def _heed(ask: IO[bytes], token: CancellationToken) -> None:
    """Cancel when told so, or when nobody is there any more; then do not stay for ever."""
    is_told = ask.read(len(_STOP)) == _STOP
    token.cancel()
    if is_told:
        ask.read()  # until the other end is closed
    time.sleep(PATIENCE_S)
    os._exit(1)


if __name__ == "__main__":
    # By its name, so that what is pickled here is known by it on the other side.
    from tilescope.jobs.apart import serve as serve_by_name

    serve_by_name()
