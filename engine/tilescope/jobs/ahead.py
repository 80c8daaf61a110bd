"""Batches made in a thread of their own while earlier ones are used."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from typing import TypeVar

from tilescope.errors import Cancelled
from tilescope.runtime.cancel import CancellationToken
from tilescope.runtime.channels import BoundedChannel

T = TypeVar("T")

#: How many batches may wait.
_DEPTH = 2


def ahead(batches: Generator[T, None, None], token: CancellationToken) -> Generator[T, None, None]:
    """Yield what ``batches`` yields; it runs, and is closed, in a thread of its own.

    To be closed by the caller, who may stop early: the thread has ended then.

    Raises
    ------
    Cancelled
        When the token is set.
    """
    local = CancellationToken()
    forget = token.on_cancel(lambda: local.cancel())  # noqa: PLW0108 - drops the cause argument
    channel: BoundedChannel[T] = BoundedChannel(_DEPTH, local)

    def produce() -> None:
        try:
            with closing(batches):
                for batch in batches:
                    channel.put(batch)
            channel.close()
        except Cancelled:
            local.cancel()
        except BaseException as exc:  # noqa: BLE001 - handed to the consumer
            local.cancel(exc)

    thread = threading.Thread(target=produce, name="tilescope-ahead", daemon=True)
    thread.start()
    try:
        yield from channel
    except Cancelled:
        if local.cause is not None:
            raise local.cause from None
        raise
    finally:
        local.cancel()
        thread.join()
        forget()
