"""What a static secret is copied from: one value, read by name, and never one of the operator's own."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentid.api.agentsecret import MAX_VALUE_BYTES, SecretSource
from agentid.cluster.connection import Connection
from agentid.cluster.errors import ApiAnswerError, ForbiddenError, ServerError, UnusableSourceError
from agentid.cluster.sources import Sources, Value
from tests.unit.plain_server import serving

SOURCE = SecretSource(secret_name="legacy-crm", key="token")  # noqa: S106 - a name
PATH = "/api/v1/namespaces/agentid-system/secrets/legacy-crm"


def secret(
    content: bytes = b"hunter2", version: str = "7", uid: str = "u-1", **parts: object
) -> dict[str, Any]:
    return {
        "metadata": {"name": "legacy-crm", "uid": uid, "resourceVersion": version},
        "type": "Opaque",
        "data": {"token": b64encode(content).decode(), "other": "b3RoZXI="},
        **parts,
    }


@asynccontextmanager
async def answering(folder: Path, answer: dict[str, Any] | int) -> AsyncIterator[tuple[Sources, list[str]]]:
    asked: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(f"{request.method} {request.path}")
        if isinstance(answer, int):
            return web.json_response({"code": answer, "message": "hunter2 no"}, status=answer)
        return web.json_response(answer)

    async with (
        serving(handle, folder) as kubeconfig,
        Connection.open(kubeconfig, lambda: 0.0) as connection,
    ):
        yield Sources(connection, "agentid-system"), asked


async def read(folder: Path, answer: dict[str, Any] | int, source: SecretSource = SOURCE) -> Value:
    async with answering(folder, answer) as (sources, asked):
        value = await sources.read(source)
        assert asked == [f"GET {PATH}"]
        return value


async def test_one_value_is_read_by_the_name_of_its_secret(tmp_path: Path) -> None:
    value = await read(tmp_path, secret())

    assert value.content == b"hunter2"
    assert "hunter2" not in repr(value)


async def test_version_is_another_with_each_state_and_place_and_says_nothing_of_the_value(
    tmp_path: Path,
) -> None:
    versions = [
        (await read(tmp_path, answer, source)).version
        for answer, source in (
            (secret(), SOURCE),
            (secret(version="8"), SOURCE),
            (secret(uid="u-2"), SOURCE),
            (secret(), SecretSource(secret_name="legacy-crm", key="other")),  # noqa: S106 - a name
        )
    ]

    assert len(set(versions)) == len(versions)
    assert (await read(tmp_path, secret(b"another"))).version == versions[0]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (404, "is not there"),
        (secret(data={}), "does not have its key"),
        (secret(data=None), "does not have its key"),
        (secret(data={"token": ""}), "is empty under its key"),
        (secret(data={"token": "hunter2!"}), "cannot be read"),
        (secret(b"x" * (MAX_VALUE_BYTES + 1)), "holds more than 65536 bytes under its key"),
        (secret(type="kubernetes.io/service-account-token"), "is a credential of Kubernetes itself"),
        (secret(type="bootstrap.kubernetes.io/token"), "is a credential of Kubernetes itself"),
        (
            secret(
                metadata={"uid": "u", "resourceVersion": "1", "deletionTimestamp": "2026-05-31T14:00:00Z"}
            ),
            "is being deleted",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_what_may_not_be_copied_is_said_without_it(
    tmp_path: Path, answer: dict[str, Any] | int, why: str
) -> None:
    with pytest.raises(UnusableSourceError) as caught:
        await read(tmp_path, answer)

    assert str(caught.value) == why
    assert caught.value.__cause__ is None


async def test_longest_value_is_copied(tmp_path: Path) -> None:
    assert len((await read(tmp_path, secret(b"x" * MAX_VALUE_BYTES))).content) == MAX_VALUE_BYTES


@pytest.mark.parametrize("name", ["x509-authority", "ledger-key", "agentid-refund-4711"])
async def test_operators_own_secrets_are_never_asked_for(tmp_path: Path, name: str) -> None:
    async with answering(tmp_path, secret()) as (sources, asked):
        with pytest.raises(UnusableSourceError, match="is the operator's own"):
            await sources.read(SecretSource.model_construct(secret_name=name, key="root.key"))

        assert asked == []


@pytest.mark.parametrize("name", ["x509-authority", "ledger-key", "agentid-refund-4711"])
def test_agent_secret_that_names_one_cannot_be_read(name: str) -> None:
    with pytest.raises(ValueError, match="must be another Secret than the operator's own"):
        SecretSource.model_validate_json(json.dumps({"secretName": name, "key": "root.key"}))


@pytest.mark.parametrize(
    ("status", "error"), [(403, ForbiddenError), (401, ForbiddenError), (500, ServerError)]
)
async def test_what_is_not_answered_says_nothing_of_the_source(
    tmp_path: Path, status: int, error: type[ApiAnswerError]
) -> None:
    with pytest.raises(error):
        await read(tmp_path, status)
