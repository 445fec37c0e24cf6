"""kill -9 while a policy's status is written, and in the midst of carrying a change of policy out."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.cluster import leases, policies, story
from tests.cluster.intercepting import Interceptor, Trap
from tests.cluster.objects import TASK, task
from tests.cluster.policies import PERMIT_ALL, agent_policy, waits

STATUS = ("PATCH", r".*/agentpolicies/refunds/status")
FROZEN = f'{PERMIT_ALL}@id("frozen")\nforbid (principal, action, resource);\n'
INVALID = "permit (principal, action, resource) when { resource.nope };\n"
BY_FROZEN = 'AgentPolicy/refunds, rule "frozen" forbids it.'
SLOWLY = timedelta(seconds=60)
NAMES = ("one", "two", "three")

when = pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])


@pytest.fixture(scope="module")
def interceptor(cluster: ControlPlane, operator_of_session: OperatorProcess) -> Iterator[Interceptor]:
    """The operator's way to the API server, and the operator on it."""
    proxy = Interceptor(cluster, operator_of_session.kubeconfig)
    with proxy.running():
        leases.begin_anew(operator_of_session, proxy.environment)
        yield proxy
        operator_of_session.terminate()


@pytest.fixture
def mortal(place: Kubectl, operator_of_session: OperatorProcess, interceptor: Interceptor) -> OperatorProcess:
    """The operator, on its way through the interceptor, in a namespace with an Agent."""
    assert place.namespace
    if not operator_of_session.alive():
        leases.begin(operator_of_session, interceptor.environment)
    return operator_of_session


def killed_at(
    mortal: OperatorProcess, interceptor: Interceptor, request: tuple[str, str], *, answered: bool
) -> Trap:
    """Have the operator killed at the next such request."""
    trap = Trap(*request, answered=answered, spring=mortal.kill)
    interceptor.set(trap)
    return trap


@when
def test_killed_while_it_writes_that_a_policy_is_accepted(
    *, place: Kubectl, mortal: OperatorProcess, interceptor: Interceptor, answered: bool
) -> None:
    trap = killed_at(mortal, interceptor, STATUS, answered=answered)
    place.apply(agent_policy(FROZEN))
    place.create(task())
    trap.wait()

    leases.begin(mortal, interceptor.environment)

    found = policies.stands(place, agent_policy(FROZEN), "True", SLOWLY)
    assert found["status"]["accepted"]["cedar"] == FROZEN
    waits(place, TASK, "AwaitingPolicy", BY_FROZEN)


@when
def test_killed_while_it_writes_that_a_policy_is_refused(
    *, place: Kubectl, mortal: OperatorProcess, interceptor: Interceptor, answered: bool
) -> None:
    before = policies.accepted(place, agent_policy(FROZEN))
    trap = killed_at(mortal, interceptor, STATUS, answered=answered)
    place.apply(agent_policy(INVALID))
    trap.wait()

    leases.begin(mortal, interceptor.environment)

    found = policies.stands(place, agent_policy(INVALID), "False", SLOWLY)
    assert found["status"]["accepted"] == before["status"]["accepted"]
    place.create(task())
    waits(place, TASK, "AwaitingPolicy", BY_FROZEN)


@when
@pytest.mark.parametrize("write", ["status", "secret"])
def test_killed_in_the_midst_of_a_change_of_policy(
    *, place: Kubectl, mortal: OperatorProcess, interceptor: Interceptor, write: str, answered: bool
) -> None:
    place.create([task(name) for name in NAMES])
    for name in NAMES:
        story.runs(place, name)
    path = r".*/agenttasks/two/status" if write == "status" else r".*/secrets/agentid-two"
    trap = killed_at(
        mortal, interceptor, ("PATCH" if write == "status" else "DELETE", path), answered=answered
    )
    place.apply(agent_policy(FROZEN))
    trap.wait()

    leases.begin(mortal, interceptor.environment)

    policies.stands(place, agent_policy(FROZEN), "True", SLOWLY)
    for name in NAMES:
        over = story.ends(place, "Revoked", name, SLOWLY)
        assert BY_FROZEN in story.conditions(over)["Finished"]["message"]
        story.secret_gone(place, name, SLOWLY)
