"""The authority's Secret across a renewal: the key before stays for its time, and then goes."""

import time
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agentid.api.names import AUTHORITY_SECRET
from agentid.cluster.authority_store import AuthorityStore
from agentid.cluster.connection import Connection
from agentid.pki.authority import RETIRED_FOR
from agentid.pki.spiffe_id import TrustDomain
from tests.unit.config_map_server import HOME, ConfigMapServer, config_map_server

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
OF_THE_PREVIOUS = {"previous.crt", "previous.key"}


class Scene:
    """One operator's store, its Secret and its clock."""

    def __init__(self, server: ConfigMapServer, connection: Connection) -> None:
        self.server = server
        self.now = NOW
        self.store = AuthorityStore(connection, HOME, TrustDomain("cluster.example.org"), lambda: self.now)

    def data(self) -> dict[str, bytes]:
        return {key: b64decode(each) for key, each in self.server.kept[AUTHORITY_SECRET]["data"].items()}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with (
        config_map_server(tmp_path) as (server, kubeconfig),
        Connection.open(kubeconfig, time.monotonic) as connection,
    ):
        yield Scene(server, connection)


async def test_renewal_keeps_the_key_before_for_its_time_and_no_longer(scene: Scene) -> None:
    first = await scene.store.load_or_create()
    before = scene.data()
    assert first.previous is None
    assert not OF_THE_PREVIOUS & before.keys()

    scene.now = first.intermediate_renewal_due
    renewed = await scene.store.load_or_create()
    assert renewed.previous is not None
    assert renewed.previous.intermediate == first.intermediate
    assert renewed.key_id != first.key_id == renewed.previous.key_id
    assert scene.data()["previous.key"] == before["intermediate.key"]

    scene.now += RETIRED_FOR - HOUR
    writes = scene.server.writes
    assert (await scene.store.load_or_create()).previous is not None
    assert scene.server.writes == writes

    scene.now += 2 * HOUR
    after = await scene.store.load_or_create()
    assert after.previous is None
    assert after.key_id == renewed.key_id
    assert not OF_THE_PREVIOUS & scene.data().keys()
    assert before["intermediate.key"] not in scene.data().values()


async def test_intermediate_that_expired_is_renewed_and_signs_nothing_any_more(scene: Scene) -> None:
    first = await scene.store.load_or_create()
    scene.now = first.not_after + HOUR
    renewed = await scene.store.load_or_create()
    assert renewed.key_id != first.key_id
    assert renewed.previous is None


async def test_key_before_that_cannot_be_removed_is_told_and_hinders_nothing(scene: Scene) -> None:
    first = await scene.store.load_or_create()
    scene.now = first.intermediate_renewal_due
    await scene.store.load_or_create()
    scene.now += RETIRED_FOR + HOUR
    scene.server.refuses_writes = True
    with capture_logs() as logs:
        assert (await scene.store.load_or_create()).previous is None
    assert [each["event"] for each in logs] == ["key of the previous intermediate not removed"]
    scene.server.refuses_writes = False
    await scene.store.load_or_create()
    assert not OF_THE_PREVIOUS & scene.data().keys()
