"""Each rule of the decision point: the reason it gives, and what it tells the engineer who is denied."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.api.agent import Sensitivity
from agentid.gate.answer import Reason
from agentid.gate.decide import RULES
from agentid.gate.known_task import KnownTask
from agentid.gate.question import Call, EnforcementPoint, Question
from agentid.gate.view import Heartbeat
from tests.unit.gate_cases import (
    LIMITS,
    NOW,
    OLD_SERIAL,
    PARENT_UID,
    SECOND,
    SPIFFE_ID,
    STEP_UID,
    UID,
    UPTIME,
    Gate,
    InForce,
    agent_body,
    body,
    condition,
    credential,
    hashed,
    pod_body,
    question,
    spec,
    time,
)
from tests.unit.policy_questions import PERMIT, cluster, namespace

LOOK = "Look at the operator, and at what is between the decision point and the API server."
TASK = "AgentTask support/refund-4711"
CHILD = {
    "delegation": {
        "intentGeneration": 1,
        "chain": [{"name": "triage", "uid": PARENT_UID, "agent": "triage", "requester": "alice"}],
    }
}


def parent(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - what `body` takes
    return body(name="triage", uid=PARENT_UID, **changes)


def intent(**changes: object) -> dict[str, Any]:
    return spec(intent={"purpose": "Refund order 4711", "actions": ["orders:read"], **changes})


def test_an_ordinary_call_is_allowed_and_says_by_what() -> None:
    answer = Gate().ask()

    assert (answer.allowed, answer.reason) == (True, Reason.ALLOWED)
    assert answer.message == "allowed by ClusterAgentPolicy/p0"
    assert answer.task is not None
    assert (answer.task.namespace, answer.task.name, answer.task.uid) == ("support", "refund-4711", UID)


def during_a_renewal(gate: Gate) -> None:
    gate.now = NOW + 29 * SECOND
    gate.view.beat("", Heartbeat(gate.now, UPTIME))


def test_both_credentials_count_during_a_renewal() -> None:
    gate = Gate()
    during_a_renewal(gate)

    assert gate.ask().allowed
    assert gate.ask(question(serial=OLD_SERIAL)).allowed


def goes(**changes: Any) -> Callable[[Gate], None]:  # noqa: ANN401 - what `body` takes
    return lambda gate: gate.take(body(**changes))


def clock(seconds: float, uptime: float = 0.0) -> Callable[[Gate], None]:
    def turn(gate: Gate) -> None:
        gate.now += timedelta(seconds=seconds)
        gate.uptime += uptime

    return turn


def later(seconds: float) -> Callable[[Gate], None]:
    """Time passes, and the operator goes on to show that it lives."""

    def turn(gate: Gate) -> None:
        gate.now += timedelta(seconds=seconds)
        gate.view.beat("", Heartbeat(gate.now, UPTIME))

    return turn


def set_(name: str, value: object) -> Callable[[Gate], None]:
    return lambda gate: setattr(gate, name, value)


def dropped(gate: Gate) -> None:
    gate.view.drop_task(("support", "refund-4711"))


def no_sign_of_life(gate: Gate) -> None:
    gate.view._heartbeats.clear()  # noqa: SLF001 - as after a start


TABLE: list[tuple[str, Callable[[Gate], None] | None, dict[str, Any], Reason, str]] = [
    (
        "another namespace's task",
        None,
        {"asker": EnforcementPoint("spiffe://prod.example.com/ns/edge/sa/envoy", frozenset({"sales"}))},
        Reason.NAMESPACE_NOT_SERVED,
        (
            "spiffe://prod.example.com/ns/edge/sa/envoy may not ask about tasks of namespace support. Have "
            "the platform team list that namespace for it among the decision point's enforcement points."
        ),
    ),
    (
        "its clock is behind",
        clock(-2.1),
        {},
        Reason.CLOCK_IN_DOUBT,
        (
            "The decision point's clock is 2.1 s behind the operator's, and may be 2.0 s. Look at time "
            "synchronization on both nodes."
        ),
    ),
    (
        "its clock jumps ahead",
        clock(5.1),
        {},
        Reason.STALE_VIEW,
        f"What is known is 5.1 s old, and may be 5.0 s for sensitivity Internal. {LOOK}",
    ),
    (
        "nothing comes any more",
        clock(0, 5.2),
        {},
        Reason.STALE_VIEW,
        f"What is known is 5.2 s old, and may be 5.0 s for sensitivity Internal. {LOOK}",
    ),
    (
        "no sign of life",
        no_sign_of_life,
        {},
        Reason.STALE_VIEW,
        f"The operator has shown no sign of life yet. {LOOK}",
    ),
    (
        "a silent watch",
        set_("silent", "the watch of pods is silent"),
        {},
        Reason.STALE_VIEW,
        f"What is known may be out of date: the watch of pods is silent. {LOOK}",
    ),
    (
        "a task that is gone",
        dropped,
        {},
        Reason.UNKNOWN_TASK,
        (
            "There is no task in namespace support with this identity: it has ended and was deleted, or "
            "never was. Start a new task."
        ),
    ),
    (
        "the UID of another namespace's task",
        None,
        {"spiffe_id": SPIFFE_ID.replace("/agent/refund-agent/", "/agent/other/")},
        Reason.UNKNOWN_TASK,
        (
            "There is no task in namespace support with this identity: it has ended and was deleted, or "
            "never was. Start a new task."
        ),
    ),
    (
        "no identity yet",
        goes(spiffeID=None),
        {},
        Reason.UNKNOWN_TASK,
        (
            "There is no task in namespace support with this identity: it has ended and was deleted, or "
            "never was. Start a new task."
        ),
    ),
    (
        "ended",
        goes(conditions=[condition("Finished", "True", "Completed")]),
        {},
        Reason.TASK_ENDED,
        f"{TASK} has ended (Completed). Start a new task.",
    ),
    (
        "being deleted",
        goes(metadata={"deletionTimestamp": time(NOW)}),
        {},
        Reason.TASK_ENDED,
        f"{TASK} is being deleted. Start a new task.",
    ),
    (
        "state Ended",
        goes(asked=spec(state="Ended")),
        {},
        Reason.TASK_ENDED,
        f"{TASK} is ended. Start a new task.",
    ),
    (
        "past its deadline",
        goes(deadline=time(NOW)),
        {},
        Reason.DEADLINE_PAST,
        (
            f"The deadline of {TASK} has passed at 2026-06-03T10:00:00Z. Start a new task; if it needs "
            "longer, ask for a longer activeDeadlineSeconds."
        ),
    ),
    (
        "suspended",
        goes(asked=spec(state="Suspended")),
        {},
        Reason.TASK_SUSPENDED,
        f"{TASK} is suspended. It can be used again once whoever may has resumed it.",
    ),
    (
        "an intent that is not decided on",
        goes(asked=intent(actions=["orders:read", "orders:write"]), specHash=hashed(spec())),
        {},
        Reason.NOT_DECIDED,
        (
            f"What {TASK} asks for now is not decided on yet. `kubectl describe atask refund-4711 -n "
            "support` says what it waits for."
        ),
    ),
    (
        "a parent that is gone",
        goes(**CHILD),
        {},
        Reason.PARENT_ENDED,
        f"A task that {TASK} is under is gone. Start a task of its own.",
    ),
    (
        "an Agent that is gone",
        lambda gate: gate.view.drop_agent(("support", "refund-agent")),
        {},
        Reason.AGENT_OFF,
        "Agent support/refund-agent is gone. Have the platform team create it anew.",
    ),
    (
        "an Agent that is switched off",
        lambda gate: gate.agent(agent_body(disabled=True)),
        {},
        Reason.AGENT_OFF,
        "Agent support/refund-agent is switched off. Ask its owner payments-team@example.com.",
    ),
    (
        "an Agent past its review",
        lambda gate: gate.agent(agent_body(reviewBy=time(NOW))),
        {},
        Reason.AGENT_OFF,
        (
            "Agent support/refund-agent was to be reviewed by 2026-06-03T10:00:00Z. Have its owner "
            "payments-team@example.com review it."
        ),
    ),
    (
        "an Agent that cannot be read",
        lambda gate: gate.agent(agent_body(owner=5)),
        {},
        Reason.AGENT_OFF,
        "Agent support/refund-agent cannot be read by this version of agentid.",
    ),
    (
        "no serial",
        None,
        {"serial": None},
        Reason.SERIAL_MISSING,
        (
            "The serial number of the caller's certificate was not sent. Have the enforcement point send it: "
            "in AuthZEN as subject.properties.serial, from Envoy with the peer's certificate."
        ),
    ),
    (
        "a revoked credential",
        goes(credentials=[credential()]),
        {"serial": OLD_SERIAL},
        Reason.UNKNOWN_CREDENTIAL,
        (
            f"No credential with serial {OLD_SERIAL} counts for {TASK}: it was revoked or replaced, or never "
            "was. Read the credential's files again; each renewal writes them anew."
        ),
    ),
    (
        "a serial that is none",
        None,
        {"serial": "\u202e\n"},
        Reason.UNKNOWN_CREDENTIAL,
        (
            f"No credential with this serial number counts for {TASK}: it was revoked or replaced, or never "
            "was. Read the credential's files again; each renewal writes them anew."
        ),
    ),
    (
        "an expired credential",
        later(30),
        {"serial": OLD_SERIAL},
        Reason.CREDENTIAL_EXPIRED,
        (
            f"The credential with serial {OLD_SERIAL} has expired at 2026-06-03T10:00:30Z. Read its files "
            "again; each renewal writes them."
        ),
    ),
    (
        "a credential of the future",
        goes(credentials=[credential(notBefore=time(NOW + 3 * SECOND))]),
        {},
        Reason.CREDENTIAL_NOT_YET_VALID,
        (
            f"The credential with serial {question().serial} is valid from 2026-06-03T10:00:03Z on. Look at "
            "the clocks of both nodes."
        ),
    ),
    (
        "its pod is gone",
        lambda gate: gate.view.drop_pod(pod_body()["metadata"]["uid"]),
        {},
        Reason.POD_GONE,
        f"{TASK}: pod refund-1 is gone. It gets a credential in its next pod, if any.",
    ),
    (
        "its pod is leaving",
        lambda gate: gate.pod(
            pod_body(metadata={"deletionTimestamp": time(NOW)}, status={"phase": "Running"})
        ),
        {},
        Reason.POD_GONE,
        f"{TASK}: pod refund-1 is being deleted. It gets a credential in its next pod, if any.",
    ),
    (
        "its pod has finished",
        lambda gate: gate.pod(pod_body(status={"phase": "Succeeded"})),
        {},
        Reason.POD_GONE,
        f"{TASK}: pod refund-1 succeeded. It gets a credential in its next pod, if any.",
    ),
    (
        "no pod is bound",
        goes(boundPod=None),
        {},
        Reason.POD_GONE,
        f"{TASK}: no pod holds its credential. It gets a credential in its next pod, if any.",
    ),
    (
        "its pod runs something else",
        lambda gate: gate.pod(pod_body(spec={"containers": [{"name": "main", "image": "evil"}]})),
        {},
        Reason.POD_CHANGED,
        (
            f"{TASK}: the images, containers or owner of pod refund-1 are not what was decided on. Start a "
            "new task."
        ),
    ),
    (
        "an action beyond the intent",
        None,
        {"call": Call("orders:write", "order/4711")},
        Reason.ACTION_NOT_GRANTED,
        (
            f"orders:write is none of the actions of {TASK} (orders:list, orders:read), and no live step of "
            "it grants that. Ask for it in spec.intent, or create a step for it."
        ),
    ),
    (
        "a grantable action without a step",
        None,
        {"call": Call("refunds:create", "order/4711")},
        Reason.ACTION_NOT_GRANTED,
        (
            f"refunds:create is none of the actions of {TASK} (orders:list, orders:read), and no live step "
            "of it grants that. Ask for it in spec.intent, or create a step for it."
        ),
    ),
    (
        "a resource beyond the intent",
        None,
        {"call": Call("orders:read", "order/9")},
        Reason.RESOURCE_NOT_GRANTED,
        (
            f"{TASK} may do orders:read only to order/4711, and not to order/9. Name one of these, or ask "
            "for more in spec.intent.resources."
        ),
    ),
    (
        "no resource",
        None,
        {"call": Call("orders:read")},
        Reason.RESOURCE_NOT_GRANTED,
        (
            f"{TASK} may do orders:read only to order/4711, and nothing was named. Name one of these, or ask "
            "for more in spec.intent.resources."
        ),
    ),
]


@pytest.mark.parametrize(
    ("change", "asked", "reason", "message"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_what_denies(
    change: Callable[[Gate], None] | None, asked: dict[str, Any], reason: Reason, message: str
) -> None:
    gate = Gate()
    if change is not None:
        change(gate)

    answer = gate.ask(question(**asked))

    assert (answer.allowed, answer.reason, answer.message) == (False, reason, message)


@pytest.mark.parametrize(
    "identity",
    [
        "",
        "alice",
        SPIFFE_ID.replace("prod.example.com", "other.example.com"),
        SPIFFE_ID + "\n",
        SPIFFE_ID.replace(UID, UID.upper()),
        SPIFFE_ID.replace("/ns/", "/%6es/"),
        "spiffe://prod.example.com/ns/edge/sa/envoy",
        SPIFFE_ID + "/",
    ],
)
def test_what_is_no_identity_of_a_task_is_denied_for_that(identity: str) -> None:
    answer = Gate().ask(question(spiffe_id=identity))

    assert answer.reason is Reason.NO_IDENTITY
    assert answer.message == (
        "The identity is no SPIFFE ID of a task of trust domain prod.example.com. Send the caller's as its "
        "certificate has it."
    )


def test_a_task_that_cannot_be_read_is_denied_and_says_where() -> None:
    gate = Gate()
    gate.take({**body(), "spec": spec(more=True)})

    answer = gate.ask()

    assert answer.reason is Reason.UNREADABLE_TASK
    assert answer.message.startswith(
        f"{TASK} cannot be read by this version of agentid: AgentTaskSpec.more: "
    )


@pytest.mark.parametrize("sensitivity", Sensitivity)
def test_a_view_may_be_older_where_that_is_configured(sensitivity: Sensitivity) -> None:
    longer = dict.fromkeys((Sensitivity.PUBLIC, Sensitivity.INTERNAL), 60 * SECOND)
    gate = Gate(limits=replace(LIMITS, max_age={**LIMITS.max_age, **longer}))
    gate.take(body(spec(intent={**spec()["intent"], "sensitivity": sensitivity.value})))
    gate.uptime += 59

    assert gate.ask().reason is (Reason.ALLOWED if sensitivity in longer else Reason.STALE_VIEW)
    gate.uptime += 2
    assert gate.ask().reason is Reason.STALE_VIEW


@pytest.mark.parametrize("sensitivity", Sensitivity)
def test_a_serial_may_be_left_out_for_public_tasks_where_that_is_configured(sensitivity: Sensitivity) -> None:
    gate = Gate(limits=replace(LIMITS, serial_optional=True))
    gate.take(body(spec(intent={**spec()["intent"], "sensitivity": sensitivity.value})))

    is_public = sensitivity is Sensitivity.PUBLIC
    assert gate.ask(question(serial=None)).reason is (Reason.ALLOWED if is_public else Reason.SERIAL_MISSING)


def test_a_public_task_without_a_credential_that_counts_is_denied() -> None:
    gate = Gate(limits=replace(LIMITS, serial_optional=True))
    asked = spec(intent={**spec()["intent"], "sensitivity": "Public"})
    gate.take(body(asked, credentials=[credential(notAfter=time(NOW))]))

    answer = gate.ask(question(serial=None))

    assert answer.reason is Reason.UNKNOWN_CREDENTIAL
    assert (
        answer.message == f"{TASK} has no credential that counts: it waits for one, or its own was revoked."
    )


@pytest.mark.parametrize(
    ("above", "said"),
    [
        ({"conditions": [condition("Finished", "True", "Revoked")]}, "has ended (Revoked)"),
        ({"asked": spec(state="Suspended")}, "is suspended"),
        ({"deadline": time(NOW)}, "is past its deadline"),
    ],
)
def test_a_child_ends_with_its_parent(above: dict[str, Any], said: str) -> None:
    gate = Gate()
    gate.take(body(**CHILD))
    gate.take(parent())
    assert gate.ask().allowed

    gate.take(parent(**above))

    answer = gate.ask()
    assert answer.reason is Reason.PARENT_ENDED
    assert (
        answer.message == f"AgentTask support/triage, which {TASK} is under, {said}. Start a task of its own."
    )


def refund(resource: str = "order/4711") -> Question:
    return question(call=Call("refunds:create", resource))


def test_a_live_step_lets_the_parents_identity_do_its_action() -> None:
    gate = Gate()
    gate.step()

    answer = gate.ask(refund())

    assert answer.allowed
    assert answer.step is not None
    assert answer.step.uid == STEP_UID
    assert gate.ask(refund("order/9")).reason is Reason.RESOURCE_NOT_GRANTED
    assert gate.ask(question(call=Call("orders:read", "order/4711"))).step is None


@pytest.mark.parametrize(
    "change",
    [
        lambda gate: gate.view.drop_task(("support", "refund-step")),
        lambda gate: gate.step(conditions=[condition("Finished", "True", "Completed")]),
        lambda gate: gate.step(deadline=time(NOW)),
        lambda gate: gate.step(conditions=[condition("Finished", "False", "Running")]),
        lambda gate: gate.step(specHash=hashed(spec())),
        lambda gate: gate.grant(until=NOW),
        lambda gate: gate.take(body()),
    ],
    ids=["gone", "ended", "past", "not granted", "changed", "until", "taken back by its parent"],
)
def test_a_step_that_does_not_live_grants_nothing(change: Callable[[Gate], None]) -> None:
    gate = Gate()
    gate.step()
    change(gate)

    assert gate.ask(refund()).reason is Reason.ACTION_NOT_GRANTED


def test_policy_is_asked_about_the_step_and_hears_who_approved_it() -> None:
    rule = f"{PERMIT} when {{ context.approved && resource.depth == 1 }};"
    gate = Gate(policies=InForce(cluster(rule)))
    gate.step()

    assert gate.ask(refund()).allowed
    assert gate.ask().reason is Reason.POLICY_DENIED


@pytest.mark.parametrize(
    ("policies", "reason", "message"),
    [
        (
            InForce(cluster('@advice("Ask Bob.") @id("no") forbid(principal, action, resource);')),
            Reason.POLICY_DENIED,
            'ClusterAgentPolicy/p0, rule "no" forbids it. Ask Bob.',
        ),
        (
            InForce(cluster(f"{PERMIT};"), {"support": namespace("// none")}),
            Reason.POLICY_DENIED,
            "No rule of AgentPolicy/p0 permits it. What is not permitted is denied.",
        ),
        (
            InForce(cluster(f"{PERMIT} when {{ context.approved }};")),
            Reason.APPROVAL_REQUIRED,
            'ClusterAgentPolicy/p0, rule "policy0" allows it only with an approval.',
        ),
        (
            InForce(cluster(f"{PERMIT};"), unreadable=("AgentPolicy/old",)),
            Reason.POLICY_IN_DOUBT,
            "Denied, as the accepted text of AgentPolicy/old cannot be read by this version of agentid.",
        ),
    ],
)
def test_policy_has_the_last_word(policies: InForce, reason: Reason, message: str) -> None:
    answer = Gate(policies=policies).ask()

    assert (answer.allowed, answer.reason, answer.message) == (False, reason, message)


def test_labels_of_the_namespace_that_are_not_known_deny() -> None:
    assert Gate(labels=None).ask().reason is Reason.POLICY_IN_DOUBT


CALL_RULE = (
    'permit(principal, action == Action::"use", resource) when { context.operation == "orders:read" '
    '&& context.target == "order/4711" && context.tool == "crm" && context.session == "chat-1" '
    '&& context.parameters.getTag("amount").number < 100 '
    '&& context.runningImages.contains("registry.example.com/refund@sha256:' + "a" * 64 + '") };'
)
GUARDED = CALL_RULE.replace(
    "when {",
    "when { context has target && context has tool && context has session && "
    'context.parameters.hasTag("amount") && context.parameters.getTag("amount") has number &&',
)


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({}, True),
        ({"parameters": {"amount": 100}}, False),
        ({"tool": "erp"}, False),
        ({"session": "x"}, False),
    ],
)
def test_policy_hears_of_the_call_and_of_what_runs(changes: dict[str, Any], allowed: bool) -> None:  # noqa: FBT001
    call = Call("orders:read", "order/4711", "crm", {"amount": 99}, "chat-1")

    answer = Gate(policies=InForce(cluster(GUARDED))).ask(question(call=replace(call, **changes)))

    assert answer.allowed == allowed


def test_what_policy_was_asked_about_is_made_anew_when_it_changes() -> None:
    rule = f'{PERMIT} when {{ principal.owner == "payments-team@example.com" }};'
    gate = Gate(policies=InForce(cluster(rule)))
    assert gate.ask().allowed

    gate.agent(agent_body(owner="other-team@example.com"))
    assert gate.ask().reason is Reason.POLICY_DENIED

    gate.policies.cluster = cluster(f"{PERMIT};")
    assert gate.ask().allowed


def test_only_some_questions_are_kept_ready() -> None:
    gate = Gate()
    gate.asking._max_ready = 1  # noqa: SLF001 - what bounds the memory
    gate.step()

    assert gate.ask().allowed
    assert gate.ask(refund()).allowed
    assert len(gate.asking._ready) == 1  # noqa: SLF001 - what is kept


def test_a_reused_name_inherits_nothing() -> None:
    gate = Gate()
    other = "5c0e9a10-0000-4000-8000-0000000000ff"
    gate.take(body(uid=other, spiffeID=SPIFFE_ID.replace(UID, other)))

    assert gate.ask().reason is Reason.UNKNOWN_TASK
    assert gate.ask(question(spiffe_id=SPIFFE_ID.replace(UID, other))).allowed


def test_who_may_not_ask_hears_nothing_of_the_task() -> None:
    stranger = EnforcementPoint("spiffe://prod.example.com/ns/edge/sa/envoy", frozenset())
    here, gone = Gate(), Gate()
    dropped(gone)

    answers = [gate.ask(question(asker=stranger)) for gate in (here, gone)]

    assert answers[0] == answers[1]
    assert answers[0].task is None


def test_every_rule_is_met_by_the_table() -> None:
    met = {row[3] for row in TABLE} | {Reason.UNREADABLE_TASK}

    assert len(RULES) == 15
    assert {each.name for each in Reason} - {each.name for each in met} == {
        "ALLOWED",
        "NOT_MAPPED",
        "NOT_RECORDED",
        "NO_IDENTITY",
        "POLICY_DENIED",
        "APPROVAL_REQUIRED",
        "POLICY_IN_DOUBT",
    }


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["metadata", "spec", "status"]), JSON)
def test_no_task_body_raises_and_none_that_is_tampered_with_allows_more(part: str, value: object) -> None:
    gate = Gate()
    known = KnownTask.of({**body(), part: value})
    gate.view.put_task(known)

    answer = gate.ask(question(call=Call("refunds:create", "order/4711")))

    assert not answer.allowed


@given(
    st.text(max_size=80),
    st.text(max_size=40) | st.none(),
    st.text(max_size=40),
    st.text(max_size=40) | st.none(),
)
def test_no_question_raises_and_what_is_made_up_is_denied(
    identity: str, serial: str | None, action: str, resource: str | None
) -> None:
    gate = Gate()

    assert not gate.ask(question(spiffe_id=identity, serial=serial, call=Call(action, resource))).allowed
    assert not gate.ask(question(serial=serial, call=Call(action, resource))).allowed
