"""The decision point beside a running operator: a live task may be used, and an ended one is refused."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.gate_process import AUDIENCE, GateProcess
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.deciding import PROMPTLY, answered, end, question, running, settings_for
from tests.cluster.objects import ACCOUNT, POD, agent


@pytest.fixture
def gate(cluster: ControlPlane, gate_kubeconfig: Path, asking_team: Kubectl) -> Iterator[GateProcess]:
    made = GateProcess(cluster, gate_kubeconfig, settings_for(asking_team.namespace))
    made.start()
    yield made
    made.terminate()


def suspend(here: Kubectl) -> None:
    here.patch("agenttask", "refund-4711", {"spec": {"state": "Suspended"}}, "--type=merge")


ENDS: dict[str, Callable[[Kubectl], object]] = {
    "Ended": end,
    "Suspended": suspend,
    "deleted": lambda here: here.delete("agenttask", "refund-4711", "--wait=false"),
    "pod finished": lambda here: playing.finish(here, POD),
    "Agent disabled": lambda here: here.apply(agent(disabled=True)),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_live_task_may_be_used_and_an_ended_one_is_refused(
    asking_team: Kubectl, gate: GateProcess, asker_token: str, how: str
) -> None:
    asked = question(running(asking_team))
    answered(lambda: gate.ask(asker_token, asked), "Allowed")
    assert gate.ask(asker_token, {**asked, "action": {"name": "orders:write"}})[1]["decision"] is False

    ENDS[how](asking_team)

    wait_until(
        "the ended task is refused",
        lambda: gate.ask(asker_token, asked),
        lambda seen: seen[1]["decision"] is False,
        within=PROMPTLY,
    )
    story.secret_gone_or_empty(asking_team)
    assert not gate.ask(asker_token, asked)[1]["decision"]


def test_nobody_asks_with_a_token_for_somebody_else(asking_team: Kubectl, gate: GateProcess) -> None:
    asked = question(running(asking_team))
    for_the_api_server = asking_team("create", "token", ACCOUNT).strip()
    of_another = asking_team("create", "token", "default", f"--audience={AUDIENCE}").strip()

    assert [gate.ask(each, asked)[0] for each in (for_the_api_server, of_another, "x")] == [401] * 3


def test_a_forbid_of_use_is_in_force_without_the_operator_having_a_say(
    asking_team: Kubectl, gate: GateProcess, asker_token: str
) -> None:
    asked = question(running(asking_team))
    answered(lambda: gate.ask(asker_token, asked), "Allowed")
    cedar = 'permit(principal, action, resource);\nforbid(principal, action == Action::"use", resource);'
    policy = {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "AgentPolicy",
        "metadata": {"name": "own"},
        "spec": {"cedar": cedar},
    }

    asking_team.apply(policy)

    answered(lambda: gate.ask(asker_token, asked), "PolicyDenied")
    asking_team.delete("agentpolicy", "own")
    answered(lambda: gate.ask(asker_token, asked), "Allowed")


def test_an_operator_that_shows_no_life_lets_the_decision_point_deny(
    asking_team: Kubectl, gate: GateProcess, asker_token: str, beating: OperatorProcess
) -> None:
    asked = question(running(asking_team))
    answered(lambda: gate.ask(asker_token, asked), "Allowed")

    beating.kill()

    answered(lambda: gate.ask(asker_token, asked), "StaleView")
