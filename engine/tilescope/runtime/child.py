"""Another process of our own interpreter, whose crashes and endless loops do no harm here.

Messages go to it and come from it as pickles over pipes. Both ends are this module: ``Child`` is
held by whoever starts the process, ``Parent`` by what runs in it.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from tilescope.errors import TilescopeError
from tilescope.runtime.closing import Closing

_LONGEST_TAIL = 4096


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
        if isinstance(error, OSError) and isinstance(error.errno, int):
            # Its number says what is wrong with a file, whatever class it was raised as.
            name = error.filename if isinstance(error.filename, str) else None
            return cls(OSError, (error.errno, str(error.strerror), name), {})
        # The class of another may be a plugin's, which is not to be imported on the other side.
        return cls(RuntimeError, (f"{type(error).__name__}: {error}",), {})

    def error(self) -> BaseException:
        """Return it as it was."""
        made = self.kind.__new__(self.kind, *self.args)
        made.args = self.args  # which an OSError leaves to the constructor
        vars(made).update(self.state)
        return made


class Child(Closing):
    """A process that runs a module as a program.

    Parameters
    ----------
    module
        Its full name. It talks by a ``Parent``, and ends when that has no more messages.
    patience_s
        So long it may take to end when it is closed, in seconds; then it is killed.
    """

    def __init__(self, module: str, patience_s: float) -> None:
        self._patience_s = patience_s
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        # Nothing of the current folder can be imported by it.
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path},
        )

    def send(self, message: object) -> None:
        """Send a message; to a process that has ended it is lost."""
        self.write(_packed(message))

    def write(self, data: bytes) -> None:
        """Send bytes that are no message; to a process that has ended they are lost."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def messages(self) -> Iterator[Any]:
        """Yield what it sends, until it ends."""
        assert self._process.stdout is not None
        return _messages(self._process.stdout)

    def kill(self) -> None:
        """End it whatever it does; any thread."""
        self._process.kill()

    def ending(self) -> str:
        """Wait for its end, and return how that came about, in words."""
        code = self._process.wait()
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - _LONGEST_TAIL))
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        how = f"exit code {code}"
        if code < 0:
            try:
                how = signal.Signals(-code).name
            except ValueError:
                how = f"signal {-code}"
        return f"{how}: {lines[-1]}" if lines else how

    def close(self) -> None:
        """Let it come to its end, or end it; calling it twice is fine."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()
        try:
            self._process.wait(self._patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


class Parent:
    """The other end, in the process that was started; one per process."""

    def __init__(self) -> None:
        # Ctrl-C in a terminal is for the one who started it, and closes the pipes.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # What a plugin prints must not come between the messages.
        self._tell = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self.pipe: IO[bytes] = sys.stdin.buffer

    def messages(self) -> Iterator[Any]:
        """Yield what is sent from there, until nobody is there any more."""
        return _messages(self.pipe)

    def tell(self, message: object) -> None:
        """Send a message.

        Raises
        ------
        BrokenPipeError
            When nobody is there any more.
        """
        self._tell.write(_packed(message))
        self._tell.flush()


def _packed(message: object) -> bytes:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(8, "little") + data


def _messages(pipe: IO[bytes]) -> Iterator[Any]:
    """Yield what comes from the other end, until it is closed, in the middle of something too."""
    while len(head := pipe.read(8)) == 8:
        size = int.from_bytes(head, "little")
        data = pipe.read(size)
        if len(data) < size:
            return
        yield pickle.loads(data)  # noqa: S301 - our own process
