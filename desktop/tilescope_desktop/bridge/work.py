"""Work off the window's thread: one thread per job, its outcome on the window's thread."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from PySide6.QtCore import QObject

from tilescope.errors import Cancelled
from tilescope.runtime.cancel import CancellationToken
from tilescope_desktop.bridge.mailbox import Mailbox

T = TypeVar("T")

Report = Callable[[object], object]

#: How long a job that was asked to stop is waited for when the window closes.
STOP_S = 10.0
#: So long also when it was asked long ago.
LEAST_S = 0.2


@dataclass(frozen=True, slots=True)
class _News:
    """What a thread has to say: something on the way, or how it ended."""

    job: Job
    report: object = None
    result: object = None
    error: BaseException | None = None
    is_over: bool = False

    @property
    def is_result(self) -> bool:
        """Whether it is what the job was started for."""
        return self.is_over and self.error is None and self.result is not None


@dataclass(slots=True, eq=False)
class Job:
    """A piece of work that was started.

    Attributes
    ----------
    name
        What it does, for messages.
    token
        Cancels it; nothing of it is told afterwards but that it is over.
    stop_s
        How long closing waits for it once it was asked to stop, in seconds; it may be changed.
    asked_at
        When it was asked to stop first, in seconds of ``time.monotonic``.
    """

    name: str
    token: CancellationToken
    thread: threading.Thread
    on_report: Report
    on_done: Callable[[Any], None]
    on_error: Callable[[BaseException], None]
    discard: Callable[[Any], None]
    on_cancelled: Callable[[Any], None]
    stop_s: float
    asked_at: float | None = None

    def cancel(self) -> None:
        """Ask it to stop."""
        if self.asked_at is None:
            self.asked_at = time.monotonic()
        self.token.cancel()

    def await_end(self) -> bool:
        """Wait until it has stopped, for as long as it may take, and tell whether it has."""
        asked_at = time.monotonic() if self.asked_at is None else self.asked_at
        self.thread.join(max(LEAST_S, asked_at + self.stop_s - time.monotonic()))
        return not self.thread.is_alive()


class Work(QObject):
    """Starts jobs and brings back what they say.

    All callbacks run on the thread that made this object. A job that was cancelled ends with
    ``on_cancelled`` and with nothing else. ``stuck`` are jobs that did not stop when all were
    closed, for example in a plugin that never returns.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs: list[Job] = []
        self.stuck: tuple[Job, ...] = ()
        self._mailbox = Mailbox(self)
        self._mailbox.arrived.connect(self._take)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """What is being worked on."""
        return tuple(self._jobs)

    def start(
        self,
        name: str,
        run: Callable[[CancellationToken, Report], T],
        on_done: Callable[[T], None],
        on_error: Callable[[BaseException], None],
        on_report: Report = lambda _report: None,
        discard: Callable[[T], None] = lambda _result: None,
        on_cancelled: Callable[[T | None], None] = lambda _result: None,
    ) -> Job:
        """Run something in a thread of its own.

        Parameters
        ----------
        run
            The work; gets a token to look at and a function that reports to ``on_report``.
        discard
            Gets the result when nobody wants it any more, to close what it holds; any thread.
        on_cancelled
            Told when it is over after it was cancelled, with its result if it had one.
        """
        token = CancellationToken()

        def body() -> None:
            try:
                result = run(token, lambda report: self._mailbox.post(_News(job, report=report)))
            except Cancelled:
                token.cancel()
                self._mailbox.post(_News(job, is_over=True))
            except BaseException as error:  # noqa: BLE001 - shown by whoever started the job
                self._mailbox.post(_News(job, error=error, is_over=True))
            else:
                if not self._mailbox.post(_News(job, result=result, is_over=True)):
                    discard(result)

        thread = threading.Thread(target=body, name=f"tilescope-{name}", daemon=True)
        job = Job(name, token, thread, on_report, on_done, on_error, discard, on_cancelled, STOP_S)
        self._jobs.append(job)
        thread.start()
        return job

    def close(self) -> None:
        """Cancel all jobs and wait for them, each for its time; calling it twice is fine."""
        unread = self._mailbox.close()
        for job in self._jobs:
            job.cancel()
        self.stuck += tuple(job for job in self._jobs if not job.await_end())
        for news in unread:
            if isinstance(news, _News) and news.is_result:
                news.job.discard(news.result)
        self._jobs.clear()

    def _take(self, letters: list[_News]) -> None:
        for news in letters:
            try:
                self._tell(news)
            except Exception as error:  # noqa: BLE001 - the news of other jobs has to be told too
                sys.excepthook(type(error), error, error.__traceback__)

    def _tell(self, news: _News) -> None:
        job = news.job
        if job not in self._jobs:
            return
        if news.is_over:
            job.thread.join()
            self._jobs.remove(job)
        if job.token.is_cancelled:
            if news.is_over:
                job.on_cancelled(news.result)
            if news.is_result:
                job.discard(news.result)
            return
        if not news.is_over:
            job.on_report(news.report)
        elif news.error is not None:
            job.on_error(news.error)
        else:
            job.on_done(news.result)
