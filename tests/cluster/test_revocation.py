"""The CRL in the cluster: what has ended is in it, OpenSSL refuses it, and no restart takes it out again."""

import subprocess
from base64 import b64decode
from datetime import timedelta
from pathlib import Path

import pytest

from devcluster.install import NAMESPACE
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import leases, story
from tests.cluster.objects import task

SLOWLY = timedelta(seconds=60)


def crl(admin: Kubectl) -> tuple[bytes, dict[str, str]]:
    """The CRL that is published, and what is said of it in words."""
    found = admin.in_namespace(NAMESPACE).find("configmap", "agentid-crl") or {}
    return b64decode((found.get("binaryData") or {}).get("crl.der", "")), found.get("data") or {}


def verified(admin: Kubectl, folder: Path, chain: bytes, bundle: bytes) -> str:
    """What OpenSSL says of a certificate by the CRL that is published now."""
    (folder / "crl.der").write_bytes(crl(admin)[0])
    (folder / "tls.crt").write_bytes(chain)
    (folder / "ca.crt").write_bytes(bundle)
    done = subprocess.run(
        [
            *("openssl", "verify", "-crl_check", "-x509_strict", "-no-CApath", "-CAfile", "ca.crt"),
            *("-CRLfile", "crl.der", "-untrusted", "tls.crt", "tls.crt"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture
def mortal(place: Kubectl, operator_of_session: OperatorProcess) -> OperatorProcess:
    """An operator with a short Lease, which may be killed."""
    assert place.namespace
    leases.begin_anew(operator_of_session)
    return operator_of_session


def test_what_has_ended_is_refused_by_openssl_and_a_restart_takes_none_of_it_back(
    place: Kubectl, admin: Kubectl, mortal: OperatorProcess, tmp_path: Path
) -> None:
    place.create([task("ends"), task("goes-on")])
    held = {}
    for name in ("ends", "goes-on"):
        story.runs(place, name)
        files = story.files(place.get("secret", f"agentid-{name}"))
        held[name] = (files["tls.crt"], files["ca.crt"])
    wait_until("there is a CRL", lambda: crl(admin)[0], bool, within=SLOWLY)
    before = int(crl(admin)[1]["number"])
    for name, (chain, bundle) in held.items():
        assert "tls.crt: OK" in verified(admin, tmp_path, chain, bundle), name

    place.patch("agenttask", "ends", {"spec": {"state": "Ended"}})

    wait_until(
        "OpenSSL refuses what has ended",
        lambda: verified(admin, tmp_path, *held["ends"]),
        lambda said: "certificate revoked" in said,
        within=SLOWLY,
    )
    assert "tls.crt: OK" in verified(admin, tmp_path, *held["goes-on"])
    after = int(crl(admin)[1]["number"])
    assert after > before

    mortal.kill()
    place.delete("agenttask", "goes-on")
    leases.begin(mortal)

    wait_until(
        "what was deleted while nobody was at work is refused too",
        lambda: verified(admin, tmp_path, *held["goes-on"]),
        lambda said: "certificate revoked" in said,
        within=SLOWLY,
    )
    assert "certificate revoked" in verified(admin, tmp_path, *held["ends"])
    assert int(crl(admin)[1]["number"]) > after
    assert mortal.metric("agentid_crl_truncated") == 0
