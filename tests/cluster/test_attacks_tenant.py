"""Attacks by somebody with the role `edit` in the namespace, as tenants have it; none of them works."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.objects import (
    ANY_POD,
    POD,
    TASK,
    agent,
    job,
    pod,
    pod_spec,
    service_account,
    task,
    task_of_job,
)
from tests.laying_out import clear_workloads

TENANT = "mallory@example.com"
GROUP = "tenants-of-the-test"
VICTIM = "victim"

Attack = Callable[[Kubectl], object]


@pytest.fixture
def tenant(team: Kubectl) -> Kubectl:
    """Somebody with the role `edit` in the test's namespace, and in no other."""
    return as_tenant(team)


def as_tenant(here: Kubectl) -> Kubectl:
    here("create", "rolebinding", "tenants", "--clusterrole=edit", f"--group={GROUP}")
    somebody = here.as_user(TENANT, [GROUP])
    wait_until("the tenant may edit", lambda: somebody.can_i("create", "agenttasks.agentid.dev"))
    return somebody


@pytest.fixture
def victim(team: Kubectl) -> Object:
    """A task of somebody else's whose pod runs with its credential."""
    return running_victim(team)


def running_victim(here: Kubectl) -> Object:
    here.create([task(VICTIM, **ANY_POD), pod(VICTIM, of=VICTIM)])
    running = story.runs(here, VICTIM)
    playing.start(here, VICTIM)
    return running


@pytest.fixture(scope="module")
def scene(cluster: ControlPlane, node: str, operator_of_session: OperatorProcess) -> Iterator[Kubectl]:
    """A namespace with a running victim; attacks that are refused leave it as it is for the next."""
    assert node
    if not operator_of_session.alive():
        operator_of_session.start()
    operator_of_session.wait_ready()
    cluster.kubectl.create({"kind": "Namespace", "metadata": {"name": "attacked"}})
    here = cluster.kubectl.in_namespace("attacked")
    here.create([service_account(), agent(), job(of=None, suspend=True)])
    running_victim(here)
    as_tenant(here)
    yield here
    clear_workloads(here)
    cluster.kubectl.delete("namespace", "attacked", "--wait=false")


def everything(here: Kubectl) -> list[Object]:
    """All that an attack could have changed or made, but for what is reported on pods and Agents."""
    found = here.list("agenttasks,agents,pods,secrets,jobs")
    return [
        each
        if each["kind"] not in {"Pod", "Agent"}
        else {
            "kind": each["kind"],
            "spec": each["spec"],
            **{key: each["metadata"].get(key) for key in ("name", "uid", "labels", "annotations")},
        }
        for each in found
    ]


def refused(attack: Callable[[], object]) -> str:
    with pytest.raises(KubectlError) as caught:
        attack()
    return caught.value.stderr


def volume_of(name: str) -> dict[str, Any]:
    return {"volumes": [{"name": "stolen", "secret": {"secretName": name}}]}


def variable_of(name: str) -> dict[str, Any]:
    source = {"secretKeyRef": {"name": name, "key": "tls.key"}}
    container = {"name": "agent", "image": "agent:1", "env": [{"name": "KEY", "valueFrom": source}]}
    return {"containers": [container]}


SECRET = f"agentid-{VICTIM}"

