"""The operator's heartbeat: there while it leads, nobody else's, and no task to anybody."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from agentid.api.names import HEARTBEAT
from agentid.cluster.heartbeats import heartbeat
from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.given_rights import give
from tests.cluster.objects import pod_spec
from tests.cluster.people import OPERATOR, People, refusal, task

ORCHESTRATOR = "orchestrator@example.com"


def beaten(here: Kubectl) -> datetime | None:
    """When the last heartbeat was."""
    found = here.find("agenttask", HEARTBEAT) or {}
    at = found.get("status", {}).get("heartbeatTime")
    return datetime.fromisoformat(at) if at else None


def goes_on(here: Kubectl, count: int = 3) -> None:
    """Wait until so many more heartbeats have come."""
    seen = {beaten(here)}

    def another() -> int:
        seen.add(beaten(here))
        return len(seen) - 1

    wait_until(f"{count} more heartbeats come", another, lambda more: more >= count)


@pytest.fixture
def home(admin: Kubectl) -> Kubectl:
    """kubectl as administrator in the operator's namespace."""
    return admin.in_namespace(NAMESPACE)


def test_the_operator_shows_that_it_lives_while_it_leads(home: Kubectl, beating: OperatorProcess) -> None:
    goes_on(home)
    now = datetime.now(UTC)
    at = beaten(home)
    assert at is not None
    assert abs(now - at) < timedelta(seconds=10)
    assert beating.metric("agentid_heartbeat_age_seconds") < 10

    beating.terminate()

    last = beaten(home)
    beating.start({"AGENTID_HEARTBEAT": "false"})
    assert beaten(home) == last


def test_it_is_made_anew_where_somebody_deleted_it(home: Kubectl, beating: OperatorProcess) -> None:
    goes_on(home)
    first = home.get("agenttask", HEARTBEAT)["metadata"]["uid"]

    home.delete("agenttask", HEARTBEAT)

    goes_on(home)
    assert home.get("agenttask", HEARTBEAT)["metadata"]["uid"] != first
    assert beating.alive()


def test_it_is_no_task_to_the_operator_and_a_sweep_finds_nothing(
    home: Kubectl, place: Kubectl, beating: OperatorProcess
) -> None:
    goes_on(home, 8)  # More than a sweep's pause.
    place.create(task())
    story.runs(place)

    lines = [each for each in beating.log_lines() if HEARTBEAT in json.dumps(each)]
    assert lines == []
    assert beating.metric("agentid_sweep_findings_total") == 0
    assert beating.metric("agentid_heartbeat_age_seconds") < 10
    status = home.get("agenttask", HEARTBEAT)["status"]
    assert status.keys() == {"heartbeatTime"}


def test_no_command_takes_it_for_a_task(
    cluster: ControlPlane, home: Kubectl, beating: OperatorProcess
) -> None:
    assert beating.alive()
    goes_on(home, 1)

    def agentid(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agentid", *arguments, f"--kubeconfig={cluster.kubeconfig}"]
        return subprocess.run(
            [*command, f"--namespace={NAMESPACE}"], capture_output=True, text=True, check=False
        )

    ended = agentid("end", f"--agent={HEARTBEAT}", "--reason=no")
    assert (ended.returncode, HEARTBEAT in ended.stdout) == (1, False), ended
    for command in (["why"], ["tree"], ["end", "--reason=no"]):
        told = agentid(*command, HEARTBEAT)
        assert told.returncode == 1
        assert "no task but the operator's sign of life" in told.stderr
    assert HEARTBEAT not in agentid("inventory").stdout


@pytest.fixture
def decision_point(home: Kubectl, node: str) -> Iterator[None]:
    """A pod that looks like a decision point that is ready."""
    assert node
    home.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "agentid-gate-1"},
            "spec": pod_spec("default") | {"containers": [{"name": "gate", "image": "a", "args": ["gate"]}]},
        }
    )
    playing.scheduled(home, "agentid-gate-1")
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    home.patch("pod", "agentid-gate-1", ready, "--subresource=status")
    yield
    home.delete("pod", "agentid-gate-1", "--force", "--grace-period=0")


