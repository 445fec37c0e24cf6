"""How LedgerBatches are written and listed, against a server that answers as the API server can."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from agentid.api.ledgerbatch import MAX_RECORDS_LENGTH, batch_name
from agentid.cluster.connection import METADATA, Connection
from agentid.cluster.errors import (
    AlreadyExistsError,
    ConflictError,
    ConnectionLostError,
    GoneError,
    InvalidError,
    NotFoundError,
    ServerError,
    TooManyRequestsError,
)
from agentid.cluster.ledger_store import FIRST_PAGE, LedgerStore
from tests.batches import batch, batch_spec
from tests.unit.plain_server import serving

HOME = "/apis/agentid.dev/v1alpha1/namespaces/agentid-system/ledgerbatches"


@dataclass
class Api:
    """Batches 1 to `last`, in pages; a list is too old at each of the pages (counted from 0) in `expires`."""

    last: int = 0
    expires: set[int] = field(default_factory=set)
    tells_how_to_go_on: bool = True
    grows: bool = False
    records: str = "{}\n"
    refusal: tuple[int, str] | None = None
    asked: list[web.BaseRequest] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        self.bodies.append(await request.json() if request.can_read_body else {})
        if self.refusal is not None:
            code, reason = self.refusal
            status = {"kind": "Status", "code": code, "reason": reason, "message": "no"}
            return web.json_response(status, status=code)
        if request.method == "GET" and request.path == HOME:
            return self._page(request)
        return web.json_response({"metadata": {"name": "x", "uid": "u-1"}})

    def _page(self, request: web.BaseRequest) -> web.StreamResponse:
        number = len(self.asked) - 1
        begin = int(request.query.get("continue", "0"))
        # Only a list that goes on can be too old, but for the test that says otherwise.
        if number in self.expires and (begin or number == 0):
            after = {"continue": str(begin)} if self.tells_how_to_go_on else {}
            status = {"kind": "Status", "code": 410, "reason": "Expired", "metadata": after}
            return web.json_response(status, status=410)
        if self.grows:
            self.last += 1
        end = min(begin + int(request.query["limit"]), self.last)
        items = [batch(sequence, records=self.records) for sequence in range(begin + 1, end + 1)]
        more = {"continue": str(end)} if end < self.last else {}
        return web.json_response({"items": items, "metadata": {"resourceVersion": "7", **more}})


@asynccontextmanager
async def store_of(
    api: Api, folder: Path, guard: Callable[[], float] = lambda: 5.0
) -> AsyncIterator[LedgerStore]:
    async with (
        serving(api.answer, folder) as kubeconfig,
        Connection.open(kubeconfig, lambda: 0.0) as connection,
    ):
        yield LedgerStore(connection, "agentid-system", guard)


async def listed(api: Api, folder: Path) -> list[str]:
    async with store_of(api, folder) as store:
        return [each["metadata"]["name"] async for page in store.pages() for each in page]


def names(last: int) -> list[str]:
    return [batch_name(sequence) for sequence in range(1, last + 1)]


async def test_batches_come_in_pages_of_the_newest_state(tmp_path: Path) -> None:
    api = Api(last=501)

    assert await listed(api, tmp_path) == names(api.last)

    assert [dict(each.query) for each in api.asked] == [
        {"limit": "20"},
        {"limit": "80", "continue": "20"},
        {"limit": "200", "continue": "100"},
        {"limit": "200", "continue": "300"},
        {"limit": "200", "continue": "500"},
    ]


async def test_pages_of_long_batches_stay_short(tmp_path: Path) -> None:
    api = Api(last=90, records="x" * MAX_RECORDS_LENGTH)

    assert await listed(api, tmp_path) == names(api.last)

    assert {each.query["limit"] for each in api.asked} == {"20"}


async def test_an_empty_ledger_has_no_page(tmp_path: Path) -> None:
    async with store_of(Api(), tmp_path) as store:
        assert [page async for page in store.pages()] == []


@given(
    last=st.integers(0, 400),
    expires=st.sets(st.integers(1, 9), max_size=4),
    tells=st.booleans(),
    grows=st.booleans(),
)
async def test_whenever_a_list_expires_each_batch_comes_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    last: int,
    expires: set[int],
    tells: bool,  # noqa: FBT001 - drawn
    grows: bool,  # noqa: FBT001 - drawn
) -> None:
    api = Api(last, expires, tells_how_to_go_on=tells, grows=grows)

    seen = await listed(api, tmp_path_factory.mktemp("ledger"))

    assert seen == names(len(seen))
    assert len(seen) >= last


async def test_a_list_that_is_too_old_at_its_beginning_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GoneError):
        await listed(Api(last=1, expires={0}), tmp_path)


async def test_a_list_that_can_not_go_on_is_an_error_and_no_shorter_ledger(tmp_path: Path) -> None:
    api = Api(last=50)
    async with store_of(api, tmp_path) as store:
        pages = store.pages()
        assert len(await anext(pages)) == FIRST_PAGE
        api.refusal = (500, "InternalError")
        with pytest.raises(ServerError):
            await anext(pages)


async def test_a_batch_is_written_strictly_and_does_not_come_back(tmp_path: Path) -> None:
    api = Api()
    async with store_of(api, tmp_path) as store:
        assert await store.create(batch_name(42), batch_spec(42)) == "u-1"

    (request,), (body,) = api.asked, api.bodies
    assert (request.method, request.path) == ("POST", HOME)
    assert dict(request.query) == {"fieldManager": "agentid", "fieldValidation": "Strict"}
    assert request.headers["Accept"] == METADATA
    assert body["metadata"]["name"] == "0000000000000042"
    assert body["spec"] == batch_spec(42)


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        ((409, "AlreadyExists"), AlreadyExistsError),
        ((422, "Invalid"), InvalidError),
        ((429, "TooManyRequests"), TooManyRequestsError),
        ((500, "InternalError"), ServerError),
    ],
)
async def test_a_refused_batch_says_what_it_was(
    tmp_path: Path, refusal: tuple[int, str], error: type[Exception]
) -> None:
    async with store_of(Api(refusal=refusal), tmp_path) as store:
        with pytest.raises(error):
            await store.create(batch_name(1), batch_spec())


async def test_one_batch_is_deleted_by_its_uid_and_in_the_background(tmp_path: Path) -> None:
    api = Api()
    async with store_of(api, tmp_path) as store:
        await store.delete(7, "u-7")

    (request,), (body,) = api.asked, api.bodies
    assert (request.method, request.path) == ("DELETE", f"{HOME}/0000000000000007")
    assert body["preconditions"] == {"uid": "u-7"}
    assert body["propagationPolicy"] == "Background"


async def test_what_is_gone_is_deleted_and_another_in_its_place_is_not(tmp_path: Path) -> None:
    async with store_of(Api(refusal=(404, "NotFound")), tmp_path) as store:
        await store.delete(7, "u-7")
        with pytest.raises(NotFoundError):
            await store.read(7)
    async with store_of(Api(refusal=(409, "Conflict")), tmp_path) as store:
        with pytest.raises(ConflictError):
            await store.delete(7, "u-7")


async def test_without_the_lease_nothing_is_written(tmp_path: Path) -> None:
    def no_lease() -> float:
        raise ConnectionLostError("no lease")

    api = Api()
    async with store_of(api, tmp_path, no_lease) as store:
        for write in (store.create(batch_name(1), batch_spec()), store.delete(1, "u-1")):
            with pytest.raises(ConnectionLostError, match="no lease"):
                await write

    assert api.asked == []


async def test_a_write_is_given_up_when_its_lease_may_be_over(tmp_path: Path) -> None:
    async with store_of(Api(), tmp_path, lambda: 0.000_001) as store:
        with pytest.raises(ConnectionLostError, match="no answer"):
            await store.create(batch_name(1), batch_spec())
