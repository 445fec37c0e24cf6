"""`make cluster-up NODE=1`: a cluster that stands, with the operator in pods."""

import json
from pathlib import Path

import pytest

from devcluster import operator_image, reaping, standing
from devcluster.build import ensure
from devcluster.install import NAMESPACE
from devcluster.kubectl import Kubectl, Object

pytestmark = pytest.mark.node_of_ours


def operators(run_folder: Path) -> list[Object]:
    """The operator's pods, as somebody with the kubeconfig sees them."""
    kubectl = Kubectl(ensure(["kubectl"])["kubectl"], run_folder / "kubeconfig", NAMESPACE)
    return kubectl.list("pods", "--selector=app.kubernetes.io/component=operator")


def test_up_leaves_two_operators_in_pods_of_this_code_and_up_again_changes_nothing(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    standing.up(node=True)

    pods = operators(run_folder)
    images = {each["spec"]["containers"][0]["image"] for each in pods}
    assert images == {f"{operator_image.REPOSITORY}:{operator_image.tag()}"}
    assert [each["status"]["containerStatuses"][0]["ready"] for each in pods] == [True, True]
    assert "kubectl logs --namespace agentid-system deployment/agentid-operator" in capsys.readouterr().err

    standing.up(node=True)

    assert {each["metadata"]["uid"] for each in operators(run_folder)} == {
        each["metadata"]["uid"] for each in pods
    }
    assert "up already" in capsys.readouterr().err
    folder = Path(json.loads((run_folder / "cluster.json").read_text())["folder"])

    standing.down()

    assert reaping.processes(folder.name) == []
    assert not folder.exists()
