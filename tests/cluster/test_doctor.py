"""The doctor on a real API server: all is well, and each thing that was broken by hand is told."""

import json
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentid.doctor.leftovers import LONGEST_STAY
from devcluster.controlplane import ControlPlane
from devcluster.install import EVERYTHING, NAMESPACE, SERVICE_ACCOUNT
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.in_force import wait_until_in_force
from tests.cluster.lives import OPERATOR
from tests.cluster.objects import task
from tests.cluster.policies import accepted
from tests.cluster.unguarded import as_written, put_back

RULE = "reserved-secrets.agentid.dev"
AUTHORITY = "x509-authority"
TRIAL = "doctor-trial"


def asked(kubeconfig: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """The doctor's exit code, what it says as JSON, and the text of it."""
    ended = subprocess.run(
        [sys.executable, "-m", "agentid", "doctor", "--kubeconfig", str(kubeconfig), "-o", "json", *options],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, json.loads(ended.stdout), ended.stdout


def told(kubeconfig: Path, check: str, *options: str) -> list[dict[str, str]]:
    """What it says of one check."""
    _, said, _ = asked(kubeconfig, *options)
    return [each for each in said["checks"] if each["check"] == check]


def problem(kubeconfig: Path, check: str) -> dict[str, str]:
    """The one problem that it tells of a check, with exit code 1 and a remedy."""
    code, said, text = asked(kubeconfig)
    problems = [each for each in said["checks"] if each["standing"] == "Problem"]
    assert [each["check"] for each in problems] == [check], text
    assert code == 1
    assert problems[0]["remedy"]
    return problems[0]


def delete_as_garbage_collector(here: Kubectl, name: str) -> None:
    """What the remedy tells an administrator to do."""
    collector = "system:serviceaccount:kube-system:generic-garbage-collector"
    here.as_user(collector, ["system:masters"]).delete("secret", name)


@pytest.fixture
def kubeconfig(cluster: ControlPlane) -> Path:
    """The administrator's."""
    return cluster.kubeconfig


@contextmanager
def stopped(operator: OperatorProcess) -> Iterator[None]:
    """Have no operator run that would mend what is broken."""
    if operator.alive():
        operator.terminate()
    try:
        yield
    finally:
        operator.start()
        operator.wait_ready()


def test_a_healthy_installation_is_told_to_be_well(
    kubeconfig: Path, admin: Kubectl, operator: OperatorProcess
) -> None:
    operator.wait_ready()
    wait_until("there is a CRL", lambda: admin.in_namespace(NAMESPACE).find("configmap", "agentid-crl"))

    code, said, text = asked(kubeconfig)

    assert code == 0, text
    # The operator of these tests runs outside of the cluster.
    wrong = [
        each for each in said["checks"] if each["standing"] != "OK" and each["check"] != "operator's pods"
    ]
    assert wrong == []
    assert {each["check"] for each in said["checks"]} >= {
        "Kubernetes",
        "CRDs",
        "agentid",
        "admission rules",
        "admission acts",
        "operator's rights",
        "everybody's rights",
        "policies",
        "authority",
        "CRL",
        "ledger",
        "lease",
        "clocks",
        "leftover Secrets",
    }


def test_no_byte_of_a_key_is_told(kubeconfig: Path, admin: Kubectl, operator: OperatorProcess) -> None:
    operator.wait_ready()
    data = admin.in_namespace(NAMESPACE).get("secret", AUTHORITY)["data"]

    _, _, text = asked(kubeconfig)

    for name in ("root.key", "intermediate.key"):
        lines = [line for line in b64decode(data[name]).decode().splitlines() if not line.startswith("-----")]
        assert lines
        assert not any(line in text for line in lines)


def test_a_rule_that_was_removed_is_told(kubeconfig: Path, admin: Kubectl, operator: OperatorProcess) -> None:
    operator.wait_ready()
    binding = admin.get("validatingadmissionpolicybinding", RULE)
    admin.delete("validatingadmissionpolicybinding", RULE)
    try:
        said = problem(kubeconfig, "admission rules")
    finally:
        put_back(admin, as_written(binding))
        wait_until_in_force(admin)
    assert f"ValidatingAdmissionPolicyBinding {RULE} is missing" in said["sentence"]


def test_rules_that_are_there_and_not_applied_are_told(
    kubeconfig: Path, admin: Kubectl, operator: OperatorProcess
) -> None:
    operator.wait_ready()
    name = "kopf-annotations.agentid.dev"
    installed: Object = as_written(admin.get("validatingadmissionpolicy", name))
    weak: Object = as_written(admin.get("validatingadmissionpolicy", name))
    weak["spec"]["validations"] = [{"expression": "true"}]
    admin.replace(weak)
    try:
        seen = wait_until(
            "the forgery gets through",
            lambda: told(kubeconfig, "admission acts"),
            lambda found: found[0]["standing"] == "Problem",
            within=timedelta(seconds=60),
        )
    finally:
        put_back(admin, installed)
        wait_until_in_force(admin)
    assert "a rule has to refuse was not" in seen[0]["sentence"]


def test_a_right_that_was_taken_away_is_told(
    kubeconfig: Path, admin: Kubectl, operator: OperatorProcess
) -> None:
    operator.wait_ready()
    binding = admin.get("clusterrolebinding", "agentid-operator-credentials")
    admin.delete("clusterrolebinding", "agentid-operator-credentials")
    try:
        said = problem(kubeconfig, "operator's rights")
    finally:
        again = {key: binding[key] for key in ("apiVersion", "kind", "roleRef", "subjects")}
        admin.create(
            {
                **again,
                "metadata": {key: binding["metadata"][key] for key in ("name", "labels", "annotations")},
            }
        )
    assert "may not do what it has to: create secrets, update secrets, delete secrets" in said["sentence"]


def test_a_right_too_many_is_told(kubeconfig: Path, admin: Kubectl, operator: OperatorProcess) -> None:
    operator.wait_ready()
    name = "doctor-test-too-much"
    rbac = "rbac.authorization.k8s.io"
    admin.create(
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}],
        }
    )
    admin.create(
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": NAMESPACE}],
        }
    )
    try:
        said = problem(kubeconfig, "operator's rights")
    finally:
        admin.delete("clusterrolebinding", name)
        admin.delete("clusterrole", name)
    assert "more than the chart gives it: list secrets" in said["sentence"]


