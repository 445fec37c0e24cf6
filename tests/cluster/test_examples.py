"""Each file in deploy/examples does what its comment says, applied as it stands, under the default policy."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import yaml

from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError
from devcluster.install import EVERYTHING
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.places import CHECKOUT
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.approving import approval
from tests.cluster.families import grants
from tests.cluster.given_rights import accepted as once_given
from tests.cluster.policies import accepted, waits
from tests.cluster.unguarded import once_let
from tests.laying_out import clear_workloads

EXAMPLES = CHECKOUT / "deploy" / "examples"
DEFAULT = (CHECKOUT / "deploy" / "policies" / "default.cedar").read_text(encoding="utf-8")
TESTED = {
    "01-agent.yaml",
    "02-job.yaml",
    "03-pod.yaml",
    "04-unbound-task.yaml",
    "05-suspended.yaml",
    "06-replaced-pod.yaml",
    "07-on-behalf-of.yaml",
    "08-own-volume.yaml",
    # In test_static_secrets.py:
    "09-static-secret.yaml",
    "10-task-with-static-secret.yaml",
    "11-cronjob.yaml",
    "12-family.yaml",
    "13-emergency.yaml",
    "14-step-under-approval.yaml",
}


@pytest.fixture(scope="module")
def under_the_default_policy(cluster: ControlPlane) -> Iterator[str]:
    """The session's one policy has the text of the default, for these tests; its name."""
    cluster.kubectl.apply({**EVERYTHING, "spec": {"cedar": DEFAULT}})
    yield EVERYTHING["metadata"]["name"]
    accepted(cluster.kubectl, EVERYTHING)


@pytest.fixture
def shop(
    kubectl: Kubectl, node: str, operator: OperatorProcess, under_the_default_policy: str
) -> Iterator[Kubectl]:
    """A namespace in which the Agent of the examples was applied."""
    assert node
    assert operator.alive()
    kubectl.wait_for(
        "clusteragentpolicy",
        under_the_default_policy,
        lambda seen: seen.get("status", {}).get("accepted", {}).get("cedar") == DEFAULT,
        message="the default policy is in force",
    )
    kubectl.apply(example("01-agent.yaml"))
    yield kubectl
    kubectl("delete", "deployments", "--all", "--wait=false")
    clear_workloads(kubectl)


def example(name: str) -> Path:
    return EXAMPLES / name


def first_pod(here: Kubectl, task: str, not_named: str = "") -> str:
    """Wait until a pod of a task is there, give it a node, and return its name."""
    found = wait_until(
        f"there is a pod for {task}",
        lambda: here.list("pods", f"--selector=agentid.dev/task={task}"),
        lambda pods: any(pod["metadata"]["name"] != not_named for pod in pods),
    )
    name = next(pod["metadata"]["name"] for pod in found if pod["metadata"]["name"] != not_named)
    playing.bind(here, name)
    return str(name)


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == TESTED


def test_agent_alone_gives_nobody_an_identity(shop: Kubectl) -> None:
    assert shop.list("secrets") == []
    assert shop.get("agent", "refund-agent")["spec"]["serviceAccounts"] == ["refund-agent"]


def test_job_with_a_label_gets_an_identity_until_it_is_done(shop: Kubectl) -> None:
    shop.apply(example("02-job.yaml"))
    worker = first_pod(shop, "refund-4711")

    running = story.runs(shop, "refund-4711")
    assert running["status"]["boundPod"]["name"] == worker
    (container,) = shop.get("pod", worker)["spec"]["containers"]
    assert {"name": "SPIFFE_CREDENTIAL_FOLDER", "value": "/var/run/secrets/agentid.dev"} in container["env"]
    playing.finish(shop, worker)
    story.ends(shop, "Completed", "refund-4711")
    story.secret_gone(shop, "refund-4711")


