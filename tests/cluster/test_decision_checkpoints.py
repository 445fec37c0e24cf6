"""DecisionCheckpoints on a real API server: who may write one, its name, and how it reaches the ledger."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from cryptography import x509

from agentid.api.decisioncheckpoint import MAX_REPORT_LENGTH
from agentid.cluster.connection import Connection
from agentid.cluster.decision_checkpoints import CheckpointReads, CheckpointWrites
from devcluster.components import LOOPBACK
from devcluster.controlplane import ControlPlane
from devcluster.gate_process import GateProcess
from devcluster.install import GATE_ACCOUNT, NAMESPACE, operator_kubeconfig
from devcluster.kubectl import Kubectl
from devcluster.waiting import wait_until
from tests.cluster.callers import agentid
from tests.cluster.deciding import answered, end, question, running, settings_for
from tests.cluster.people import GROUP, People, everybody, give_every_right, refusal

RESOURCE = "decisioncheckpoints.agentid.dev"
POD_NAME = "authentication.kubernetes.io/pod-name"
GATE = f"system:serviceaccount:{NAMESPACE}:agentid-gate"
PATIENCE = timedelta(seconds=90)
LOG = "0123456789abcdef" * 2


def spec(log: str = LOG, number: int = 1) -> dict[str, Any]:
    told = {
        "log": log,
        "number": number,
        "started": "2026-11-23T11:00:00Z",
        "since": "2026-11-23T11:59:00Z",
        "until": "2026-11-23T12:00:00Z",
        "allowed": 0,
        "denied": 0,
    }
    report = orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()
    return {"log": log, "number": number, "report": report}


def checkpoint(name: str, **changes: object) -> dict[str, Any]:
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "DecisionCheckpoint",
        "metadata": {"name": name},
        "spec": spec() | changes,
    }


@pytest.fixture
def home(cluster: ControlPlane) -> People:
    give_every_right(cluster.kubectl)
    return everybody(cluster.kubectl, NAMESPACE)


@pytest.fixture
def elsewhere(cluster: ControlPlane, namespace: str) -> People:
    give_every_right(cluster.kubectl)
    return everybody(cluster.kubectl, namespace)


def gate(people: People, pod: str) -> Kubectl:
    """A decision point that runs in that pod, with every right."""
    return people.admin.as_user(GATE, [GROUP], {POD_NAME: [pod]})


@pytest.mark.parametrize("person", ["tenant", "stranger", "operator", "admin"])
def test_only_a_pod_reports_and_only_under_its_own_name(home: People, person: str) -> None:
    said = refusal(lambda: home.named(person).create(checkpoint("gate-1"), "--dry-run=server"))
    assert "a DecisionCheckpoint is called like the pod of the decision point that writes it" in said
    for name in ("gate-2", "gate-1.end.end", "gate-1x"):
        said = refusal(lambda n=name: gate(home, "gate-1").create(checkpoint(n), "--dry-run=server"))
        assert "is called like the pod" in said
    for name in ("gate-1", "gate-1.end"):
        gate(home, "gate-1").create(checkpoint(name), "--dry-run=server")


def test_reports_are_where_the_operator_looks_for_them(elsewhere: People) -> None:
    said = refusal(lambda: gate(elsewhere, "gate-1").create(checkpoint("gate-1")))
    assert f"decision points report in namespace {NAMESPACE} only" in said


@pytest.mark.parametrize(
    "metadata",
    [
        {"finalizers": ["example.com/hold"]},
        {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]},
    ],
    ids=["finalizer", "owner"],
)
def test_nobody_else_says_when_a_report_goes(home: People, metadata: dict[str, Any]) -> None:
    held = checkpoint("gate-1")
    held["metadata"] |= metadata
    assert "has neither owners nor finalizers" in refusal(lambda: gate(home, "gate-1").create(held))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"log": "x" * 32}, "must be the name of a log"),
        ({"number": 0}, "spec.number"),
        ({"report": "x" * (MAX_REPORT_LENGTH + 1)}, "spec.report: Too long"),
        ({"report": None}, "spec.report: Required value"),
        ({"more": "x"}, "spec.more"),
    ],
)
def test_a_report_of_another_form_is_refused(home: People, changes: dict[str, Any], said: str) -> None:
    assert said in refusal(lambda: gate(home, "gate-1").create(checkpoint("gate-1", **changes)))


@asynccontextmanager
async def connected(cluster: ControlPlane) -> AsyncIterator[Connection]:
    async with Connection.open(operator_kubeconfig(cluster, "of-checkpoints"), time.monotonic) as connection:
        yield connection


@pytest.mark.usefixtures("home")
async def test_the_operators_own_account_reads_and_deletes_and_does_not_write(cluster: ControlPlane) -> None:
    async with connected(cluster) as connection:
        reads = CheckpointReads(connection, NAMESPACE, lambda: 10.0)
        for each in await reads.some():
            await reads.delete(each)
        writes = CheckpointWrites(connection, NAMESPACE)
        with pytest.raises(Exception, match="decisioncheckpoints"):
            await writes.write("gate-1", spec())


def reports(admin: Kubectl, log: str) -> list[dict[str, Any]]:
    """What the ledger has of a log."""
    lines = [
        orjson.loads(line)
        for each in admin.in_namespace(NAMESPACE).list("ledgerbatches.agentid.dev")
        for line in each["spec"]["records"].splitlines()
    ]
    return [each for each in lines if each["kind"] == "decisions" and each["log"] == log]


def test_what_a_pod_reports_is_in_the_ledger_and_gone(home: People, team: Kubectl) -> None:
    assert team
    log = "fedcba98" * 4
    writer = gate(home, "gate-7")
    writer.create(checkpoint("gate-7", **spec(log)))
    # The same name a second time: the one before has not been taken yet.
    assert "already exists" in refusal(lambda: writer.create(checkpoint("gate-7", **spec(log, 2))))

    wait_until("it is gone", lambda: home.admin.find(RESOURCE, "gate-7") is None, within=PATIENCE)
    (record,) = reports(home.admin, log)
    assert (record["replica"], record["number"]) == ("gate-7", 1)


@pytest.fixture
def in_a_pod(cluster: ControlPlane, gate_kubeconfig: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The name of a decision point's pod, and a kubeconfig with its own token, which is bound to it."""
    here = cluster.kubectl.in_namespace(NAMESPACE)
    name = f"agentid-gate-{tmp_path.name[-8:].replace('_', '-').strip('-').lower()}"
    container = {"name": "gate", "image": "agentid"}
    here.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"serviceAccountName": GATE_ACCOUNT, "containers": [container]},
        }
    )
    bound = ("--bound-object-kind=Pod", f"--bound-object-name={name}")
    config = yaml.safe_load(gate_kubeconfig.read_text())
    config["users"][0]["user"]["token"] = here("create", "token", GATE_ACCOUNT, *bound).strip()
    path = tmp_path / "gate.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield name, path
    here.delete("pod", name, "--force", "--grace-period=0")