def test_that_no_policy_is_left_or_none_is_accepted_is_told(
    kubeconfig: Path, admin: Kubectl, operator: OperatorProcess
) -> None:
    operator.wait_ready()
    name = EVERYTHING["metadata"]["name"]
    admin.delete("clusteragentpolicy", name)
    try:
        left = problem(kubeconfig, "policies")
        admin.create({**EVERYTHING, "spec": {"cedar": "permit (principal, action);\n"}})
        admin.wait_for("clusteragentpolicy", name, lambda seen: "status" in seen)
        refused = problem(kubeconfig, "policies")
    finally:
        accepted(admin, EVERYTHING)
    assert left["sentence"] == "No ClusterAgentPolicy is there, so nothing is issued."
    assert "When no policy is left" in left["remedy"]
    assert f"so nothing is issued: ClusterAgentPolicy {name}: " in refused["sentence"]
    assert "line 1, column" in refused["sentence"]


def test_a_text_that_is_not_in_force_is_told(
    kubeconfig: Path, kubectl: Kubectl, operator: OperatorProcess
) -> None:
    operator.wait_ready()
    kubectl.create({**EVERYTHING, "kind": "AgentPolicy", "metadata": {"name": "ours"}})
    kubectl.wait_for("agentpolicy", "ours", lambda seen: "accepted" in seen.get("status", {}))
    assert told(kubeconfig, "policies")[0]["standing"] == "OK"
    kubectl.patch("agentpolicy", "ours", {"spec": {"cedar": "permit (principal, action);"}})

    (said,) = wait_until(
        "the text is refused",
        lambda: told(kubeconfig, "policies"),
        lambda seen: "Not in force as written" in seen[0]["sentence"],
    )

    assert said["standing"] == "Warning"
    assert f"AgentPolicy {kubectl.namespace}/ours: " in said["sentence"]
    assert "The text accepted before stays in force" in said["sentence"]


