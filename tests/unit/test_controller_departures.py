"""What a task that nobody remembers left is wiped, unless the new task of its name has a key by now."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import NotFoundError
from agentid.cluster.events import Events
from agentid.cluster.lease import Takeover
from agentid.cluster.reads import Reads
from agentid.cluster.secrets import SecretManifest, Version
from agentid.controller.departures import Departures
from agentid.controller.issuing import Issuing
from agentid.controller.judging import Judge
from agentid.controller.metrics import Metrics
from agentid.controller.observing import Observer
from agentid.controller.places import Places
from agentid.controller.quotas import Quotas
from agentid.controller.recording import Recorder
from agentid.controller.records import Record
from agentid.controller.secret_actions import SecretActions
from agentid.controller.static_secrets import StaticSecrets
from agentid.controller.telling import Teller
from agentid.controller.workloads import Workloads
from agentid.controller.world import World
from agentid.lifecycle.model import Limits, SecretState
from agentid.pki.files import PRIVATE_KEY_FILE
from agentid.pki.spiffe_id import TrustDomain
from agentid.watched.facts import Key
from tests.unit.ledger_in_memory import LedgerInMemory
from tests.unit.secrets_in_memory import SecretsInMemory

_NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
_KEY: Key = ("ns", "t")
_DOMAIN = TrustDomain("example.org")
_LIMITS = Limits("example.org", timedelta(seconds=120), timedelta(days=1), timedelta(days=30))


class _ApiServer(Connection):
    """Answers a GET of the one task as it is."""

    def __init__(self) -> None:
        self.task: Body | None = None
        self.asked = 0

    async def get(self, path: str, params: object = None, *, accept: str | None = None) -> Body:
        del params, accept
        self.asked += 1
        if self.task is None:
            raise NotFoundError(path)
        return self.task


def _task(version: int, generation: int) -> dict[str, Any]:
    metadata = {
        "name": "t",
        "namespace": "ns",
        "uid": "u-1",
        "resourceVersion": str(version),
        "creationTimestamp": "2026-05-31T14:00:00Z",
    }
    return {"metadata": metadata, "spec": {}, "status": {"credentialGeneration": generation}}


def _pod() -> dict[str, Any]:
    metadata = {
        "name": "p",
        "namespace": "ns",
        "uid": "p-1",
        "resourceVersion": "1",
        "labels": {"agentid.dev/task": "t"},
        "creationTimestamp": "2026-05-31T13:00:00Z",
    }
    return {"metadata": metadata, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}


class _Scene:
    """A takeover in a world whose watch may be behind, with a filled Secret of the name."""

    def __init__(self, watched: dict[str, Any] | None, really: dict[str, Any] | None) -> None:
        self.api, self.secrets, self.now = _ApiServer(), SecretsInMemory(), _NOW
        self.world = World(lambda _: None, lambda: self.now)
        metrics = Metrics()
        observer = Observer(
            world=self.world,
            reads=Reads(self.api),
            workloads=Workloads(self.api, (), changed=lambda _: None, needed=set, clock=lambda: 0.0),
            static_secrets=cast("StaticSecrets", None),
            limits=_LIMITS,
            clock=lambda: self.now,
            judge=cast("Judge", None),
            issuing=Issuing((), lambda: None),
            quotas=Quotas(Places(self.world.census, lambda _: None), lambda _: {}, 100),
            takeover=lambda: Takeover(_NOW),
        )
        actions = SecretActions(
            self.secrets,
            _DOMAIN,
            metrics,
            clock=lambda: self.now,
            randomness=lambda: 0.0,
            static_secrets_in=lambda namespace: (f"of-{namespace}",),
        )
        teller = Teller(Events(self.api, "test", metrics.count_event), metrics, lambda: self.now)
        recorder = Recorder(LedgerInMemory(), lambda: self.now)
        self.departures = Departures(observer, actions, teller, recorder, _LIMITS, lambda: self.now)
        manifest = SecretManifest("ns", "agentid-t", "u-1", (), {PRIVATE_KEY_FILE: b"key"})
        self.secrets.there = (Version("s", "1"), manifest)
        self.world.take_pod(_pod())
        if watched is not None:
            self.world.take_task(watched)
        self.world.begin_anew()
        self.api.task = really

    @property
    def record(self) -> Record:
        record = self.world.record(_KEY)
        assert record is not None
        return record


async def test_a_key_that_the_watch_does_not_show_yet_is_not_wiped_as_an_unknown_tasks() -> None:
    scene = _Scene(watched=_task(1, 0), really=_task(2, 1))
    assert "" in scene.record.departed
    await scene.departures.finish(_KEY, scene.record)
    assert scene.secrets.key == b"key"
    assert not scene.record.departed
    assert scene.record.secret.state is None, "what is there is worked out from the task's status"


@pytest.mark.parametrize("task", [None, _task(1, 0)], ids=["no task", "a task without a key"])
async def test_key_of_a_task_that_nobody_remembers_is_wiped(task: dict[str, Any] | None) -> None:
    scene = _Scene(watched=task, really=task)
    wake_at = await scene.departures.finish(_KEY, scene.record)
    assert scene.secrets.key == b""
    assert scene.record.secret.facts_for("").state is SecretState.EMPTIED
    assert wake_at == _NOW + _LIMITS.wipe_grace
    asked, scene.now = scene.api.asked, _NOW + _LIMITS.wipe_grace
    await scene.departures.finish(_KEY, scene.record)
    assert scene.secrets.there is None
    assert scene.api.asked == asked, "what this operator emptied needs no further look"


async def test_where_nobody_knows_the_keys_of_a_secret_all_that_it_may_have_are_emptied() -> None:
    scene = _Scene(watched=None, really=None)
    await scene.departures.finish(_KEY, scene.record)
    assert scene.secrets.there is not None
    assert scene.secrets.there[1].files["of-ns"] == b""


async def test_keys_of_a_task_that_is_gone_are_emptied_by_their_names() -> None:
    task = _task(1, 1)
    task["spec"]["staticSecrets"] = [{"name": "legacy-crm-key"}]
    scene = _Scene(watched=task, really=None)
    scene.world.drop_task(_KEY, "u-1")
    await scene.departures.finish(_KEY, scene.record)
    assert scene.secrets.there is not None
    assert scene.secrets.there[1].files["legacy-crm-key"] == b""
    assert "of-ns" not in scene.secrets.there[1].files
