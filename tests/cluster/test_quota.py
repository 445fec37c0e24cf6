"""A namespace and an Agent have only so many active tasks at once; the others wait, say why, and go on."""

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.objects import AGENT, agent, task

_LABEL = "agentid.dev/max-active-tasks"


def _label(cluster: ControlPlane, here: Kubectl, value: str | None) -> None:
    cluster.kubectl.patch("namespace", here.namespace, {"metadata": {"labels": {_LABEL: value}}})


def _standing(here: Kubectl) -> dict[str, str]:
    return {each["metadata"]["name"]: story.standing(each) for each in here.list("agenttasks")}


def _count(here: Kubectl, standing: str) -> int:
    return list(_standing(here).values()).count(standing)


def _end(here: Kubectl, name: str) -> None:
    here.patch("agenttask", name, {"spec": {"state": "Ended"}})


def test_namespace_has_so_many_active_tasks_and_the_next_begins_when_one_ends(
    team: Kubectl, cluster: ControlPlane
) -> None:
    _label(cluster, team, "2")
    for name in ("one", "two"):
        team.create(task(name))
        story.runs(team, name)
    team.create(task("three"))

    waiting = story.stands(team, "AwaitingQuota", "three")
    said = story.conditions(waiting)["Finished"]["message"]
    assert said.startswith(f"namespace {team.namespace} has as many active tasks as it may have at once: 2 ")
    assert story.conditions(waiting)["Approved"]["status"] == "True"
    assert story.serials(waiting) == []
    assert [each.reason for each in story.told(team, waiting, at_least=1)] == ["AwaitingQuota"]

    _end(team, "one")
    story.runs(team, "three")
    story.runs(team, "two")


def test_many_at_once_are_never_more_than_may_be_and_all_have_their_turn(
    team: Kubectl, cluster: ControlPlane
) -> None:
    names = [f"t{number}" for number in range(24)]
    _label(cluster, team, "4")
    team.create(task("first"))
    story.runs(team, "first")
    _end(team, "first")
    team.create([task(name) for name in names])

    ended: set[str] = set()
    while len(ended) < len(names):
        running = wait_until(
            "four others run",
            lambda: [name for name, standing in _standing(team).items() if standing == "Running"],
            lambda now: len(set(now) - ended) == 4,
        )
        assert len(running) == 4
        for name in running:
            _end(team, name)
        ended.update(running)


def test_suspended_task_keeps_its_place(team: Kubectl, cluster: ControlPlane) -> None:
    _label(cluster, team, "1")
    team.create(task("one"))
    story.runs(team, "one")
    team.patch("agenttask", "one", {"spec": {"state": "Suspended"}})
    story.stands(team, "Suspended", "one")
    team.create(task("two"))
    story.stands(team, "AwaitingQuota", "two")

    team.patch("agenttask", "one", {"spec": {"state": "Active"}})
    story.runs(team, "one")
    team.delete("agenttask", "one")
    story.runs(team, "two")


def test_an_agents_own_limit_is_not_its_namespaces(team: Kubectl) -> None:
    team.apply(agent(maxActiveTasks=1))
    team.create(agent("other-agent"))
    team.create(task("one"))
    story.runs(team, "one")
    team.create([task("two"), task("others", agentRef={"name": "other-agent"})])

    story.runs(team, "others")
    waiting = story.stands(team, "AwaitingQuota", "two")
    said = story.conditions(waiting)["Finished"]["message"]
    assert said.startswith(f"Agent {team.namespace}/{AGENT} has as many active tasks")

    team.apply(agent(maxActiveTasks=2))
    story.runs(team, "two")


def test_label_that_is_no_number_lets_nothing_begin_and_taking_it_off_does(
    team: Kubectl, cluster: ControlPlane
) -> None:
    _label(cluster, team, "many")
    team.create(task("one"))
    waiting = story.stands(team, "AwaitingQuota", "one")
    assert "is not a number" in story.conditions(waiting)["Finished"]["message"]

    _label(cluster, team, None)
    story.runs(team, "one")


def test_limit_holds_across_a_restart(
    team: Kubectl, cluster: ControlPlane, operator: OperatorProcess
) -> None:
    _label(cluster, team, "1")
    team.create(task("one"))
    story.runs(team, "one")
    team.create(task("two"))
    story.stands(team, "AwaitingQuota", "two")

    operator.kill()
    operator.start()
    operator.wait_ready()
    team.create(task("three"))
    story.stands(team, "AwaitingQuota", "three")
    assert _count(team, "Running") == 1

    _end(team, "one")
    wait_until("the next runs", lambda: _count(team, "Running"), lambda running: running == 1)
