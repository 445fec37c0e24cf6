"""The directory record of an Agent: who answers for it, how many tasks it has, its off switch for all."""

import time
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.objects import AGENT, agent, task
from tests.cluster.people import People, refusal

MANY = 60
LONG = timedelta(seconds=180)


def _counts(here: Kubectl) -> dict[str, int]:
    return dict(here.get("agent", AGENT).get("status", {}).get("tasks", {}))


def _writes_of_counts(cluster: ControlPlane, here: Kubectl) -> int:
    wheres = [event.get("objectRef", {}) for event in cluster.audit() if event["verb"] == "patch"]
    return sum(
        (each.get("resource"), each.get("subresource"), each.get("namespace"))
        == ("agents", "status", here.namespace)
        for each in wheres
    )


@pytest.mark.parametrize(
    ("left_out", "said"),
    [("owner", "spec.owner"), ("class", "spec.class")],
)
def test_agent_has_an_owner_and_a_class(kubectl: Kubectl, left_out: str, said: str) -> None:
    record = agent()
    del record["spec"][left_out]
    assert said in refusal(lambda: kubectl.create(record))


def test_recurring_agent_has_a_date_of_review(kubectl: Kubectl) -> None:
    assert "reviewBy" in refusal(lambda: kubectl.create(agent(**{"class": "Recurring"})))
    kubectl.create(agent(**{"class": "Recurring", "reviewBy": "2037-05-31T00:00:00Z"}))


def test_status_counts_tasks_in_a_few_writes(team: Kubectl, cluster: ControlPlane) -> None:
    began = time.monotonic()
    team.create([task(f"t{number}") for number in range(30)])
    team.create(task("waits", workload={}))
    for number in range(10):
        story.runs(team, f"t{number}")
        team.patch("agenttask", f"t{number}", {"spec": {"state": "Ended"}})

    wanted = {"waiting": 1, "live": 20, "recent": 10}
    wait_until("the Agent's status counts them", lambda: _counts(team), lambda seen: seen == wanted)
    rounds = (time.monotonic() - began) / 10 + 1
    assert 1 <= _writes_of_counts(cluster, team) <= rounds


@pytest.mark.parametrize("person", ["tenant", "stranger"])
def test_nobody_else_writes_the_numbers(people: People, person: str) -> None:
    people.admin.create(agent())
    numbers = {"status": {"tasks": {"waiting": 0, "live": 0, "recent": 0}}}
    said = refusal(lambda: people.named(person).patch("agent", AGENT, numbers, "--subresource=status"))
    assert "the status of an Agent is written by" in said


def test_switching_an_agent_off_ends_all_its_tasks_now(team: Kubectl) -> None:
    team.create([task(f"t{number}") for number in range(MANY)])
    wait_until("all run", lambda: story.standings(team), lambda seen: seen == {"Running": MANY}, within=LONG)

    team.patch("agent", AGENT, {"spec": {"disabled": True}})
    wait_until("all end", lambda: story.standings(team), lambda seen: seen == {"Revoked": MANY}, within=LONG)
    wait_until("no Secret is left", lambda: team.list("secrets"), lambda left: left == [], within=LONG)

    message = story.conditions(team.get("agenttask", "t0"))["Finished"]["message"]
    assert message == f"Agent {team.namespace}/{AGENT} is switched off (spec.disabled)"
    team.create(task("later"))
    denied = story.stands(team, "Denied", "later")
    assert story.serials(denied) == []
