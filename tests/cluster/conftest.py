"""A real control plane with the chart, once a session, and a namespace in which an agent may work."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from agentid.api.names import HEARTBEAT
from devcluster.controlplane import ControlPlane
from devcluster.gate_process import AUDIENCE
from devcluster.install import (
    GATE_ACCOUNT,
    GATE_IS_A_PROCESS,
    NAMESPACE,
    install_chart,
    operator_kubeconfig,
)
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.cluster import ledgers, playing
from tests.cluster.families import child
from tests.cluster.foreign_answers import nothing_foreign_answered
from tests.cluster.given_rights import accepted, give, on_tasks
from tests.cluster.in_force import wait_until_in_force, wait_until_stamped
from tests.cluster.objects import ACCOUNT, NODE, agent, task
from tests.cluster.people import STRANGER, People, everybody, give_every_right
from tests.laying_out import clear_workloads, make_agent


@pytest.fixture(scope="session")
def cluster() -> Iterator[ControlPlane]:
    """A control plane with `charts/agentid` installed, its admission rules in force.

    At the end of the session, whatever its tests did, no answer to the operator has held another's data, and
    the ledger tells of nothing that should not have been.
    """
    with (
        ControlPlane.start() as control_plane,
        nothing_foreign_answered(control_plane),
        ledgers.nothing_found(control_plane),
    ):
        install_chart(control_plane)
        wait_until_in_force(control_plane.kubectl)
        wait_until_stamped(control_plane.kubectl, "default")
        yield control_plane


@pytest.fixture(scope="session")
def node(cluster: ControlPlane) -> str:
    """A node to which pods are bound, and on which tests say what happens."""
    playing.make_node(cluster.kubectl)
    return NODE


@pytest.fixture
def place(kubectl: Kubectl, node: str) -> Iterator[Kubectl]:
    """The test's namespace with an Agent and its service account; nobody says that an operator runs."""
    assert node
    make_agent(kubectl)
    yield kubectl
    clear_workloads(kubectl)


@pytest.fixture
def team(place: Kubectl, operator: OperatorProcess) -> Kubectl:
    """The test's namespace with an Agent and its service account, and an operator that is ready."""
    assert operator.alive()
    return place


@pytest.fixture(scope="session")
def people_of(cluster: ControlPlane) -> Callable[[str], People]:
    """Whom admission tests act as in a given namespace, with every right that RBAC can give."""
    give_every_right(cluster.kubectl)
    return partial(everybody, cluster.kubectl)


@pytest.fixture
def people(people_of: Callable[[str], People], namespace: str) -> People:
    """Whom admission tests act as in the test's namespace."""
    return people_of(namespace)


@pytest.fixture
def wide(team: Kubectl) -> Kubectl:
    """A namespace whose Agent may do all that the tests ask for."""
    team.apply(agent(actions=["orders:*", "refunds:create"], maxActiveDeadlineSeconds=3600))
    return team


@pytest.fixture
def delegates(wide: Kubectl, people: People) -> Kubectl:
    """The stranger, who has the verb delegate on all tasks of the namespace."""
    give(wide, STRANGER, on_tasks("delegate"))
    probe = wide.create(task("probe", state="Suspended"))
    accepted(lambda: people.stranger.create(child(probe, "probed"), "--dry-run=server"))
    wide.delete("agenttask", "probe")
    return people.stranger


@pytest.fixture
def beating(
    operator_of_session: OperatorProcess, no_operator: None, admin: Kubectl
) -> Iterator[OperatorProcess]:
    """The operator of the session, which shows that it lives; afterwards both are gone."""
    assert no_operator is None
    operator_of_session.start({"AGENTID_HEARTBEAT": "true", "AGENTID_RESYNC_SECONDS": "5"})
    yield operator_of_session
    if operator_of_session.alive():
        operator_of_session.terminate()
    admin.in_namespace(NAMESPACE).delete("agenttask", HEARTBEAT, "--ignore-not-found")


@pytest.fixture
def asking_team(place: Kubectl, beating: OperatorProcess) -> Kubectl:
    """The test's namespace with an Agent and its account, and an operator that shows that it lives."""
    assert beating.alive()
    return place


@pytest.fixture(scope="module")
def gate_kubeconfig(cluster: ControlPlane) -> Iterator[Path]:
    """With what a decision point reaches the API server: its own account, with the chart's rights."""
    install_chart(cluster, {"gate": GATE_IS_A_PROCESS})
    wait_until_in_force(cluster.kubectl)
    yield operator_kubeconfig(cluster, "gate", GATE_ACCOUNT)
    install_chart(cluster)
    wait_until_in_force(cluster.kubectl)


@pytest.fixture
def asker_token(asking_team: Kubectl) -> str:
    """The token that an enforcement point shows: of the agent's own account, for the decision point."""
    return asking_team("create", "token", ACCOUNT, f"--audience={AUDIENCE}").strip()
