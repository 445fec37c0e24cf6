"""Installing, upgrading and uninstalling with Helm, with tasks that live through it."""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentid.api import kinds
from devcluster.controlplane import ControlPlane
from devcluster.errors import CommandError
from devcluster.install import (
    NAMESPACE,
    RELEASE,
    helm,
    install_chart,
    uninstall_chart,
)
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.places import CHART, CHECKOUT
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.definitions import delete_crds
from tests.cluster.foreign_answers import nothing_foreign_answered
from tests.cluster.in_force import wait_until_in_force, wait_until_stamped
from tests.cluster.objects import ANY_POD, POD, TASK, agent, pod, service_account, task
from tests.cluster.people import refusal

PREVIOUS = Path(__file__).parent / "previous" / "agentid-0.1.0.tgz"
"""The chart as it was before it had a Deployment."""
CRDS = {kind.crd_name for kind in kinds.KINDS}
OF_POLICIES = {name for name in CRDS if "policies" in name}
OF_THE_RELEASE = (
    "deployments,services,networkpolicies,poddisruptionbudgets,priorityclasses,serviceaccounts,roles,rolebindings,"
    "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,"
    "mutatingadmissionpolicies,mutatingadmissionpolicybindings,customresourcedefinitions"
)
TTL = timedelta(minutes=10)
CLOCKS_MAY_DIFFER = timedelta(seconds=60)
"""By so much a certificate begins before it is issued."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """A control plane of these tests alone, in which nothing is installed yet."""
    with ControlPlane.start() as control_plane, nothing_foreign_answered(control_plane):
        playing.make_node(control_plane.kubectl)
        yield control_plane


@pytest.fixture
def release(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """The cluster; afterwards nothing of the release is in it, no CRD and no task."""
    yield cluster
    uninstall_chart(cluster)
    delete_crds(cluster.kubectl, CRDS)


@pytest.fixture
def here(cluster: ControlPlane, namespace: str) -> Iterator[Kubectl]:
    """A namespace of the test; no pod is left in it."""
    inside = cluster.kubectl.in_namespace(namespace)
    yield inside
    inside("delete", "pods", "--all", "--grace-period=0", "--force")


@contextmanager
def operating(cluster: ControlPlane, settings: Mapping[str, str] | None = None) -> Iterator[OperatorProcess]:
    """An operator that is ready, and ends with the block."""
    operator = OperatorProcess(cluster, environment=settings)
    operator.start()
    try:
        yield operator
    finally:
        if operator.alive():
            operator.terminate()


def in_force(cluster: ControlPlane, namespace: str) -> None:
    wait_until_in_force(cluster.kubectl)
    wait_until_stamped(cluster.kubectl, namespace)


def live_task(here: Kubectl) -> Object:
    """A task with a pod and a credential that both live."""
    credential = {"ttlSeconds": int(TTL.total_seconds())}
    here.create([service_account(), agent(), task(**ANY_POD, credential=credential), pod()])
    return story.runs(here)


def of_the_release(cluster: ControlPlane) -> set[str]:
    """The objects that carry the release's label, as kind/name."""
    everything = cluster.kubectl(
        "get",
        OF_THE_RELEASE,
        "--all-namespaces",
        f"--selector=app.kubernetes.io/instance={RELEASE}",
        "--output=name",
    )
    return set(everything.split())


def terminating(cluster: ControlPlane, namespace: str) -> list[str]:
    """What is on its way out and not gone: of the release, of agentid, and in a namespace."""
    kinds = "secrets,pods,serviceaccounts,configmaps"
    if cluster.kubectl.find("crd", "agenttasks.agentid.dev"):
        kinds += ",agenttasks,agents"
    found = []
    for command in (
        (OF_THE_RELEASE, "--all-namespaces"),
        (kinds, f"--namespace={namespace}"),
        (kinds, f"--namespace={NAMESPACE}"),
    ):
        objects = json.loads(cluster.kubectl("get", *command, "--output=json"))["items"]
        found += [
            f"{each['kind']}/{each['metadata']['name']}"
            for each in objects
            if "deletionTimestamp" in each["metadata"]
        ]
    return found


def notes_commands(cluster: ControlPlane) -> list[str]:
    """The commands of NOTES that end all tasks, and then uninstall."""
    lines = [line.strip() for line in helm(cluster, "get", "notes", RELEASE).splitlines()]
    first = lines.index("kubectl delete agenttasktemplates --all --all-namespaces")
    return lines[first : first + 4]


def in_a_shell(cluster: ControlPlane, command: str) -> None:
    """Run a command as it stands, as an administrator with kubectl and Helm on PATH."""
    folders = [str(program.parent) for program in (cluster.kubectl.program, cluster.helm)]
    home = {f"HELM_{kind}_HOME": str(cluster.run.folder / "helm") for kind in ("CACHE", "CONFIG", "DATA")}
    environment = os.environ | home | {"KUBECONFIG": str(cluster.kubeconfig)}
    environment["PATH"] = ":".join([*folders, os.environ["PATH"]])
    done = subprocess.run(
        shlex.split(command), env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"


def test_what_is_installed_runs_under_pod_security_restricted(release: ControlPlane) -> None:
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    home = release.kubectl.in_namespace(NAMESPACE)
    release.kubectl.apply({"kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": enforced}})
    # On a node that there is not: who would run them here is a test of its own.
    nowhere = ("--set=nodeSelector.nowhere=yes", "--set=trustDomain=prod.example.com")

    helm(release, "install", RELEASE, str(CHART), *nowhere)

    pods = wait_until(
        "a leader and a standby are admitted",
        lambda: home.list("pods", "--selector=app.kubernetes.io/component=operator"),
        lambda seen: len(seen) == 2,
    )
    for each in pods:
        assert each["spec"]["priority"] == 1_000_000
        assert each["spec"]["serviceAccountName"] == "agentid"
    refused = [each for each in home.list("events.events.k8s.io") if each["reason"] == "FailedCreate"]
    assert refused == []
    budget = home.wait_for(
        "poddisruptionbudget",
        "agentid-operator",
        lambda seen: seen.get("status", {}).get("expectedPods") == 2,
        message="the budget counts both",
    )
    assert budget["spec"]["maxUnavailable"] == 1


