"""A pod is a Job's when the Job's controller made it: who writes an owner reference gets nothing by it."""

from collections.abc import Callable
from typing import Any

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.objects import NODE, POD, TASK, job, pod, task_of_job
from tests.cluster.people import OPERATOR, OPERATOR_GROUPS, refusal

GROUP = "forgers-of-the-test"
PEOPLE = {
    "tenant": ("alice@example.com", [GROUP]),
    "stranger": ("mallory@example.com", [GROUP]),
    "operator": (OPERATOR, [*OPERATOR_GROUPS, GROUP]),
}
JOB_CONTROLLER = "system:serviceaccount:kube-system:job-controller"
WHO_MAY_SAY_SO = {
    # With `edit` as well, because kubectl reads what it patches.
    "controller": (JOB_CONTROLLER, ["system:serviceaccounts", GROUP]),
    "admin": ("admin@example.com", ["system:masters"]),
}
UNCONTROLLED = {"managedBy": "example.com/nobody"}
"""Part of a Job's spec: Kubernetes' own controller leaves it, and pods that name it, alone."""


@pytest.fixture
def as_editor(place: Kubectl) -> Callable[[str], Kubectl]:
    """kubectl in the test's namespace as somebody with the role `edit` there."""
    place("create", "rolebinding", "editors", "--clusterrole=edit", f"--group={GROUP}")
    somebody = place.as_user(*PEOPLE["tenant"])
    wait_until("the tenant may edit", lambda: somebody.can_i("create", "agenttasks.agentid.dev"))
    return lambda person: place.as_user(*(PEOPLE | WHO_MAY_SAY_SO)[person])


def owned(of: Object, name: str = POD, **owner: Any) -> Object:  # noqa: ANN401 - parts of an owner reference
    """A labelled pod that runs already and says that the Job `of` controls it, with `owner` over that."""
    claims = pod(name, nodeName=NODE)
    claims["metadata"]["ownerReferences"] = [reference(of) | owner]
    return claims


def reference(of: Object) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": of["metadata"]["name"],
        "uid": of["metadata"]["uid"],
        "controller": True,
    }


@pytest.mark.parametrize("person", PEOPLE)
def test_nobody_says_that_a_pod_is_a_jobs(
    place: Kubectl, as_editor: Callable[[str], Kubectl], person: str
) -> None:
    place.create(job(**UNCONTROLLED))
    real = place.get("job", TASK)
    forger = as_editor(person)

    for forged in (
        owned(real),
        owned(real, apiVersion="batch/v7"),
        owned(real, blockOwnerDeletion=False),
        owned(real, name="", uid=real["metadata"]["uid"]) | {"metadata": owned(real)["metadata"]},
    ):
        said = refusal(lambda forged=forged: forger.create(forged))
        assert f'pod {POD} says that Job "{TASK}" controls it' in said
        assert 'takes the verb "update" on jobs/finalizers' in said
        assert "leave out the owner reference" in said
    assert place.list("pod") == []


@pytest.mark.parametrize("person", [*PEOPLE, *WHO_MAY_SAY_SO])
def test_no_pod_becomes_a_jobs_later(
    place: Kubectl, as_editor: Callable[[str], Kubectl], person: str
) -> None:
    place.create([job(**UNCONTROLLED), pod()])
    patch = {"metadata": {"ownerReferences": [reference(place.get("job", TASK))]}}
    somebody = as_editor(person)

    said = refusal(lambda: somebody.patch("pod", POD, patch))

    assert (
        f'pod {POD} carries label agentid.dev/task, so it can not become one that Job "{TASK}" controls'
        in said
    )
    place.patch("pod", POD, patch, "--subresource=status")
    assert "ownerReferences" not in place.get("pod", POD)["metadata"]


def test_the_job_controller_may_say_so_and_the_role_edit_may_not(
    admin: Kubectl, place: Kubectl, as_editor: Callable[[str], Kubectl]
) -> None:
    controller = place.as_user(JOB_CONTROLLER, ["system:serviceaccounts"])

    assert controller.can_i("update", "jobs.batch/anything", "--subresource=finalizers")
    assert not as_editor("tenant").can_i("update", "jobs.batch/anything", "--subresource=finalizers")
    assert admin.can_i("update", "jobs.batch/anything", "--subresource=finalizers")


def test_an_owner_that_is_no_workload_is_anybodys_to_name(
    place: Kubectl, as_editor: Callable[[str], Kubectl]
) -> None:
    """Nobody's task is bound by it, and it can be changed and taken away again."""
    place.create(job(**UNCONTROLLED))
    real, tenant = place.get("job", TASK), as_editor("tenant")

    tenant.create(owned(real, "other-kind", kind="Thing"))
    tenant.create(owned(real, "not-controlling", controller=False))
    tenant.patch("pod", "other-kind", {"metadata": {"ownerReferences": None}})


def test_a_pod_that_names_the_jobs_uid_under_another_kind_does_not_count_as_its(
    team: Kubectl, as_editor: Callable[[str], Kubectl]
) -> None:
    team.create([task_of_job(), job(**UNCONTROLLED)])
    as_editor("tenant").create(owned(team.get("job", TASK), kind="Thing"))

    story.stands(team, "PodMismatch")

    assert team.find("secret", f"agentid-{TASK}") is None


def test_a_pod_that_its_job_lets_go_ends_the_task(team: Kubectl) -> None:
    team.create([task_of_job(), job(**UNCONTROLLED)])
    team.create(owned(team.get("job", TASK)))
    story.runs(team)
    playing.start(team, POD)

    team.patch("pod", POD, {"metadata": {"ownerReferences": None}})

    story.ends(team, "PodChanged")
    story.secret_emptied(team)