def served(point: GateProcess) -> bytes:
    """The CRL, once there is one."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{point.http_port}/crl.der", timeout=5) as answer:
            content: bytes = answer.read()
    except urllib.error.HTTPError:
        return b""
    return content


def test_what_an_identity_was_used_for_is_in_the_story_of_its_task(
    cluster: ControlPlane,
    asking_team: Kubectl,
    asker_token: str,
    in_a_pod: tuple[str, Path],
    tmp_path: Path,
) -> None:
    name, kubeconfig = in_a_pod
    logs = tmp_path / "decisions"
    logs.mkdir()
    own = {"AGENTID_GATE_INSTANCE": name, "AGENTID_GATE_DECISION_LOG_FOLDER": str(logs)}
    point = GateProcess(cluster, kubeconfig, settings_for(asking_team.namespace) | own)
    point.start()
    task = running(asking_team)
    asked = question(task)
    answered(lambda: point.ask(asker_token, asked), "Allowed")
    end(asking_team)
    answered(lambda: point.ask(asker_token, asked), "TaskEnded")
    wait_until(
        "it serves the CRL",
        lambda: served(point),
        lambda crl: bool(crl and x509.load_der_x509_crl(crl).issuer),
    )
    point.terminate()

    uid = task["metadata"]["uid"]

    def uses() -> list[dict[str, Any]]:
        told = agentid(cluster.kubeconfig, "audit", "show", uid, "-A", "-o", "json")
        assert told.code == 0, told
        (story,) = told.said["tasks"]
        return story["uses"] or []

    found = wait_until("the ledger tells of its use", uses, within=PATIENCE)
    assert [(each["allowed"], each["action"]) for each in found if each["allowed"]] == [(True, "orders:read")]
    assert "TaskEnded" in {each.get("reason") for each in found}
    kept = [json.loads(line)["record"] for each in logs.iterdir() for line in each.read_text().splitlines()]
    assert [each["sequence"] for each in kept] == list(range(1, len(kept) + 1))
    assert {each["reason"] for each in kept} >= {"Allowed", "TaskEnded"}
    checked = agentid(cluster.kubeconfig, "audit", "check-log", *map(str, sorted(logs.iterdir())))
    assert checked.code == 0, checked
    assert "whole; the ledger has the hashes of" in checked.out
