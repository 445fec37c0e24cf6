"""The directory record of an Agent: who answers for it, how many tasks it has, its off switch for all."""

import time
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.objects import AGENT, agent, task
from tests.cluster.people import People, refusal

MANY = 1000
AT_ONCE = 100


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


def test_switching_an_agent_off_ends_a_thousand_tasks_now(team: Kubectl) -> None:
    names = [f"t{number}" for number in range(MANY)]
    for first in range(0, MANY, AT_ONCE):
        team.create([task(name) for name in names[first : first + AT_ONCE]])
    long = timedelta(seconds=180)
    wait_until("all run", lambda: _standings(team), lambda seen: seen == {"Running": MANY}, within=long)

    began = time.monotonic()
    team.patch("agent", AGENT, {"spec": {"disabled": True}})
    wait_until("all are over", lambda: _standings(team), lambda seen: seen == {"Revoked": MANY}, within=long)
    over = time.monotonic() - began
    wait_until("no Secret is left", lambda: len(team.list("secrets")), lambda left: left == 0, within=long)
    gone = time.monotonic() - began
    print(f"\n{MANY} tasks are over after {over:.1f} s, and no Secret is left after {gone:.1f} s")  # noqa: T201 - what it took

    message = story.conditions(team.get("agenttask", names[0]))["Finished"]["message"]
    assert message == f"Agent {team.namespace}/{AGENT} is switched off (spec.disabled)"
    team.create(task("later"))
    denied = story.stands(team, "Denied", "later")
    assert story.serials(denied) == []


def _standings(here: Kubectl) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in here.list("agenttasks"):
        _count(found, each)
    return found


def _count(found: dict[str, int], each: Object) -> None:
    standing = story.standing(each)
    found[standing] = found.get(standing, 0) + 1
