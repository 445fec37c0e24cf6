"""The cluster's own layer, in a cluster in which nothing is installed that allows anything."""

from collections.abc import Iterator

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.install import install_chart
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing, story
from tests.cluster.foreign_answers import nothing_foreign_answered
from tests.cluster.in_force import wait_until_in_force, wait_until_stamped
from tests.cluster.objects import ANY_POD, TASK, pod, task
from tests.cluster.policies import (
    PERMIT_ALL,
    accepted,
    agent_policy,
    cluster_policy,
    refused,
    revoked,
    says,
    waits,
)
from tests.laying_out import clear_workloads, make_agent

NOTHING = "No ClusterAgentPolicy is installed, so nothing is allowed. Have the platform team apply one;"
INTENT = {"purpose": "Refund everything", "actions": ["orders:read"]}
SMALL = '@id("small") permit (principal, action, resource) when { resource.purpose like "*4711*" };\n'


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """A control plane with the chart, and no policy."""
    with ControlPlane.start() as control_plane, nothing_foreign_answered(control_plane):
        install_chart(control_plane, policy=None)
        wait_until_in_force(control_plane.kubectl)
        wait_until_stamped(control_plane.kubectl, "default")
        playing.make_node(control_plane.kubectl)
        yield control_plane


@pytest.fixture(scope="module")
def deciding(cluster: ControlPlane) -> Iterator[OperatorProcess]:
    """The operator of this cluster."""
    process = OperatorProcess(cluster, "deciding")
    process.start()
    yield process
    if process.alive():
        process.terminate()


@pytest.fixture
def here(admin: Kubectl, kubectl: Kubectl, deciding: OperatorProcess) -> Iterator[Kubectl]:
    """The test's namespace with an Agent, in a cluster without any policy."""
    assert deciding.alive()
    admin("delete", "clusteragentpolicies", "--all")
    make_agent(kubectl)
    yield kubectl
    clear_workloads(kubectl)
    admin("delete", "clusteragentpolicies", "--all")


def test_without_any_policy_nothing_is_issued_and_the_task_says_what_to_install(
    here: Kubectl, admin: Kubectl
) -> None:
    here.create([task(**ANY_POD), pod()])

    waiting = waits(here, TASK, "AwaitingPolicy", NOTHING)
    assert "deploy/policies/default.cedar" in says(waiting)
    assert story.conditions(waiting)["Stalled"]["status"] == "True"
    (event,) = story.told(here, waiting)
    assert (event.reason, event.kind) == ("PolicyDenied", "Warning")
    assert NOTHING in event.note
    assert here.find("secret", f"agentid-{TASK}") is None
    # The namespace's own does not help.
    accepted(here, agent_policy(PERMIT_ALL))
    here.create(task("next"))
    waits(here, "next", "AwaitingPolicy", NOTHING)
    accepted(admin, cluster_policy(PERMIT_ALL))

    story.runs(here)
    assert says(story.runs(here, "next")) == "allowed by ClusterAgentPolicy/cluster, AgentPolicy/refunds"


def test_deleting_the_last_policy_of_the_cluster_ends_what_runs(here: Kubectl, admin: Kubectl) -> None:
    accepted(admin, cluster_policy(PERMIT_ALL))
    here.create(task())
    story.runs(here)

    admin.delete("clusteragentpolicy", "cluster")

    revoked(here, TASK, NOTHING)


def test_policy_of_a_namespace_widens_nothing(here: Kubectl, admin: Kubectl) -> None:
    accepted(admin, cluster_policy(SMALL))
    accepted(here, agent_policy(PERMIT_ALL))
    here.create([task(), task("other", intent=INTENT)])

    story.runs(here)
    waits(here, "other", "AwaitingPolicy", "No rule of ClusterAgentPolicy/cluster permits it.")


def test_policies_of_the_cluster_are_one_layer(here: Kubectl, admin: Kubectl) -> None:
    accepted(admin, cluster_policy(SMALL))
    accepted(admin, cluster_policy(SMALL.replace("4711", "everything"), "more"))
    here.create([task(), task("other", intent=INTENT)])

    assert says(story.runs(here)) == "allowed by ClusterAgentPolicy/cluster"
    assert says(story.runs(here, "other")) == "allowed by ClusterAgentPolicy/more"


def test_invalid_policy_of_the_cluster_is_told_and_the_text_before_stays_in_force(
    here: Kubectl, admin: Kubectl, deciding: OperatorProcess
) -> None:
    accepted(admin, cluster_policy(SMALL))
    found = refused(admin, cluster_policy("permit (principal, action, resource) when { resource.nope };\n"))
    message = story.conditions(found)["Accepted"]["message"]
    assert message.startswith("ClusterAgentPolicy/cluster: line 1, column 54")
    events = story.told(admin.in_namespace("default"), found, at_least=2)
    assert [(each.reason, each.kind) for each in events] == [
        ("PolicyAccepted", "Normal"),
        ("PolicyRefused", "Warning"),
    ]
    deciding.restart()
    here.create([task(), task("other", intent=INTENT)])

    story.runs(here)
    waits(here, "other", "AwaitingPolicy", "No rule of ClusterAgentPolicy/cluster permits it.")
