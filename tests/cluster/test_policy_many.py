"""A change of policy over many running tasks keeps no new one waiting, and reaches all of them."""

from datetime import timedelta

from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.objects import task
from tests.cluster.policies import PERMIT_ALL, agent_policy

MANY = 240
AT_ONCE = 100
PATIENTLY = timedelta(seconds=120)
SELDOM = timedelta(seconds=1)
ONLY_NEW = f"""{PERMIT_ALL}@id("only-new")
forbid (principal, action, resource) unless {{ resource.purpose == "New" }};
"""
NEW = {"purpose": "New", "actions": ["orders:read"]}


def reasons(here: Kubectl) -> list[str]:
    """How all tasks stand."""
    return [story.standing(each) for each in here.list("agenttasks")]


def version(of: Object) -> int:
    """When it was written last, in the order of all writes."""
    return int(of["metadata"]["resourceVersion"])


def test_new_task_is_served_while_a_change_of_policy_is_carried_out(team: Kubectl) -> None:
    names = [f"task-{number:03d}" for number in range(MANY)]
    for first in range(0, MANY, AT_ONCE):
        team.create([task(name) for name in names[first : first + AT_ONCE]])
    wait_until(
        "all run",
        lambda: reasons(team),
        lambda seen: set(seen) == {"Running"},
        within=PATIENTLY,
        every=SELDOM,
    )

    team.apply(agent_policy(ONLY_NEW))
    wait_until("it is being carried out", lambda: reasons(team).count("Revoked"), within=PATIENTLY)
    team.create(task("new", intent=NEW))
    issued = story.runs(team, "new", PATIENTLY)
    wait_until(
        "all others are revoked",
        lambda: reasons(team),
        lambda seen: seen.count("Revoked") == MANY,
        within=PATIENTLY,
        every=SELDOM,
    )

    later = [each for each in team.list("agenttasks") if version(each) > version(issued)]
    assert later, "it was served when all others were done"
    wait_until(
        "only the new one has a Secret",
        lambda: [each["metadata"]["name"] for each in team.list("secrets")],
        lambda seen: seen == ["agentid-new"],
        within=PATIENTLY,
        every=SELDOM,
    )
