"""The chart's default policy: it comes once, the operator takes it up, and then it is the platform team's."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agentid.api import kinds
from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE, RELEASE, helm, install_chart, uninstall_chart
from devcluster.kubectl import Object
from devcluster.operator_process import OperatorProcess
from devcluster.places import CHART, CHECKOUT
from tests.cluster import playing, story
from tests.cluster.definitions import delete_crds
from tests.cluster.foreign_answers import nothing_foreign_answered
from tests.cluster.in_force import wait_until_in_force, wait_until_stamped
from tests.cluster.objects import ANY_POD, agent, pod, service_account, task
from tests.laying_out import clear_workloads

KIND = "clusteragentpolicy"
DEFAULT = (CHECKOUT / "deploy" / "policies" / "default.cedar").read_text(encoding="utf-8")
OURS = "permit (principal, action, resource);\n"
OTHER_VALUES = {"limits": {"maxTtlSeconds": 3600}}
CRDS = [kind.crd_name for kind in kinds.KINDS]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """A control plane of these tests alone, in which nothing is installed yet."""
    with ControlPlane.start() as control_plane, nothing_foreign_answered(control_plane):
        playing.make_node(control_plane.kubectl)
        yield control_plane


@pytest.fixture
def release(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """The cluster; afterwards nothing of the release is in it, and no CRD."""
    yield cluster
    uninstall_chart(cluster)
    delete_crds(cluster.kubectl, CRDS)


@contextmanager
def operating(cluster: ControlPlane) -> Iterator[None]:
    """An operator of the release, once its rules are in force; it ends with the block."""
    wait_until_in_force(cluster.kubectl)
    wait_until_stamped(cluster.kubectl, "default")
    operator = OperatorProcess(cluster)
    operator.start()
    try:
        yield
    finally:
        if operator.alive():
            operator.terminate()


def default_policy(cluster: ControlPlane) -> Object | None:
    return cluster.kubectl.find(KIND, "default")


def policies(cluster: ControlPlane) -> list[str]:
    return [each["metadata"]["name"] for each in cluster.kubectl.list(KIND)]


def write(cluster: ControlPlane, name: str, cedar: str) -> Object:
    """Apply a policy as the platform team does."""
    manifest = {"apiVersion": "agentid.dev/v1alpha1", "kind": "ClusterAgentPolicy"}
    return cluster.kubectl.apply(
        manifest | {"metadata": {"name": name}, "spec": {"cedar": cedar}},
        "--server-side",
        "--force-conflicts",
    )


def notes(cluster: ControlPlane) -> str:
    return helm(cluster, "get", "notes", RELEASE)


def untouched(before: Object | None, after: Object | None) -> bool:
    """Is it there, and was nothing of it written since?"""
    return (
        before is not None
        and after is not None
        and before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    )


def test_the_first_installation_allows_what_the_default_policy_allows(
    release: ControlPlane, namespace: str
) -> None:
    install_chart(release, policy=None)
    assert "This installs ClusterAgentPolicy default" in notes(release)
    here = release.kubectl.in_namespace(namespace)
    with operating(release):
        found = release.kubectl.wait_for(
            KIND, "default", lambda seen: "status" in seen, story.PROMPTLY, "the operator took it up"
        )
        assert found["spec"]["cedar"] == found["status"]["accepted"]["cedar"] == DEFAULT
        here.create([service_account(), agent(), task(**ANY_POD), pod(), task("unbound")])

        note = story.told(here, story.runs(here))[0].note
        waiting = story.stands(here, "AwaitingPolicy", "unbound")

        assert "allowed by ClusterAgentPolicy/default" in note
        rule = 'ClusterAgentPolicy/default, rule "unbound-only-public" forbids it. Name the workload'
        assert rule in story.conditions(waiting)["Finished"]["message"]
        clear_workloads(here)


def test_what_the_platform_team_made_of_it_stays_at_an_upgrade(release: ControlPlane) -> None:
    install_chart(release, policy=None)
    edited = write(release, "default", OURS)

    install_chart(release, OTHER_VALUES, policy=None)

    assert untouched(edited, default_policy(release))
    assert "and are left as they are: default." in notes(release)


def test_deleted_it_stays_away_at_an_upgrade_and_notes_say_how_to_have_it_again(
    release: ControlPlane,
) -> None:
    install_chart(release, policy=None)
    write(release, "ours", OURS)
    release.kubectl.delete(KIND, "default")
    install_chart(release, OTHER_VALUES, policy=None)
    assert policies(release) == ["ours"]
    assert "and are left as they are: ours." in notes(release)
    release.kubectl.delete(KIND, "ours")

    install_chart(release, policy=None)

    assert policies(release) == []
    (again,) = (line.strip() for line in notes(release).splitlines() if "--show-only" in line)
    in_a_shell(release, again.replace("CHART", str(CHART)))
    assert release.kubectl.get(KIND, "default")["spec"]["cedar"] == DEFAULT


def in_a_shell(cluster: ControlPlane, command: str) -> None:
    """Run a command as it stands, as an administrator with kubectl and Helm."""
    folders = ":".join(str(program.parent) for program in (cluster.kubectl.program, cluster.helm))
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        env={
            "PATH": f"{folders}:/usr/bin:/bin",
            "KUBECONFIG": str(cluster.kubeconfig),
            "HOME": "/nonexistent",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"


def test_it_stays_when_the_chart_goes_and_a_new_installation_leaves_it_as_it_is(
    release: ControlPlane,
) -> None:
    install_chart(release, policy=None)
    edited = write(release, "default", OURS)

    uninstall_chart(release)

    assert untouched(edited, default_policy(release))
    install_chart(release, policy=None)
    assert untouched(edited, default_policy(release))


def test_uninstalled_with_its_crds_no_policy_stays_and_the_next_installation_brings_it_again(
    release: ControlPlane,
) -> None:
    install_chart(release, {"crds": {"keep": False}}, policy=None)
    write(release, "default", OURS)
    uninstall_chart(release)
    release.kubectl.wait_gone("crd", "clusteragentpolicies.agentid.dev")

    install_chart(release, policy=None)

    assert release.kubectl.get(KIND, "default")["spec"]["cedar"] == DEFAULT


def test_a_cluster_that_has_policies_is_given_none(release: ControlPlane) -> None:
    # Somebody else installed the CRDs, and a policy.
    for definition in sorted((CHECKOUT / "crds").glob("*.yaml")):
        release.kubectl.apply(definition)
    release.kubectl("wait", "--for=condition=Established", "crd", *CRDS)
    write(release, "ours", OURS)

    install_chart(release, {"crds": {"enabled": False}}, policy=None)

    assert policies(release) == ["ours"]


def test_unwanted_it_does_not_come_and_notes_say_that_nothing_is_allowed(release: ControlPlane) -> None:
    install_chart(release, {"policy": {"default": {"create": False}}}, policy=None)

    assert policies(release) == []
    assert "No ClusterAgentPolicy is there, so nothing is allowed." in notes(release)
    # To want it afterwards is an upgrade like any other.
    install_chart(release, policy=None)
    assert policies(release) == []
    assert NAMESPACE in helm(release, "list")
