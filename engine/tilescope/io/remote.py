"""Pieces of a Zarr on a web server or in an S3 bucket, through fsspec's file systems.

Every answer is bounded in bytes and in time. Parts of a piece are asked for by range; a server
that ignores ranges is read up to the end of the part and no further.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from tilescope.io.extras import extra
from tilescope.io.faults import closed_error
from tilescope.io.zarr_files import Span, placed
from tilescope.runtime.closing import Closing

if TYPE_CHECKING:
    import aiohttp

#: Until the connection stands, between two packets, and for one whole answer.
CONNECT_SECONDS, SILENCE_SECONDS, ANSWER_SECONDS = 10.0, 20.0, 120.0

#: Requests on their way at once.
_AT_ONCE = 16

#: The longest piece that is read from its start because the server knows no ranges.
_LARGEST_SKIPPED_BYTES = 256 << 20

_READ_BYTES = 1 << 20

_URL_SAFE = "/%:@!$&'()*+,;=~"

_REFUSED = frozenset({401, 403, 407})
_ABSENT = frozenset({404, 410})
_PARTIAL, _OK, _NO_SUCH_RANGE = 206, 200, 416


class RemoteError(OSError):
    """The server cannot be reached, refuses, or answers something else; the message says what."""


def connect(url: str) -> RemoteFiles:
    """Return the pieces below ``url``; nothing is asked of the server yet.

    Raises
    ------
    UnsupportedFormat
        When the extra ``remote`` is not installed.
    RemoteError
        When the URL is none that can be read.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https", "s3"} or not parts.netloc:
        msg = "only http, https and s3 URLs can be read"
        raise RemoteError(msg)
    with extra(shown(url), "fsspec, aiohttp and s3fs", "remote"):
        return S3Files(url) if parts.scheme == "s3" else HttpFiles(url)


def shown(url: str) -> str:
    """Return ``url`` without what must not appear in messages and files: user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


class RemoteFiles(Closing):
    """Pieces below a URL; several are fetched at once, from any thread."""

    def __init__(self, file_system: Any) -> None:  # noqa: ANN401 - fsspec has no types
        self._fs = file_system
        self._is_closed = False

    def fetch(self, spans: Sequence[Span]) -> Iterator[bytes | None]:
        """Yield the bytes of each span; see :class:`~tilescope.io.zarr_files.ZarrFiles`."""
        for first in range(0, len(spans), _AT_ONCE):
            yield from self._fetch_together(spans[first : first + _AT_ONCE])

    def close(self) -> None:
        """Close the connections; twice is fine."""
        if not self._is_closed:
            self._is_closed = True
            self._wait_for(self._disconnect)

    def _fetch_together(self, spans: Sequence[Span]) -> list[bytes | None]:
        async def together() -> list[bytes | None]:
            return list(await asyncio.gather(*(self._answer(span) for span in spans)))

        if self._is_closed:
            raise closed_error()
        found: list[bytes | None] = self._wait_for(together)
        return found

    def _wait_for(self, work: Any) -> Any:  # noqa: ANN401
        from fsspec.asyn import sync

        return sync(self._fs.loop, work)

    async def _answer(self, span: Span) -> bytes | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._ask(span)
        except TimeoutError as error:
            msg = f"the server did not send {span.key!r} in time"
            raise RemoteError(msg) from error

    @abstractmethod
    async def _ask(self, span: Span) -> bytes | None:
        """Return the bytes of a span, None when the server has no such piece."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Close the connections."""


class HttpFiles(RemoteFiles):
    """Pieces below an ``http`` or ``https`` URL."""

    def __init__(self, url: str) -> None:
        import aiohttp
        from fsspec.implementations.http import HTTPFileSystem

        limits = aiohttp.ClientTimeout(
            total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
        )
        super().__init__(
            HTTPFileSystem(
                skip_instance_cache=True,
                # an answer that unpacks itself has no bound
                client_kwargs={"timeout": limits, "auto_decompress": False},
            )
        )
        self._parts = urlsplit(url)

    async def _ask(self, span: Span) -> bytes | None:
        import aiohttp

        session = await self._fs.set_session()
        headers = {"Accept-Encoding": "identity", **_range_header(span)}
        try:
            async with session.get(self._url_of(span.key), headers=headers) as answer:
                return await _http_body(answer, span)
        except aiohttp.ClientError as error:
            msg = f"the server cannot be reached ({_reason(error)})"
            raise RemoteError(msg) from error

    def _url_of(self, key: str) -> Any:  # noqa: ANN401 - a yarl.URL
        import yarl

        # what the user has quoted stays as it is
        path = f"{quote(self._parts.path.rstrip('/'), safe=_URL_SAFE)}/{quote(key)}"
        return yarl.URL(urlunsplit(self._parts._replace(path=path, fragment="")), encoded=True)

    async def _disconnect(self) -> None:
        session = self._fs._session
        if session is not None:
            await session.close()