@pytest.mark.parametrize("damage", ["deleted", "another key"])
def test_an_authority_that_was_deleted_or_damaged_is_told(
    kubeconfig: Path, admin: Kubectl, operator: OperatorProcess, damage: str
) -> None:
    home = admin.in_namespace(NAMESPACE)
    operator.wait_ready()
    kept = home.get("secret", AUTHORITY)
    good = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": AUTHORITY, "labels": kept["metadata"]["labels"]},
        "type": "Opaque",
        "data": kept["data"],
    }
    with stopped(operator):
        home.delete("secret", AUTHORITY)
        if damage == "another key":
            home.create({**good, "data": {**kept["data"], "intermediate.key": kept["data"]["root.key"]}})
        try:
            _, said, text = asked(kubeconfig)
        finally:
            if damage == "another key":
                home.delete("secret", AUTHORITY)
            home.create(good)
    sentence = next(each for each in said["checks"] if each["check"] == "authority")
    assert sentence["standing"] == "Problem", text
    assert ("is not there" if damage == "deleted" else "key does not belong") in sentence["sentence"]


def test_a_secret_whose_task_is_gone_is_told(
    kubeconfig: Path, admin: Kubectl, kubectl: Kubectl, namespace: str, operator: OperatorProcess
) -> None:
    operator.wait_ready()
    account = kubectl.as_service_account(NAMESPACE, SERVICE_ACCOUNT)
    empty = b64encode(b"").decode()
    # With an owner that lives, or the garbage collector would take it.
    keeper = kubectl.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keeper"}})
    task = {"apiVersion": "agentid.dev/v1alpha1", "kind": "AgentTask", "name": "orphan", "uid": "gone"}
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "keeper", "uid": keeper["metadata"]["uid"]}
    account.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {
                "name": "agentid-orphan",
                "labels": {"app.kubernetes.io/managed-by": "agentid", "agentid.dev/task-uid": "gone"},
                "ownerReferences": [task, owner],
            },
            "data": {"tls.crt": empty, "tls.key": empty},
        }
    )

    said = problem(kubeconfig, "leftover Secrets")

    assert f"{namespace}/agentid-orphan" in said["sentence"]
    # The remedy that it tells works.
    delete_as_garbage_collector(admin.in_namespace(namespace), "agentid-orphan")
    assert told(kubeconfig, "leftover Secrets")[0]["standing"] == "OK"


def test_a_secret_that_outlives_its_tasks_end_is_told(
    kubeconfig: Path, admin: Kubectl, team: Kubectl, operator: OperatorProcess
) -> None:
    team.create(task("over"))
    story.runs(team, "over")
    with stopped(operator):
        long_ago = datetime.now(UTC) - LONGEST_STAY - timedelta(minutes=1)
        # kubectl reads what it patches, which the operator's account may not.
        team.as_user(OPERATOR, ["system:masters"]).patch(
            "agenttask",
            "over",
            {"status": {"endTime": f"{long_ago:%Y-%m-%dT%H:%M:%SZ}"}},
            "--subresource=status",
        )

        (said,) = told(kubeconfig, "leftover Secrets")

        assert said["standing"] == "Problem"
        assert f"{team.namespace}/agentid-over" in said["sentence"]
        # The remedy that it tells works.
        delete_as_garbage_collector(admin.in_namespace(team.namespace), "agentid-over")
        assert told(kubeconfig, "leftover Secrets")[0]["standing"] == "OK"