def test_pod_with_a_label_is_the_whole_life_of_its_task(shop: Kubectl) -> None:
    shop.apply(example("03-pod.yaml"))
    playing.bind(shop, "refund-4712")

    running = story.runs(shop, "refund-4712")
    (credential,) = running["status"]["credentials"]
    begun, ends = (datetime.fromisoformat(running["status"][key]) for key in ("startTime", "deadline"))
    assert ends - begun == timedelta(minutes=15)
    not_before, not_after = (datetime.fromisoformat(credential[key]) for key in ("notBefore", "notAfter"))
    backdated = timedelta(seconds=60)
    assert timedelta(seconds=59) <= not_after - not_before - backdated <= timedelta(seconds=60)
    assert begun < not_after <= ends
    playing.finish(shop, "refund-4712")
    story.ends(shop, "Completed", "refund-4712")


def test_unbound_task_has_five_minutes_and_no_pod_can_ever_work_for_it(shop: Kubectl) -> None:
    shop.apply(example("04-unbound-task.yaml"))

    running = story.runs(shop, "report-0311")
    (credential,) = running["status"]["credentials"]
    begun = datetime.fromisoformat(running["status"]["startTime"])
    assert datetime.fromisoformat(running["status"]["deadline"]) == begun + timedelta(minutes=5)
    assert credential["notAfter"] == running["status"]["deadline"]
    assert "boundPod" not in running["status"]


def test_suspended_task_gets_its_identity_when_its_state_is_active(shop: Kubectl) -> None:
    shop.apply(example("05-suspended.yaml"))
    playing.bind(shop, "refund-4713")
    waiting = story.stands(shop, "Suspended", "refund-4713")
    assert story.serials(waiting) == []

    shop("patch", "agenttask", "refund-4713", "--type=merge", "-p", '{"spec":{"state":"Active"}}')
    story.runs(shop, "refund-4713")
    shop("patch", "agenttask", "refund-4713", "--type=merge", "-p", '{"spec":{"state":"Ended"}}')

    story.ends(shop, "Ended", "refund-4713")
    story.secret_gone_or_empty(shop, "refund-4713")


def test_next_pod_of_the_deployment_gets_a_credential_of_its_own(shop: Kubectl) -> None:
    shop.apply(example("06-replaced-pod.yaml"))
    one = first_pod(shop, "refund-desk")
    first = story.runs(shop, "refund-desk")

    playing.remove(shop, one)
    two = first_pod(shop, "refund-desk", not_named=one)

    second = shop.wait_for(
        "agenttask", "refund-desk", lambda seen: seen["status"].get("boundPod", {}).get("name") == two
    )
    story.runs(shop, "refund-desk")
    assert set(story.serials(first)).isdisjoint(story.serials(second))


def test_task_for_carol_takes_the_right_to_act_for_her(shop: Kubectl) -> None:
    editors = "editors-of-the-examples"
    shop("create", "rolebinding", "editors", "--clusterrole=edit", f"--group={editors}")
    manifest = example("07-on-behalf-of.yaml").read_text()
    *rights, wanted, worker = manifest.split("---\n")
    orchestrator = shop.as_user("orchestrator@example.com", [editors])
    wait_until("editors may edit", lambda: orchestrator.can_i("create", "agenttasks.agentid.dev"))

    with pytest.raises(KubectlError, match="may not act on behalf of carol"):
        orchestrator.create(wanted)
    shop("apply", "--filename=-", stdin="---\n".join(rights))
    with pytest.raises(KubectlError, match="may not act on behalf of carol"):
        shop.as_user("mallory@example.com", [editors]).create(wanted)
    once_let(partial(orchestrator.create, wanted))
    orchestrator.create(worker)
    playing.bind(shop, "refund-4714")

    running = story.runs(shop, "refund-4714")
    assert running["spec"]["requester"]["username"] == "orchestrator@example.com"
    note = story.told(shop, running)[0].note
    assert "asked by orchestrator@example.com for carol@example.com" in note


