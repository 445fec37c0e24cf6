"""What is written into a policy's status and told of it: once, by the active operator only, until it is."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from agentid.api.agentpolicy import PolicyStatus
from agentid.cluster.errors import (
    ApiAnswerError,
    ConflictError,
    ConnectionLostError,
    ForbiddenError,
    NotFoundError,
    TooManyRequestsError,
)
from agentid.cluster.events import Event, Events
from agentid.cluster.paths import AGENT_POLICIES, CLUSTER_AGENT_POLICIES, Resource
from agentid.cluster.statuses import StatusWrites
from agentid.controller import policy_statuses as module
from agentid.controller.errors import NotLeadingError
from agentid.controller.metrics import Metrics
from agentid.controller.policy_statuses import PolicyStatuses, status_of
from agentid.errors import AgentidError
from agentid.lifecycle.journal import SCHEMA, Entry
from agentid.watched.installed_policy import InstalledPolicy
from agentid.watched.pauses import FIRST_RETRY_SECONDS, retry_pause
from agentid.watched.policies import Policies
from tests.unit.policy_objects import BROKEN, FORBID, PERMIT, Installed, policy, resource_of

NOW = datetime.fromisoformat("2026-06-03T10:00:00.123Z")
LIMIT_SECONDS = 10


class Writes(StatusWrites):
    """Keeps what is written, or fails as it is told."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str | None, str, str, int, PolicyStatus]] = []
        self.failures: list[AgentidError] = []
        self.tried = 0

    async def write_status(  # noqa: PLR0917 - as what it stands for
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        uid: str,
        version: int,
        status: PolicyStatus,
    ) -> None:
        self.tried += 1
        if self.failures:
            raise self.failures.pop(0)
        self.written.append((resource.kind, namespace, name, uid, version, status))