def test_the_doctor_tells_of_one_that_is_missing_or_old_where_a_decision_point_runs(
    cluster: ControlPlane, home: Kubectl, beating: OperatorProcess, decision_point: None
) -> None:
    assert decision_point is None
    goes_on(home)

    def told() -> tuple[str, str]:
        command = [sys.executable, "-m", "agentid", "doctor", "--output=json"]
        done = subprocess.run(
            [*command, f"--kubeconfig={cluster.kubeconfig}"], capture_output=True, text=True, check=False
        )
        (found,) = (each for each in json.loads(done.stdout)["checks"] if each["check"] == "heartbeat")
        return found["standing"], found["sentence"]

    assert told() == ("OK", "The operator shows decision points that it lives.")

    beating.terminate()
    wait_until("it is old", told, lambda seen: seen[0] == "Problem" and "s old" in seen[1])
    home.delete("agenttask", HEARTBEAT)
    assert told()[1].startswith(f"There is no heartbeat of the operator in namespace {NAMESPACE}")


# Admission.


@pytest.mark.parametrize("person", ["tenant", "stranger", "admin"])
def test_nobodys_task_can_be_called_so(people: People, person: str) -> None:
    said = refusal(partial(people.named(person).create, task(HEARTBEAT)))

    assert "the name agentid-heartbeat is the operator's own" in said


@pytest.mark.parametrize("part", ["state", "workload", "owner"])
def test_the_operator_makes_no_task_of_it(people: People, part: str, no_operator: None) -> None:
    assert no_operator is None
    body = heartbeat(people.operator.namespace or "", OPERATOR)
    if part == "state":
        body["spec"]["state"] = "Active"
    elif part == "workload":
        body["spec"]["workload"] = {"serviceAccountName": "default"}
    else:
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": HEARTBEAT, "uid": "1"}
        body["metadata"]["ownerReferences"] = [owner]

    said = refusal(partial(people.operator.create, body))

    assert "is an ended task that asks for nothing and has no owner" in said


def test_the_operator_makes_it_and_nobody_changes_it(people: People, no_operator: None) -> None:
    assert no_operator is None
    made = made_by_hand(people)

    for person in (people.tenant, people.stranger, people.operator, people.admin):
        for change in (
            {"metadata": {"annotations": {"note": "x"}}},
            {"metadata": {"finalizers": ["example.com/x"]}},
            {"spec": {"intent": {"purpose": "Another"}}},
        ):
            said = refusal(partial(person.patch, "agenttask", HEARTBEAT, change))
            assert "nobody changes it" in said or "the operator changes nothing" in said
    status = {"status": {"heartbeatTime": "2026-05-31T14:00:00Z"}}
    said = refusal(partial(people.tenant.patch, "agenttask", HEARTBEAT, status, "--subresource=status"))
    assert "the status of an AgentTask is written by" in said
    # As storage is encrypted anew.
    people.admin.replace(people.admin.get("agenttask", HEARTBEAT))
    assert people.admin.get("agenttask", HEARTBEAT)["metadata"]["uid"] == made["metadata"]["uid"]


def test_who_may_not_delete_the_namespace_deletes_it_neither(people: People, no_operator: None) -> None:
    assert no_operator is None
    made_by_hand(people)
    rule = {
        "apiGroups": ["agentid.dev"],
        "resources": ["agenttasks"],
        "verbs": ["delete", "deletecollection"],
    }
    give(people.admin, ORCHESTRATOR, rule)
    person = people.admin.as_user(ORCHESTRATOR)
    wait_until("the right counts", lambda: person.can_i("delete", "agenttasks"))

    said = refusal(partial(person.delete, "agenttask", HEARTBEAT))

    assert "takes the right to delete namespace" in said
    assert people.admin.find("agenttask", HEARTBEAT) is not None

    people.admin.delete("agenttask", HEARTBEAT)
    made_by_hand(people)
    people.admin.delete("namespace", people.admin.namespace, "--timeout=60s")
    assert people.admin.find("namespace", people.admin.namespace) is None


def made_by_hand(people: People) -> Object:
    """A heartbeat, made as the operator makes it."""
    return people.operator.create(heartbeat(people.operator.namespace or "", OPERATOR))