ATTACKS: dict[str, tuple[Attack, str]] = {
    "plant the Secret of a task to come": (
        lambda me: me("create", "secret", "generic", "agentid-later", "--from-literal=tls.key=mine"),
        "reserved",
    ),
    "freeze the Secret": (lambda me: me.patch("secret", SECRET, {"immutable": True}), "agentid-"),
    "hold the Secret by a finalizer": (
        lambda me: me.patch("secret", SECRET, {"metadata": {"finalizers": ["example.com/held"]}}),
        "agentid-",
    ),
    "replace the key": (lambda me: me.patch("secret", SECRET, {"data": {"tls.key": "bWluZQ=="}}), "agentid-"),
    "give the Secret an owner that is nothing": (
        lambda me: me.patch(
            "secret",
            SECRET,
            {
                "metadata": {
                    "ownerReferences": [
                        {
                            "apiVersion": "v1",
                            "kind": "Pod",
                            "name": "nothing",
                            "uid": "00000000-0000-4000-8000-000000000000",
                        }
                    ]
                }
            },
        ),
        "agentid-",
    ),
    "mount another task's Secret": (
        lambda me: me.create(pod("thief", of=None, **volume_of(SECRET))),
        "agentid.dev/task",
    ),
    "mount another task's Secret under a label of one's own": (
        lambda me: me.create(pod("thief", of="mine", **volume_of(SECRET))),
        "agentid.dev/task",
    ),
    "take another task's key as a variable": (
        lambda me: me.create(pod("thief", of=None, **variable_of(SECRET))),
        "agentid.dev/task",
    ),
    "take the label off the running pod": (
        lambda me: me("label", "pod", VICTIM, "agentid.dev/task-"),
        "agentid.dev/task",
    ),
    "change the label of the running pod": (
        lambda me: me("label", "pod", VICTIM, "agentid.dev/task=mine", "--overwrite"),
        "agentid.dev/task",
    ),
    "write the status": (
        lambda me: me.patch(
            "agenttask", VICTIM, {"status": {"spiffeID": "spiffe://mine/x"}}, "--subresource=status"
        ),
        "forbidden",
    ),
    "write kopf's annotations on the task": (
        lambda me: me("annotate", "agenttask", VICTIM, 'kopf.zalando.org/last-handled-configuration={"bad'),
        "kopf.zalando.org",
    ),
    "write kopf's annotations on the pod": (
        lambda me: me("annotate", "pod", VICTIM, "kopf.zalando.org/touch-dummy-value=x"),
        "kopf.zalando.org",
    ),
    "orphan the Secret": (
        lambda me: me("delete", "agenttask", VICTIM, "--cascade=orphan", "--wait=false"),
        "Orphan",
    ),
    "act for somebody else": (
        lambda me: me.create(task("mine", onBehalfOf="ceo@example.com")),
        "may not act on behalf of ceo@example.com",
    ),
    "widen the Agent": (
        lambda me: me.patch("agent", "refund-agent", {"spec": {"actions": ["orders:*", "admin:*"]}}),
        "forbidden",
    ),
    "make an Agent of one's own": (
        lambda me: me.create(agent("mine", actions=["admin:everything"])),
        "forbidden",
    ),
    "change what may not change": (
        lambda me: me.patch("agenttask", VICTIM, {"spec": {"activeDeadlineSeconds": 86_400}}),
        "can't be changed",
    ),
    "fake the completion of a Job": (
        lambda me: me.patch(
            "job",
            TASK,
            {"status": {"conditions": [{"type": "Complete", "status": "True"}]}},
            "--subresource=status",
        ),
        "forbidden",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_tenant_cannot(scene: Kubectl, attack: str) -> None:
    attempt, says = ATTACKS[attack]
    before = everything(scene)

    refusal = refused(lambda: attempt(scene.as_user(TENANT, [GROUP])))

    assert says.lower() in refusal.lower(), refusal
    assert everything(scene) == before
    assert story.standing(scene.get("agenttask", VICTIM)) == "Running"


def test_label_cannot_be_added_to_a_running_pod(scene: Kubectl) -> None:
    tenant = scene.as_user(TENANT, [GROUP])
    tenant.create(pod("plain", of=None))
    before = scene.get("agenttask", VICTIM)

    assert "agentid.dev/task" in refused(
        lambda: tenant("label", "pod", "plain", f"agentid.dev/task={VICTIM}")
    )

    playing.remove(scene, "plain")
    assert story.settled(scene, VICTIM)["status"] == before["status"]


def test_requester_that_is_typed_is_overwritten(team: Kubectl, tenant: Kubectl) -> None:
    forged = {"username": "ceo@example.com", "groups": ["system:masters"], "intentGeneration": 7}
    tenant.create(task(requester=forged, stateChangedBy={"username": "ceo@example.com"}))

    running = story.runs(team)
    assert running["spec"]["requester"]["username"] == TENANT
    assert "system:masters" not in running["spec"]["requester"]["groups"]
    assert running["spec"]["requester"]["intentGeneration"] == 1
    assert running["spec"]["stateChangedBy"] == {"username": TENANT}
    assert f"asked by {TENANT}" in story.told(team, running)[0].note


def test_status_that_is_typed_at_creation_is_dropped(team: Kubectl, tenant: Kubectl) -> None:
    forged = task(**ANY_POD)
    forged["status"] = {"spiffeID": "spiffe://demo.local/x", "startTime": "2026-01-01T00:00:00Z"}

    tenant.create(forged)

    assert "spiffeID" not in story.stands(team, "AwaitingPod")["status"]


def test_suspension_by_security_is_not_undone_by_a_tenant(
    team: Kubectl, tenant: Kubectl, victim: Object
) -> None:
    security = team.as_user("security@example.com", ["system:masters"])
    security.patch("agenttask", VICTIM, {"spec": {"state": "Suspended", "stateReason": "incident 7"}})
    story.secret_emptied(team, VICTIM)

    undo: list[Attack] = [
        lambda me: me.patch("agenttask", VICTIM, {"spec": {"state": "Active"}}),
        lambda me: me.patch("agenttask", VICTIM, {"spec": {"stateReason": "mine now"}}),
        lambda me: me(
            "patch", "agenttask", VICTIM, "--type=json", '--patch=[{"op":"remove","path":"/spec/state"}]'
        ),
    ]
    for attempt in undo:
        assert "suspended by security@example.com" in refused(partial(attempt, tenant))

    settled = story.settled(team, VICTIM)
    assert story.standing(settled) == "Suspended"
    assert story.is_empty(team.get("secret", SECRET))
    assert settled["status"]["spiffeID"] == victim["status"]["spiffeID"]


def test_intent_changed_by_who_may_not_act_for_the_delegator_is_refused(
    team: Kubectl, tenant: Kubectl
) -> None:
    carol = team.as_user("carol@example.com", ["system:masters"])
    carol.create(task(onBehalfOf="carol@example.com"))
    running = story.runs(team)

    refusal = refused(
        lambda: tenant.patch("agenttask", TASK, {"spec": {"intent": {"actions": ["refunds:create"]}}})
    )

    assert f"{TENANT} may not act on behalf of carol@example.com" in refusal
    assert story.settled(team)["status"] == running["status"]


def test_second_pod_costs_the_task_its_credential_and_gets_none(
    team: Kubectl, tenant: Kubectl, victim: Object
) -> None:
    assert victim
    tenant.create(pod("thief", of=VICTIM))

    story.ends(team, "SecondPod", VICTIM)
    assert story.is_empty(story.secret_emptied(team, VICTIM))


def test_pod_whose_job_never_reports_its_end_keeps_no_credential(team: Kubectl, tenant: Kubectl) -> None:
    """A Job that another controller manages never completes; its pod's end is believed by itself."""
    tenant.create([task_of_job(), job(managedBy="example.com/never")])
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": TASK,
        "uid": team.get("job", TASK)["metadata"]["uid"],
        "controller": True,
    }
    worker = pod()
    worker["metadata"]["ownerReferences"] = [owner]
    team.create(worker)
    story.runs(team)

    playing.finish(team, POD)

    waiting = story.stands(team, "AwaitingPod")
    story.secret_gone(team)
    assert story.serials(waiting) == []


def test_task_with_an_owner_that_is_nothing_takes_its_credential_along(
    team: Kubectl, tenant: Kubectl
) -> None:
    owned = task()
    owned["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Pod", "name": "nothing", "uid": "00000000-0000-4000-8000-000000000000"}
    ]

    tenant.create(owned)

    team.wait_gone("agenttask", TASK)
    story.secret_gone(team)
    team.create(task("after"))
    story.runs(team, "after")
    assert [each["metadata"]["name"] for each in team.list("secrets")] == ["agentid-after"]


