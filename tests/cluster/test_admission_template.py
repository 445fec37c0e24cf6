"""Templates: who wrote one is stamped, only the operator says that a task is one's, only Jobs' pods ask."""

import json
from typing import Any

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster.objects import ACCOUNT
from tests.cluster.people import GROUP, OPERATOR, OPERATOR_GROUPS, STRANGER, TENANT, People, refusal, task
from tests.cluster.templates import TEMPLATE, job_of, pod_of, template

EVERYBODY = ("tenant", "stranger", "operator")
NAMES = {"tenant": TENANT, "stranger": STRANGER, "operator": OPERATOR}
FORGED = {"username": "root", "groups": ["system:masters"]}
JOB_UID = "5c0e0000-0000-4000-8000-0000000000aa"
TEMPLATE_UID = "5c0e0000-0000-4000-8000-0000000000bb"
OF_A_TEMPLATE = {
    "templateRef": {
        "name": TEMPLATE,
        "uid": TEMPLATE_UID,
        "author": {"username": TENANT, "groups": ["system:authenticated"]},
    }
}


@pytest.fixture(autouse=True)
def service_account(kubectl: Kubectl) -> None:
    """What pods here run as."""
    kubectl("create", "serviceaccount", ACCOUNT)


def of_a_living_job(people: People, name: str = "nightly-1") -> Object:
    """A template's task as the operator makes it for a Job that is there, which has no pods."""
    job = people.admin.create(job_of(name, parallelism=0))
    return people.operator.create(of_a_job(name, job["metadata"]["uid"]))


def forged(manifest: Object) -> Object:
    return {**manifest, "spec": {**manifest["spec"], "author": FORGED}}


def author(person: str) -> dict[str, Any]:
    groups = OPERATOR_GROUPS if person == "operator" else []
    return {"username": NAMES[person], "groups": sorted([*groups, GROUP, "system:authenticated"])}


def of_a_job(name: str = "nightly-1", job_uid: str = JOB_UID, **spec: Any) -> Object:  # noqa: ANN401 - parts of a manifest
    """A template's task as the operator makes it."""
    made = task(
        name,
        **{
            "workload": {"ref": {"apiVersion": "batch/v1", "kind": "Job", "name": name}},
            **OF_A_TEMPLATE,
            **spec,
        },
    )
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job_uid}
    made["metadata"]["ownerReferences"] = [owner]
    return made


def labels(**others: str) -> dict[str, str]:
    return {"agentid.dev/template": TEMPLATE, **others}


@pytest.mark.parametrize("person", EVERYBODY)
@pytest.mark.parametrize("with_author", [True, False], ids=["forged", "plain"])
def test_who_writes_a_template_is_stamped_whole(people: People, person: str, *, with_author: bool) -> None:
    manifest = forged(template()) if with_author else template()
    created = people.named(person).create(manifest)

    assert created["spec"]["author"] == author(person)


@pytest.mark.parametrize("part", list(FORGED))
def test_no_forged_part_survives_beside_the_stamp(people: People, part: str) -> None:
    manifest = template()
    manifest["spec"]["author"] = {"username": TENANT, part: FORGED[part]}
    created = people.tenant.create(manifest)

    assert created["spec"]["author"] == author("tenant")


@pytest.mark.parametrize("person", EVERYBODY)
def test_who_changes_a_template_is_its_author(people: People, person: str) -> None:
    people.admin.create(template())
    changed = {"spec": {"template": {"spec": {"activeDeadlineSeconds": 1200}}, "author": FORGED}}
    after = people.named(person).patch("agenttasktemplate", TEMPLATE, changed)

    assert after["spec"]["author"] == author(person)


@pytest.mark.parametrize("way", ["patch", "replace", "apply", "remove", "label"])
def test_author_stays_while_the_template_does(people: People, way: str) -> None:
    people.tenant.create(template())
    stranger = people.stranger
    match way:
        case "patch":
            stranger.patch("agenttasktemplate", TEMPLATE, {"spec": {"author": FORGED}})
        case "replace":
            stranger.replace(forged(template()))
        case "apply":
            stranger.apply(forged(template()))
        case "label":
            stranger.patch("agenttasktemplate", TEMPLATE, {"metadata": {"labels": {"a": "b"}}})
        case _:
            operations = [{"op": "remove", "path": "/spec/author"}]
            stranger.patch("agenttasktemplate", TEMPLATE, operations, kind_of_patch="json")

    assert people.admin.get("agenttasktemplate", TEMPLATE)["spec"]["author"] == author("tenant")