def test_without_a_trust_domain_nothing_is_installed(release: ControlPlane) -> None:
    with pytest.raises(CommandError, match="trustDomain is not set"):
        helm(release, "install", RELEASE, str(CHART), "--create-namespace")

    assert of_the_release(release) == set()


def test_an_upgrade_from_the_release_before_keeps_what_lives(
    release: ControlPlane, here: Kubectl, namespace: str
) -> None:
    install_chart(release, policy=None)
    in_force(release, namespace)
    with operating(release):
        before = live_task(here)
    # As the release before has it, which knew no policies. This version's operator does not run on its rules.
    helm(release, "upgrade", RELEASE, str(PREVIOUS), "--reset-values", "--wait")
    release.kubectl("delete", "crds", *OF_POLICIES)

    # It brings the kinds, and so the default policy, without which nothing would live on.
    install_chart(release, policy=None)

    in_force(release, namespace)
    with operating(release):
        assert story.serials(story.settled(here)) == story.serials(before)
        playing.finish(here, POD)
        story.ends(here, "Completed")
        story.secret_gone(here)


def test_an_upgrade_to_other_values_keeps_what_lives_and_holds_for_what_comes(
    release: ControlPlane, here: Kubectl, namespace: str
) -> None:
    install_chart(release)
    in_force(release, namespace)
    with operating(release) as operator:
        before = live_task(here)

        install_chart(release, {"limits": {"maxTtlSeconds": 60}, "watchNamespaces": [namespace]})

        in_force(release, namespace)
        operator.terminate()
        operator.start({"AGENTID_MAX_TTL_SECONDS": "60", "AGENTID_WATCH_NAMESPACES": json.dumps([namespace])})
        assert story.serials(story.settled(here)) == story.serials(before)
        longer = task("longer", credential={"ttlSeconds": 61})
        assert "this cluster allows at most 60; ask for less" in refusal(lambda: here.create(longer))
        here("delete", "agenttask", TASK)
        story.secret_gone_or_empty(here)
        playing.remove(here, POD)
        story.secret_gone(here)


def test_uninstalled_with_live_tasks_nothing_is_stuck_and_no_certificate_outlives_its_ttl(
    release: ControlPlane, here: Kubectl, namespace: str
) -> None:
    install_chart(release)
    in_force(release, namespace)
    with operating(release):
        live_task(here)

    uninstall_chart(release)

    assert of_the_release(release) == {
        f"customresourcedefinition.apiextensions.k8s.io/{name}" for name in CRDS
    }
    assert terminating(release, namespace) == []
    left = here.get("secret", f"agentid-{TASK}")
    leaf = story.leaf(left)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= TTL + CLOCKS_MAY_DIFFER
    assert leaf.not_valid_after_utc <= datetime.now(UTC) + TTL
    here.delete("agenttask", TASK)  # nobody of agentid is there to be asked

    install_chart(release)
    in_force(release, namespace)
    with operating(release):
        story.secret_gone_or_empty(here)
        playing.remove(here, POD)
        story.secret_gone(here)
    assert terminating(release, namespace) == []


def test_uninstalled_with_its_crds_the_tasks_go_and_nothing_is_stuck(
    release: ControlPlane, here: Kubectl, namespace: str
) -> None:
    install_chart(release, {"crds": {"keep": False}})
    in_force(release, namespace)
    with operating(release):
        live_task(here)

    uninstall_chart(release)

    for name in CRDS:
        release.kubectl.wait_gone("crd", name)
    assert of_the_release(release) == set()
    assert terminating(release, namespace) == []
    # A kind that is gone can't be collected by its owner; nothing of ours keeps anybody from deleting it.
    playing.remove(here, POD)
    here("delete", "secret", f"agentid-{TASK}", "--ignore-not-found")
    assert here.list("secrets") == []


def test_the_commands_of_notes_end_all_tasks_before_the_chart_goes(
    release: ControlPlane, here: Kubectl, namespace: str
) -> None:
    install_chart(release)
    in_force(release, namespace)
    with operating(release, {"AGENTID_WIPE_GRACE_SECONDS": "5"}):
        live_task(here)
        here.create(task("unbound"))
        story.runs(here, "unbound")
        delete_templates, delete, wait, uninstall = notes_commands(release)

        in_a_shell(release, delete_templates)
        in_a_shell(release, delete)
        in_a_shell(release, wait)

        assert here.list("agenttasks") == []
        assert [each["metadata"]["name"] for each in here.list("secrets")] == []
    in_a_shell(release, uninstall)
    assert of_the_release(release) == {
        f"customresourcedefinition.apiextensions.k8s.io/{name}" for name in CRDS
    }
    assert terminating(release, namespace) == []


def test_readme_tells_the_commands_of_notes(release: ControlPlane) -> None:
    install_chart(release)
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")

    for command in notes_commands(release):
        assert command in readme
    assert "helm test" not in helm(release, "get", "notes", RELEASE)
    assert "replicaCount is 0" in helm(release, "get", "notes", RELEASE)