def test_a_lease_that_is_held_by_nobody_or_stale_is_told(
    kubeconfig: Path, admin: Kubectl, operator: OperatorProcess
) -> None:
    operator.wait_ready()
    with stopped(operator):
        home = admin.in_namespace(NAMESPACE)
        assert "held by nobody" in problem(kubeconfig, "lease")["sentence"]

        home.patch(
            "lease", "agentid-operator", {"spec": {"holderIdentity": "dead", "leaseDurationSeconds": 2}}
        )
        assert "was not renewed in 2 s: its holder dead" in problem(kubeconfig, "lease")["sentence"]


def test_who_may_see_little_is_told_what_was_not_seen(
    cluster: ControlPlane, kubectl: Kubectl, operator: OperatorProcess, tmp_path: Path
) -> None:
    operator.wait_ready()
    kubectl.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "curious"}})
    little = config_of(cluster, kubectl, "curious", tmp_path)

    code, said, text = asked(little)

    assert code == 2, text
    standings = {each["check"]: each["standing"] for each in said["checks"]}
    assert standings["Kubernetes"] == "OK"
    for check in ("admission rules", "admission acts", "operator's rights", "authority", "CRL", "ledger"):
        assert standings[check] == "Unseen", text


def config_of(cluster: ControlPlane, kubectl: Kubectl, account: str, folder: Path) -> Path:
    """A kubeconfig with a token of a service account and nothing else."""
    token = kubectl("create", "token", account).strip()
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"] = [{"name": account, "user": {"token": token}}]
    for each in config["contexts"]:
        each["context"]["user"] = account
    made = folder / "kubeconfig"
    made.write_text(yaml.safe_dump(config))
    return made


def allow_trial(kubectl: Kubectl, account: str) -> None:
    """Give an account what the trial takes, and no more: its own names, and of the Secret only `get`."""
    rbac = "rbac.authorization.k8s.io"
    group, own = "agentid.dev", {"resourceNames": [TRIAL]}
    rules = [
        {"apiGroups": [group], "resources": ["agenttasks", "agents"], "verbs": ["create"]},
        {"apiGroups": [group], "resources": ["agenttasks"], "verbs": ["get", "patch", "delete"], **own},
        {"apiGroups": [group], "resources": ["agents"], "verbs": ["get", "delete"], **own},
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "verbs": ["get"],
            "resourceNames": [f"agentid-{TRIAL}"],
        },
    ]
    kubectl.create(
        [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}},
            {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": account}, "rules": rules},
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "RoleBinding",
                "metadata": {"name": account},
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": account},
                "subjects": [{"kind": "ServiceAccount", "name": account}],
            },
        ]
    )


def test_a_trial_issues_and_ends_one_identity_with_few_rights_and_leaves_nothing(
    cluster: ControlPlane, kubectl: Kubectl, namespace: str, operator: OperatorProcess, tmp_path: Path
) -> None:
    operator.wait_ready()
    allow_trial(kubectl, "trial")
    few = config_of(cluster, kubectl, "trial", tmp_path)

    for _ in range(2):
        code, said, text = asked(few, "--issue", "--namespace", namespace)
        assert code == 0, text
        assert [each["standing"] for each in said["checks"]] == ["OK", "OK", "OK"], text

    assert kubectl.list("agenttask") == []
    assert kubectl.list("agent") == []
    assert kubectl.list("secret") == []


def test_a_trial_without_an_operator_says_what_it_waited_for_and_leaves_nothing(
    kubeconfig: Path, kubectl: Kubectl, namespace: str, operator: OperatorProcess
) -> None:
    with stopped(operator):
        code, said, text = asked(kubeconfig, "--issue", "--namespace", namespace, "--timeout", "2")

    assert code == 1, text
    assert "had no credential after 2 s: no status yet" in said["checks"][0]["sentence"]
    assert kubectl.list("agenttask") == []
    assert kubectl.list("agent") == []
