"""The throw-away control plane itself, as other tests rely on it."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from devcluster import audit, reaping, tools
from devcluster.components import WITHOUT_MUTATING_POLICIES, Options
from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError, StartError
from devcluster.places import CHECKOUT
from devcluster.run import runs_folder
from devcluster.waiting import wait_until

OWNER = """
import signal
from devcluster.controlplane import ControlPlane
from tests.signals import as_in_a_terminal
as_in_a_terminal()
with ControlPlane.start() as cluster:
    print(cluster.run.id, flush=True)
    signal.pause()
"""
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": "value"}}


@pytest.fixture(scope="module")
def plain() -> Iterator[ControlPlane]:
    with ControlPlane.start() as control_plane:
        yield control_plane


def test_serves_the_pinned_version_and_admission_policies_as_v1(plain: ControlPlane) -> None:
    version = json.loads(plain.kubectl("version", "--output=json"))
    resources = plain.kubectl("api-resources", "--api-group=admissionregistration.k8s.io", "--output=name")

    assert version["serverVersion"]["gitVersion"] == tools.kubernetes_version()
    assert "mutatingadmissionpolicies.admissionregistration.k8s.io" in resources
    assert "validatingadmissionpolicies.admissionregistration.k8s.io" in resources


def test_kubeconfig_is_for_its_owner_only(plain: ControlPlane) -> None:
    assert plain.kubeconfig.stat().st_mode & 0o777 == 0o600


def test_rbac_is_in_force(plain: ControlPlane) -> None:
    stranger = plain.kubectl.in_namespace("default").as_user("mallory", ["nobodies"])

    with pytest.raises(KubectlError) as refusal:
        stranger.create(SECRET)

    assert refusal.value.reason == "Forbidden"
    assert not stranger.can_i("get", "secrets")
    assert plain.kubectl.can_i("get", "secrets")


def test_controllers_run(plain: ControlPlane) -> None:
    plain.kubectl.create({"kind": "Namespace", "metadata": {"name": "brief"}})
    brief = plain.kubectl.in_namespace("brief")
    brief.wait_for("serviceaccount", "default", bool)
    brief.create(SECRET)

    plain.kubectl.delete("namespace", "brief")

    assert brief.find("secret", "s") is None


def test_audit_log_holds_every_request_with_its_user_and_secrets_with_their_responses(
    plain: ControlPlane,
) -> None:
    before = plain.audit_position()
    default = plain.kubectl.in_namespace("default")
    alice = default.as_user("alice", ["system:masters"])

    alice.create(SECRET, "--dry-run=server")
    alice.create(SECRET)
    default.delete("secret", "s")

    by_alice = [event for event in plain.audit(before, user="alice") if event["verb"] == "create"]
    assert [audit.is_write(event) for event in by_alice] == [False, True]
    assert by_alice[1]["responseObject"]["data"] == {"key": "dmFsdWU="}
    by_admin = [event for event in plain.audit(before, user="agentid-admin") if audit.is_write(event)]
    assert [(event["verb"], event["objectRef"]["name"]) for event in by_admin] == [("delete", "s")]


def test_tokens_stay_out_of_the_audit_log(plain: ControlPlane) -> None:
    token = plain.kubectl("create", "token", "default").strip()

    list(plain.audit())

    assert token not in (plain.run.folder / "audit.log").read_text()


def test_data_survives_a_killed_apiserver_and_a_killed_etcd(plain: ControlPlane) -> None:
    default = plain.kubectl.in_namespace("default")
    default.create(SECRET)

    plain.restart_apiserver()
    plain.restart_etcd()

    assert default.get("secret", "s")["data"] == {"key": "dmFsdWU="}
    default.delete("secret", "s")


def test_etcd_answers_the_apiserver_only(plain: ControlPlane) -> None:
    with pytest.raises(OSError, match=r"CERTIFICATE_VERIFY_FAILED|certificate required|alert"):
        urllib.request.urlopen(f"{plain.components.etcd_server}/version", timeout=5)  # noqa: S310 - https, ours


def test_several_run_side_by_side_and_one_can_lack_mutating_policies(plain: ControlPlane) -> None:
    with ControlPlane.start(WITHOUT_MUTATING_POLICIES) as other:
        resources = other.kubectl("api-resources", "--output=name")
        other.kubectl.create({"kind": "Namespace", "metadata": {"name": "only-here"}})

        assert "mutatingadmissionpolicies" not in resources
        assert "validatingadmissionpolicies" in resources
        assert plain.kubectl.find("namespace", "only-here") is None
        folder = other.run.folder

    assert not folder.exists()
    assert plain.ready()


def test_a_failed_start_says_why_and_leaves_nothing() -> None:
    before = set(runs_folder().iterdir())

    with pytest.raises(StartError, match=r"kube-apiserver ended with 1(.|\n)*unknown flag: --no-such-flag"):
        ControlPlane.start(Options(apiserver=("--no-such-flag",)))

    assert set(runs_folder().iterdir()) <= before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_cluster_whose_owner_is_ended_by(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as owner:
        try:
            assert owner.stdout is not None
            run_id = owner.stdout.readline().strip()
            assert len(reaping.processes(run_id)) == 4

            owner.send_signal(number)
            owner.wait(60)
        finally:
            owner.kill()

    wait_until(
        "nothing of the run is left",
        lambda: (reaping.processes(run_id), (runs_folder() / run_id).exists()),
        lambda seen: seen == ([], False),
    )


def test_the_kubeconfig_holds_no_path_outside_itself(plain: ControlPlane, tmp_path: Path) -> None:
    copy = tmp_path / "config"
    copy.write_text(yaml.safe_dump(yaml.safe_load(plain.kubeconfig.read_text())))

    assert plain.kubectl(f"--kubeconfig={copy}", "get", "namespace", "default", "--output=name")
