"""Turns what a rule said into a plan: the report, what happens to the Secret, and when to look again."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from agentid.api.reasons import EventReason, WaitReason
from agentid.lifecycle.cleanup import Cleanup, clean_up, secret_of
from agentid.lifecycle.events import is_stalled_by
from agentid.lifecycle.model import Observation, WorkloadState
from agentid.lifecycle.plan import IssueOrder, Plan, SecretAction
from agentid.lifecycle.pods import lingering
from agentid.lifecycle.record import (
    asked,
    current,
    may_write,
    start_deadline,
    workload_uid,
)
from agentid.lifecycle.renewal import deadline, earliest_renewal, renew_at, ttl
from agentid.lifecycle.reporting import ended, granted, held_back, kept, stayed
from agentid.lifecycle.static_secrets import static_secrets
from agentid.lifecycle.verdict import End, Grant, Hold, Issue, Keep, LeaveAlone, StayFinished, Verdict


def plan(observation: Observation, rule: str, verdict: Verdict) -> Plan:  # noqa: PLR0911 - one for each verdict
    """Return the plan that carries out `verdict`, which `rule` came to."""
    match verdict:
        case Issue():
            return _issue(observation, rule, verdict)
        case Grant():
            return _grant(observation, rule, verdict)
        case Keep():
            return _keep(observation, rule, verdict)
        case Hold():
            return _hold(observation, rule, verdict)
        case End():
            return _end(observation, rule, verdict)
        case StayFinished():
            return _stay(observation, rule)
        case LeaveAlone():
            return _leave_alone(observation, rule, verdict)


def _issue(observation: Observation, rule: str, issue: Issue) -> Plan:
    task, spec = observation.task, asked(observation)
    newest, ends = current(observation), deadline(observation)
    path = f"ns/{task.namespace}/agent/{spec.agent_ref.name}/task/{task.uid}"
    order = IssueOrder(
        why=issue.why,
        spiffe_id=f"spiffe://{observation.limits.trust_domain}/{path}",
        generation=(task.status.credential_generation or 0) + 1,
        pod=issue.pod,
        ttl=ttl(observation),
        not_after_limit=ends if issue.prolongs or newest is None else min(ends, newest.not_after),
        static_secrets=static_secrets(observation),
        prolongs=issue.prolongs,
    )
    due = earliest_renewal(observation.now, order.ttl)
    times = [due, order.not_after_limit, _review(observation)]
    return Plan(
        rule=rule,
        report=None,
        issue=order,
        secret=SecretAction.FILL,
        wake_at=_earliest(observation, times),
        turns_at=_turns_at(observation),
    )


def _grant(observation: Observation, rule: str, grant: Grant) -> Plan:
    return Plan(
        rule=rule,
        report=granted(observation, grant),
        wake_at=_earliest(observation, [deadline(observation), _review(observation)]),
        turns_at=_turns_at(observation),
    )


def _keep(observation: Observation, rule: str, keep: Keep) -> Plan:
    newest = current(observation)
    times = [
        renew_at(observation),
        newest.not_after if newest else None,
        observation.task.status.deadline,
        _review(observation),
        _retry(observation),
    ]
    return Plan(
        rule=rule,
        report=kept(observation, keep),
        secret=SecretAction.PROBE if keep.probe else SecretAction.NONE,
        wake_at=_earliest(observation, times),
        turns_at=_turns_at(observation),
    )


def _hold(observation: Observation, rule: str, hold: Hold) -> Plan:
    taken_now = current(observation) is not None
    left = _left_to_clean(observation, comes_back=True)
    action = left.action if taken_now or may_write(observation) else SecretAction.NONE
    if hold.probe:
        action = SecretAction.PROBE
    times = [
        left.wake_at,
        observation.task.status.deadline,
        start_deadline(observation),
        _review(observation),
        _retry(observation),
        *(pod.gone_by for pod in lingering(observation)),
    ]
    delayed = None if taken_now else _delay(observation, left)
    return Plan(
        rule=rule,
        report=held_back(observation, hold, delayed),
        secret=action,
        awaits_room=hold.reason is WaitReason.AWAITING_QUOTA,
        wake_at=_earliest(observation, times),
        turns_at=_turns_at(observation),
    )


def _end(observation: Observation, rule: str, end: End) -> Plan:
    left = _left_to_clean(observation, comes_back=False)
    return Plan(
        rule=rule,
        report=ended(observation, end),
        secret=left.action,
        wake_at=_earliest(observation, [left.wake_at, _goes_at(observation, observation.now)]),
    )


def _stay(observation: Observation, rule: str) -> Plan:
    left = _left_to_clean(observation, comes_back=False)
    is_clean = left.action is SecretAction.NONE and left.wake_at is None
    goes_at = _goes_at(observation, observation.task.status.end_time)
    goes_now = is_clean and goes_at is not None and goes_at <= observation.now
    return Plan(
        rule=rule,
        report=stayed(observation, _delay(observation, left)),
        secret=left.action if may_write(observation) else SecretAction.NONE,
        delete_task=goes_now and not observation.task.deleting,
        wake_at=_earliest(observation, [left.wake_at, goes_at, _retry(observation)]),
    )


def _leave_alone(observation: Observation, rule: str, verdict: LeaveAlone) -> Plan:
    left = _left_to_clean(observation, comes_back=True) if verdict.wipe else Cleanup(SecretAction.NONE)
    return Plan(
        rule=rule,
        report=None,
        secret=left.action if may_write(observation) else SecretAction.NONE,
        wake_at=_earliest(observation, [left.wake_at, _retry(observation)]),
    )


def _left_to_clean(observation: Observation, *, comes_back: bool) -> Cleanup:
    return clean_up(
        secret_of(observation),
        observation.pods,
        observation.now,
        observation.limits.wipe_grace,
        comes_back=comes_back,
    )


def _delay(observation: Observation, left: Cleanup) -> str | None:
    """Return why the Secret cannot be cleaned up; it stays said until a write succeeds."""
    failed = observation.failed_write
    if failed is None or left.action is SecretAction.NONE:
        return None
    is_said = is_stalled_by(observation, EventReason.CLEANUP_DELAYED)
    return failed.message if is_said or not may_write(observation) else None


def _goes_at(observation: Observation, end_time: datetime | None) -> datetime | None:
    """Return when the finished object is deleted; one that cannot be read is left alone."""
    spec = observation.task.spec
    if spec is None or end_time is None or _says_that_a_job_had_its_task(observation):
        return None
    return end_time + timedelta(seconds=spec.ttl_seconds_after_finished)


def _says_that_a_job_had_its_task(observation: Observation) -> bool:
    """Whether the task is a template's and its Job lives, which would get another one if this were gone."""
    spec, facts = observation.task.spec, observation.workload
    is_templated = spec is not None and spec.template_ref is not None
    return is_templated and facts.state is WorkloadState.LIVE and facts.uid == workload_uid(observation)


def _review(observation: Observation) -> datetime | None:
    agent = observation.agent
    return agent.spec.review_by if agent is not None and agent.spec is not None else None


def _turns_at(observation: Observation) -> datetime | None:
    return _earliest(observation, [observation.judgement.holds_until if observation.judgement else None])


def _retry(observation: Observation) -> datetime | None:
    return observation.failed_write.retry_at if observation.failed_write else None


def _earliest(observation: Observation, times: Iterable[datetime | None]) -> datetime | None:
    """Return the first of `times` that is still to come."""
    return min((each for each in times if each is not None and observation.now < each), default=None)
