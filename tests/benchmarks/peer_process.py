"""A peer in a process of its own, asked through one JSON line per request.

Used for peers whose libraries do not go together with ours in one process or one environment.
Both ends are here; the standard library is all that the peer's environment needs for them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pairs import Batch, Side, Timing

Handler = Callable[..., dict[str, Any]]

#: A request that takes longer hangs.
_PATIENCE_S = 300.0


class PeerGone(Exception):
    """The peer did not start, failed or took too long; the message holds what it said last."""


class PeerProcess:
    """The asking end."""

    def __init__(self, python: Path, script: Path) -> None:
        self._noise = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [str(python), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
        )

    def ask(self, request: str, **values: Any) -> dict[str, Any]:
        """Return the peer's answer.

        Raises
        ------
        PeerGone
            When there is none.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._limited():
            try:
                stdin.write(json.dumps({"request": request, **values}).encode() + b"\n")
                stdin.flush()
                line = stdout.readline()
            except BrokenPipeError:
                line = b""
        answer: dict[str, Any] = json.loads(line) if line else {"error": self._last_words()}
        if "error" in answer:
            raise PeerGone(answer["error"])
        return answer

    def side(self, request: str, **values: Any) -> Side:
        """Return a side whose batches the peer does; it times them itself."""

        def run(batch: Batch) -> Timing:
            answer = self.ask(request, batch=list(batch), **values)
            return Timing(answer["wall_s"], answer["cpu_s"])

        return run

    def close(self) -> None:
        """End the peer; twice is fine."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._noise.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _limited(self) -> Iterator[None]:
        timer = threading.Timer(_PATIENCE_S, self._process.kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def _last_words(self) -> str:
        self._process.wait()
        self._noise.seek(0)
        lines = self._noise.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ended with status {self._process.returncode}"


def serve(handlers: Mapping[str, Handler]) -> None:
    """Answer requests until there are no more: the peer's end.

    What the libraries print goes to stderr.
    """
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            values = json.loads(line)
            try:
                answer = handlers[values.pop("request")](**values)
            except Exception as error:  # noqa: BLE001 - the asking end decides
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), file=answers, flush=True)
