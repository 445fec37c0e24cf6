"""What kopf lists is nothing, with the version that its watch goes on from; all else is asked as it is."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from agentid.cluster.connection import Connection
from agentid.cluster.empty_lists import NOTHING, asking_for_nothing
from agentid.cluster.paths import PODS, TASKS
from tests.unit.plain_server import serving


class Asked:
    """A server that answers all with one code, and what it was asked."""

    def __init__(self) -> None:
        self.code = 200
        self.queries: list[tuple[str, dict[str, str]]] = []
        self.listed = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.queries.append((request.path, dict(request.query)))
        return web.json_response({}, status=self.code)

    def on_listed(self) -> None:
        self.listed += 1


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
async def connection(asked: Asked, tmp_path: Path) -> AsyncIterator[Connection]:
    async with (
        serving(asked.answer, tmp_path) as kubeconfig,
        Connection.open(kubeconfig, time.monotonic) as opened,
    ):
        yield opened


async def ask(connection: Connection, asked: Asked, path: str, method: str = "GET", **query: str) -> None:
    through = asking_for_nothing([TASKS.path(None), PODS.path("a")], asked.on_listed)
    async with connection.session_for_kopf(through) as session:
        await session.request(method, connection.server + path, params=query)


async def test_a_list_asks_for_nothing_whatever_it_asked_for(connection: Connection, asked: Asked) -> None:
    await ask(connection, asked, TASKS.path(None), limit="500")
    await ask(connection, asked, PODS.path("a"), labelSelector="agentid.dev/task")
    assert asked.queries == [
        (TASKS.path(None), {"limit": "500", "labelSelector": NOTHING}),
        (PODS.path("a"), {"labelSelector": NOTHING}),
    ]
    assert asked.listed == 2


@pytest.mark.parametrize(
    ("path", "method", "query"),
    [
        (TASKS.path(None), "GET", {"watch": "true", "labelSelector": "agentid.dev/task"}),
        (TASKS.path(None), "POST", {}),
        (TASKS.path("a"), "GET", {}),
        (TASKS.path(None, "t"), "GET", {}),
        ("/apis", "GET", {}),
    ],
)
async def test_all_else_is_asked_as_it_is(
    connection: Connection, asked: Asked, path: str, method: str, query: dict[str, str]
) -> None:
    await ask(connection, asked, path, method, **query)
    assert asked.queries == [(path, query)]
    assert asked.listed == 0


async def test_a_list_that_is_refused_is_none(connection: Connection, asked: Asked) -> None:
    asked.code = 403
    await ask(connection, asked, TASKS.path(None))
    assert asked.listed == 0
