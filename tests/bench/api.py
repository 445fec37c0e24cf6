"""A bare client of the API server: one keep-alive session, bytes out, bytes in."""

import asyncio
import base64
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import orjson
import yaml

JSON: Final = "application/json"
MERGE: Final = "application/merge-patch+json"
_FIRST_ERROR: Final = 400
_LATER: Final = 429
_LATER_SECONDS: Final = 0.2


class ApiError(Exception):
    """The API server said no; the text says to what."""


class Api:
    """One session with the API server, as whoever the kubeconfig names."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server

    @classmethod
    @asynccontextmanager
    async def open(cls, kubeconfig: Path) -> AsyncIterator[Self]:
        """Open it with the certificate or token of `kubeconfig`."""
        document = yaml.safe_load(kubeconfig.read_text())  # noqa: ASYNC240 - nothing else is under way yet
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        connector = aiohttp.TCPConnector(limit=0, ssl=_trust(cluster, user), keepalive_timeout=300)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
            yield cls(session, cluster["server"].rstrip("/"))

    async def send(self, method: str, path: str, data: bytes | None = None, kind: str = JSON) -> bytes:
        """Send one request and return what was answered.

        Raises:
            ApiError: it was refused.
        """
        headers = {"Content-Type": kind} if data is not None else None
        async with self._session.request(method, self._server + path, data=data, headers=headers) as answer:
            content = await answer.read()
            if answer.status >= _FIRST_ERROR:
                raise ApiError(f"{method} {path}: {answer.status} {content[:300].decode(errors='replace')}")
            return content

    async def get(self, path: str) -> dict[str, Any]:
        """Return an object or a list."""
        answered: dict[str, Any] = orjson.loads(await self.send("GET", path))
        return answered

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object and return it."""
        answered: dict[str, Any] = orjson.loads(await self.send("POST", path, orjson.dumps(body)))
        return answered

    async def pages(self, path: str, accept: str = JSON) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        """Yield the objects of a list page by page, each with the list's resourceVersion."""
        after = ""
        while True:
            where = f"{self._server}{path}?limit=500" + (f"&continue={after}" if after else "")
            async with self._session.get(where, headers={"Accept": accept}) as answer:
                page = orjson.loads(await answer.read())
            if answer.status >= _FIRST_ERROR:
                raise ApiError(f"GET {path}: {answer.status} {page}")
            yield page["items"], page["metadata"]["resourceVersion"]
            if not (after := page["metadata"].get("continue", "")):
                return

    async def events(self, path: str, version: str, accept: str = JSON) -> AsyncIterator[dict[str, Any]]:
        """Yield what changes after `version`; where the API server ends the watch, go on where it ended.

        It does so with whoever does not read fast enough, and when it begins anew with a CRD just installed.

        Raises:
            ApiError: it refuses, or does not know any more what came after `version`.
        """
        while True:
            where = f"{self._server}{path}?watch=true&resourceVersion={version}&timeoutSeconds=86400"
            async with self._session.get(where, headers={"Accept": accept}) as answer:
                if answer.status == _LATER:
                    await asyncio.sleep(_LATER_SECONDS)
                    continue
                if answer.status >= _FIRST_ERROR:
                    raise ApiError(f"WATCH {path}: {answer.status} {await answer.text()}")
                rest = b""
                async for chunk in answer.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        event = orjson.loads(line)
                        if event["type"] == "ERROR":
                            raise ApiError(f"WATCH {path}: {event['object']}")
                        version = event["object"]["metadata"]["resourceVersion"]
                        yield event


def _trust(cluster: Mapping[str, str], user: Mapping[str, str]) -> ssl.SSLContext:
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    if "client-certificate-data" in user:
        with tempfile.NamedTemporaryFile() as pair:
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]) + b"\n")
            pair.flush()
            context.load_cert_chain(pair.name)
    return context
