"""What holds of every decision, whatever was observed."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agentid.api.agenttask import DesiredState
from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.reasons import ConditionType
from agentid.lifecycle.decide import RULES, decide
from agentid.lifecycle.events import BESIDE_EARLIER_ONES
from agentid.lifecycle.model import Observation, SecretState
from agentid.lifecycle.permission import agent_gap, ceiling_breach, is_disabled, overdue_review
from agentid.lifecycle.plan import SecretAction
from agentid.lifecycle.pods import claimants, lingering, mismatch
from agentid.lifecycle.static_secrets import static_secret_gap
from agentid.lifecycle.wording import MAX_MESSAGE_BYTES
from tests.unit.lifecycle_facts import after, condition, report_of
from tests.unit.lifecycle_worlds import WORLDS, World, observations, seen

LIVE = settings(max_examples=100)


def finished(status: AgentTaskStatus) -> tuple[object, ...] | None:
    said = condition(status, ConditionType.FINISHED)
    if said is None or said.status != "True":
        return None
    return said.reason, said.message, said.last_transition_time, status.end_time


@LIVE
@given(observations())
def test_every_observation_has_a_plan_that_can_be_written(facts: Observation):
    plan = decide(facts)
    assert plan.rule in {rule.__name__ for rule in RULES}
    assert plan.wake_at is None or plan.wake_at > facts.now
    assert (plan.report is None) == (plan.issue is not None)
    assert (plan.secret is SecretAction.FILL) == (plan.issue is not None)
    report = report_of(facts, plan)
    written = report.status.model_dump_json(by_alias=True)
    assert AgentTaskStatus.model_validate_json(written) == report.status
    if report.event is not None:
        assert len(report.event.note.encode()) <= MAX_MESSAGE_BYTES
        assert report.event.note.isprintable()


@LIVE
@given(observations())
def test_same_facts_seen_again_write_nothing(facts: Observation):
    # What was only tried, and would be taken, is written next.
    done = after(after(facts)) if decide(facts).secret is SecretAction.PROBE else after(facts)
    stalled = condition(done.task.status, ConditionType.STALLED)
    if stalled is not None and stalled.reason == "CleanupDelayed":
        done = after(done)
    again = decide(done)
    assert again.issue is None
    assert again.report is not None
    assert (again.report.status, again.report.event) == (done.task.status, None)
    for _ in range(3):
        done = after(done)
    assert decide(done).secret in {SecretAction.NONE, SecretAction.PROBE}


@LIVE
@given(observations(), WORLDS)
def test_end_is_final(facts: Observation, later: World):
    over = after(facts)
    first = finished(over.task.status)
    if first is None or over.task.spec is None:
        return
    then = after(seen(later, over.task.spec, over.task.status, over.secret))
    assert finished(then.task.status) == first
    assert then.task.status.credentials == []
    assert then.task.status.credential_generation == over.task.status.credential_generation


@LIVE
@given(observations())
def test_credential_counts_exactly_while_the_task_runs(facts: Observation):
    status = after(facts).task.status
    said = condition(status, ConditionType.FINISHED)
    issued = condition(status, ConditionType.CREDENTIAL_ISSUED)
    runs = said is not None and (said.status, said.reason) == ("False", "Running")
    assert bool(status.credentials) == runs
    assert (issued is not None and issued.status == "True") == runs


@LIVE
@given(observations())
def test_nothing_is_issued_in_doubt(facts: Observation):
    plan = decide(facts)
    if plan.issue is None:
        return
    spec = facts.task.spec
    assert spec is not None
    assert spec.state is DesiredState.ACTIVE
    assert facts.blocked is None
    assert not facts.task.deleting
    assert facts.failed_write is None or facts.failed_write.retry_at <= facts.now
    assert facts.secret.state is not SecretState.TAKEN
    assert not is_disabled(facts)
    assert (agent_gap(facts), overdue_review(facts), ceiling_breach(facts)) == (None, None, None)
    assert static_secret_gap(facts) is None
    assert not any(each.problem for each in facts.static_secrets)
    assert plan.issue.static_secrets == tuple(each.name for each in spec.static_secrets)
    assert plan.issue.generation > (facts.task.status.credential_generation or 0)
    pod = plan.issue.pod
    assert (pod is None) == (spec.workload is None)
    assert [each.uid for each in claimants(facts)] == ([] if pod is None else [pod.uid])
    if pod is not None and (
        facts.task.status.bound_pod is None or facts.task.status.bound_pod.uid != pod.uid
    ):
        assert mismatch(facts, pod) is None
        assert pod.scheduled
        assert lingering(facts) == []


@LIVE
@given(observations())
def test_copies_are_there_exactly_beside_a_credential_that_may_have_them(facts: Observation):
    status = after(facts).task.status
    copies = [each.name for each in status.static_secrets]
    assert not copies or status.credentials
    if copies and facts.task.spec is not None and facts.task.status_invalid is None:
        assert copies == [each.name for each in facts.task.spec.static_secrets]
        assert static_secret_gap(facts) is None
        assert ceiling_breach(facts) is None
        assert not any(each.problem for each in facts.static_secrets)


@LIVE
@given(observations())
def test_nothing_outlives_the_deadline(facts: Observation):
    status = after(facts).task.status
    if status.start_time is None or status.deadline is None or facts.task.spec is None:
        return
    spec = facts.task.spec
    assert status.deadline <= status.start_time + timedelta(seconds=spec.active_deadline_seconds)
    if not spec.credential.renew:
        assert status.deadline <= status.start_time + timedelta(seconds=spec.credential.ttl_seconds)
    assert all(each.not_after <= status.deadline for each in status.credentials)
    before = facts.task.status
    if before.start_time is not None:
        assert status.start_time == before.start_time
        assert status.deadline == (None if status.end_time else before.deadline)


@LIVE
@given(observations())
def test_earlier_credentials_count_on_only_beside_a_renewal(facts: Observation):
    order = decide(facts).issue
    status = after(facts).task.status
    if order is None or order.why not in BESIDE_EARLIER_ONES:
        assert {each.serial for each in status.credentials} <= {
            *(each.serial for each in facts.task.status.credentials),
            f"{status.credential_generation or 0:04x}",
        }
    if order is not None and order.why not in BESIDE_EARLIER_ONES:
        assert len(status.credentials) == 1


@LIVE
@given(observations())
def test_secret_does_not_stay_filled_for_a_task_without_credential(facts: Observation):
    facts = replace(facts, failed_write=None)
    for _ in range(4):
        facts = after(facts)
    if not facts.task.status.credentials:
        assert facts.secret.state is not SecretState.FILLED


@LIVE
@given(observations(), st.floats(0.001, 10_000))
def test_nothing_is_written_before_the_time_to_wake(facts: Observation, wait: float):
    for _ in range(5):
        facts = after(facts)
    plan = decide(facts)
    later = facts.now + timedelta(seconds=wait)
    if plan.wake_at is not None:
        later = min(later, plan.wake_at - timedelta(microseconds=1))
    if plan.secret is not SecretAction.NONE or plan.delete_task or later <= facts.now:
        return
    then = decide(replace(facts, now=later))
    assert (then.issue, then.secret, then.delete_task) == (None, SecretAction.NONE, False)
    assert then.report is not None
    assert then.report.status == facts.task.status
