"""A task is given nothing, and keeps nothing, without the word of those above it and of those who approve."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from agentid.api.agenttask import DesiredState
from agentid.api.agenttask_status import MAX_CHILDREN, AgentTaskStatus
from agentid.api.fields import format_time
from agentid.api.reasons import ConditionType, EndReason, EventAction, EventReason, WaitReason
from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.consent import Approver, Consent
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import Blocked, Family, Lineage, Observation, TaskFacts
from agentid.lifecycle.plan import SecretAction
from agentid.lifecycle.record import is_granted
from tests.unit.lifecycle_facts import (
    ALLOW,
    NOW,
    after,
    agent,
    asks,
    at,
    awaited,
    condition,
    finished,
    generations,
    judged,
    observe,
    pod,
    report_of,
    running,
    said,
    task_spec,
    uid,
)
from tests.unit.lifecycle_family import (
    INTENT,
    STEP,
    asked_by,
    changed,
    child,
    granted,
    lineage,
    parent,
    with_spec,
    with_status,
)
from tests.unit.lifecycle_family import condition as stands

ERIN = Approver("erin@example.com", ("leads",))
CONSENT = Consent(approvers=(ERIN,), until=NOW + timedelta(hours=1))
DENIED = Consent(denied="denied by erin@example.com: Not today")
ALL = agent(actions=["orders:read", "mail:send", "refunds:create"], maxSensitivity="Confidential")
TOP = parent()


def family(*, depth: int = 1, **spec: object) -> tuple[TaskFacts, ...]:
    """A new task of a family, then those above it."""
    above = [TOP]
    for number in range(2, depth + 1):
        above.insert(0, child(above[0], number, intent=INTENT))
    task = child(above[0], depth + 1, **spec)
    return (with_status(task, **dict(AgentTaskStatus())), *above)


def seen(task: TaskFacts, *above: TaskFacts, **changes: object) -> Observation:
    """What is observed of a task of a family whose own pod suits it."""
    facts = observe(
        pods=[pod()] if task.spec is not None and task.spec.workload is not None else [], agent=ALL
    )
    facts = replace(facts, task=task, family=Family(lineage(task, *above)))
    return judged(replace(facts, **changes))  # type: ignore[arg-type]


def again(facts: Observation, *above: TaskFacts) -> Observation:
    """The same with others above it."""
    return judged(replace(facts, family=replace(facts.family, lineage=lineage(facts.task, *above))))


def event(facts: Observation) -> tuple[EventReason, EventAction, bool] | None:
    told = report_of(facts, decide(facts)).event
    return None if told is None else (told.reason, told.action, told.warning)


def at_time(seconds: int) -> str:
    return format_time(NOW + timedelta(seconds=seconds))


# Those who approve.

UNAPPROVED = judged(observe(pods=[pod()]), allowed=False, awaits_approval=True, message="It needs one.")


def test_waiting_task_says_who_may_approve_what():
    assert finished(UNAPPROVED) == (
        "False",
        WaitReason.AWAITING_APPROVAL,
        f"It needs one. {awaited(UNAPPROVED)}",
    )
    assert 'who has the verb "approve" on agenttasks/refund-4711 in support' in finished(UNAPPROVED)[2]
    assert "except carol@example.com, orchestrator" in finished(UNAPPROVED)[2]


def test_who_approved_is_recorded_with_the_credential():
    approved = judged(replace(after(UNAPPROVED), consent=CONSENT), message="allowed by x, approved by erin")
    plan = decide(approved)
    decision = report_of(approved, plan).status.decision
    assert decision is not None
    assert decision.approvers == ["erin@example.com"]
    assert event(approved) == (EventReason.CREDENTIAL_ISSUED, EventAction.ISSUE, False)


def test_approval_is_told_by_itself_where_the_task_waits_on():
    waits = after(judged(observe(), allowed=False, awaits_approval=True, message="It needs one."))
    assert event(judged(replace(waits, consent=CONSENT))) == (
        EventReason.APPROVAL_GRANTED,
        EventAction.WAIT,
        False,
    )


@pytest.mark.parametrize("facts", [UNAPPROVED, judged(observe(pods=[pod()]))], ids=["needed", "not needed"])
def test_a_no_keeps_a_task_from_its_credential_and_is_told_once(facts: Observation):
    denied = judged(replace(facts, consent=DENIED))
    assert finished(denied)[:2] == ("False", WaitReason.APPROVAL_DENIED)
    assert finished(denied)[2].startswith("denied by erin@example.com: Not today.")
    assert event(denied) == (EventReason.APPROVAL_DENIED, EventAction.WAIT, True)
    assert said(after(denied), ConditionType.APPROVED)[1] == WaitReason.APPROVAL_DENIED
    assert event(after(denied)) is None
    assert finished(judged(replace(after(denied), consent=Consent())))[1] == "Running"


def test_a_later_no_takes_the_credential_away():
    denied = judged(replace(running(observe(pods=[pod()])), consent=DENIED))
    assert finished(denied)[:2] == ("False", WaitReason.APPROVAL_DENIED)
    assert decide(denied).secret in {SecretAction.EMPTY, SecretAction.DELETE}
    assert event(denied) == (EventReason.APPROVAL_DENIED, EventAction.REVOKE, True)
    assert generations(after(denied)) == []


def test_an_approval_that_went_takes_the_credential_away_and_the_next_one_gives_another():
    runs = running(judged(replace(observe(pods=[pod()]), consent=CONSENT)))
    gone = judged(
        replace(runs, consent=Consent()), allowed=False, awaits_approval=True, message="It needs one."
    )
    assert finished(gone)[1] == WaitReason.AWAITING_APPROVAL
    waits = after(gone)
    assert generations(waits) == []
    assert generations(after(judged(replace(waits, consent=CONSENT)))) == [2]


# Those above it.


def test_child_within_its_parent_is_issued_with_where_its_authority_is_from():
    issued = running(seen(*family(depth=3)))
    found = issued.task.status.delegation
    assert found is not None
    assert [each.name for each in found.chain] == ["task-3", "task-2", "task-1"]
    assert (found.delegator, found.intent_generation) == ("carol@example.com", 1)
    assert "for carol@example.com" in str(report_of(seen(*family()), decide(seen(*family()))).event)


def test_child_ends_no_later_than_what_it_is_under():
    soon = NOW + timedelta(seconds=100)
    task, above = family()
    issued = running(seen(task, with_status(above, deadline=soon)))
    assert issued.task.status.deadline == soon
    assert [each.not_after for each in issued.task.status.credentials] == [soon]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_an_end_above_ends_it_whether_it_waits_or_runs(depth: int):
    task, *between, top = family(depth=depth)
    over = with_spec(top, state="Ended")
    for facts in (seen(task, *between, top), running(seen(task, *between, top))):
        ended = again(facts, *between, over)
        assert finished(ended) == (
            "True",
            EndReason.PARENT_ENDED,
            "AgentTask support/task-1, which it is under, is ended",
        )
        assert generations(after(ended)) == []
    assert event(again(running(seen(task, *between, top)), *between, over)) == (
        EventReason.TASK_ENDED,
        EventAction.END,
        False,
    )


def test_a_parent_that_is_gone_ends_what_was_its_child():
    task, above = family()
    runs = running(seen(task, above))
    assert finished(again(runs))[:2] == ("True", EndReason.PARENT_ENDED)
    another = changed(above, uid=uid(77))
    assert finished(again(runs, another))[:2] == ("True", EndReason.PARENT_ENDED)
    # Of one that never was found good nobody knows that it was a child.
    refused = seen(task)
    assert finished(refused)[:2] == ("False", WaitReason.DELEGATION_REFUSED)
    assert event(refused) == (EventReason.DELEGATION_REFUSED, EventAction.WAIT, True)
    assert said(after(refused), ConditionType.APPROVED)[1] == WaitReason.DELEGATION_REFUSED


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_suspension_above_takes_the_credential_until_it_is_over(depth: int):
    task, *between, top = family(depth=depth)
    runs = running(seen(task, *between, top))
    suspended = again(runs, *between, with_spec(top, state="Suspended"))
    assert finished(suspended)[1] == WaitReason.SUSPENDED
    waits = after(suspended)
    assert generations(waits) == []
    resumed = again(replace(waits, pods=(pod(all_run=True),)), *between, top)
    assert event(resumed) == (EventReason.RESUMED, EventAction.ISSUE, False)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_narrowing_above_revokes_what_runs_and_keeps_what_waits_from_it(depth: int):
    task, *between, top = family(depth=depth)
    narrower = with_spec(top, intent={"purpose": "Triage", "actions": ["orders:read"]})
    narrower = with_status(narrower, spec_hash=top.status.spec_hash)
    assert finished(again(running(seen(task, *between, top)), *between, narrower))[:2] == ("True", "Revoked")
    assert finished(seen(task, *between, narrower))[1] == WaitReason.DELEGATION_REFUSED


@pytest.mark.parametrize("depth", [1, 3])
def test_what_waits_for_its_own_approval_gives_nothing(depth: int):
    task, *between, top = family(depth=depth)
    waiting = with_status(top, conditions=[stands("AwaitingApproval")])
    for facts in (seen(task, *between, top), running(seen(task, *between, top))):
        held = again(facts, *between, waiting)
        assert finished(held) == (
            "False",
            WaitReason.AWAITING_PARENT,
            "AgentTask support/task-1, which it is under, waits itself (AwaitingApproval)",
        )
        assert generations(after(held)) == []


def test_what_above_has_a_new_intent_gives_nothing_new_before_that_is_decided_but_takes_nothing_either():
    task, top = family()
    new = with_spec(
        top, intent={"purpose": "Else", "actions": ["refunds:create"], "resources": ["order/4711"]}
    )
    assert finished(seen(task, new))[1] == WaitReason.AWAITING_PARENT
    assert finished(again(running(seen(task, top)), new))[1] == "Running"


WIDER = {
    "purpose": "Else",
    "actions": ["orders:read", "mail:send"],
    "grantable": ["refunds:create"],
    "resources": ["order/4711", "order/4712", "order/4713"],
}


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("stands_as", ["Running", "AwaitingPod"])
@pytest.mark.parametrize("spec", [{}, STEP], ids=["child", "step"])
def test_what_only_an_undecided_intent_above_covers_is_not_given_to_who_is_live(
    depth: int, stands_as: str, spec: dict[str, object]
):
    task, *between, top = family(depth=depth, **spec)
    live = after(seen(task, *between, top))
    wider = [with_spec(each, intent=WIDER) for each in (*between, top)]
    decided = [with_status(each, spec_hash=spec_hash(each.spec)) for each in wider[:-1] if each.spec]
    top = with_status(wider[-1], conditions=[stands(stands_as)])
    asker = asked_by(None, may=True, generation=2)
    other = with_spec(live.task, intent=INTENT | {"resources": ["order/4713"]}, requester=asker)
    widened = again(replace(live, task=other), *decided, top)
    assert finished(widened)[:2] == ("False", WaitReason.AWAITING_PARENT)
    assert decide(widened).issue is None
    waits = after(widened)
    assert generations(waits) == []
    assert not is_granted(waits.task)
    # Once that is decided on, it is given.
    top = with_status(top, spec_hash=spec_hash(top.spec), conditions=[stands("Running")])  # type: ignore[arg-type]
    assert finished(again(waits, *decided, top))[1] == "Running"


@pytest.mark.parametrize("depth", [1, 3])
def test_who_waits_for_its_next_pod_gives_nothing_new_and_takes_nothing(depth: int):
    task, *between, top = family(depth=depth, workload=ALLOW)
    moving = with_status(top, conditions=[stands("AwaitingPod")])
    runs = running(seen(task, *between, top))
    assert finished(again(runs, *between, moving))[1] == "Running"
    assert finished(at(again(runs, *between, moving), 250))[1] == "Running"
    without = replace(runs, task=with_status(runs.task, credentials=[]))
    to_another_pod = replace(runs, pods=(pod(2),))
    new = replace(runs, task=task)
    for facts in (without, to_another_pod, new):
        held = again(facts, *between, moving)
        assert finished(held)[:2] == ("False", WaitReason.AWAITING_PARENT)
        assert generations(after(held)) == []
        assert finished(again(facts, *between, top))[1] == "Running"


def test_who_is_resumed_and_waits_for_its_pod_gives_nothing_before_that_is_decided():
    task, top = family()
    suspended = after(again(running(seen(task, top)), with_spec(top, state="Suspended")))
    waits = again(suspended, with_status(top, conditions=[stands("AwaitingPod")], bound_pod=None))
    assert finished(waits)[1] == WaitReason.AWAITING_PARENT


def test_one_above_that_lost_who_asked_for_it_takes_what_it_gave():
    task, top = family()
    nobodys = with_spec(top, requester=None)
    assert finished(again(running(seen(task, top)), nobodys))[1] == WaitReason.AWAITING_PARENT
    # Nor does a pass fail where there is nobody to record.
    new = seen(task, with_status(nobodys, start_time=None))
    assert finished(new)[1] == WaitReason.AWAITING_PARENT
    assert after(new).task.status.delegation is None


def test_right_to_the_parent_stays_found_when_its_pod_is_replaced_while_it_waits():
    task, top = family()
    unapproved = {"allowed": False, "awaits_approval": True, "message": "It needs one."}
    waits = after(judged(seen(task, top), **unapproved))
    moved = with_status(top, bound_pod=None)
    assert finished(again(waits, moved))[1] == "Running"
    assert finished(seen(task, moved))[1] == WaitReason.DELEGATION_REFUSED


def test_who_changes_the_intent_of_a_child_needs_the_right_to_its_parent():
    task, top = family()
    runs = running(seen(task, top))
    stranger = asked_by(None, generation=2) | {"username": "mallory@example.com"}
    changed_by_a_stranger = with_spec(runs.task, intent=INTENT | {"purpose": "Mine"}, requester=stranger)
    assert finished(again(replace(runs, task=changed_by_a_stranger), top))[:2] == ("True", "Revoked")


def test_child_waits_for_a_place_among_too_many():
    task, top = family()
    facts = seen(task, top)
    held = judged(replace(facts, family=replace(facts.family, ahead=MAX_CHILDREN)))
    assert finished(held)[1] == WaitReason.TOO_MANY_CHILDREN
    assert event(held) == (EventReason.TOO_MANY_CHILDREN, EventAction.WAIT, True)
    freed = replace(held, family=replace(held.family, ahead=MAX_CHILDREN - 1))
    assert finished(judged(freed))[1] == "Running"


# A step.


def step(**spec: object) -> Observation:
    return seen(*family(**{**STEP, **spec}))


def test_step_has_no_credential_and_grants_for_its_ttl():
    plan = decide(step())
    assert (plan.issue, plan.secret) == (None, SecretAction.NONE)
    begun = after(step())
    assert finished(begun) == ("False", "Running", "ends by 2026-05-31T14:01:00Z")
    assert said(begun, ConditionType.GRANTED) == (
        "True",
        "Issued",
        "the identity of AgentTask support/task-1 may do refunds:create to order/4711 too, until "
        + at_time(60),
    )
    assert condition(begun.task.status, ConditionType.CREDENTIAL_ISSUED) is None
    assert event(step()) == (EventReason.GRANTED, EventAction.GRANT, False)
    assert decide(begun).wake_at == NOW + timedelta(seconds=60)
    assert finished(at(begun, 60))[:2] == ("True", EndReason.EXPIRED)


def test_step_that_goes_on_writes_nothing():
    begun = after(step())
    assert after(begun).task.status == begun.task.status
    assert event(begun) is None


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"consent": DENIED}, WaitReason.APPROVAL_DENIED),
        ({"allowed": False, "awaits_approval": True, "message": "m"}, WaitReason.AWAITING_APPROVAL),
        ({"allowed": False, "in_doubt": True, "message": "m"}, WaitReason.AWAITING_POLICY),
    ],
)
def test_step_that_is_not_allowed_any_more_grants_nothing(what: dict[str, object], reason: WaitReason):
    begun = after(step())
    held = judged(replace(begun, consent=DENIED)) if "consent" in what else judged(begun, **what)
    assert finished(held)[1] == reason
    assert said(after(held), ConditionType.GRANTED)[:2] == ("False", reason)
    told = event(held)
    assert told is not None
    assert told[1] is EventAction.REVOKE
    assert finished(judged(replace(after(held), consent=Consent())))[1] == "Running"


def test_step_is_decided_anew_after_a_suspension_and_a_change_of_intent():
    begun = after(step())
    suspended = after(judged(replace(begun, task=with_spec(begun.task, state="Suspended"))))
    assert said(suspended, ConditionType.GRANTED)[0] == "False"
    resumed = judged(replace(suspended, task=with_spec(suspended.task, state="Active")))
    assert resumed.judgement is not None
    assert resumed.judgement.action.value == "resume"
    assert said(after(resumed), ConditionType.GRANTED)[1] == "Resumed"
    other = with_spec(begun.task, intent=INTENT | {"purpose": "Another"})
    changed_intent = judged(replace(begun, task=other))
    assert said(after(changed_intent), ConditionType.GRANTED)[1] == "IntentChanged"
    # None of these gives it a longer life.
    assert after(changed_intent).task.status.deadline == begun.task.status.deadline


@pytest.mark.parametrize("stands_as", ["Running", "AwaitingPod", "AwaitingPolicy"])
def test_step_is_not_revoked_by_what_policy_says_of_its_parent_without_a_pod(stands_as: str):
    task, top = family(**STEP)
    begun = after(replace(seen(task, top), family=Family(lineage(task, top), parents_pod=pod(101))))
    above = lineage(begun.task, with_status(top, conditions=[stands(stands_as)], bound_pod=None))
    without = judged(replace(begun, family=Family(above)), allowed=False, message="No image is known.")
    assert finished(without)[0] == "False"
    assert finished(without)[1] in {WaitReason.AWAITING_POLICY, WaitReason.AWAITING_PARENT}
    assert not is_granted(after(without).task)
    with_pod = judged(
        replace(begun, family=Family(lineage(task, top), parents_pod=pod(101))), allowed=False, message="m"
    )
    assert finished(with_pod)[:2] == ("True", EndReason.REVOKED)
    nowhere = parent(workload=None)
    begun = after(seen(with_status(child(nowhere, **STEP), **dict(AgentTaskStatus())), nowhere))
    assert finished(judged(begun, allowed=False, message="m"))[:2] == ("True", EndReason.REVOKED)


def test_step_is_not_granted_while_nothing_may_be_given_but_goes_on():
    blocked = Blocked("Admission is not in force.")
    assert finished(judged(replace(step(), blocked=blocked)))[1] == WaitReason.ISSUANCE_BLOCKED
    assert finished(judged(replace(after(step()), blocked=blocked)))[1] == "Running"


def test_step_of_a_step_and_for_another_agent_is_refused():
    task, top = family(**STEP, agentRef={"name": "other"})
    assert "Name that one." in finished(seen(task, top))[2]


def test_parent_shows_what_its_steps_grant_while_it_runs():
    task, top = family(**STEP)
    begun = granted(with_status(task, start_time=NOW, deadline=NOW + timedelta(seconds=60)))
    facts = seen(with_status(top, **dict(AgentTaskStatus())))
    facts = judged(replace(facts, family=Family(steps=(begun,)), agent=ALL))
    facts = replace(facts, pods=(pod(101, fingerprint="f"),))
    issued = after(running(judged(facts)))
    assert [each.name for each in issued.task.status.grants] == [task.name]
    for over in (with_spec(begun, state="Ended"), with_status(begun, deadline=NOW)):
        assert after(replace(issued, family=Family(steps=(over,)))).task.status.grants == []
    assert after(replace(issued, family=Family())).task.status.grants == []
    suspended = replace(issued, task=with_spec(issued.task, state=DesiredState.SUSPENDED.value))
    assert after(judged(suspended)).task.status.grants == []
    assert after(replace(issued, task=changed(issued.task, deleting=True))).task.status.grants == []


# An emergency.

EMERGENCY = task_spec(
    breakGlass={"justification": "The payment provider is down."},
    credential={"renew": False, "ttlSeconds": 300},
)


def test_emergency_is_told_as_one_and_marked():
    facts = observe(spec=EMERGENCY, pods=[pod()])
    assert event(facts) == (EventReason.BREAK_GLASS_USED, EventAction.ISSUE, True)
    told = report_of(facts, decide(facts)).event
    assert told is not None
    assert "without anybody's approval: The payment provider is down." in told.note
    decision = running(facts).task.status.decision
    assert decision is not None
    assert decision.break_glass is True
    ordinary = running(observe(pods=[pod()])).task.status.decision
    assert ordinary is not None
    assert ordinary.break_glass is None


def test_emergency_ends_with_its_credential_and_within_the_limit():
    issued = running(observe(spec=EMERGENCY, pods=[pod()]))
    assert issued.task.status.deadline == NOW + timedelta(seconds=300)
    assert finished(at(issued, 299))[1] == "Running"
    assert finished(at(issued, 300))[:2] == ("True", EndReason.EXPIRED)
    long = EMERGENCY.model_copy(
        update={"credential": EMERGENCY.credential.model_copy(update={"ttl_seconds": 3600})}
    )
    issued = running(observe(spec=long, pods=[pod()]))
    assert issued.task.status.deadline == NOW + timedelta(minutes=15)


def test_emergency_that_was_changed_all_the_same_is_revoked():
    issued = running(observe(spec=EMERGENCY, pods=[pod()]))
    intent = {"purpose": "More", "actions": ["orders:read"]}
    changed_intent = asks(
        issued,
        breakGlass={"justification": "The payment provider is down."},
        credential={"renew": False, "ttlSeconds": 300},
        intent=intent,
    )
    assert finished(changed_intent)[:2] == ("True", EndReason.REVOKED)


def test_no_family_is_needed_by_a_task_without_a_parent():
    assert observe().family == Family(Lineage())


def test_resumed_step_is_not_revoked_while_containers_of_its_parents_pod_are_still_to_come():
    task, top = family(**STEP)
    starts, runs = (Family(lineage(task, top), parents_pod=pod(101, all_run=each)) for each in (False, True))
    begun = after(replace(seen(task, top), family=runs))
    suspended = after(judged(replace(begun, task=with_spec(begun.task, state="Suspended"))))
    active = replace(suspended, task=with_spec(suspended.task, state="Active"))
    no: dict[str, object] = {"allowed": False, "message": "An image is missing."}

    waits = judged(replace(active, family=starts), **no)
    assert finished(waits)[:2] == ("False", WaitReason.AWAITING_POLICY)
    assert not is_granted(after(waits).task)
    assert said(after(judged(replace(after(waits), family=runs))), ConditionType.GRANTED)[1] == "Resumed"
    # Nor by its parent's next pod, once it was granted again.
    granted_again = after(judged(replace(active, family=runs)))
    assert finished(judged(replace(granted_again, family=starts), **no))[0] == "False"
    for facts in (active, granted_again):
        assert finished(judged(replace(facts, family=runs), **no))[:2] == ("True", EndReason.REVOKED)
