"""From apply to a credential that others accept, and what people and tools see of it."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError
from devcluster.install import NAMESPACE
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.objects import (
    ACCOUNT,
    AGENT,
    ANY_POD,
    POD,
    TASK,
    TRUST_DOMAIN,
    job,
    pod,
    task,
    task_of_job,
)
from tests.cluster.operator_writes import requests, writes


def verified(secret: Object, of_task: Object, admin: Kubectl) -> x509.Certificate:
    """Check everything in a credential's Secret against the task and the cluster's authority."""
    files = story.files(secret)
    chain = x509.load_pem_x509_certificates(files["tls.crt"])
    (root,) = x509.load_pem_x509_certificates(files["ca.crt"])
    leaf, intermediate = chain
    authority = story.files(admin.in_namespace(NAMESPACE).get("secret", "x509-authority"))
    assert root == x509.load_pem_x509_certificate(authority["root.crt"])

    verifier = PolicyBuilder().store(Store([root])).time(datetime.now(UTC)).build_client_verifier()
    found = verifier.verify(leaf, [intermediate])
    assert [leaf, intermediate, root] == list(found.chain)

    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert [name.value for name in names.value] == [of_task["status"]["spiffeID"]]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}

    credential = of_task["status"]["credentials"][-1]
    assert f"{leaf.serial_number:x}" == credential["serial"]
    assert f"{leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}" == credential["notAfter"]
    assert f"{leaf.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}" == credential["notBefore"]

    key = load_pem_private_key(files["tls.key"], password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == leaf.public_key()
    assert files["credential-bundle.private-key.pem"] == files["tls.key"] + files["tls.crt"]
    assert files[f"{TRUST_DOMAIN}.spiffe-trust-bundle.pem"] == files["ca.crt"]
    return leaf


def owners(secret: Object) -> set[tuple[str, str, str]]:
    return {(each["kind"], each["name"], each["uid"]) for each in secret["metadata"]["ownerReferences"]}


def test_task_without_a_workload_gets_a_credential_that_verifies(team: Kubectl, admin: Kubectl) -> None:
    created = team.create(task())
    running = story.runs(team)

    uid = created["metadata"]["uid"]
    secret = team.get("secret", f"agentid-{TASK}")
    assert running["status"]["spiffeID"] == (
        f"spiffe://{TRUST_DOMAIN}/ns/{team.namespace}/agent/{AGENT}/task/{uid}"
    )
    leaf = verified(secret, running, admin)
    issued = leaf.not_valid_before_utc + timedelta(seconds=60)
    # The times in a certificate are whole seconds, its begin rounded up.
    by_now = datetime.now(UTC) + timedelta(seconds=1)
    assert datetime.fromisoformat(created["metadata"]["creationTimestamp"]) <= issued <= by_now
    assert timedelta(seconds=299) <= leaf.not_valid_after_utc - issued <= timedelta(seconds=300)
    assert secret["type"] == "kubernetes.io/tls"
    assert secret["metadata"]["labels"]["agentid.dev/task-uid"] == uid
    assert owners(secret) == {("AgentTask", TASK, uid)}
    assert "boundPod" not in running["status"]


def test_labelled_pod_gets_the_credential_of_its_task(team: Kubectl, admin: Kubectl) -> None:
    team.create([task(**ANY_POD), pod()])
    running = story.runs(team)

    worker = team.get("pod", POD)
    secret = team.get("secret", f"agentid-{TASK}")
    verified(secret, running, admin)
    bound = running["status"]["boundPod"]
    assert (bound["name"], bound["uid"]) == (POD, worker["metadata"]["uid"])
    assert bound["node"] == worker["spec"]["nodeName"]
    assert owners(secret) == {
        ("AgentTask", TASK, running["metadata"]["uid"]),
        ("Pod", POD, worker["metadata"]["uid"]),
    }


def test_pod_of_a_job_gets_the_credential_of_the_jobs_task(team: Kubectl, admin: Kubectl) -> None:
    team.create([task_of_job(), job()])
    running = story.runs(team)

    worker = playing.pod_of_job(team)
    verified(team.get("secret", f"agentid-{TASK}"), running, admin)
    assert running["status"]["boundPod"]["name"] == worker
    assert running["status"]["workloadUID"] == team.get("job", TASK)["metadata"]["uid"]


def test_task_that_names_a_service_account_is_bound_to_a_pod_that_runs_as_it(team: Kubectl) -> None:
    team.create([task(workload={"serviceAccountName": ACCOUNT}), pod()])

    assert story.runs(team)["status"]["boundPod"]["name"] == POD


def test_credential_is_there_as_soon_as_the_pod_has_a_node_and_not_before(team: Kubectl) -> None:
    team.create([task(**ANY_POD), pod(schedulingGates=[{"name": "agentid.dev/test"}])])
    waiting = story.stands(team, "AwaitingPod")
    assert "has no node yet" in story.conditions(waiting)["Finished"]["message"]
    assert team.find("secret", f"agentid-{TASK}") is None

    team.patch("pod", POD, {"spec": {"schedulingGates": []}})

    story.runs(team)


def test_bound_at_creation_costs_six_writes_and_two_events_and_no_conflict(
    team: Kubectl, cluster: ControlPlane, operator: OperatorProcess
) -> None:
    team.create(pod())
    playing.scheduled(team, POD)
    since, conflicts = cluster.audit_position(), operator.metric("agentid_status_conflicts_total")

    team.create(task(**ANY_POD))
    story.runs(team)
    playing.finish(team, POD)
    ended = story.ends(team, "Completed")
    story.secret_gone(team)
    events = story.told(team, ended, at_least=2)

    assert Counter((each.verb, each.resource) for each in writes(cluster, team, since)) == {
        ("patch", "agenttasks/status"): 2,
        ("create", "secrets"): 1,
        ("delete", "secrets"): 1,
        ("create", "events"): 2,
    }
    asked = [each for each in requests(cluster, team, since) if each["verb"] != "watch"]
    assert [each["responseStatus"]["code"] for each in asked].count(409) == 0
    assert operator.metric("agentid_status_conflicts_total") == conflicts
    assert [each.reason for each in events] == ["CredentialIssued", "TaskCompleted"]


def test_status_is_written_before_the_secret_is_and_before_it_is_taken_away(
    team: Kubectl, cluster: ControlPlane
) -> None:
    since = cluster.audit_position()
    team.create([task(**ANY_POD), pod()])
    story.runs(team)
    playing.finish(team, POD)
    ended = story.ends(team, "Completed")
    story.secret_gone(team)
    story.told(team, ended, at_least=2)

    order = [(each.verb, each.resource) for each in writes(cluster, team, since)]
    issued = order.index(("create", "secrets"))
    taken = order.index(("delete", "secrets"))
    assert order[issued - 1 : issued + 2] == [
        ("patch", "agenttasks/status"),
        ("create", "secrets"),
        ("create", "events"),
    ]
    assert order[taken - 1 : taken + 2] == [
        ("patch", "agenttasks/status"),
        ("delete", "secrets"),
        ("create", "events"),
    ]


def test_two_events_tell_of_a_task_with_reason_action_and_what_they_are_related_to(team: Kubectl) -> None:
    team.create([task_of_job(), job()])
    running = story.runs(team)
    worker = playing.pod_of_job(team)
    playing.finish(team, worker)
    ended = story.ends(team, "Completed")

    issued, completed = story.told(team, ended, at_least=2)

    assert (issued.reason, issued.action, issued.kind) == ("CredentialIssued", "Issue", "Normal")
    assert issued.related == f"Pod/{worker}"
    assert completed.related == f"Secret/agentid-{TASK}", "its pod went a moment before"
    assert f"serial {story.serials(running)[0]} revoked" in completed.note
    assert story.serials(running)[0] in issued.note
    assert "asked by agentid-admin" in issued.note
    assert (completed.reason, completed.action, completed.kind) == ("TaskCompleted", "End", "Normal")
    assert f"Job {TASK} reported" in completed.note


def test_conditions_are_as_kstatus_wants_them(team: Kubectl) -> None:
    team.create([task(**ANY_POD), pod()])
    running = story.runs(team)
    says = story.conditions(running)

    assert {kind: (each["status"], each["reason"]) for kind, each in says.items()} == {
        "Approved": ("True", "PolicyAllowed"),
        "Bound": ("True", "PodBound"),
        "CredentialIssued": ("True", "Issued"),
        "Finished": ("False", "Running"),
    }
    assert running["status"]["observedGeneration"] == running["metadata"]["generation"]
    assert {each["observedGeneration"] for each in says.values()} == {running["metadata"]["generation"]}
    playing.finish(team, POD)
    ended = story.conditions(story.ends(team, "Completed"))

    assert {kind: (each["status"], each["reason"]) for kind, each in ended.items()} == {
        "Approved": ("True", "PolicyAllowed"),
        "Bound": ("False", "Completed"),
        "CredentialIssued": ("False", "Completed"),
        "Finished": ("True", "Completed"),
        "Succeeded": ("True", "Completed"),
    }
    assert ended["Approved"]["lastTransitionTime"] == says["Approved"]["lastTransitionTime"]


@pytest.mark.parametrize(("phase", "succeeded"), [("Succeeded", True), ("Failed", False)])
def test_kubectl_wait_returns_when_the_task_is_finished(team: Kubectl, phase: str, succeeded: bool) -> None:  # noqa: FBT001 - a table
    team.create([task(**ANY_POD), pod()])
    story.runs(team)
    playing.finish(team, POD, phase)

    team("wait", "--for=condition=Finished", f"agenttask/{TASK}", "--timeout=20s")
    if succeeded:
        team("wait", "--for=condition=Succeeded", f"atask/{TASK}", "--timeout=5s")
    else:
        with pytest.raises(KubectlError, match="condition not met"):
            team("wait", "--for=condition=Succeeded", f"atask/{TASK}", "--timeout=0")


def test_describe_tells_the_whole_story_in_order(team: Kubectl) -> None:
    team.create([task_of_job(), job()])
    running = story.runs(team)
    playing.finish(team, playing.pod_of_job(team))
    ended = story.ends(team, "Completed")
    story.told(team, ended, at_least=2)

    text = team("describe", "agenttask", TASK)

    marks = ["Refund order 4711", "Conditions:", running["status"]["spiffeID"], "Events:"]
    marks += ["CredentialIssued", story.serials(running)[0], "TaskCompleted", "revoked"]
    places = [text.find("Events:") + text[text.find("Events:") :].find(mark) for mark in marks[4:]]
    assert all(mark in text for mark in marks)
    assert places == sorted(places)


def test_kubectl_get_shows_status_agent_and_identity(team: Kubectl) -> None:
    team.create([task(**ANY_POD), pod()])
    running = story.runs(team)

    header, row = team("get", "atask", TASK).splitlines()
    _, wide = team("get", "atask", TASK, "--output=wide").splitlines()
    by_category = json.loads(team("get", "agentid", "--output=json"))["items"]

    assert header.split() == ["NAME", "AGENT", "STATUS", "EXPIRES", "AGE"]
    assert row.split()[:3] == [TASK, AGENT, "Running"]
    assert running["status"]["spiffeID"] in wide
    assert POD in wide
    assert {each["kind"] for each in by_category} == {"Agent", "AgentTask", "ClusterAgentPolicy"}
    assert TASK not in team("get", "all")


def test_sixty_tasks_at_once_each_get_their_own_identity(team: Kubectl) -> None:
    names = {f"task-{number}" for number in range(60)}
    team.create([task(name) for name in names])

    running = wait_until(
        "all sixty run",
        lambda: team.list("agenttasks"),
        lambda seen: all(story.standing(each) == "Running" for each in seen),
    )
    secrets = wait_until(
        "sixty Secrets are there", lambda: team.list("secrets"), lambda seen: len(seen) == len(names)
    )

    assert {each["metadata"]["name"] for each in running} == names
    assert len({each["status"]["spiffeID"] for each in running}) == 60
    assert len({story.serials(each)[0] for each in running}) == 60
    held = {each["metadata"]["name"]: story.leaf_serial(each) for each in secrets}
    assert held == {f"agentid-{each['metadata']['name']}": story.serials(each)[0] for each in running}
