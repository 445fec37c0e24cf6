"""Each transition has a log line that names task, UID and serials; a later deletion is told by itself."""

import asyncio
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from agentid.cluster.connection import Body, Connection
from agentid.cluster.events import Events
from agentid.controller.metrics import Metrics
from agentid.controller.telling import Teller
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import Blocked, Observation, SecretFacts, SecretState
from agentid.pki.spiffe_id import SpiffeId
from agentid.pki.svid import X509Svid
from tests.unit.lifecycle_facts import (
    ALLOW,
    NOW,
    TASK_UID,
    after,
    asks,
    at,
    made,
    observe,
    pod,
    report_of,
    running,
    task_spec,
)

RUNNING = running(observe(pods=[pod(all_run=True)]))
ALLOWED = running(observe(spec=task_spec(workload=ALLOW), pods=[pod()]))
OTHER_INTENT = {"purpose": "p", "actions": ["orders:read"]}
RENEWED = after(at(RUNNING, 290))

TRANSITIONS: dict[str, tuple[Observation, str, Mapping[str, Any]]] = {
    "waits": (replace(observe(), agent=None), "task status", {}),
    "issued": (observe(pods=[pod()]), "credential issued", {"serial": "0001"}),
    "renewed": (at(RUNNING, 290), "credential issued", {"serial": "0002"}),
    "suspended": (asks(RUNNING, state="Suspended"), "task status", {"dropped": ["0001"]}),
    "suspended after a renewal": (
        asks(RENEWED, state="Suspended"),
        "task status",
        {"dropped": ["0001", "0002"]},
    ),
    "resumed": (
        asks(after(asks(RUNNING, state="Suspended")), state="Active"),
        "credential issued",
        {"serial": "0002"},
    ),
    "intent changed": (
        asks(RUNNING, intent=OTHER_INTENT),
        "credential issued",
        {"serial": "0002", "dropped": ["0001"]},
    ),
    "intent changed while nothing is issued": (
        replace(asks(RUNNING, intent=OTHER_INTENT), blocked=Blocked("No admission.")),
        "task status",
        {"dropped": ["0001"]},
    ),
    "pod gone": (replace(ALLOWED, pods=()), "task status", {"dropped": ["0001"]}),
    "pod replaced": (
        replace(ALLOWED, pods=(pod(2),)),
        "credential issued",
        {"serial": "0002", "dropped": ["0001"]},
    ),
    "ended": (asks(RUNNING, state="Ended"), "task ended", {"dropped": ["0001"]}),
    "ended while it waited": (asks(observe(), state="Ended"), "task ended", {}),
}


class ApiServer(Connection):
    """Takes every Event."""

    def __init__(self) -> None:
        self.events: list[Body] = []

    async def post(self, path: str, body: Body, *_: object, **__: object) -> Body:
        assert path == "/apis/events.k8s.io/v1/namespaces/support/events"
        self.events.append(body)
        return body


def lines(facts: Observation) -> list[MutableMapping[str, Any]]:
    """What is logged of the plan for `facts`."""
    plan = decide(facts)
    metrics = Metrics()
    teller = Teller(Events(ApiServer(), "test", metrics.count_event), metrics, lambda: facts.now)
    svid = None
    if plan.issue is not None:
        new = made(facts, plan)
        spiffe_id = SpiffeId.parse(plan.issue.spiffe_id)
        svid = X509Svid(spiffe_id, new.serial, new.not_before, new.not_after, "sha256:", b"", b"", b"")
    with capture_logs() as logged:
        teller.status(facts, plan, report_of(facts, plan).status, svid)
    return logged


@pytest.mark.parametrize("transition", TRANSITIONS)
def test_transition_has_one_log_line_that_names_task_uid_and_serials(transition: str) -> None:
    facts, message, serials = TRANSITIONS[transition]
    (line,) = lines(facts)

    assert (line["log_level"], line["event"]) == ("info", message)
    assert (line["namespace"], line["task"], line["uid"]) == ("support", "refund-4711", TASK_UID)
    assert line["rule"] == decide(facts).rule
    assert {key: line[key] for key in ("serial", "dropped") if key in line} == serials


async def told_of_deletion(
    before: SecretFacts, *, alone: bool = True
) -> tuple[list[Body], list[MutableMapping[str, Any]]]:
    api, metrics = ApiServer(), Metrics()
    events = Events(api, "test", metrics.count_event)
    teller = Teller(events, metrics, lambda: NOW + timedelta(seconds=120))
    with capture_logs() as logged:
        teller.deleted("support", "refund-4711", TASK_UID, before, alone=alone)
    sending = asyncio.create_task(events.run())
    await events.drain()
    sending.cancel()
    return api.events, logged


async def test_later_deletion_of_an_emptied_secret_has_an_event_and_a_log_line() -> None:
    (event,), (line,) = await told_of_deletion(SecretFacts(SecretState.EMPTIED, emptied_at=NOW))

    assert (event["reason"], event["action"], event["type"]) == ("CredentialDeleted", "CleanUp", "Normal")
    assert event["note"] == "Secret agentid-refund-4711 deleted, which was empty since 2026-05-31T14:00:00Z"
    assert event["regarding"]["uid"] == TASK_UID
    assert (event["related"]["kind"], event["related"]["name"]) == ("Secret", "agentid-refund-4711")
    assert (line["event"], line["task"], line["uid"]) == ("Secret deleted", "refund-4711", TASK_UID)


async def test_deletion_after_a_crash_is_told_without_a_time() -> None:
    (event,), _ = await told_of_deletion(SecretFacts(SecretState.DOUBTFUL))

    assert event["note"] == "Secret agentid-refund-4711 deleted"


async def test_deletion_at_the_end_of_a_life_is_no_event_of_its_own() -> None:
    events, (line,) = await told_of_deletion(SecretFacts(SecretState.FILLED, generation=1), alone=False)

    assert events == []
    assert line["event"] == "Secret deleted"