@pytest.mark.parametrize("person", EVERYBODY)
def test_author_acts_for_others_only_with_the_right_to(people: People, person: str) -> None:
    said = refusal(lambda: people.named(person).create(template(onBehalfOf="carol@example.com")))

    assert f"{NAMES[person]} may not act on behalf of carol@example.com" in said


def test_author_acts_for_itself(people: People) -> None:
    created = people.tenant.create(template(onBehalfOf=TENANT))
    assert created["spec"]["template"]["spec"]["onBehalfOf"] == TENANT


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"workload": {"ref": {"apiVersion": "batch/v1", "kind": "Job", "name": "j"}}},
            "can't be said in a template",
        ),
        ({"activeDeadlineSeconds": 60}, "credential.ttlSeconds must be at most activeDeadlineSeconds"),
        ({"state": "Ended"}, 'unknown field "spec.template.spec.state"'),
        ({"requester": {"username": "root"}}, 'unknown field "spec.template.spec.requester"'),
        (OF_A_TEMPLATE, 'unknown field "spec.template.spec.templateRef"'),
        ({"intent": {"purpose": "x", "actions": []}}, "spec.template.spec.intent.actions"),
    ],
)
def test_template_that_no_task_can_be_made_from_is_refused(
    people: People, spec: dict[str, Any], said: str
) -> None:
    assert said in refusal(lambda: people.tenant.create(template(**spec)))


@pytest.mark.parametrize("person", ["tenant", "stranger"])
def test_nobody_but_the_operator_says_that_a_task_is_a_templates(people: People, person: str) -> None:
    said = refusal(lambda: people.named(person).create(of_a_job()))
    assert "spec.templateRef is set by the operator only" in said

    people.named(person).create(task())
    ref = {"spec": {**OF_A_TEMPLATE}}
    said = refusal(lambda: people.named(person).patch("agenttask", "refund-4711", ref))
    assert "templateRef can't be changed" in said


@pytest.mark.parametrize("person", EVERYBODY)
def test_nobody_changes_whose_template_a_task_is_of(people: People, person: str) -> None:
    of_a_living_job(people)
    author_only = {"spec": {"templateRef": {"author": {"username": "root"}}}}
    for change in (author_only, {"spec": {"templateRef": None}}):
        said = refusal(lambda change=change: people.named(person).patch("agenttask", "nightly-1", change))
        assert "templateRef can't be changed" in said or "changes nothing of an AgentTask" in said


def test_operator_makes_the_task_of_a_job_and_no_other(people: People) -> None:
    made = people.operator.create(of_a_job())
    assert made["spec"]["requester"]["username"] == OPERATOR
    assert made["spec"]["templateRef"] == OF_A_TEMPLATE["templateRef"]

    wrong = of_a_job("nightly-2")
    del wrong["metadata"]["ownerReferences"]
    others = of_a_job("nightly-3")
    others["metadata"]["ownerReferences"][0]["name"] = "nightly-4"
    pods = of_a_job("nightly-5")
    pods["metadata"]["ownerReferences"][0] |= {"apiVersion": "v1", "kind": "Pod"}
    other_ref = {"ref": {"apiVersion": "batch/v1", "kind": "Job", "name": "nightly-7"}}
    for manifest in (
        task("plain"),
        wrong,
        others,
        pods,
        of_a_job("nightly-6", workload=other_ref),
        of_a_job("nightly-8", workload={}),
    ):
        said = refusal(lambda manifest=manifest: people.operator.create(manifest))
        assert "from a template for the Job of the same name that owns it" in said


def test_operator_makes_a_task_for_whom_the_author_may_act(people: People) -> None:
    made = people.operator.create(of_a_job(onBehalfOf="carol@example.com"))
    assert made["spec"]["onBehalfOf"] == "carol@example.com"


@pytest.mark.parametrize("person", ["tenant", "stranger"])
def test_templates_task_is_not_deleted_and_stays_its_jobs(people: People, person: str) -> None:
    of_a_living_job(people)
    who = people.named(person)
    assert "goes with its Job" in refusal(lambda: who.delete("agenttask", "nightly-1"))
    gone = {"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": TEMPLATE_UID}
    for owners in (None, [gone]):
        change = {"metadata": {"ownerReferences": owners}}
        said = refusal(lambda change=change: who.patch("agenttask", "nightly-1", change))
        assert "stays with that Job" in said
    assert who.patch("agenttask", "nightly-1", {"spec": {"state": "Ended"}})["spec"]["state"] == "Ended"


