"""The operator's own Secrets, here the ledger's key: made once, loaded by name, replaced as it was seen."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentid.cluster.authority_store import authority_material
from agentid.cluster.connection import Connection
from agentid.cluster.errors import (
    AuthorityStoreError,
    ConflictError,
    ForbiddenError,
    LedgerKeyStoreError,
    OwnSecretError,
)
from agentid.cluster.ledger_key_store import LedgerKeyStore
from agentid.cluster.own_secret import contents
from tests.unit.plain_server import serving

HOME = "/api/v1/namespaces/agentid-system/secrets"
SECRET_TEXT = b"-----BEGIN PRIVATE KEY-----"


def encoded(text: bytes) -> str:
    return b64encode(text).decode()


def secret(**data: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever somebody put there
    return {
        "metadata": {"name": "ledger-key", "uid": "u-1", "resourceVersion": "1"},
        "data": {key.replace("_", "."): value for key, value in data.items()},
    }


class OneSecret:
    """The Secret as the API server keeps it, with its rules about names and versions."""

    def __init__(self, there: dict[str, Any] | None = None) -> None:
        self.there = there
        self.calls: list[str] = []
        self.code = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.calls.append(f"{request.method} {request.path.removeprefix(HOME)}")
        if self.code:
            return self._refused(self.code, "Forbidden")
        if request.method == "POST":
            body = await request.json()
            if self.there is not None:
                return self._refused(409, "AlreadyExists")
            body["metadata"] |= {"uid": "u-1", "resourceVersion": "1"}
            self.there = body
        elif self.there is None:
            return self._refused(404, "NotFound")
        elif request.method == "PUT":
            body = await request.json()
            seen, meant = self.there["metadata"], body["metadata"]
            if any(seen[key] != meant[key] for key in ("uid", "resourceVersion")):
                return self._refused(409, "Conflict")
            body["metadata"]["resourceVersion"] = str(int(seen["resourceVersion"]) + 1)
            self.there = body
        return web.json_response(self.there)

    @staticmethod
    def _refused(code: int, reason: str) -> web.StreamResponse:
        status = {"kind": "Status", "code": code, "reason": reason, "message": "no"}
        return web.json_response(status, status=code)


@asynccontextmanager
async def store_of(server: OneSecret, folder: Path, *keys: bytes) -> AsyncIterator[LedgerKeyStore]:
    made = iter(keys)
    async with (
        serving(server.answer, folder) as kubeconfig,
        Connection.open(kubeconfig, lambda: 0.0) as connection,
    ):
        yield LedgerKeyStore(connection, "agentid-system", lambda: next(made))


async def test_the_first_start_makes_a_key_and_the_next_one_loads_it(tmp_path: Path) -> None:
    server = OneSecret()
    async with store_of(server, tmp_path, b"one", b"two") as store:
        made = await store.load_or_create()
        loaded = await store.load_or_create()

    assert (made.current, made.following) == (loaded.current, loaded.following) == (b"one", None)
    assert server.there is not None
    assert server.there["data"] == {"ledger.key": encoded(b"one")}
    assert server.there["type"] == "Opaque"
    assert server.calls == ["GET /ledger-key", "POST ", "GET /ledger-key"]


async def test_operators_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    keys = [f"key {number}".encode() for number in range(8)]
    async with store_of(OneSecret(), tmp_path, *keys) as store:
        seen = await asyncio.gather(*(store.load_or_create() for _ in keys))

    assert len({each.current for each in seen}) == 1


async def test_a_rotation_adds_the_next_key_and_then_puts_it_in_the_place_of_the_first(
    tmp_path: Path,
) -> None:
    async with store_of(OneSecret(), tmp_path, b"one") as store:
        began = await store.replace(await store.load_or_create(), current=b"one", following=b"two")
        again = await store.load_or_create()
        ended = await store.replace(again, current=b"two", following=None)

        assert (began.current, began.following) == (again.current, again.following) == (b"one", b"two")
        assert (ended.current, ended.following) == (b"two", None)
        assert (await store.load_or_create()).current == b"two"


async def test_a_key_that_another_operator_changed_is_not_written_over(tmp_path: Path) -> None:
    async with store_of(OneSecret(), tmp_path, b"one") as store:
        seen = await store.load_or_create()
        await store.replace(seen, following=b"of the other")

        with pytest.raises(ConflictError):
            await store.replace(seen, following=b"mine")

        assert (await store.load_or_create()).following == b"of the other"


async def test_a_key_that_was_made_anew_is_not_written_over(tmp_path: Path) -> None:
    server = OneSecret()
    async with store_of(server, tmp_path, b"one", b"two") as store:
        seen = await store.load_or_create()
        server.there = secret(ledger_key=encoded(b"restored")) | {
            "metadata": {"name": "ledger-key", "uid": "u-2", "resourceVersion": "1"}
        }

        with pytest.raises(ConflictError):
            await store.replace(seen, following=b"mine")


DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({"metadata": {"name": "ledger-key"}}, "does not hold ledger.key"),
    "another key": (secret(tls_key="eA=="), "does not hold ledger.key"),
    "the next key alone": (secret(next_key="eA=="), "does not hold ledger.key"),
    "empty": (secret(ledger_key=""), "does not hold ledger.key"),
    "no base64": (secret(ledger_key="-----BEGIN"), "is not readable"),
    "no text": (secret(ledger_key=["eA=="]), "is not readable"),
    "not ASCII": (secret(ledger_key="é"), "is not readable"),
}


@pytest.mark.parametrize("damage", DAMAGED)
async def test_a_damaged_secret_is_told_and_neither_replaced_nor_shown(tmp_path: Path, damage: str) -> None:
    there, why = DAMAGED[damage]
    server = OneSecret(there)
    async with store_of(server, tmp_path) as store:
        with pytest.raises(LedgerKeyStoreError) as caught:
            await store.load_or_create()

    assert str(caught.value).startswith(f"Secret ledger-key {why}; restore it from a backup")
    assert "BEGIN" not in str(caught.value)
    assert server.calls == ["GET /ledger-key"]


async def test_an_empty_next_key_is_none(tmp_path: Path) -> None:
    async with store_of(OneSecret(secret(ledger_key="eA==", next_key="")), tmp_path) as store:
        assert (await store.load_or_create()).following is None


async def test_what_is_not_served_makes_no_key(tmp_path: Path) -> None:
    server = OneSecret()
    server.code = 403
    async with store_of(server, tmp_path) as store:
        with pytest.raises(ForbiddenError):
            await store.load_or_create()

    assert server.calls == ["GET /ledger-key"]


async def test_no_key_is_in_what_a_log_would_show(tmp_path: Path) -> None:
    async with store_of(OneSecret(), tmp_path, SECRET_TEXT) as store:
        stored = await store.load_or_create()

    assert encoded(SECRET_TEXT) not in repr(stored)
    assert "BEGIN" not in repr(stored)


def test_what_cannot_be_read_is_in_no_traceback() -> None:
    with pytest.raises(OwnSecretError) as caught:
        contents("ledger-key", secret(ledger_key="hunter2!"), ("ledger.key",))

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_damaged_authority_says_what_is_missing_and_what_to_do() -> None:
    there = secret(root_crt="eA==")

    with pytest.raises(
        AuthorityStoreError, match=r"x509-authority does not hold root\.crt, root\.key, .*; restore it"
    ):
        authority_material(there)
