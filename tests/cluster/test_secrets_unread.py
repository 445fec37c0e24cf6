"""The operator writes its own Secrets and reads nobody's: what it was ever answered, and what it may ask."""

import pytest

from agentid.api.names import OWN_SECRETS
from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from tests.cluster import story
from tests.cluster.foreign_answers import answers, foreign_answers
from tests.cluster.objects import TASK, secret, task

EVERYWHERE = "--all-namespaces"


def test_no_answer_to_the_operator_ever_held_what_it_had_not_written_itself(
    team: Kubectl, cluster: ControlPlane
) -> None:
    team.create([secret("theirs", password="hunter2"), task()])  # noqa: S106 - made up
    story.runs(team)
    team.delete("agenttask", TASK)
    story.secret_gone(team)

    assert foreign_answers(cluster) == []


def test_the_operator_never_asked_to_read_a_secret_but_its_authoritys(
    team: Kubectl, cluster: ControlPlane
) -> None:
    team.create(task())
    story.runs(team)

    asked = {
        (event["verb"], event["objectRef"].get("namespace"), event["objectRef"].get("name"))
        for event in answers(cluster)
        if event["verb"] not in {"create", "update", "delete"}
    }
    assert asked <= {("get", NAMESPACE, name) for name in OWN_SECRETS}


def test_deletes_of_secrets_name_their_uid_and_are_answered_without_contents(
    team: Kubectl, cluster: ControlPlane
) -> None:
    team.create(task())
    story.runs(team)
    team.delete("agenttask", TASK)
    story.secret_gone(team)

    deletes = [event for event in answers(cluster) if event["verb"] == "delete"]
    assert deletes
    assert all(event["requestObject"]["preconditions"]["uid"] for event in deletes)
    assert all("data" not in (event.get("responseObject") or {}) for event in deletes)


@pytest.mark.parametrize(
    ("verb", "resource", "where"),
    [
        ("get", "secrets", ""),
        ("list", "secrets", ""),
        ("watch", "secrets", ""),
        ("patch", "secrets", ""),
        ("deletecollection", "secrets", ""),
        ("list", "secrets", NAMESPACE),
        ("get", "secrets/other", NAMESPACE),
        ("create", "pods", ""),
        ("create", "serviceaccounts/token", ""),
        ("impersonate", "users", ""),
        ("update", "agenttasks", ""),
        ("patch", "agenttasks", ""),
        ("update", "agents", ""),
        ("delete", "pods", ""),
        ("update", "validatingadmissionpolicies", EVERYWHERE),
        ("escalate", "clusterroles", EVERYWHERE),
        ("get", "secrets", EVERYWHERE),
        ("get", "configmaps", ""),
    ],
)
def test_the_operator_has_no_right_to(
    admin: Kubectl, namespace: str, verb: str, resource: str, where: str
) -> None:
    here = admin if where == EVERYWHERE else admin.in_namespace(where or namespace)
    operator = here.as_service_account(NAMESPACE, SERVICE_ACCOUNT)

    assert not operator.can_i(verb, resource, *([EVERYWHERE] if where == EVERYWHERE else []))


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("create", "secrets"),
        ("update", "secrets"),
        ("delete", "secrets"),
        ("list", "agenttasks.agentid.dev"),
        ("patch", "agenttasks.agentid.dev/status"),
        ("list", "jobs.batch"),
        ("create", "events.events.k8s.io"),
    ],
)
def test_the_operator_has_the_right_to(admin: Kubectl, namespace: str, verb: str, resource: str) -> None:
    name, _, subresource = resource.partition("/")
    operator = admin.in_namespace(namespace).as_service_account(NAMESPACE, SERVICE_ACCOUNT)

    assert operator.can_i(verb, name, *([f"--subresource={subresource}"] if subresource else []))


def test_metrics_and_log_hold_no_key(team: Kubectl, operator: OperatorProcess) -> None:
    team.create(task())
    story.runs(team)
    held = story.files(team.get("secret", f"agentid-{TASK}"))
    key = held["tls.key"].decode().splitlines()[1]

    assert key not in operator.metrics()
    assert key not in operator.process.log.read_text()
    assert "PRIVATE KEY" not in operator.process.log.read_text()


def _refusal(operator: Kubectl, name: str) -> str:
    with pytest.raises(KubectlError) as caught:
        operator.get("secret", name)
    return caught.value.stderr


def test_the_operators_token_is_refused_its_own_credential(team: Kubectl) -> None:
    team.create(task())
    running: Object = story.runs(team)
    assert running

    operator = team.as_service_account(NAMESPACE, SERVICE_ACCOUNT)

    assert "Forbidden" in _refusal(operator, f"agentid-{TASK}")