def test_pod_with_a_volume_of_its_own_says_which_container_has_the_credential(shop: Kubectl) -> None:
    shop.apply(example("08-own-volume.yaml"))
    playing.bind(shop, "refund-4715")

    story.runs(shop, "refund-4715")

    spec = shop.get("pod", "refund-4715")["spec"]
    mounts = {
        each["name"]: [m["mountPath"] for m in each.get("volumeMounts", [])] for each in spec["containers"]
    }
    of_agentid = [
        v["name"] for v in spec["volumes"] if v.get("secret", {}).get("secretName", "")[:8] == "agentid-"
    ]
    assert of_agentid == ["credential"]
    assert "/credential" in mounts["agent"]
    assert "/credential" not in mounts["sidecar"]
    assert "/var/run/secrets/agentid.dev" not in {path for paths in mounts.values() for path in paths}


def test_each_run_of_a_labelled_cron_job_gets_a_task_of_its_own(shop: Kubectl) -> None:
    shop.apply(example("11-cronjob.yaml"))
    for name in ("try-1", "try-2"):
        shop("create", "job", name, "--from=cronjob/nightly-refunds")
        first_pod(shop, name)
    first, second = (story.runs(shop, name) for name in ("try-1", "try-2"))

    assert first["status"]["spiffeID"] != second["status"]["spiffeID"]
    assert first["spec"]["templateRef"]["name"] == "nightly-refunds"
    assert first["status"]["deadline"] is not None


def step_of(above: Object) -> str:
    """The step that the comment of the family's example has."""
    comments = [line.removeprefix("#") for line in example("12-family.yaml").read_text().splitlines()]
    step = " ".join(line for line in comments if line.startswith(("   {", "     ")))
    return step.replace("$UID", above["metadata"]["uid"])


def test_family_grants_what_it_has_not_for_a_step(shop: Kubectl) -> None:
    shop.apply(example("12-family.yaml"))
    above = story.runs(shop, "triage-4720")
    shop("create", "--filename=-", stdin=step_of(above))

    story.stands(shop, "Running", "triage-4720-refund")
    shown = shop.wait_for("agenttask", "triage-4720", lambda seen: seen["status"].get("grants"))
    (grant,) = shown["status"]["grants"]
    assert (grant["name"], grant["actions"]) == ("triage-4720-refund", ["refunds:create"])


def test_step_of_the_family_waits_for_an_approval_where_the_policy_is(shop: Kubectl) -> None:
    policy = yaml.safe_load(example("14-step-under-approval.yaml").read_text())
    accepted(shop, policy)
    shop.apply(example("12-family.yaml"))
    above = story.runs(shop, "triage-4720")
    shop("create", "--filename=-", stdin=step_of(above))

    told = 'rule "steps-that-refund" allows it only with an approval'
    step = waits(shop, "triage-4720-refund", "AwaitingApproval", told)
    assert grants(shop.get("agenttask", "triage-4720")) == []
    erin = "erin@example.com"
    shop("create", "rolebinding", "approvers", "--clusterrole=agentid-approver", f"--user={erin}")
    once_given(partial(shop.as_user(erin).create, approval(step)))

    shown = shop.wait_for("agenttask", "triage-4720", lambda seen: seen["status"].get("grants"))
    (grant,) = shown["status"]["grants"]
    assert (grant["name"], grant["actions"]) == ("triage-4720-refund", ["refunds:create"])
    assert shop.find("secret", "agentid-triage-4720-refund") is None


def test_emergency_is_one_credential_that_everybody_is_told_of(shop: Kubectl) -> None:
    shop.apply(example("13-emergency.yaml"))

    running = story.runs(shop, "mend-refunds")

    assert running["status"]["decision"]["breakGlass"] is True
    assert running["status"]["deadline"] == running["status"]["credentials"][0]["notAfter"]
    assert [each.reason for each in story.told(shop, running)] == ["BreakGlassUsed"]
