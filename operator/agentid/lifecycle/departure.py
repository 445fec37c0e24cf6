"""What is left to do when an AgentTask is gone: its Secret must go as well."""

from agentid.lifecycle.cleanup import clean_up
from agentid.lifecycle.model import Departure, Plan


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