class S3Files(RemoteFiles):
    """Pieces below an ``s3://bucket/key`` URL."""

    def __init__(self, url: str) -> None:
        self._root = url.removeprefix("s3://").rstrip("/")
        super().__init__(_s3_file_system(is_public=False))
        self._is_checked = False

    async def _ask(self, span: Span) -> bytes | None:
        from botocore.exceptions import (  # type: ignore[import-untyped]
            BotoCoreError,
            ClientError,
        )

        where = f"{self._root}/{span.key}"
        start, end = _limits(span)
        try:
            await self._check_credentials()
            data = await self._fs._cat_file(where, start=start, end=end)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise _refused(error) from error
        except (BotoCoreError, ClientError, OSError) as error:
            if "InvalidRange" in repr(error.__cause__ or error):
                return _empty_or_short(span)
            msg = f"the bucket cannot be read ({_reason(error)})"
            raise RemoteError(msg) from error
        if span.start is None:
            placed(span, len(data))
        elif len(data) != span.count:
            msg = f"{span.key!r} ends after {len(data)} of {span.count} bytes"
            raise EOFError(msg)
        return bytes(data)

    async def _check_credentials(self) -> None:
        """Read the bucket as a public one when there are no credentials at all."""
        if self._is_checked:
            return
        await self._fs.set_session()
        if await self._fs.session.get_credentials() is None:
            await self._disconnect()
            self._fs = _s3_file_system(is_public=True)
        self._is_checked = True

    async def _disconnect(self) -> None:
        client = getattr(self._fs, "_s3", None)
        if client is not None:
            await client.close()


def _s3_file_system(*, is_public: bool) -> Any:  # noqa: ANN401
    from s3fs import S3FileSystem  # type: ignore[import-untyped]

    return S3FileSystem(
        anon=is_public,
        skip_instance_cache=True,
        config_kwargs={
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": SILENCE_SECONDS,
            "retries": {"max_attempts": 2},
            "max_pool_connections": _AT_ONCE,
        },
    )


def _limits(span: Span) -> tuple[int, int | None]:
    """Return what fsspec calls start and end; one byte more than a whole piece may have."""
    if span.start is None:
        return 0, span.count + 1
    return span.start, None if span.start < 0 else span.start + span.count


def _range_header(span: Span) -> dict[str, str]:
    if span.start is None:
        return {}
    if span.start < 0:
        return {"Range": f"bytes={span.start}"}
    return {"Range": f"bytes={span.start}-{span.start + span.count - 1}"}


async def _http_body(answer: aiohttp.ClientResponse, span: Span) -> bytes | None:
    if answer.status in _ABSENT:
        return None
    if answer.status in _REFUSED:
        raise _refused(PermissionError(f"status {answer.status}"))
    if answer.status == _NO_SUCH_RANGE:
        return _empty_or_short(span)
    if answer.status not in {_OK, _PARTIAL}:
        msg = f"the server answered with status {answer.status}"
        raise RemoteError(msg)
    if span.start is None:
        data = await _read(answer, span.count + 1)
        placed(span, len(data))
        return data
    if answer.status == _PARTIAL:
        data = await _read(answer, span.count + 1)
    else:
        data = await _cut_out(answer, span)
    if len(data) != span.count:
        msg = f"{span.key!r}: the server sent {len(data)} of {span.count} bytes"
        raise EOFError(msg)
    return data


async def _cut_out(answer: aiohttp.ClientResponse, span: Span) -> bytes:
    """Return the part of a whole piece, which the server sent in its place."""
    length = answer.content_length or 0
    start, count = placed(span, length)
    if start + count > _LARGEST_SKIPPED_BYTES:
        msg = f"the server knows no ranges, and {span.key!r} has {length >> 20} MiB"
        raise RemoteError(msg)
    return (await _read(answer, start + count))[start:]


async def _read(answer: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """Return the answer, cut after ``most_bytes``."""
    parts, total = [], 0
    while total < most_bytes:
        part = await answer.content.read(min(_READ_BYTES, most_bytes - total))
        if not part:
            break
        parts.append(part)
        total += len(part)
    return b"".join(parts)


def _empty_or_short(span: Span) -> bytes:
    """Return what a piece gives that is too short for the range; only an empty one is whole."""
    if span.start is None:
        return b""
    msg = f"bytes {span.start}+{span.count} lie outside {span.key!r}"
    raise EOFError(msg)


def _refused(error: Exception) -> RemoteError:
    return RemoteError(f"the server refuses access; check the credentials ({_reason(error)})")


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
