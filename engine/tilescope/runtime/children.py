"""A program of ours in a process of its own, waited for with a token."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

from tilescope.errors import Cancelled
from tilescope.runtime.cancel import CancellationToken

_LOOK_S = 0.1


class ChildFailed(Exception):
    """The process could not be started, ended badly or took too long; says which."""


def output_of(command: Sequence[str], token: CancellationToken, *, seconds: float) -> str:
    """Return what a process prints on stdout.

    Parameters
    ----------
    command
        The program and its arguments.
    seconds
        After that long it is ended.

    Raises
    ------
    ChildFailed
        When it does not end well in time; with the last line that it said on stderr.
    Cancelled
        When the token is set; the process is ended.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except OSError as exc:
        raise ChildFailed(f"cannot be started: {exc.strerror}") from exc
    with process:
        try:
            output, complaints = _communicate(process, token, time.monotonic() + seconds)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        lines = complaints.strip().splitlines()
        raise ChildFailed(lines[-1] if lines else f"ended with status {process.returncode}")
    return output


def _communicate(
    process: subprocess.Popen[str], token: CancellationToken, end: float
) -> tuple[str, str]:
    while True:
        try:
            return process.communicate(timeout=_LOOK_S)
        except subprocess.TimeoutExpired:
            if token.is_cancelled:
                raise Cancelled from None
            if time.monotonic() > end:
                raise ChildFailed("took too long") from None
