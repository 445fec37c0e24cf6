"""Static secrets: who may have a copy, when it is renewed, and by what it ends."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from agentid.api.agenttask_status import HeldSecret
from agentid.api.fields import format_time
from agentid.api.reasons import ConditionType, EventReason, IssueReason, WaitReason
from agentid.lifecycle.decide import decide
from agentid.lifecycle.errors import UnjudgedTaskError, UnorderedCredentialError
from agentid.lifecycle.model import Blocked, FailedWrite, Observation, SecretFacts, SecretState
from agentid.lifecycle.model import StaticSecretFacts as Facts
from agentid.lifecycle.permission import asks as asks_policy
from agentid.lifecycle.permission import stays_by
from agentid.lifecycle.plan import SecretAction
from agentid.lifecycle.reporting import issued
from tests.unit.lifecycle_facts import (
    NOT_RENEWED,
    NOW,
    after,
    asks,
    at,
    finished,
    generations,
    judged,
    made,
    observe,
    pod,
    report_of,
    running,
    said,
    secret_spec,
    static_secret,
    task_spec,
    why,
)
from tests.unit.lifecycle_family import with_status

NAME = "legacy-crm-key"
ASKS = {"staticSecrets": [{"name": NAME}]}
BEYOND = "AgentTask support/refund-4711: AgentSecret legacy-crm-key "
ANOTHER_ACTION = (
    f"{BEYOND}is for crm:write, none of which intent.actions asks for (it asks for orders:read, "
    "refunds:create). Ask for what the secret is for, or make the task anew without it in spec.staticSecrets."
)
GAP = (
    "no AgentSecret legacy-crm-key is for Agent refund-agent of namespace support. Have the platform team "
    "create it or add the Agent to its spec.agents, or make the task anew without it in spec.staticSecrets."
)
OTHER_AGENTS = [
    {"namespace": "support", "name": "triage-agent"},
    {"namespace": "sales", "name": "refund-agent"},
]


def wants(*secrets: Facts, **changes: object) -> Observation:
    """A task with a pod that asks for `legacy-crm-key`."""
    return observe(spec=task_spec(**{**ASKS, **changes}), pods=[pod()], static_secrets=secrets)


def sees(observation: Observation, *secrets: Facts) -> Observation:
    return judged(replace(observation, static_secrets=secrets))


def held_secrets(observation: Observation) -> list[tuple[str, str]]:
    return [(each.name, each.version) for each in observation.task.status.static_secrets]


def test_credential_comes_with_the_secret_and_says_so():
    facts = wants(static_secret())

    plan = decide(facts)
    event = report_of(facts, plan).event

    assert plan.issue is not None
    assert plan.issue.static_secrets == (NAME,)
    assert held_secrets(running(facts)) == [(NAME, "aa01")]
    assert event is not None
    assert event.note.startswith("serial 0001 with static secret legacy-crm-key for pod refund-1 until ")


def test_nothing_is_reported_as_issued_without_each_secret_that_was_ordered():
    facts = wants(static_secret())
    plan = decide(facts)

    for copied in ((), (HeldSecret(name="another", version="aa01"),)):
        with pytest.raises(UnorderedCredentialError, match="ordered other static secrets"):
            issued(facts, plan, made(facts, plan), copied)


def test_nothing_is_issued_with_a_secret_that_policy_was_not_asked_about():
    facts = judged(wants(static_secret()), secrets=frozenset())

    with pytest.raises(UnjudgedTaskError):
        report_of(facts, decide(facts))


@pytest.mark.parametrize(
    "secrets",
    [
        (),
        (Facts(NAME, None),),
        (static_secret("another"),),
        (static_secret(spec=secret_spec(agents=OTHER_AGENTS)),),
    ],
    ids=["not looked up", "not there", "another", "for others"],
)
def test_task_waits_for_a_secret_that_is_not_for_its_agent_and_cannot_tell_why(secrets: tuple[Facts, ...]):
    facts = wants(*secrets)

    assert finished(facts) == ("False", "AwaitingStaticSecret", GAP)
    assert said(after(facts), ConditionType.APPROVED) == ("False", "AwaitingStaticSecret", GAP)
    event = report_of(facts, decide(facts)).event
    assert event is not None
    assert (event.reason, event.warning) == (EventReason.AWAITING_STATIC_SECRET, True)
    assert finished(sees(after(facts), static_secret()))[1] == "Running"


def too_long(most: int, wanted: int) -> str:
    return (
        f"{BEYOND}may be held for {most} s at most, and this task may run for {wanted} s. Make it anew with "
        f"activeDeadlineSeconds {most}, or have the platform team raise spec.maxTTLSeconds."
    )


@pytest.mark.parametrize(
    ("secret", "asked", "message"),
    [
        (
            {"actions": ["crm:write"]},
            {},
            ANOTHER_ACTION,
        ),
        (
            {"maxTTLSeconds": 900},
            {},
            too_long(900, 3600),
        ),
        (
            {"maxTTLSeconds": 299},
            {"credential": {"ttlSeconds": 300, "renew": False}},
            too_long(299, 300),
        ),
    ],
    ids=["another action", "too long", "too long a credential"],
)
def test_task_that_asks_for_more_than_the_secret_allows_waits(
    secret: dict[str, object], asked: dict[str, object], message: str
):
    facts = wants(static_secret(spec=secret_spec(**secret)), **asked)

    assert finished(facts) == ("False", "CeilingExceeded", message)


@pytest.mark.parametrize(
    ("secret", "asked"),
    [
        ({"actions": ["refunds:*", "crm:write"]}, {}),
        ({"maxTTLSeconds": 900}, {"activeDeadlineSeconds": 900}),
        ({"maxTTLSeconds": 300}, {"credential": {"ttlSeconds": 300, "renew": False}}),
    ],
    ids=["pattern", "as long", "not renewed"],
)
def test_task_that_stays_within_what_the_secret_allows_runs(
    secret: dict[str, object], asked: dict[str, object]
):
    assert finished(wants(static_secret(spec=secret_spec(**secret)), **asked))[1] == "Running"


def test_what_may_only_be_granted_is_no_reason_for_a_copy():
    intent = {"purpose": "Look", "actions": ["orders:read"], "grantable": ["refunds:create"]}

    assert finished(wants(static_secret(), intent=intent))[1] == "CeilingExceeded"


@pytest.mark.parametrize(
    "secrets",
    [
        (Facts(NAME, None),),
        (static_secret(spec=secret_spec(agents=OTHER_AGENTS)),),
        (static_secret(spec=secret_spec(actions=["crm:write"])),),
        (static_secret(spec=secret_spec(maxTTLSeconds=900)),),
    ],
    ids=["deleted", "agent", "action", "time"],
)
def test_running_task_is_revoked_when_its_secret_allows_it_no_longer(secrets: tuple[Facts, ...]):
    facts = sees(running(wants(static_secret())), *secrets)

    assert finished(facts)[:2] == ("True", "Revoked")
    assert decide(facts).secret is SecretAction.EMPTY
    assert held_secrets(after(facts)) == []


def test_running_task_is_revoked_when_its_new_intent_is_not_what_the_secret_is_for():
    facts = running(wants(static_secret()))

    facts = asks(facts, **ASKS, intent={"purpose": "Look", "actions": ["orders:read"]})

    assert finished(facts)[:2] == ("True", "Revoked")


def test_running_task_is_revoked_when_policy_forbids_the_secret():
    facts = judged(running(wants(static_secret())), allowed=False, message="forbidden", secrets=frozenset())

    assert finished(facts) == ("True", "Revoked", "forbidden")
    assert decide(facts).secret is SecretAction.EMPTY


PROBLEM = "the source of static secret legacy-crm-key is not there"


def test_task_waits_while_the_value_is_not_there():
    facts = wants(static_secret(version=None, problem=PROBLEM))

    assert finished(facts) == ("False", "AwaitingStaticSecret", PROBLEM)
    assert said(after(facts), ConditionType.STALLED)[:2] == ("True", "AwaitingStaticSecret")


def test_copy_goes_when_the_value_is_gone_and_comes_again_with_it():
    facts = sees(running(wants(static_secret())), static_secret(version=None, problem=PROBLEM))

    assert decide(facts).secret is SecretAction.EMPTY
    waiting = after(facts)
    assert (generations(waiting), held_secrets(waiting)) == ([], [])
    assert finished(waiting) == ("False", "AwaitingStaticSecret", PROBLEM)

    again = after(sees(waiting, static_secret(version="bb02")))
    assert (generations(again), held_secrets(again)) == ([2], [(NAME, "bb02")])


def test_rotated_value_comes_with_a_new_credential_beside_which_the_last_one_counts_on():
    facts = sees(at(running(wants(static_secret())), 20), static_secret(version="bb02"))

    assert why(facts) is IssueReason.SECRET_ROTATED
    event = report_of(facts, decide(facts)).event
    assert event is not None
    assert event.reason is EventReason.CREDENTIAL_RENEWED
    assert event.note.startswith("serial 0002 replaces 0001, valid until ")
    assert event.note.endswith(", with a rotated static secret legacy-crm-key")
    renewed = after(facts)
    assert (generations(renewed), held_secrets(renewed)) == ([1, 2], [(NAME, "bb02")])
    assert said(renewed, ConditionType.CREDENTIAL_ISSUED)[1] == "SecretRotated"
    assert why(renewed) is None
    assert decide(renewed).secret is SecretAction.NONE


def test_rotation_prolongs_no_task_that_is_not_renewed():
    facts = running(wants(static_secret(), credential={"ttlSeconds": 300, "renew": False}))
    deadline = facts.task.status.deadline

    renewed = after(sees(at(facts, 100), static_secret(version="bb02")))

    assert generations(renewed) == [1, 2]
    assert renewed.task.status.deadline == deadline
    assert renewed.task.status.credentials[-1].not_after == deadline


def test_after_a_rotation_policy_is_asked_about_what_the_credential_before_was_made_by():
    facts = running(wants(static_secret(), credential={"ttlSeconds": 60}))
    renewed = after(judged(at(facts, 45)))
    assert renewed.task.status.decision is not None
    assert renewed.task.status.decision.action == "renew"

    rotated = after(sees(at(renewed, 50), static_secret(version="bb02")))

    assert rotated.task.status.decision is not None
    assert rotated.task.status.decision.action == "renew"
    assert rotated.judgement is not None
    assert rotated.judgement.action.value == "renew"


def test_renewal_brings_a_rotated_value_too():
    facts = running(wants(static_secret(), credential={"ttlSeconds": 60}))

    facts = sees(at(facts, 45), static_secret(version="bb02"))

    assert why(facts) is IssueReason.RENEWED
    assert held_secrets(after(facts)) == [(NAME, "bb02")]


def test_rotation_waits_where_nothing_may_be_issued_and_the_task_goes_on():
    facts = running(wants(static_secret()))
    facts = replace(sees(facts, static_secret(version="bb02")), blocked=Blocked("no admission"))

    assert decide(facts).secret is SecretAction.NONE
    assert finished(facts)[1] == "Running"
    assert said(after(facts), ConditionType.STALLED)[2] == "no admission"
    assert held_secrets(after(facts)) == [(NAME, "aa01")]


def test_value_of_which_no_version_is_known_just_now_is_left_as_it_is():
    facts = sees(running(wants(static_secret())), static_secret(version=None))

    assert decide(facts).secret is SecretAction.NONE
    assert report_of(facts, decide(facts)).status == facts.task.status


def test_copy_that_never_came_into_the_secret_is_made_again():
    facts = after(sees(at(running(wants(static_secret())), 20), static_secret(version="bb02")))
    refused = replace(
        facts,
        secret=SecretFacts(SecretState.FILLED, generation=1),
        failed_write=FailedWrite("refused", NOW + timedelta(seconds=60), refused=True),
    )

    kept = after(judged(refused))
    assert (generations(kept), held_secrets(kept)) == ([1], [])
    assert why(replace(kept, failed_write=None)) is IssueReason.SECRET_ROTATED


def test_suspended_task_has_no_copy():
    facts = asks(running(wants(static_secret())), **ASKS, state="Suspended")

    assert decide(facts).secret is SecretAction.EMPTY
    assert held_secrets(after(facts)) == []


def test_secrets_that_are_asked_for_are_part_of_what_was_decided_on():
    bare, asking = running(observe(pods=[pod()])), running(wants(static_secret()))

    assert bare.task.status.spec_hash != asking.task.status.spec_hash
    assert json.loads(asking.task.status.model_dump_json(by_alias=True))["staticSecrets"] == [
        {"name": NAME, "version": "aa01"}
    ]


def not_renewed(observation: Observation) -> Observation:
    """The same where policy permits `issue`, and says nothing of `renew`."""
    action = stays_by(observation) or asks_policy(observation)
    return judged(observation, action=action, message=NOT_RENEWED)


@pytest.mark.parametrize("containers_run", [True, False])
def test_rotation_where_nothing_permits_a_renewal_takes_the_place_of_the_one_credential(containers_run: bool):  # noqa: FBT001 - a table
    issued_at = replace(wants(static_secret()), pods=(pod(all_run=containers_run),))
    facts = running(judged(issued_at))
    ends = facts.task.status.credentials[0].not_after

    for seconds in (50, 250):
        facts = replace(at(facts, seconds), static_secrets=(static_secret(version=f"b{seconds:03}"),))
        facts = not_renewed(facts)
        event = report_of(facts, decide(facts)).event
        assert event is not None
        assert why(facts) is IssueReason.SECRET_ROTATED
        assert f", valid until {format_time(ends)}, no longer than the last one, with a rotated" in event.note
        facts = not_renewed(after(facts))
        assert {each.not_after for each in facts.task.status.credentials} == {ends}

    settled = not_renewed(after(not_renewed(replace(facts, pods=(pod(all_run=True),)))))
    assert generations(settled) == [3]
    assert decide(settled).report == report_of(settled, decide(settled))
    assert report_of(settled, decide(settled)).status == settled.task.status
    assert finished(not_renewed(at(settled, 300)))[:2] == ("True", "Expired")


def test_refused_rotation_of_the_one_credential_leaves_it_as_it_was():
    first = running(judged(replace(wants(static_secret()), pods=(pod(all_run=True),))))
    facts = not_renewed(after(not_renewed(sees(at(first, 100), static_secret(version="bb02")))))
    refused = replace(
        facts,
        secret=SecretFacts(SecretState.FILLED, generation=1),
        failed_write=FailedWrite("refused", facts.now + timedelta(seconds=60), refused=True),
    )

    kept = not_renewed(after(not_renewed(refused)))

    assert kept.task.status.credentials == first.task.status.credentials
    assert said(kept, ConditionType.CREDENTIAL_ISSUED)[1] == "Issued"
    assert finished(kept)[1] == "Running"


def test_lost_credential_that_nothing_permits_to_renew_is_made_again_and_lives_no_longer():
    facts = running(judged(replace(wants(static_secret()), pods=(pod(all_run=True),))))
    lost = not_renewed(replace(at(facts, 200), secret=SecretFacts(SecretState.ABSENT)))

    again = after(lost)

    assert why(lost) is IssueReason.REISSUED
    assert generations(again) == [2]
    assert again.task.status.credentials[0].not_after == facts.task.status.credentials[0].not_after


EMERGENCY = {
    "breakGlass": {"justification": "The shop is down and customers wait."},
    "credential": {"ttlSeconds": 300, "renew": False},
}


def test_rotation_in_an_emergency_is_told_as_one_and_leaves_one_credential_of_the_same_life():
    facts = running(wants(static_secret(), **EMERGENCY))
    rotates = sees(at(facts, 100), static_secret(version="bb02"))

    event = report_of(rotates, decide(rotates)).event
    assert event is not None
    assert (event.reason, event.warning) == (EventReason.BREAK_GLASS_USED, True)
    assert "since a static secret was rotated; serial 0001 revoked" in event.note
    settled = after(after(rotates))
    assert generations(settled) == [2]
    assert settled.task.status.credentials[0].not_after == facts.task.status.credentials[0].not_after


def test_emergency_whose_authority_ends_before_its_deadline_is_not_renewed():
    facts = running(wants(static_secret(), **EMERGENCY))
    (only,) = facts.task.status.credentials
    short = only.model_copy(update={"not_after": NOW + timedelta(seconds=60)})
    facts = replace(facts, task=with_status(facts.task, credentials=[short]))

    assert why(at(facts, 59)) is None
    assert finished(at(facts, 60)) == (
        "True",
        "Expired",
        "its credential ran out at 2026-05-31T14:01:00Z, and an emergency is one credential",
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"allowed": False, "in_doubt": True, "message": "m"}, WaitReason.AWAITING_POLICY),
        ({"allowed": False, "awaits_approval": True, "message": "m"}, WaitReason.AWAITING_APPROVAL),
    ],
)
def test_value_that_is_not_there_does_not_hide_that_the_task_is_not_allowed(
    answer: dict[str, object], reason: WaitReason
):
    unread = static_secret(version=None, problem="it is not there")
    runs = running(wants(static_secret()))
    assert finished(sees(runs, unread))[1] == WaitReason.AWAITING_STATIC_SECRET
    assert finished(judged(sees(runs, unread), **answer))[1] == reason
