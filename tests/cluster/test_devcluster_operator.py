"""The operator as the tests run it: under its service account, started, killed and started again."""

import json
from collections.abc import Iterator

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.errors import StartError
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT
from devcluster.operator_process import OperatorProcess

USERNAME = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"


@pytest.fixture
def second(cluster: ControlPlane) -> Iterator[OperatorProcess]:
    process = OperatorProcess(cluster, "second")
    yield process
    process.kill()


def test_the_operator_is_never_administrator(cluster: ControlPlane, operator: OperatorProcess) -> None:
    whoami = cluster.kubectl(f"--kubeconfig={operator.kubeconfig}", "auth", "whoami", "--output=json")

    assert json.loads(whoami)["status"]["userInfo"]["username"] == USERNAME
    assert operator.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert any(cluster.audit(user=USERNAME))
    assert not cluster.kubectl.as_service_account(NAMESPACE, SERVICE_ACCOUNT).can_i("get", "secrets", "-A")


def test_it_can_be_killed_and_is_started_again_for_the_next_test(operator: OperatorProcess) -> None:
    first = operator.process.pid

    operator.kill()
    assert not operator.alive()
    assert not operator.healthy()
    operator.start()

    assert operator.process.pid != first
    assert operator.ready()
    assert operator.healthy()


def test_its_log_and_metrics_can_be_read(operator: OperatorProcess) -> None:
    assert all("event" in line for line in operator.log_lines())
    assert operator.metric("process_start_time_seconds") > 0
    assert operator.metric("no_such_metric") == 0


def test_settings_of_who_runs_the_tests_do_not_reach_it(
    second: OperatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTID_TRUST_DOMAIN", "Not A Trust Domain")

    second.start(wait=False)

    second.process.wait_ready(second.healthy)
    assert second.alive()


def test_a_start_that_fails_says_why(second: OperatorProcess) -> None:
    with pytest.raises(StartError, match=r"second ended with 2(.|\n)*AGENTID_TRUST_DOMAIN"):
        second.start({"AGENTID_TRUST_DOMAIN": "Not A Trust Domain"})


def test_a_fresh_namespace_is_there(cluster: ControlPlane, namespace: str) -> None:
    assert namespace.startswith("a-fresh-namespace-is-there-")
    assert cluster.kubectl.get("namespace", namespace)["metadata"]["labels"]["agentid.dev/test"] == "true"