def test_who_may_resume_may_have_a_job_get_another_task(people: People) -> None:
    of_a_living_job(people)
    people.admin.delete("agenttask", "nightly-1")
    assert people.admin.find("agenttask", "nightly-1") is None


def test_templates_task_goes_with_its_job_by_the_garbage_collector(people: People) -> None:
    people.operator.create(of_a_job())
    wait_until(
        "the task, whose Job never was, is gone",
        lambda: people.admin.find("agenttask", "nightly-1"),
        lambda seen: seen is None,
    )


@pytest.mark.parametrize("person", EVERYBODY)
def test_jobs_pod_is_given_the_label_and_the_volume_of_the_task_named_like_the_job(
    people: People, person: str
) -> None:
    created = people.named(person).create(pod_of("nightly-1", JOB_UID), "--dry-run=server")

    assert created["metadata"]["labels"]["agentid.dev/task"] == "nightly-1"
    volumes = [each.get("secret", {}).get("secretName") for each in created["spec"]["volumes"]]
    assert volumes.count("agentid-nightly-1") == 1
    (container,) = created["spec"]["containers"]
    assert "/var/run/secrets/agentid.dev" in [each["mountPath"] for each in container["volumeMounts"]]


def test_jobs_pod_that_brings_its_volume_is_given_the_label_only(people: People) -> None:
    brought = pod_of("nightly-1", JOB_UID)
    brought["spec"]["volumes"] = [{"name": "mine", "secret": {"secretName": "agentid-nightly-1"}}]
    created = people.tenant.create(brought, "--dry-run=server")

    assert created["metadata"]["labels"]["agentid.dev/task"] == "nightly-1"
    assert "agentid-credential" not in [each["name"] for each in created["spec"]["volumes"]]


@pytest.mark.parametrize("person", EVERYBODY)
@pytest.mark.parametrize("owners", [[], None], ids=["no owner", "no Job"])
def test_pod_of_no_job_that_asks_for_a_template_is_refused(
    people: People, person: str, owners: list[Object] | None
) -> None:
    alone = pod_of("nightly-1", JOB_UID)
    if owners is None:
        alone["metadata"]["ownerReferences"][0] |= {"kind": "ReplicaSet", "apiVersion": "apps/v1"}
    else:
        alone["metadata"]["ownerReferences"] = owners

    assert "no Job controls this one" in refusal(lambda: people.named(person).create(alone))


def test_pod_of_a_job_with_another_tasks_label_is_refused(people: People) -> None:
    other = pod_of("nightly-1", JOB_UID)
    other["metadata"]["labels"] = labels(**{"agentid.dev/task": "refund-4711"})
    assert "is the name of its Job, nightly-1" in refusal(lambda: people.tenant.create(other))


@pytest.mark.parametrize("value", ["", "Nightly", "nightly_1", "a.b"])
def test_label_that_names_no_template_is_refused(people: People, value: str) -> None:
    said = refusal(lambda: people.tenant.create(pod_of("nightly-1", JOB_UID, template_name=value)))
    assert "can not be the name of an AgentTaskTemplate" in said


def test_job_whose_name_no_task_can_have_is_refused_its_pod_with_a_reason(people: People) -> None:
    said = refusal(lambda: people.tenant.create(pod_of("n" * 64, JOB_UID)))
    assert "its name has 64 characters, and the name of an AgentTask at most 63" in said
    assert people.tenant.create(pod_of("n" * 63, JOB_UID), "--dry-run=server")


@pytest.mark.parametrize("person", EVERYBODY)
def test_label_of_the_template_stays(people: People, person: str) -> None:
    people.tenant.create(job_of("nightly-1", parallelism=0))
    uid = people.admin.get("job", "nightly-1")["metadata"]["uid"]
    people.tenant.create(pod_of("nightly-1", uid, "worker"))
    for value in (None, "other"):
        change = {"metadata": {"labels": {"agentid.dev/template": value}}}
        said = refusal(lambda change=change: people.named(person).patch("pod", "worker", change))
        assert "label agentid.dev/template can't be added, changed or removed" in said
    people.admin.delete("pod", "worker", "--force", "--grace-period=0")


def test_binding_sets_no_label_of_a_template(people: People) -> None:
    target = {"apiVersion": "v1", "kind": "Node", "name": "some-node"}
    metadata = {"name": "worker", "labels": labels()}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
    path = f"/api/v1/namespaces/{people.tenant.namespace}/pods/worker/binding"
    said = refusal(
        lambda: people.tenant("create", f"--raw={path}", "--filename=-", stdin=json.dumps(binding))
    )
    assert "can't be set by a binding" in said
