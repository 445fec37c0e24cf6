"""What happened while no operator ran is seen by the next one; among quiet tasks it writes nothing."""

from collections.abc import Callable, Iterator

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import leases, playing, story
from tests.cluster.families import NARROW, TOP, all_end, child, line_of, was_given
from tests.cluster.objects import AGENT, ANY_POD, POD, TASK, job, pod, task, task_of_job
from tests.cluster.operator_writes import writes

TAKEN_AWAY = ("suspended", "ended")
"""Tasks whose Secret is empty, and there for their pod, which lives."""


def finish_the_pod(here: Kubectl) -> None:
    playing.finish(here, POD)


def delete_the_pod(here: Kubectl) -> None:
    playing.remove(here, POD)


def add_a_second_pod(here: Kubectl) -> None:
    here.create(pod("intruder"))


def change_the_pod(here: Kubectl) -> None:
    image = {"op": "replace", "path": "/spec/containers/0/image", "value": "agent:2"}
    here.patch("pod", POD, [image], kind_of_patch="json")


def switch_the_agent_off(here: Kubectl) -> None:
    here.patch("agent", AGENT, {"spec": {"disabled": True}})


def delete_the_agent(here: Kubectl) -> None:
    here.delete("agent", AGENT)


def end_the_task(here: Kubectl) -> None:
    here.patch("agenttask", TASK, {"spec": {"state": "Ended"}})


@pytest.fixture(scope="module")
def with_short_lease(operator_of_session: OperatorProcess) -> Iterator[OperatorProcess]:
    leases.begin_anew(operator_of_session)
    yield operator_of_session
    operator_of_session.terminate()


@pytest.fixture
def killed(with_short_lease: OperatorProcess) -> OperatorProcess:
    """The operator, at work with a short lease, about to be killed."""
    if not with_short_lease.alive():
        leases.begin(with_short_lease)
    return with_short_lease


MISSED: dict[str, tuple[Callable[[Kubectl], None], str]] = {
    "pod finished": (finish_the_pod, "Completed"),
    "pod deleted": (delete_the_pod, "PodDeleted"),
    "second pod": (add_a_second_pod, "SecondPod"),
    "pod changed": (change_the_pod, "PodChanged"),
    "agent disabled": (switch_the_agent_off, "Revoked"),
    "agent deleted": (delete_the_agent, "Revoked"),
    "state ended": (end_the_task, "Ended"),
}


@pytest.mark.parametrize("missed", MISSED)
def test_end_that_came_while_no_operator_ran_is_not_lost(
    place: Kubectl, killed: OperatorProcess, missed: str
) -> None:
    team, (happen, reason) = place, MISSED[missed]
    team.create([task(**ANY_POD), pod()])
    story.runs(team)
    killed.kill()
    happen(team)

    leases.begin(killed)

    story.ends(team, reason)
    story.secret_gone_or_empty(team)


BEFALLS: dict[str, tuple[Object | None, tuple[str, ...]]] = {
    "ended": ({"state": "Ended"}, ("ParentEnded",)),
    "deleted": (None, ("ParentEnded",)),
    "narrowed": ({"intent": {**NARROW, "grantable": None}}, ("Revoked", "ParentEnded")),
    "suspended": ({"state": "Suspended"}, ()),
}
"""What becomes of the uppermost task, and as what all below it end by that, if they do."""


@pytest.mark.parametrize("how", BEFALLS)
def test_what_befalls_a_family_while_no_operator_ran_reaches_every_descendant(
    killed: OperatorProcess, wide: Kubectl, delegates: Kubectl, how: str
) -> None:
    names, (change, reasons) = line_of(wide, delegates), BEFALLS[how]
    killed.kill()
    if change is None:
        wide.delete("agenttask", TOP)
    else:
        wide.patch("agenttask", TOP, {"spec": change})
    delegates.create(child(wide.get("agenttask", names[1]), "late"))

    leases.begin(killed)

    if reasons:
        all_end(wide, names[1:], *reasons)
        story.ends(wide, "ParentEnded", "late")
    else:
        for name in names:
            assert story.serials(story.stands(wide, "Suspended", name)) == []
            story.secret_gone_or_empty(wide, name)
        story.stands(wide, "Suspended", "late")
    assert not was_given(wide.get("agenttask", "late"))
    assert wide.find("secret", "agentid-late") is None


def test_job_that_ended_while_no_operator_ran_ends_its_task(team: Kubectl, operator: OperatorProcess) -> None:
    team.create([task_of_job(), job(), task_of_job("gone"), job("gone", of="gone")])
    story.runs(team)
    story.runs(team, "gone")
    operator.terminate()
    playing.finish(team, playing.pod_of_job(team))
    team("wait", "--for=condition=Complete", f"job/{TASK}", "--timeout=20s")
    team("delete", "job", "gone", "--cascade=background")

    operator.start()

    story.ends(team, "Completed")
    story.secret_gone(team)
    story.ends(team, "WorkloadDeleted", "gone")
    story.secret_gone_or_empty(team, "gone")


def test_task_deleted_while_no_operator_ran_leaves_no_key_in_its_pod(
    team: Kubectl, operator: OperatorProcess
) -> None:
    team.create([task(**ANY_POD), pod(), task("unbound")])
    story.runs(team)
    story.runs(team, "unbound")
    playing.start(team, POD)
    operator.terminate()
    team("delete", "agenttask", TASK, "unbound")

    operator.start()

    story.secret_emptied(team)
    story.secret_gone(team, "unbound")
    playing.remove(team, POD)
    story.secret_gone(team)


def test_task_made_while_no_operator_ran_is_issued(team: Kubectl, operator: OperatorProcess) -> None:
    operator.terminate()
    team.create([task(**ANY_POD), pod()])

    operator.start()

    story.runs(team)


def test_restart_among_quiet_tasks_writes_nothing_and_changes_nothing(
    team: Kubectl, operator: OperatorProcess, cluster: ControlPlane
) -> None:
    names = {f"task-{number}" for number in range(30)}
    team.create([task(name) for name in names])
    team.create([task("bound", **ANY_POD), pod("bound", of="bound"), task("waits", **ANY_POD)])
    for name in TAKEN_AWAY:
        team.create([task(name, **ANY_POD), pod(name, of=name)])
        story.runs(team, name)
        playing.start(team, name)
        team.patch("agenttask", name, {"spec": {"state": name.capitalize()}})
        story.secret_emptied(team, name)
    wait_until(
        "all have their credentials",
        lambda: team.list("secrets"),
        lambda seen: len(seen) == len(names) + 1 + len(TAKEN_AWAY),
    )
    story.stands(team, "AwaitingPod", "waits")
    operator.terminate()
    before = {each["metadata"]["name"]: each for each in team.list("agenttasks")}
    secrets = {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in team.list("secrets")}
    since = cluster.audit_position()

    operator.start()
    story.settled(team, "bound")

    written = [each for each in writes(cluster, team, since) if "after-" not in each.name]
    assert [each for each in written if each.resource != "secrets" or "agentid-" in each.name] == []
    assert {each["metadata"]["name"]: each for each in team.list("agenttasks")} == before
    after = {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in team.list("secrets")}
    assert {name: after.get(name) for name in secrets} == secrets
    for name in TAKEN_AWAY:
        playing.finish(team, name)
        story.secret_gone(team, name)
