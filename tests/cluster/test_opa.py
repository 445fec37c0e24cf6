"""The operator with a real OPA beside its policy: what it denies, and what becomes of tasks without it."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.objects import AGENT, ANY_POD, POD, TASK, pod, task
from tests.opa_server import OpaServer, opa

pytestmark = pytest.mark.timeout(1200)  # the first run builds OPA

POLICY = """package agentid

default allow := false

allow if not frozen

frozen if input.resource.namespace in data.freeze

frozen if input.principal.owner in data.distrusted

reason := "change freeze" if frozen
"""
PATIENTLY = timedelta(seconds=90)
GRACE_SECONDS = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpaServer]:
    with opa(tmp_path_factory.mktemp("opa"), POLICY) as running:
        yield running


@pytest.fixture(scope="module")
def asking(
    cluster: ControlPlane, operator_of_session: OperatorProcess, server: OpaServer
) -> Iterator[OperatorProcess]:
    """An operator that asks OPA, instead of the session's."""
    if operator_of_session.alive():
        operator_of_session.terminate()
    settings = {
        "AGENTID_OPA_URL": server.url,
        "AGENTID_OPA_PATH": "agentid",
        "AGENTID_OPA_GRACE_SECONDS": str(GRACE_SECONDS),
        "AGENTID_OPA_ALLOW_ADDRESSES": json.dumps(["127.0.0.1/32"]),
    }
    process = OperatorProcess(cluster, "asks-opa", settings)
    yield process
    if process.alive():
        process.terminate()


@pytest.fixture
def here(place: Kubectl, asking: OperatorProcess, server: OpaServer) -> Kubectl:
    """The test's namespace, with nothing frozen, an OPA and an operator that asks it."""
    if not server.process.alive():
        server.start()
    server.set_data("freeze", [])
    server.set_data("distrusted", [])
    if not asking.alive():
        asking.start()
    asking.wait_ready()
    return place


def message(here: Kubectl) -> str:
    return str(story.conditions(here.get("agenttask", TASK))["Finished"]["message"])


def started(here: Kubectl) -> None:
    """A task whose pod has the credential and runs."""
    here.create([task(**ANY_POD), pod()])
    story.runs(here)
    playing.start(here, POD)
    story.settled(here)


def test_task_that_opa_denies_waits_and_gets_its_credential_once_the_data_changed(
    here: Kubectl, server: OpaServer, asking: OperatorProcess
) -> None:
    server.set_data("freeze", [here.namespace])
    here.create([task(**ANY_POD), pod()])
    story.stands(here, "AwaitingPolicy")
    assert message(here) == "OPA denies it (data.agentid): change freeze"
    assert here.find("secret", f"agentid-{TASK}") is None

    server.set_data("freeze", [])

    running = story.runs(here, within=PATIENTLY)
    assert running["status"]["decision"]["policies"][0] == "OPA/data.agentid"
    for result in ("denied", "allowed"):
        assert asking.metric("agentid_opa_requests_total", result=result) >= 1


def test_running_task_ends_for_good_when_opa_denies_what_became_of_it(
    here: Kubectl, server: OpaServer
) -> None:
    started(here)
    server.set_data("distrusted", ["other-team@example.com"])

    here.patch("agent", AGENT, {"spec": {"owner": "other-team@example.com"}})

    story.ends(here, "Revoked")
    assert message(here) == "OPA denies it (data.agentid): change freeze"
    story.secret_emptied(here)


def test_opa_that_is_gone_stops_what_is_new_and_costs_what_runs_its_credential_only_for_a_while(
    here: Kubectl, server: OpaServer, asking: OperatorProcess
) -> None:
    started(here)
    first = story.serials(here.get("agenttask", TASK))
    server.process.kill()
    here.create(task("new"))
    story.stands(here, "AwaitingPolicy", "new")
    assert story.serials(here.get("agenttask", TASK)) == first, (
        "nothing changed that it had to be asked about"
    )

    here.patch("agent", AGENT, {"spec": {"owner": "other-team@example.com"}})
    story.stands(here, "AwaitingPolicy")
    story.secret_emptied(here)
    assert asking.metric("agentid_opa_requests_total", result="unreachable") >= 1

    server.start()

    assert story.serials(story.runs(here, within=PATIENTLY)) != first
    story.runs(here, "new", within=PATIENTLY)


def test_opa_at_an_address_that_is_not_allowed_is_not_asked(here: Kubectl, asking: OperatorProcess) -> None:
    asking.restart({"AGENTID_OPA_ALLOW_ADDRESSES": "[]"})
    try:
        here.create([task(**ANY_POD), pod()])
        story.stands(here, "AwaitingPolicy")
        assert "must not be asked" in message(here)
        assert "127.0.0.1" not in message(here)
        told = wait_until(
            "the log tells which address",
            lambda: [each for each in asking.log_lines() if each["event"] == "opa gives no answer"],
            lambda lines: any("127.0.0.1 is a loopback address" in each["detail"] for each in lines),
        )
        assert told[-1]["result"] == "forbidden_address"
    finally:
        asking.terminate()
