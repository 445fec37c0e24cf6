"""Policy in the life of a task: what it is asked, what its answer does, and that nothing goes without one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings

from agentid.api.reasons import ConditionType, EndReason, EventAction, EventReason, IssueReason, WaitReason
from agentid.lifecycle.decide import decide
from agentid.lifecycle.errors import UnjudgedTaskError
from agentid.lifecycle.model import (
    AgentFacts,
    Blocked,
    FailedWrite,
    Observation,
    PodPhase,
    PolicyAction,
    SecretFacts,
    SecretState,
)
from agentid.lifecycle.permission import asks as asks_policy
from agentid.lifecycle.permission import lost_permission, stays_by, verdict_on_its_pod
from agentid.lifecycle.plan import SecretAction
from agentid.lifecycle.record import has_started, is_finished
from agentid.lifecycle.reporting import issued
from tests.unit.lifecycle_facts import (
    ALLOW,
    ALLOWED_BY,
    JOB,
    NOT_RENEWED,
    NOW,
    after,
    agent,
    asks,
    at,
    awaited,
    condition,
    deleted,
    finished,
    generations,
    judged,
    made,
    observe,
    pod,
    report_of,
    running,
    said,
    task_spec,
    uid,
    why,
)
from tests.unit.lifecycle_worlds import observations

LIVE = settings(max_examples=100)
FORBIDDEN = 'ClusterAgentPolicy/default, rule "short-lived" forbids it.'
DENIED: dict[str, object] = {"allowed": False, "message": FORBIDDEN}
IN_DOUBT: dict[str, object] = {"allowed": False, "in_doubt": True, "message": "the engine gave no answer"}
UNAPPROVED: dict[str, object] = {"allowed": False, "awaits_approval": True, "message": "it needs an approval"}

NEW = observe(pods=[pod()])
RUNNING = running(NEW)
JOBS = running(observe(spec=task_spec(workload=JOB), pods=[pod()]))
ALONE = running(observe(spec=task_spec(workload=None)))
REPLACEABLE = running(observe(spec=task_spec(workload=ALLOW), pods=[pod()]))
OTHER_INTENT = {"purpose": "Refund order 4712", "actions": ["orders:read"]}
DUE_SECONDS = 211
"""A credential of 300 s is due after 200 s, give or take a twentieth."""


def renewed(facts: Observation) -> Observation:
    done = after(at(facts, DUE_SECONDS))
    assert generations(done) == [1, 2]
    return done


def suspended(facts: Observation) -> Observation:
    return after(asks(facts, state="Suspended"))


def next_pod(facts: Observation) -> Observation:
    return replace(facts, pods=(pod(2),))


def in_doubt_what_the_secret_holds(facts: Observation) -> Observation:
    return replace(facts, secret=SecretFacts(SecretState.DOUBTFUL))


def on_images(facts: Observation) -> Observation:
    """The same with containers that run."""
    return replace(
        facts,
        pods=tuple(replace(each, running_images=("image@sha256:1",), all_run=True) for each in facts.pods),
    )


def resumed(facts: Observation) -> Observation:
    """The same, suspended and active again, with containers that run by then."""
    return on_images(asks(suspended(facts), state="Active"))


def starting(facts: Observation) -> Observation:
    """The same with containers of which some run already, such as an init container."""
    return replace(facts, pods=tuple(replace(each, running_images=("init@sha256:1",)) for each in facts.pods))


def without_credential(facts: Observation) -> Observation:
    return after(judged(facts, **UNAPPROVED))


ASKED: dict[str, tuple[Observation, PolicyAction | None]] = {
    "new, no pod yet": (observe(), PolicyAction.ISSUE),
    "new, its pod there": (NEW, PolicyAction.ISSUE),
    "holding its first credential, its containers not yet running": (RUNNING, PolicyAction.ISSUE),
    "holding its first credential, its init containers running": (starting(RUNNING), PolicyAction.ISSUE),
    "resumed, its init containers running": (
        starting(after(asks(suspended(RUNNING), state="Active"))),
        PolicyAction.RESUME,
    ),
    "nothing due yet, its containers not yet running": (at(RUNNING, 180), PolicyAction.ISSUE),
    "running on its first credential": (on_images(RUNNING), PolicyAction.RENEW),
    "running without a pod": (ALONE, PolicyAction.RENEW),
    "running since its pod was replaced": (on_images(after(next_pod(REPLACEABLE))), PolicyAction.RENEW),
    "without the credential it had": (on_images(without_credential(RUNNING)), PolicyAction.ISSUE),
    "renewal due": (at(RUNNING, DUE_SECONDS), PolicyAction.RENEW),
    "running on a renewed credential": (renewed(RUNNING), PolicyAction.RENEW),
    "in doubt which of its credentials the Secret holds": (
        in_doubt_what_the_secret_holds(after(next_pod(REPLACEABLE))),
        PolicyAction.RENEW,
    ),
    "in doubt whether its first one was written": (
        in_doubt_what_the_secret_holds(RUNNING),
        PolicyAction.ISSUE,
    ),
    "suspended": (asks(RUNNING, state="Suspended"), None),
    "resumed": (asks(suspended(RUNNING), state="Active"), PolicyAction.RESUME),
    "resumed, its containers not yet running": (
        after(asks(suspended(RUNNING), state="Active")),
        PolicyAction.RESUME,
    ),
    "running since it was resumed": (
        on_images(after(resumed(RUNNING))),
        PolicyAction.RENEW,
    ),
    "suspended before its first credential, and resumed": (
        asks(suspended(NEW), state="Active"),
        PolicyAction.ISSUE,
    ),
    "intent changed": (asks(RUNNING, intent=OTHER_INTENT), PolicyAction.ISSUE),
    "intent changed after a renewal": (asks(renewed(RUNNING), intent=OTHER_INTENT), PolicyAction.ISSUE),
    "intent changed when a renewal is due": (
        at(asks(RUNNING, intent=OTHER_INTENT), DUE_SECONDS),
        PolicyAction.ISSUE,
    ),
    "pod replaced": (next_pod(REPLACEABLE), PolicyAction.ISSUE),
    "pod replaced after a renewal": (next_pod(renewed(REPLACEABLE)), PolicyAction.ISSUE),
    "pod replaced when a renewal is due": (at(next_pod(REPLACEABLE), DUE_SECONDS), PolicyAction.ISSUE),
    "waits for the next pod": (after(replace(renewed(REPLACEABLE), pods=())), PolicyAction.ISSUE),
    "state Ended": (asks(RUNNING, state="Ended"), None),
    "ended": (after(asks(RUNNING, state="Ended")), None),
    "being deleted": (deleted(RUNNING), None),
    "unreadable": (replace(NEW, task=replace(NEW.task, spec=None, invalid="x")), None),
    "of unreadable status": (replace(RUNNING, task=replace(RUNNING.task, status_invalid="x")), None),
    "asked for by nobody": (observe(spec=task_spec(requester=None), pods=[pod()]), None),
    "Agent missing": (replace(NEW, agent=None), None),
    "Agent unreadable": (replace(NEW, agent=AgentFacts(uid=uid(900), deleting=False, spec=None)), None),
}


@pytest.mark.parametrize("state", ASKED)
def test_what_policy_is_asked_about_a_task(state: str):
    facts, action = ASKED[state]
    assert asks_policy(facts) is action


STAYS: dict[str, tuple[Observation, PolicyAction | None]] = {
    "running on its first credential": (on_images(RUNNING), PolicyAction.ISSUE),
    "running without a pod": (ALONE, PolicyAction.ISSUE),
    "running since it was resumed": (
        on_images(after(resumed(RUNNING))),
        PolicyAction.RESUME,
    ),
    "running on a renewed credential": (on_images(renewed(RUNNING)), None),
    "its containers not yet running": (RUNNING, None),
    "renewal due": (at(on_images(RUNNING), DUE_SECONDS), PolicyAction.ISSUE),
    "in doubt which of its credentials the Secret holds": (
        in_doubt_what_the_secret_holds(on_images(after(next_pod(REPLACEABLE)))),
        PolicyAction.ISSUE,
    ),
    "in doubt which of its renewed credentials the Secret holds": (
        in_doubt_what_the_secret_holds(on_images(renewed(RUNNING))),
        None,
    ),
    "new": (NEW, None),
    "resumed": (asks(suspended(RUNNING), state="Active"), None),
    "being deleted": (deleted(on_images(RUNNING)), None),
}


@pytest.mark.parametrize("state", STAYS)
def test_credential_stays_by_what_it_was_made_by_unless_that_was_a_renewal(state: str):
    facts, action = STAYS[state]
    assert stays_by(facts) is action


def unrenewable(facts: Observation, seconds: float) -> Observation:
    """The same at that time, where policy says nothing of `renew` and permits what it was made by."""
    then = at(facts, seconds)
    action = stays_by(then)
    assert action is not None
    return judged(then, action=action, message=NOT_RENEWED)


def test_credential_that_is_not_renewed_stays_for_its_life_and_is_the_end_of_its_task():
    life = RUNNING.task.status.credentials[0]
    for facts in (on_images(RUNNING), RUNNING, ALONE):
        kept = unrenewable(facts, DUE_SECONDS)
        plan = decide(kept)
        assert (plan.rule, plan.issue, plan.secret) == ("keep_running", None, SecretAction.NONE)
        assert plan.wake_at == life.not_after
        assert after(kept).task.status == kept.task.status
        over = unrenewable(facts, 300)
        said = "its credential ran out at 2026-05-31T14:05:00Z, and no rule of policy permits to renew it"
        assert finished(over) == ("True", EndReason.EXPIRED, said)
        assert decide(over).issue is None
        assert after(over).secret.state in {SecretState.EMPTIED, SecretState.ABSENT}


def test_credential_is_renewed_as_soon_as_that_is_permitted():
    kept = after(unrenewable(RUNNING, DUE_SECONDS))
    assert why(judged(at(kept, 290))) is IssueReason.RENEWED


def test_credential_that_is_not_renewed_is_made_again_where_the_secret_is_in_doubt():
    others = {
        "pod": (on_images(after(next_pod(REPLACEABLE))), PolicyAction.ISSUE),
        "resumed": (on_images(after(resumed(RUNNING))), PolicyAction.RESUME),
    }
    for facts, action in others.values():
        doubtful = unrenewable(in_doubt_what_the_secret_holds(facts), 100)
        assert (why(doubtful), finished(doubtful)[1]) == (IssueReason.REISSUED, "Running")
        again = after(doubtful)
        assert generations(again) == [facts.task.status.credentials[-1].generation + 1]
        assert again.task.status.decision is not None
        assert again.task.status.decision.action == action.value
        blocked = replace(doubtful, blocked=Blocked("there is no authority"))
        assert finished(blocked)[1] == WaitReason.ISSUANCE_BLOCKED
        assert after(blocked).task.status.credentials == []


def test_task_that_is_not_renewed_still_goes_on_with_its_next_pod():
    gone = replace(unrenewable(REPLACEABLE, 300), pods=())
    assert finished(gone)[1] == WaitReason.AWAITING_POD
    assert why(judged(replace(after(gone), pods=(pod(2),)))) is IssueReason.POD_REPLACED


ISSUED: dict[str, tuple[Observation, IssueReason]] = {
    "first": (NEW, IssueReason.ISSUED),
    "renewal": (at(RUNNING, DUE_SECONDS), IssueReason.RENEWED),
    "resumed": (resumed(RUNNING), IssueReason.RESUMED),
    "intent": (asks(RUNNING, intent=OTHER_INTENT), IssueReason.INTENT_CHANGED),
    "pod": (next_pod(REPLACEABLE), IssueReason.POD_REPLACED),
    "lost": (replace(RUNNING, secret=SecretFacts(SecretState.ABSENT)), IssueReason.REISSUED),
}


@pytest.mark.parametrize("case", ISSUED)
def test_status_says_by_what_a_credential_was_issued(case: str):
    facts, reason = ISSUED[case]
    facts = judged(facts, policies=tuple(f"ClusterAgentPolicy/p/r{number}" for number in range(40)))
    assert why(facts) is reason
    decision = after(facts).task.status.decision
    assert decision is not None
    assert PolicyAction(decision.action) is asks_policy(facts)
    assert decision.policies == [f"ClusterAgentPolicy/p/r{number}" for number in range(16)]
    assert (decision.digest, decision.at) == (f"sha256:{'0' * 64}", facts.now)


@pytest.mark.parametrize("case", [case for case in ISSUED if case != "lost"])
def test_credential_is_not_recorded_by_an_answer_to_another_question(case: str):
    facts = judged(ISSUED[case][0])
    plan, asked = decide(facts), asks_policy(facts)
    for other in PolicyAction:
        assert facts.judgement is not None
        answer = replace(facts, judgement=replace(facts.judgement, action=other))
        if other is asked:
            assert issued(answer, plan, made(answer, plan)).status.credentials
        else:
            with pytest.raises(UnjudgedTaskError):
                issued(answer, plan, made(answer, plan))


@pytest.mark.parametrize("answer", [None, DENIED, IN_DOUBT, UNAPPROVED])
def test_credential_that_nothing_allows_is_not_recorded(answer: dict[str, object] | None):
    plan = decide(NEW)
    facts = replace(NEW, judgement=None) if answer is None else judged(NEW, **answer)
    with pytest.raises(UnjudgedTaskError):
        issued(facts, plan, made(facts, plan))


DURING: dict[str, Observation] = {
    "it runs": RUNNING,
    "it runs without a pod": ALONE,
    "a renewal is due": at(RUNNING, DUE_SECONDS),
    "it was renewed": renewed(RUNNING),
    "it was resumed": resumed(RUNNING),
    "its intent changed": asks(RUNNING, intent=OTHER_INTENT),
    "its pod was replaced": next_pod(REPLACEABLE),
    "its Secret is gone": replace(RUNNING, secret=SecretFacts(SecretState.ABSENT)),
    "its Secret is in doubt": in_doubt_what_the_secret_holds(renewed(RUNNING)),
}
WHILE = pytest.mark.parametrize("state", DURING)


@WHILE
def test_denial_ends_a_task_that_has_started(state: str):
    facts = judged(DURING[state], **DENIED)
    assert finished(facts) == ("True", EndReason.REVOKED, FORBIDDEN)
    over = after(facts)
    assert over.task.status.credentials == []
    assert over.secret.state in {SecretState.EMPTIED, SecretState.ABSENT}
    assert said(over, ConditionType.APPROVED) == ("False", EndReason.REVOKED, FORBIDDEN)
    event = report_of(facts, decide(facts)).event
    assert event is not None
    assert (event.reason, event.warning) == (EventReason.TASK_REVOKED, True)


@WHILE
@pytest.mark.parametrize(
    ("answer", "reason"),
    [(IN_DOUBT, WaitReason.AWAITING_POLICY), (UNAPPROVED, WaitReason.AWAITING_APPROVAL)],
    ids=["in doubt", "approval"],
)
def test_task_that_has_started_loses_its_credential_and_waits(
    state: str, answer: dict[str, object], reason: WaitReason
):
    facts = judged(DURING[state], **answer)
    told = answer["message"] if answer is IN_DOUBT else f"{answer['message']} {awaited(facts)}"
    assert finished(facts) == ("False", reason, told)
    waits = after(facts)
    assert waits.task.status.credentials == []
    assert waits.secret.state in {SecretState.EMPTIED, SecretState.ABSENT}
    assert said(waits, ConditionType.APPROVED) == ("False", reason, answer["message"])
    # Once it is allowed again, it runs again, however long that took.
    mended = judged(replace(waits, now=waits.now + timedelta(seconds=1000)))
    assert finished(mended)[1] == "Running"
    assert len(after(mended).task.status.credentials) == 1


@WHILE
def test_task_that_policy_was_not_asked_about_holds_no_credential(state: str):
    facts = replace(DURING[state], judgement=None)
    assert finished(facts)[:2] == ("False", WaitReason.AWAITING_POLICY)
    assert decide(facts).issue is None


BEFORE_ITS_START = pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (DENIED, WaitReason.AWAITING_POLICY),
        (IN_DOUBT, WaitReason.AWAITING_POLICY),
        (UNAPPROVED, WaitReason.AWAITING_APPROVAL),
    ],
    ids=["denied", "in doubt", "approval"],
)


@BEFORE_ITS_START
def test_task_that_is_not_allowed_waits_until_its_start_deadline(
    answer: dict[str, object], reason: WaitReason
):
    facts = after(judged(NEW, **answer))
    assert finished(facts)[:2] == ("False", reason)
    assert said(facts, ConditionType.APPROVED) == ("False", reason, answer["message"])
    assert decide(facts).wake_at == NOW + timedelta(seconds=600)
    assert finished(at(facts, 599))[1] == reason
    assert finished(at(facts, 600))[1] == EndReason.START_DEADLINE_EXCEEDED


@BEFORE_ITS_START
def test_task_that_is_allowed_at_last_starts(answer: dict[str, object], reason: WaitReason):
    facts = judged(at(after(judged(NEW, **answer)), 500))
    assert finished(facts)[1] != reason
    assert why(facts) is IssueReason.ISSUED
    assert said(after(facts), ConditionType.APPROVED) == ("True", EventReason.POLICY_ALLOWED, ALLOWED_BY)


def test_denial_of_a_task_without_a_pod_yet_is_told_while_it_waits_for_the_pod():
    facts = judged(observe(), **DENIED)
    assert finished(facts)[1] == WaitReason.AWAITING_POD
    assert said(after(facts), ConditionType.APPROVED) == ("False", WaitReason.AWAITING_POLICY, FORBIDDEN)


BETWEEN_PODS: dict[str, Callable[[], Observation]] = {
    "its Job's pod is done, and the Job does not say so yet": lambda: replace(
        JOBS, pods=(pod(phase=PodPhase.SUCCEEDED, containers_ended=True),)
    ),
    "its Job's pod is gone": lambda: replace(JOBS, pods=()),
    "its pod is leaving": lambda: replace(
        JOBS, pods=(pod(leaving=True, gone_by=NOW + timedelta(seconds=30)),)
    ),
    "its next pod has no node": lambda: replace(JOBS, pods=(pod(2, node=None),)),
    "a stranger's pod has its label": lambda: replace(REPLACEABLE, pods=(pod(2, service_account="mallory"),)),
}
ANSWERS = pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (DENIED, WaitReason.AWAITING_POLICY),
        (IN_DOUBT, WaitReason.AWAITING_POLICY),
        (UNAPPROVED, WaitReason.AWAITING_APPROVAL),
    ],
    ids=["denied", "in doubt", "approval"],
)


@pytest.mark.parametrize("state", BETWEEN_PODS)
@ANSWERS
def test_what_policy_says_of_no_pod_does_not_revoke_a_task_between_two_and_is_what_it_waits_for(
    state: str, answer: dict[str, object], reason: WaitReason
):
    facts = judged(BETWEEN_PODS[state](), **answer)
    if verdict_on_its_pod(facts) is not None and answer is DENIED:
        assert finished(facts)[:2] == ("True", EndReason.REVOKED)
        return
    waits = after(facts)
    assert finished(facts)[:2] == ("False", reason)
    assert str(answer["message"]) in finished(facts)[2]
    assert waits.task.status.credentials == []
    assert said(waits, ConditionType.APPROVED) == ("False", reason, answer["message"])
    assert said(waits, ConditionType.CREDENTIAL_ISSUED)[:2] == ("False", reason)
    # Once that is allowed, what it waits for is its pod.
    allowed = judged(replace(waits, now=waits.now + timedelta(seconds=1)))
    assert finished(allowed)[1] in {WaitReason.AWAITING_POD, WaitReason.POD_MISMATCH}
    assert said(after(allowed), ConditionType.APPROVED)[0] == "True"


def test_task_between_two_pods_tells_of_both_that_it_waits_for():
    facts = judged(replace(JOBS, pods=()), **DENIED)
    assert finished(facts)[2] == (
        f"waits for a pod with the label agentid.dev/task: refund-4711. Policy: {FORBIDDEN}"
    )
    told = report_of(facts, decide(facts)).event
    assert told is not None
    assert (told.reason, told.action) == (EventReason.POLICY_DENIED, EventAction.REVOKE)
    assert "revoked: pod refund-1 is gone; waits for a pod" in told.note
    assert report_of(after(facts), decide(after(facts))).event is None


def test_what_policy_says_of_a_pod_that_is_done_does_not_keep_the_task_from_its_end():
    done = judged(replace(RUNNING, pods=(pod(phase=PodPhase.SUCCEEDED, containers_ended=True),)), **DENIED)
    assert finished(done)[1] == EndReason.COMPLETED


def test_denial_about_the_next_pod_revokes_the_task():
    facts = judged(replace(JOBS, pods=(pod(2, images=("registry.example.com/other:v1",)),)), **DENIED)
    assert finished(facts)[:2] == ("True", EndReason.REVOKED)


def test_task_looks_again_when_the_decision_may_turn():
    turns = NOW + timedelta(seconds=77)
    for facts in (NEW, RUNNING, ALONE, judged(NEW, **DENIED), judged(NEW, **UNAPPROVED), observe()):
        assert facts.judgement is not None
        timed = replace(facts, judgement=replace(facts.judgement, holds_until=turns))
        assert decide(timed).turns_at == turns


def test_disabled_agent_ends_the_task_whatever_policy_says():
    assert finished(judged(replace(RUNNING, agent=agent(disabled=True)), **DENIED))[2] == (
        "Agent support/refund-agent is switched off (spec.disabled)"
    )


@LIVE
@given(observations())
def test_no_credential_is_issued_or_kept_without_an_allowing_answer_to_what_is_asked(facts: Observation):
    plan = decide(facts)
    counts = bool(report_of(facts, plan).status.credentials)
    assert counts or plan.issue is None
    if counts:
        assert facts.judgement is not None
        assert facts.judgement.allowed
        assert facts.judgement.action is asks_policy(facts)


@LIVE
@given(observations())
def test_whoever_is_not_allowed_loses_what_it_has(facts: Observation):
    judgement = facts.judgement
    if judgement is None or judgement.allowed:
        return
    status = after(facts).task.status
    assert status.credentials == []
    told = condition(status, ConditionType.FINISHED)
    assert told is not None
    is_lost = has_started(facts) and lost_permission(facts) is not None
    if told.status == "False":
        assert told.reason != "Running"
        assert not is_lost
    elif is_lost and told.message == judgement.message:
        assert told.reason == EndReason.REVOKED
    if judgement.in_doubt or judgement.awaits_approval:
        assert told.message != judgement.message or told.status == "False"


@LIVE
@given(observations())
def test_nobody_sleeps_beyond_the_time_at_which_the_decision_may_turn(facts: Observation):
    judgement = facts.judgement
    if judgement is None or judgement.holds_until is None or is_finished(facts):
        return
    plan = decide(facts)
    if condition(after(facts).task.status, ConditionType.FINISHED) is None or finished(facts)[0] == "False":
        assert plan.turns_at == judgement.holds_until


@LIVE
@given(observations())
def test_who_waits_for_a_pod_is_not_judged_by_what_was_said_without_one(facts: Observation):
    if facts.judgement is not None and verdict_on_its_pod(facts) is None:
        assert decide(facts).issue is None
        assert after(facts).task.status.credentials == []


def refused(facts: Observation, before: int) -> Observation:
    """The same after the API server refused to write the newest credential over that of `before`."""
    return replace(
        facts,
        secret=SecretFacts(SecretState.FILLED, generation=before),
        failed_write=FailedWrite("refused", facts.now + timedelta(seconds=30), refused=True),
    )


@pytest.mark.parametrize(
    ("facts", "reason", "action"),
    [
        (RUNNING, "Issued", PolicyAction.ISSUE),
        (after(next_pod(REPLACEABLE)), "Issued", PolicyAction.ISSUE),
        (after(resumed(RUNNING)), "Resumed", PolicyAction.RESUME),
        (renewed(RUNNING), "Renewed", None),
    ],
    ids=["first", "next pod", "resumed", "renewed"],
)
def test_credential_that_counts_again_after_a_refused_write_stays_by_what_it_was_made_by(
    facts: Observation, reason: str, action: PolicyAction | None
):
    held = facts.task.status.credentials[-1]
    due = after(judged(replace(on_images(facts), now=held.not_after - timedelta(seconds=10))))
    assert due.task.status.credentials[-1].generation == held.generation + 1

    kept = after(judged(refused(due, held.generation)))

    assert kept.task.status.credentials[-1] == held
    assert said(kept, ConditionType.CREDENTIAL_ISSUED)[1] == reason
    assert stays_by(kept) is action
