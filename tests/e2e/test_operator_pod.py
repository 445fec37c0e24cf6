"""The operator as users run it: what its image holds, what its pods may do, and how one follows another."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from agentid.api.names import secret_name
from agentid.doctor.trial import END, ISSUE, NAME, REMOVED
from devcluster.cluster import Cluster
from devcluster.errors import KubectlError
from devcluster.install import NAMESPACE, RELEASE, helm
from devcluster.kubectl import Kubectl
from devcluster.operator_answers import sampled
from devcluster.operator_pod import CONTAINER, OperatorPod
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.e2e import inside
from tests.e2e.objects import unbound_task

TAKEN_OVER = timedelta(seconds=90)
"""By the chart's defaults a lease that is not renewed is another's after 15 s and a retry."""
ENFORCE = "pod-security.kubernetes.io/enforce"
ASK = """
import json, os, pathlib
def writable(folder):
    try:
        (pathlib.Path(folder) / "x").touch()
    except OSError:
        return False
    return True
folders = ["/", "/tmp", "/opt/agentid", "/opt/agentid/bytecode", "/var", "/home", "/run"]
print(json.dumps({
    "user": os.getuid(),
    "groups": os.getgroups(),
    "writable": [folder for folder in folders if writable(folder)],
    "capabilities": next(line.split()[1] for line in open("/proc/1/status") if line.startswith("CapEff")),
    "first": open("/proc/1/cmdline").read().split("\\0"),
}))
"""


@pytest.fixture
def system(admin: Kubectl) -> Kubectl:
    """kubectl as administrator in the operator's namespace."""
    return admin.in_namespace(NAMESPACE)


def in_pod(system: Kubectl, name: str, program: str) -> str:
    return system("exec", name, f"--container={CONTAINER}", "--", "python3", "-c", program)


def leaders(operator: OperatorPod) -> dict[str, float]:
    """Each pod, and whether it says that it leads."""
    return {name: sampled(operator.served(name, "metrics"), "agentid_leader", {}) for name in operator.pods()}


def issues(here: Kubectl, name: str) -> None:
    """See that a task that is created now gets its credential."""
    here.create(unbound_task(name))
    story.runs(here, name, inside.STARTED)


def test_a_leader_and_a_warm_standby_run_from_the_chart(team: Kubectl, operator: OperatorPod) -> None:
    assert sorted(leaders(operator).values()) == [0.0, 1.0]
    assert leaders(operator)[operator.leader()] == 1.0
    assert operator.healthy()
    assert all(operator.served(name, "readyz") == "ok\n" for name in operator.pods())

    issues(team, "from-a-pod")

    assert operator.metric("agentid_admission_in_force") == 1.0
    assert {"leading"} <= {line["event"] for line in operator.log_lines()}


def test_its_pod_is_nobody_with_nothing_to_write_to(operator: OperatorPod, system: Kubectl) -> None:
    seen: dict[str, Any] = json.loads(in_pod(system, operator.leader(), ASK))

    assert seen["user"] == 65532
    assert 0 not in seen["groups"]
    assert seen["writable"] == []
    assert int(seen["capabilities"], 16) == 0
    assert any(word.endswith("agentid") for word in seen["first"])


@pytest.fixture
def restricted(admin: Kubectl) -> Iterator[Kubectl]:
    """The operator's namespace while Pod Security "restricted" is enforced there."""
    admin("label", "namespace", NAMESPACE, f"{ENFORCE}=restricted", "--overwrite")
    yield admin.in_namespace(NAMESPACE)
    admin("label", "namespace", NAMESPACE, f"{ENFORCE}-")


def test_its_pods_run_under_their_own_service_account_and_pass_pod_security_restricted(
    operator: OperatorPod, restricted: Kubectl
) -> None:
    spec = restricted.get("pod", operator.leader())["spec"]
    spec.pop("nodeName")
    same = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "same"}, "spec": spec}

    restricted.create(same, "--dry-run=server")

    assert spec["serviceAccountName"] == "agentid"
    spec["containers"][0].pop("securityContext")
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        restricted.create(same, "--dry-run=server")


@pytest.mark.usefixtures("operator")
def test_helm_test_sees_a_task_issued_and_ended_and_leaves_nothing(
    cluster: Cluster, restricted: Kubectl
) -> None:
    said = helm(cluster, "test", RELEASE, "--logs", "--timeout=240s")

    assert "Phase:          Succeeded" in said, said
    for step in (ISSUE, END, REMOVED):
        assert any(line.startswith("✓") and step in line for line in said.splitlines()), said
    for kind in ("pod", "serviceaccount", "role", "rolebinding"):
        assert restricted.find(kind, "agentid-test") is None, f"{kind} of helm test is left"
    for kind, name in (("agenttask", NAME), ("agent", NAME), ("secret", secret_name(NAME))):
        assert restricted.find(kind, name) is None, f"{kind} of its trial is left"


@pytest.fixture
def long_lease(operator: OperatorPod) -> Iterator[timedelta]:
    """Operators whose lease nobody outwaits in a test; how long it holds."""
    holds = timedelta(seconds=300)
    operator.restart({"operator": {"lease": {"durationSeconds": 300, "renewDeadlineSeconds": 200}}})
    yield holds
    operator.restart()


def test_the_standby_need_not_wait_for_the_lease_when_the_leaders_pod_is_deleted(
    team: Kubectl, operator: OperatorPod, system: Kubectl, long_lease: timedelta
) -> None:
    issues(team, "before-the-deletion")
    first = operator.leader()

    system.delete("pod", first, "--wait=false")
    second = wait_until(
        "another pod leads", operator.leader, lambda seen: seen not in {"", first}, within=long_lease / 2
    )

    issues(team, "after-the-deletion")
    operator.wait_ready()
    assert second in operator.pods()
    assert len(operator.pods()) == 2


@pytest.mark.node_of_ours
def test_the_standby_takes_over_when_the_leader_is_killed_and_the_killed_one_stands_by(
    team: Kubectl, operator: OperatorPod
) -> None:
    issues(team, "before-the-kill")
    before = team.get("agenttask", "before-the-kill")

    first = operator.kill_leader()
    second = wait_until(
        "another pod leads",
        operator.leader,
        lambda seen: seen not in {"", first},
        within=TAKEN_OVER,
    )

    issues(team, "after-the-kill")
    operator.wait_ready()
    assert sorted(operator.pods()) == sorted([first, second])
    wait_until(
        "the second leads, and the first stands by",
        lambda: leaders(operator),
        lambda seen: seen == {first: 0.0, second: 1.0},
    )
    after = team.get("agenttask", "before-the-kill")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    events = [line["event"] for line in operator.log_lines()]
    assert events.count("leading") >= 2, "what the killed one logged is kept"