class Sent(Events):
    """Keeps the Events that are sent."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def send(self, event: Event) -> None:
        self.events.append(event)


@dataclass
class Scene:
    """Policies whose statuses are written while this operator leads."""

    leads: bool = True
    writes: Writes = field(default_factory=Writes)
    sent: Sent = field(default_factory=Sent)
    metrics: Metrics = field(default_factory=Metrics)
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.policies = Policies(lambda _: None, self._note)
        self.records: list[Entry] = []
        for resource in (CLUSTER_AGENT_POLICIES, AGENT_POLICIES):
            self.policies.listed(resource)
        self.statuses = PolicyStatuses(
            self.policies,
            self.writes,
            self.sent,
            self.metrics,
            record=self.records.append,
            leads=lambda: self.leads,
            clock=lambda: NOW,
        )

    def _note(self, policy: InstalledPolicy) -> None:
        self.statuses.note(policy)

    async def take(self, body: dict[str, Any]) -> None:
        """Take a policy in and let what there is to tell be told."""
        await self.policies.take(resource_of(body), body)
        await self.settle()

    async def settle(self) -> None:
        """Let all go on that can."""
        for _ in range(10):
            await asyncio.sleep(0)

    def pause(self, failures: int, randomness: float, error: BaseException | None = None) -> float:
        """Note for how long would be paused, and do not."""
        self.pauses.append(retry_pause(failures, 0 * randomness, error))
        return 0.0

    @property
    def statuses_written(self) -> list[PolicyStatus]:
        return [each[-1] for each in self.writes.written]

    @property
    def refused(self) -> float:
        value = self.metrics.registry.get_sample_value("agentid_policy_refusals_total")
        assert value is not None
        return value


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    scene = Scene()
    # It notes for how long it would have paused.
    monkeypatch.setattr(module, "retry_pause", scene.pause)
    telling = asyncio.create_task(scene.statuses.run())
    yield scene
    telling.cancel()
    with suppress(asyncio.CancelledError):
        await telling


async def installed(*bodies: dict[str, Any]) -> InstalledPolicy:
    return await Installed().take(*bodies)


def as_kept(status: PolicyStatus) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(status.model_dump_json(by_alias=True, exclude_none=True))
    return kept


async def test_accepted_policy_says_so_and_keeps_its_text() -> None:
    found = await installed(policy(PERMIT, generation=4))
    status = status_of(found, NOW)
    assert as_kept(status) == {
        "observedGeneration": 4,
        "accepted": {"cedar": PERMIT, "digest": found.rules_digest, "generation": 4, "rules": 1},
        "conditions": [
            {
                "type": "Accepted",
                "status": "True",
                "reason": "Valid",
                "message": "in force, 1 rule",
                "observedGeneration": 4,
                "lastTransitionTime": "2026-06-03T10:00:00Z",
            }
        ],
    }


async def test_refused_policy_says_where_and_what_stays_in_force() -> None:
    first = await installed(policy(PERMIT))
    before = status_of(first, NOW)
    found = await installed(policy(BROKEN, version=2, generation=2, status=as_kept(before)))
    status = status_of(found, NOW + timedelta(seconds=60))
    assert status.accepted == before.accepted
    (condition,) = status.conditions
    assert (condition.status, condition.reason, condition.observed_generation) == ("False", "Invalid", 2)
    assert condition.message == (
        'ClusterAgentPolicy/default: line 2, column 17, rule "policy0": attribute `nope` on entity type '
        f"`Task` not found. The text accepted before stays in force, digest {first.rules_digest}."
    )
    assert condition.last_transition_time == NOW.replace(microsecond=0) + timedelta(seconds=60)


async def test_policy_that_was_never_accepted_says_so() -> None:
    status = status_of(await installed(policy(BROKEN)), NOW)
    assert status.accepted is None
    assert status.conditions[0].status == "False"
    assert status.conditions[0].message.endswith("None was accepted before, so that it permits nothing.")


async def test_time_of_the_condition_moves_only_when_it_turns() -> None:
    before = status_of(await installed(policy(BROKEN)), NOW)
    again = await installed(policy("permit(", version=2, generation=2, status=as_kept(before)))
    later = status_of(again, NOW + timedelta(hours=1))
    assert later.conditions[0].last_transition_time == before.conditions[0].last_transition_time
    mended = await installed(policy(PERMIT, version=3, generation=3, status=as_kept(later)))
    turned = status_of(mended, NOW + timedelta(hours=2))
    assert turned.conditions[0].last_transition_time == NOW.replace(microsecond=0) + timedelta(hours=2)


async def test_what_is_in_force_is_kept_in_the_status_before_an_edit_was_ever_told_of() -> None:
    found = await installed(policy(FORBID), policy(BROKEN, version=2, generation=2))
    status = status_of(found, NOW)
    assert status.accepted is not None
    assert (status.accepted.cedar, status.accepted.generation) == (FORBID, 1)
    assert status.conditions[0].status == "False"


async def test_lost_text_stays_in_the_status_and_it_says_that_nothing_is_allowed() -> None:
    accepted = {"cedar": BROKEN, "digest": f"sha256:{'0' * 64}", "generation": 1, "rules": 1}
    found = await installed(policy(BROKEN, generation=2, status={"accepted": accepted}))
    status = status_of(found, NOW)
    assert status.accepted is not None
    assert status.accepted.cedar == BROKEN
    assert status.conditions[0].message.endswith("so that nothing is allowed.")


async def test_long_refusal_fits_its_condition() -> None:
    text = f"permit(principal, action, resource) when {{ resource.{'n' * 2000} }};\n"
    message = status_of(await installed(policy(text)), NOW).conditions[0].message
    assert len(message.encode()) <= 1024
    assert message.endswith(" None was accepted before, so that it permits nothing.")


async def test_accepted_policy_is_written_once_and_told(scene: Scene) -> None:
    body = policy(PERMIT, namespace="support", version=7)
    with capture_logs() as logs:
        await scene.take(body)
    ((kind, namespace, name, uid, version, status),) = scene.writes.written
    assert (kind, namespace, name, uid, version) == ("AgentPolicy", "support", "default", "u-1", 7)
    (event,) = scene.sent.events
    assert (event.reason, event.action, event.warning) == ("PolicyAccepted", "Accept", False)
    assert (event.regarding.kind, event.namespace) == ("AgentPolicy", "support")
    assert "policy accepted" in {each["event"] for each in logs}
    assert scene.refused == 0
    # The watch then shows the status that was written, and there is nothing more to say.
    await scene.take(policy(PERMIT, namespace="support", version=8, status=as_kept(status)))
    await scene.take(policy(PERMIT, namespace="support", version=9, status=as_kept(status)))
    assert len(scene.writes.written) == len(scene.sent.events) == 1


async def test_refused_policy_is_told_as_a_warning_and_counted(scene: Scene) -> None:
    with capture_logs() as logs:
        await scene.take(policy(BROKEN))
    (event,) = scene.sent.events
    assert (event.reason, event.warning, event.namespace) == ("PolicyRefused", True, "default")
    assert "line 2, column 17" in event.note
    assert scene.writes.written[0][1] is None
    assert "policy refused" in {each["event"] for each in logs}
    assert scene.refused == 1


async def test_standby_tells_nothing_and_all_when_it_leads(scene: Scene) -> None:
    scene.leads = False
    told = as_kept(status_of(await installed(policy(PERMIT, name="told", uid="u-3")), NOW))
    await scene.take(policy(PERMIT))
    await scene.take(policy(BROKEN, namespace="support", uid="u-2"))
    await scene.take(policy(PERMIT, name="told", uid="u-3", status=told))
    assert scene.writes.tried == 0
    assert scene.sent.events == []
    scene.leads = True
    await scene.settle()
    assert scene.writes.tried == 0
    scene.statuses.note_all()
    await scene.settle()
    assert [each[3] for each in sorted(scene.writes.written, key=lambda each: each[3])] == ["u-1", "u-2"]


@pytest.mark.parametrize(
    "failure",
    [ConnectionLostError("no answer"), ForbiddenError("refused"), NotLeadingError("late")],
    ids=["no answer", "refused", "late lease"],
)
async def test_failed_write_is_tried_again_and_only_then_told(scene: Scene, failure: AgentidError) -> None:
    scene.writes.failures = [failure, failure]
    async with asyncio.timeout(LIMIT_SECONDS):
        await scene.policies.take(resource_of(policy(PERMIT)), policy(PERMIT))
        while not scene.writes.written:
            assert scene.sent.events == []
            await asyncio.sleep(0)
        await scene.settle()
    assert scene.writes.tried == 3
    assert len(scene.sent.events) == 1


@pytest.mark.parametrize("failure", [ConflictError("changed"), NotFoundError("gone")])
async def test_policy_that_has_changed_is_told_of_as_it_is_then(
    scene: Scene, failure: ApiAnswerError
) -> None:
    scene.writes.failures = [failure]
    await scene.take(policy(PERMIT))
    assert (scene.writes.tried, scene.sent.events) == (1, [])
    await scene.take(policy(FORBID, version=2, generation=2))
    (status,) = scene.statuses_written
    assert status.accepted is not None
    assert status.accepted.cedar == FORBID


async def test_status_that_is_refused_for_good_is_tried_ever_less_often_and_others_do_not_wait(
    scene: Scene,
) -> None:
    refusals = [ForbiddenError("refused") for _ in range(8)]
    scene.writes.failures = [*refusals, TooManyRequestsError("busy", retry_after_seconds=30)]
    async with asyncio.timeout(LIMIT_SECONDS):
        await scene.policies.take(resource_of(policy(PERMIT)), policy(PERMIT))
        while not scene.writes.written:  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0)
    assert scene.pauses == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 60]
    scene.writes.failures = [ForbiddenError("refused")]
    await scene.take(policy(FORBID, version=2, generation=2))
    assert scene.pauses[-1] == FIRST_RETRY_SECONDS, "what was written since begins anew"


async def test_policy_that_is_gone_meanwhile_is_not_written(scene: Scene) -> None:
    scene.writes.failures = [ConnectionLostError("no answer")]
    body = policy(PERMIT)
    await scene.policies.take(resource_of(body), body)
    scene.policies.drop(resource_of(body), "", "default", "u-1")
    await scene.settle()
    assert scene.writes.written == []


async def test_status_of_the_clusters_policy_is_written_before_those_that_wait(scene: Scene) -> None:
    scene.leads = False
    for number in range(3):
        await scene.take(policy(PERMIT, namespace="support", name=f"p{number}", uid=f"u-{number}"))
    await scene.take(policy(PERMIT, namespace="other", uid="u-other"))
    await scene.take(policy(PERMIT, uid="u-cluster"))
    scene.leads = True
    scene.statuses.note_all()
    await scene.settle()
    assert [each[3] for each in scene.writes.written] == ["u-cluster", "u-0", "u-other", "u-1", "u-2"]


async def test_each_text_that_is_accepted_or_refused_is_recorded_once(scene: Scene) -> None:
    await scene.take(policy(PERMIT, namespace="support"))
    await scene.take(policy(BROKEN, namespace="support", version=2, generation=2))
    told = as_kept(scene.statuses_written[-1])
    await scene.take(policy(BROKEN, namespace="support", version=3, generation=2, status=told))
    accepted, refused = scene.records
    in_force = scene.statuses_written[0].accepted
    assert in_force is not None
    for found, kind, generation, reason in (
        (accepted, "policyAccepted", 1, "Valid"),
        (refused, "policyRefused", 2, "Invalid"),
    ):
        assert (found.kind, found.generation, found.reason) == (kind, generation, reason)
        assert (found.namespace, found.policy, found.uid) == ("support", "AgentPolicy/default", "u-1")
        assert found.policy_digest == in_force.digest
        assert (found.task, found.rule, found.schema) == (None, None, SCHEMA)
    assert "line 2, column 17" in refused.message


async def test_text_whose_status_is_not_written_is_not_recorded(scene: Scene) -> None:
    scene.writes.failures = [ConflictError("changed")]
    await scene.take(policy(PERMIT))
    assert scene.records == []
