"""`make cluster-up` and `make cluster-down`, also on a cluster that somebody else runs."""

import json
import os
import shlex
import signal
from pathlib import Path

import pytest

from devcluster import reaping, standing
from devcluster.cluster import ExistingCluster
from devcluster.controlplane import ControlPlane
from devcluster.errors import StartError
from devcluster.install import NAMESPACE, helm
from devcluster.kubectl import Kubectl
from devcluster.operator_process import operators
from devcluster.waiting import wait_until


def claimed(run_folder: Path) -> Path:
    return Path(json.loads((run_folder / "cluster.json").read_text())["folder"])


def test_up_leaves_one_running_once_and_down_removes_it(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    standing.up(node=False)

    folder = claimed(run_folder)
    assert len(reaping.processes(folder.name)) == 5  # etcd, three of Kubernetes, the operator
    assert (run_folder / "kubeconfig").stat().st_mode & 0o777 == 0o600
    said = capsys.readouterr()
    exported = dict(each.split("=", 1) for each in shlex.split(said.out.splitlines()[-1])[1:])
    assert exported["KUBECONFIG"] == str(run_folder / "kubeconfig")
    kubectl = Kubectl(Path(exported["PATH"].split(":")[0]) / "kubectl", run_folder / "kubeconfig")
    assert kubectl.in_namespace(NAMESPACE).list("lease")
    assert kubectl.list("agenttask", "--all-namespaces") == []

    standing.up(node=False)

    assert claimed(run_folder) == folder
    assert "up already" in capsys.readouterr().err

    standing.down()

    assert reaping.processes(folder.name) == []
    assert not folder.exists()
    assert list(run_folder.iterdir()) == []


def test_up_again_starts_an_operator_that_has_ended(run_folder: Path) -> None:
    standing.up(node=False)
    folder = claimed(run_folder)
    (killed,) = operators(folder.name)
    os.kill(killed, signal.SIGKILL)
    wait_until("the operator is gone", lambda: not operators(folder.name))

    standing.up(node=False)

    (started,) = operators(folder.name)
    assert started != killed
    assert claimed(run_folder) == folder


def test_up_again_with_a_node_is_refused_where_there_is_none(run_folder: Path) -> None:
    standing.up(node=False)

    with pytest.raises(StartError, match="it has no node: `make cluster-down`"):
        standing.up(node=True)

    assert len(operators(claimed(run_folder).name)) == 1


def test_a_cluster_that_was_given_is_used_and_left_as_it_was(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ControlPlane.start() as somebodys:
        monkeypatch.setenv(standing.GIVEN, str(somebodys.kubeconfig))
        standing.up(node=True)

        assert len(reaping.processes(claimed(run_folder).name)) == 1  # the operator
        assert "agentid" in helm(somebodys, "list", "--short")

        monkeypatch.delenv(standing.GIVEN)
        standing.down()

        assert helm(somebodys, "list", "--short").strip() == ""
        assert somebodys.ready()
        assert list(run_folder.iterdir()) == []


def test_a_given_kubeconfig_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"AGENTID_KUBECONFIG names .*/nothing, which is not a file"):
        ExistingCluster.use(tmp_path / "nothing")
