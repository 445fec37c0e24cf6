"""An emergency gets one short credential without anybody's approval, and everybody is told."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from tests.cluster import story
from tests.cluster.given_rights import accepted, give, on_tasks
from tests.cluster.objects import TASK, task
from tests.cluster.people import TENANT, People, refusal

WHY = {"justification": "The payment provider is down and orders pile up."}
SHORT = {"renew": False, "ttlSeconds": 30}
NOBODY = "forbid (principal, action, resource);\n"
NO_EMERGENCY = """permit (principal, action, resource);
@id("never") forbid (principal, action, resource)
when { context.breakGlass && resource.namespace == "%s" };
"""


def emergency(name: str = TASK) -> Object:
    return task(name, breakGlass=WHY, credential=SHORT)


@pytest.fixture
def on_call(team: Kubectl, people: People) -> Kubectl:
    """The tenant, who has the verb breakglass on the task."""
    give(team, TENANT, on_tasks("breakglass", TASK))
    accepted(partial(people.tenant.create, emergency(), "--dry-run=server"))
    return people.tenant


@pytest.fixture
def closed(team: Kubectl) -> Iterator[Kubectl]:
    """The namespace, whose own policy forbids everything."""
    spec = {"cedar": NOBODY}
    own = {"apiVersion": "agentid.dev/v1alpha1", "kind": "AgentPolicy", "metadata": {"name": "closed"}}
    team.create(own | {"spec": spec})
    team.wait_for("agentpolicy", "closed", lambda seen: "accepted" in seen.get("status", {}))
    yield team
    team.delete("agentpolicy", "closed")


def test_emergency_is_issued_once_told_marked_counted_and_ends(
    closed: Kubectl, on_call: Kubectl, operator: OperatorProcess
) -> None:
    closed.create(task("ordinary"))
    story.stands(closed, "AwaitingPolicy", "ordinary")
    before = operator.metric("agentid_break_glass_total")

    on_call.create(emergency())

    running = story.runs(closed)
    assert running["status"]["decision"]["breakGlass"] is True
    (told,) = story.told(closed, running)
    assert (told.reason, told.kind) == ("BreakGlassUsed", "Warning")
    assert WHY["justification"] in told.note
    assert operator.metric("agentid_break_glass_total") == before + 1
    said = refusal(lambda: on_call.patch("agenttask", TASK, {"spec": {"intent": {"purpose": "More"}}}))
    assert "can't be changed" in said
    over = closed.wait_for(
        "agenttask", TASK, story.is_finished, timedelta(seconds=60), "the emergency is over"
    )
    assert story.standing(over) == "Expired"
    assert over["status"]["credentialGeneration"] == 1
    story.secret_gone_or_empty(closed)
    lines = [
        each
        for each in operator.log_lines()
        if each.get("event") == "record" and each.get("uid") == over["metadata"]["uid"]
    ]
    assert [(each["kind"], each["break_glass"]) for each in lines] == [("issued", True), ("ended", True)]
    assert {each["justification"] for each in lines} == {WHY["justification"]}


def test_the_cluster_has_to_allow_an_emergency(team: Kubectl, on_call: Kubectl) -> None:
    cedar = NO_EMERGENCY % team.namespace
    never = {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "ClusterAgentPolicy",
        "metadata": {"name": "never"},
    }
    team.apply(never | {"spec": {"cedar": cedar}})
    try:
        team.wait_for("clusteragentpolicy", "never", lambda seen: "accepted" in seen.get("status", {}))
        on_call.create(emergency())
        refused = story.stands(team, "AwaitingPolicy")
        assert 'ClusterAgentPolicy/never, rule "never" forbids it.' in str(
            story.conditions(refused)["Finished"]["message"]
        )
        assert story.serials(refused) == []
    finally:
        team.delete("clusteragentpolicy", "never")
