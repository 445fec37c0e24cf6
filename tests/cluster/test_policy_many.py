"""A change of policy over many running tasks keeps no new one waiting, and reaches all of them."""

from datetime import timedelta

from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT
from devcluster.kubectl import Kubectl
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.objects import task
from tests.cluster.policies import PERMIT_ALL, agent_policy

OPERATOR = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
MANY = 300
AT_ONCE = 100
PATIENTLY = timedelta(seconds=120)
ONLY_NEW = f"""{PERMIT_ALL}@id("only-new")
forbid (principal, action, resource) unless {{ resource.purpose == "New" }};
"""
NEW = {"purpose": "New", "actions": ["orders:read"]}


def reasons(here: Kubectl) -> list[str]:
    """How all tasks stand."""
    return [story.standing(each) for each in here.list("agenttasks")]


def statuses_written(cluster: ControlPlane, here: Kubectl) -> list[tuple[str, str]]:
    """Of which task each status was written, and how it stood then, in order."""
    found = []
    for event in cluster.audit(user=OPERATOR):
        where = event.get("objectRef", {})
        is_status = (where.get("resource"), where.get("subresource")) == ("agenttasks", "status")
        if is_status and where.get("namespace") == here.namespace and event["responseStatus"]["code"] < 300:
            found.append((where["name"], story.standing(event["responseObject"])))
    return found


def test_new_task_is_served_while_a_change_of_policy_is_carried_out(
    team: Kubectl, cluster: ControlPlane
) -> None:
    names = [f"task-{number:03d}" for number in range(MANY)]
    for first in range(0, MANY, AT_ONCE):
        team.create([task(name) for name in names[first : first + AT_ONCE]])
    wait_until("all run", lambda: reasons(team), lambda seen: set(seen) == {"Running"}, within=PATIENTLY)

    team.apply(agent_policy(ONLY_NEW))
    wait_until("it is being carried out", lambda: reasons(team).count("Revoked"), within=PATIENTLY)
    team.create(task("new", intent=NEW))
    story.runs(team, "new", PATIENTLY)
    wait_until(
        "all others are revoked",
        lambda: reasons(team),
        lambda seen: seen.count("Revoked") == MANY,
        within=PATIENTLY,
    )

    written = statuses_written(cluster, team)
    issued = written.index(("new", "Running"))
    assert {name for name, standing in written if standing == "Revoked"} == {*names}
    later = [name for name, standing in written[issued:] if standing == "Revoked"]
    assert later, "it was served when all others were done"
    for name in names:
        story.secret_gone(team, name, PATIENTLY)
