"""What is left to do when an AgentTask is gone: its Secret must go as well, and its end be told."""

from dataclasses import replace

from agentid.lifecycle.cleanup import clean_up
from agentid.lifecycle.model import (
    Departure,
    Observation,
    TaskFacts,
    WorkloadFacts,
    WorkloadState,
)
from agentid.lifecycle.plan import Plan


def decide_departure(departure: Departure) -> Plan:
    """Return how the Secret of a task that is gone is emptied and deleted.

    The plan has no report. It is done, and the departure can be forgotten, when its action is NONE and it has
    no `wake_at`.
    """
    left = clean_up(
        departure.secret,
        departure.pods,
        departure.now,
        departure.limits.wipe_grace,
        comes_back=False,
    )
    return Plan(
        rule="clean_up_after_task_is_gone",
        report=None,
        secret=left.action,
        wake_at=left.wake_at,
    )


def at_its_deletion(departure: Departure, task: TaskFacts) -> Observation:
    """Return what would have been observed of `task` had it stayed for a pass after it was deleted.

    Without a finalizer it does not stay, so nobody could write its end into it. The plan for this tells of
    that end as ever, and of none where the task had ended before.
    """
    return Observation(
        now=departure.now,
        task=replace(task, deleting=True),
        agent=None,
        pods=departure.pods,
        workload=WorkloadFacts(WorkloadState.NOT_NAMED),
        secret=departure.secret,
        limits=departure.limits,
    )
