"""ConfigMaps and Secrets on loopback as an API server keeps them: names, UIDs, versions, conflicts."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.unit.plain_server import serving

HOME = "agentid-system"
_ROOT = f"/api/v1/namespaces/{HOME}/"


class ConfigMapServer:
    """What is kept, by name, and how many writes it took."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.writes = 0
        self.status: int | None = None
        """Answered to everything while it is set."""
        self.refuses_writes = False
        self.writes_left: int | None = None
        """After so many more none is taken; None: each is."""
        self._version = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.status is not None:
            return self._refusal(self.status, "Broken")
        _, _, name = request.path.removeprefix(_ROOT).partition("/")
        # Read from the stream, which has no bound, as a large ConfigMap in base64 is above that of `read`.
        body = json.loads(await request.content.read()) if request.method != "GET" else {}
        if body and (self.refuses_writes or self.writes_left == 0):
            return self._refusal(403, "Forbidden")
        if request.method == "GET":
            return web.json_response(self.kept[name]) if name in self.kept else self._refusal(404, "NotFound")
        if request.method == "DELETE":
            return self._deleted(name, body)
        return self._created(body) if request.method == "POST" else self._replaced(name, body)

    def _created(self, body: dict[str, Any]) -> web.Response:
        name = body["metadata"]["name"]
        if name in self.kept:
            return self._refusal(409, "AlreadyExists")
        return self._keep(name, body, f"uid-{self._version}")

    def _replaced(self, name: str, body: dict[str, Any]) -> web.Response:
        there = self.kept.get(name)
        if there is None:
            return self._refusal(404, "NotFound")
        named = ("uid", "resourceVersion")
        if any(body["metadata"][each] != there["metadata"][each] for each in named):
            return self._refusal(409, "Conflict")
        return self._keep(name, body, there["metadata"]["uid"])

    def _deleted(self, name: str, body: dict[str, Any]) -> web.Response:
        there = self.kept.get(name)
        if there is None:
            return self._refusal(404, "NotFound")
        if any(there["metadata"][each] != value for each, value in body["preconditions"].items()):
            return self._refusal(409, "Conflict")
        self._count()
        return web.json_response(self.kept.pop(name))

    def _count(self) -> None:
        self.writes += 1
        if self.writes_left is not None:
            self.writes_left -= 1

    def _keep(self, name: str, body: dict[str, Any], uid: str) -> web.Response:
        self._version += 1
        self._count()
        body["metadata"] |= {"uid": uid, "resourceVersion": str(self._version)}
        self.kept[name] = body
        return web.json_response(body)

    @staticmethod
    def _refusal(status: int, reason: str) -> web.Response:
        return web.json_response({"kind": "Status", "reason": reason, "code": status}, status=status)


@asynccontextmanager
async def config_map_server(folder: Path) -> AsyncIterator[tuple[ConfigMapServer, Path]]:
    """Serve within the block; yields the server and a kubeconfig that leads to it."""
    server = ConfigMapServer()
    async with serving(server.answer, folder) as kubeconfig:
        yield server, kubeconfig
