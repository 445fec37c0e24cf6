"""Lists in chunks and watches without kopf: for the sweep, and for what is watched only now and then."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import aiohttp
import orjson

from agentid.cluster.connection import METADATA_LIST, Body, Connection, Params
from agentid.cluster.errors import (
    ConnectionLostError,
    GoneError,
    PassingError,
    TooManyRequestsError,
    translate,
)
from agentid.cluster.paths import Resource
from agentid.cluster.watch_activity import STALE_SECONDS, name_selector

PAGE_OBJECTS: Final = 50
"""How many whole objects one page of a list may hold.

Tenants write what is in them, up to 1.5 MB each, and two pages are in memory at once, more than twice over:
as they came, and decoded. So few; a list of 10,000 ordinary pods is still only 200 requests.
"""
_PAGE_METADATA: Final = 500
"""The same where only metadata comes; of that too a tenant may write 256 kB of annotations."""
_LONGEST_PAUSE_SECONDS: Final = 30.0
_WATCH_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Body


async def list_chunks(  # noqa: PLR0913 - what is listed, and how
    connection: Connection,
    resource: Resource,
    namespace: str | None,
    *,
    name: str | None = None,
    label_selector: str | None = None,
    secret_type: str | None = None,
    metadata_only: bool = False,
    tries: int = 1,
) -> AsyncIterator[tuple[list[Body], str]]:
    """Yield the objects, or the one called `name`, page by page, each with the list's resourceVersion.

    With `secret_type`, of Secrets only those of that type, which their metadata does not tell.

    While a page is worked on, the next one is on its way. One that gets no answer is asked for `tries` times.

    Raises:
        GoneError: it took so long that the list has to begin again.
    """
    params = {"limit": str(_PAGE_METADATA if metadata_only else PAGE_OBJECTS)}
    if name is not None:
        params["fieldSelector"] = name_selector(name)
    if secret_type is not None:
        params["fieldSelector"] = f"type={secret_type}"
    if label_selector is not None:
        params["labelSelector"] = label_selector
    accept = METADATA_LIST if metadata_only else None
    path = resource.path(namespace)
    coming = _coming(connection, path, params, accept, tries)
    try:
        while True:
            page = await coming
            metadata = page.get("metadata") or {}
            if after := metadata.get("continue"):
                params = {**params, "continue": after}
                coming = _coming(connection, path, params, accept, tries)
                await asyncio.sleep(0)  # It begins before this page is handed out.
            yield page.get("items") or [], metadata.get("resourceVersion", "")
            if not after:
                return
    finally:
        coming.cancel()


def _coming(
    connection: Connection, path: str, params: Params, accept: str | None, tries: int
) -> asyncio.Task[Body]:
    coming = asyncio.create_task(_page(connection, path, params, accept, tries))
    # Nobody may ask any more what became of it.
    coming.add_done_callback(lambda task: task.cancelled() or task.exception())
    return coming


async def _page(connection: Connection, path: str, params: Params, accept: str | None, tries: int) -> Body:
    """Return one page; the next try of one that gets no answer is smaller, as that may be for its size."""
    limit = int(params["limit"])
    for attempt in range(1, tries):
        try:
            return await connection.get(path, {**params, "limit": str(limit)}, accept=accept)
        except PassingError as error:
            asked = error.retry_after_seconds if isinstance(error, TooManyRequestsError) else 0.0
            await asyncio.sleep(min(max(float(attempt), asked), _LONGEST_PAUSE_SECONDS))
            limit = max(1, limit // 4)
    return await connection.get(path, {**params, "limit": str(limit)}, accept=accept)


async def watch(  # noqa: PLR0913 - what is watched
    connection: Connection,
    resource: Resource,
    namespace: str | None,
    resource_version: str,
    *,
    name: str | None = None,
    label_selector: str | None = None,
) -> AsyncIterator[Change]:
    """Yield what changes after `resource_version`, of all or of the one called `name`, until it is ended.

    The API server ends it now and then, and silence does.

    Raises:
        GoneError: that version is too old.
        ConnectionLostError: the connection broke.
    """
    path = resource.path(namespace)
    params = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": resource_version,
        "timeoutSeconds": str(_WATCH_SECONDS),
    }
    if name is not None:
        params["fieldSelector"] = name_selector(name)
    if label_selector is not None:
        params["labelSelector"] = label_selector
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=STALE_SECONDS)
    try:
        async with connection.session.get(connection.server + path, params=params, timeout=timeout) as answer:
            if answer.status != 200:  # noqa: PLR2004 - HTTP OK
                raise translate(answer.status, {}, f"WATCH {path}")
            async for line in _lines(answer):
                yield _change(line, path)
    except (TimeoutError, aiohttp.ClientError, asyncio.IncompleteReadError, OSError) as error:
        raise ConnectionLostError(f"WATCH {path}: {type(error).__name__} {error}") from error


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    # Not `async for line in content`: that refuses lines above 128 KiB, which objects may be.
    rest = b""
    async for chunk in answer.content.iter_chunked(1 << 20):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line


def _change(line: bytes, path: str) -> Change:
    event = orjson.loads(line)
    kind, body = event["type"], event["object"]
    if kind == "ERROR":
        error = translate(int(body.get("code") or 500), body, f"WATCH {path}")
        raise error if isinstance(error, GoneError) else ConnectionLostError(str(error))
    return Change(kind, body)
