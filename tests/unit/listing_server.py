"""An API server that lists what a test gives it, page by page, and keeps what it was asked."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from typer.testing import CliRunner

from agentid.cli.main import app
from tests.unit.plain_server import serving

Object = dict[str, Any]


class Lists:
    """Answers lists by their plural; one that is not named is not allowed."""

    def __init__(self, **items: Sequence[Object]) -> None:
        self.items = items
        self.asked: list[web.BaseRequest] = []

    def of(self, plural: str) -> Iterator[web.BaseRequest]:
        """The requests for a list."""
        return (each for each in self.asked if each.path.endswith(f"/{plural}"))

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer with a page, or with a refusal."""
        self.asked.append(request)
        plural = request.path.rpartition("/")[2]
        if plural == "version":
            return web.json_response({})
        if plural not in self.items:
            status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": f"no list of {plural}"}
            return web.json_response(status, status=403)
        query = request.query
        of_type = query.get("fieldSelector", "").removeprefix("type=")
        every = [each for each in self.items[plural] if not of_type or each.get("type") == of_type]
        begin, limit = int(query.get("continue", "0")), int(query["limit"])
        page = {"items": [self.sent(each, request) for each in every[begin : begin + limit]], "metadata": {}}
        if begin + limit < len(every):
            page["metadata"] = {"continue": str(begin + limit)}
        return web.json_response(page)

    @staticmethod
    def sent(item: Object, request: web.BaseRequest) -> Object:
        """What is sent of an object: all, or its metadata where only that is wanted."""
        only_metadata = "as=PartialObjectMetadataList" in request.headers["Accept"]
        return {"metadata": item["metadata"]} if only_metadata else item


async def agentid(server: Lists, folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run a command against it; no error but an exit gets out of it."""
    async with serving(server.answer, folder) as kubeconfig:
        told = [*arguments, "--kubeconfig", str(kubeconfig)]
        ended = await asyncio.to_thread(CliRunner().invoke, app, told)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended.exit_code, ended.stdout, ended.stderr