def test_task_of_another_namespaces_agent_is_only_ever_its_own_namespaces(
    team: Kubectl, tenant: Kubectl, admin: Kubectl
) -> None:
    elsewhere = task("mine", agentRef={"name": "refund-agent", "namespace": "default"})
    assert 'unknown field "spec.agentRef.namespace"' in refused(lambda: tenant.create(elsewhere))
    assert "forbidden" in refused(lambda: tenant.in_namespace("default").create(task("mine")))
    assert admin.in_namespace("default").find("agenttask", "mine") is None
    assert team.find("agenttask", "mine") is None


def test_pods_of_a_deployment_named_like_a_job_do_not_count_as_the_jobs(
    team: Kubectl, tenant: Kubectl
) -> None:
    template = {"metadata": {"labels": {"agentid.dev/task": TASK, "app": "x"}}, "spec": pod_spec()}
    replicas = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": TASK},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "x"}}, "template": template},
    }
    tenant.create([task_of_job(), job(suspend=True), replicas])

    story.stands(team, "PodMismatch")
    assert team.find("secret", f"agentid-{TASK}") is None
    team("delete", "replicaset", TASK, "--cascade=background")


def test_many_tasks_of_one_namespace_do_not_starve_another(
    team: Kubectl, admin: Kubectl, operator: OperatorProcess
) -> None:
    neighbour = f"z-{team.namespace[:50]}"  # the API server lists it last
    admin.create({"kind": "Namespace", "metadata": {"name": neighbour}})
    beside = admin.in_namespace(neighbour)
    beside.create(agent())
    crowd = json.dumps(
        {"apiVersion": "v1", "kind": "List", "items": [task(f"crowd-{number}") for number in range(100)]}
    )
    operator.terminate()
    team("create", "--filename=-", stdin=crowd, timeout=timedelta(minutes=2))
    beside.create(task())
    operator.start()
    story.runs(beside)
    wait_until(
        "the crowd runs too",
        lambda: [story.standing(each) for each in team.list("agenttasks")],
        lambda seen: set(seen) == {"Running"},
        within=timedelta(minutes=2),
    )

    began = {
        (where.namespace, each["metadata"]["name"]): each["status"]["startTime"]
        for where in (team, beside)
        for each in where.list("agenttasks")
    }
    earlier = [each for each in began.values() if each < began[neighbour, TASK]]
    assert len(earlier) < 50, "who came last is not served last"
    admin.delete("namespace", neighbour, "--wait=false")
