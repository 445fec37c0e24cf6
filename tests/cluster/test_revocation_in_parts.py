"""A CRL that is too large for one ConfigMap, from one operator to the next, served whole."""

import asyncio
import json
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import ReasonFlags

from agentid.api.names import AUTHORITY_SECRET, CRL_CONFIG_MAP, CRL_PART_CONFIG_MAPS
from agentid.cluster.config_maps import ConfigMaps
from agentid.cluster.connection import Connection
from agentid.controller.metrics import Metrics
from agentid.controller.revocations import Revocations
from agentid.doctor.authority import authority_in
from agentid.pki.authority import CertificateAuthority
from agentid.pki.revocation import RevokedEntry
from agentid.pki.revocation_list import MAX_ENTRIES_IN_CLUSTER
from devcluster.components import LOOPBACK
from devcluster.controlplane import ControlPlane
from devcluster.gate_process import GateProcess
from devcluster.install import NAMESPACE
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import leases, story
from tests.cluster.callers import agentid
from tests.cluster.deciding import settings_for
from tests.cluster.objects import task

SLOWLY = timedelta(seconds=90)
MANY = 40_000


@pytest.fixture
def mortal(place: Kubectl, operator_of_session: OperatorProcess, admin: Kubectl) -> Iterator[OperatorProcess]:
    """An operator with a short Lease, which may be killed; afterwards its CRL is gone."""
    assert place.namespace
    leases.begin_anew(operator_of_session)
    yield operator_of_session
    operator_of_session.kill()
    admin.in_namespace(NAMESPACE).delete(
        "configmap", CRL_CONFIG_MAP, *CRL_PART_CONFIG_MAPS, "--ignore-not-found"
    )
    leases.begin(operator_of_session)


def authority(admin: Kubectl) -> CertificateAuthority:
    return authority_in(admin.in_namespace(NAMESPACE).get("secret", AUTHORITY_SECRET), datetime.now(UTC))


def many() -> list[RevokedEntry]:
    now = datetime.now(UTC)
    return [
        RevokedEntry(
            f"{secrets.randbits(126) | 1 << 126:x}", now, now + timedelta(hours=1), ReasonFlags.superseded
        )
        for _ in range(MANY)
    ]


async def published_before(cluster: ControlPlane, signing: CertificateAuthority) -> None:
    """Publish what another operator, which is gone, has revoked."""
    metrics = Metrics()
    async with Connection.open(cluster.kubeconfig, time.monotonic) as connection:
        revocations = Revocations(
            ConfigMaps(connection, NAMESPACE, lambda: 10.0),
            lambda: signing,
            metrics,
            leads=lambda: True,
            clock=lambda: datetime.now(UTC),
        )
        running = asyncio.create_task(revocations.run())
        revocations.load(many())
        async with asyncio.timeout(SLOWLY.total_seconds()):
            while not metrics.registry.get_sample_value("agentid_crl_in_parts"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def said(admin: Kubectl) -> dict[str, str]:
    """What the ConfigMap says of the CRL in words."""
    words: dict[str, str] = admin.in_namespace(NAMESPACE).get("configmap", CRL_CONFIG_MAP)["data"]
    return words


def parts(admin: Kubectl) -> list[str]:
    """The parts that there are."""
    found = admin.in_namespace(NAMESPACE).list("configmaps")
    return sorted({each["metadata"]["name"] for each in found} & set(CRL_PART_CONFIG_MAPS))


def named(admin: Kubectl) -> list[str]:
    """Those that the ConfigMap names."""
    return sorted(each["name"] for each in json.loads(said(admin).get("whole", '{"parts":[]}'))["parts"])


def served(point: GateProcess) -> tuple[int, bytes]:
    """The status and what is served."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{point.http_port}/crl.der", timeout=15) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


def entries(served: tuple[int, bytes]) -> int:
    status, crl = served
    return len(x509.load_der_x509_crl(crl)) if status == 200 else 0


def verified(folder: Path, crl: bytes, files: dict[str, bytes]) -> str:
    """What OpenSSL says of a certificate by that CRL."""
    for name, content in {"crl.der": crl, "tls.crt": files["tls.crt"], "ca.crt": files["ca.crt"]}.items():
        (folder / name).write_bytes(content)
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


def test_decision_point_serves_forty_thousand_that_the_operator_publishes_in_parts(  # noqa: PLR0917 - fixtures
    cluster: ControlPlane,
    place: Kubectl,
    admin: Kubectl,
    mortal: OperatorProcess,
    gate_kubeconfig: Path,
    tmp_path: Path,
) -> None:
    place.create([task("ends"), task("goes-on")])
    held = {}
    for name in ("ends", "goes-on"):
        story.runs(place, name)
        held[name] = story.files(place.get("secret", f"agentid-{name}"))
    mortal.kill()
    asyncio.run(published_before(cluster, authority(admin)))
    before = int(said(admin)["number"])
    point = GateProcess(cluster, gate_kubeconfig, settings_for(place.namespace))
    point.start()

    wait_until("the whole one is served", lambda: entries(served(point)), lambda n: n >= MANY, within=SLOWLY)

    # The next operator, with the rights of the chart, goes on from there.
    leases.begin(mortal)
    wait_until(
        "it has published", lambda: int(said(admin)["number"]), lambda number: number > before, within=SLOWLY
    )
    place.patch("agenttask", "ends", {"spec": {"state": "Ended"}})
    wait_until(
        "OpenSSL refuses what has ended by what is served",
        lambda: verified(tmp_path, served(point)[1], held["ends"]),
        lambda told: "certificate revoked" in told,
        within=SLOWLY,
    )
    last = served(point)
    assert entries(last) > MANY
    assert "tls.crt: OK" in verified(tmp_path, last[1], held["goes-on"])
    words = said(admin)
    assert words["entries"] == str(MAX_ENTRIES_IN_CLUSTER)
    assert words["truncated"].startswith("until ")
    assert mortal.metric("agentid_crl_in_parts") == 1
    assert mortal.metric("agentid_crl_truncated") == 0
    wait_until(
        "those parts are there that are named", lambda: (parts(admin), named(admin)), lambda p: p[0] == p[1]
    )

    told = agentid(cluster.kubeconfig, "doctor", "-o", "json")
    checks = [each for each in json.loads(told.out)["checks"] if each["check"] == "CRL"]
    assert [each["standing"] for each in checks] == ["Warning", "OK"], checks
    assert f"{len(named(admin))} parts of the whole one" in checks[1]["sentence"]

    # Killed as it has written a part that nothing names yet: the former one is whole.
    mortal.kill()
    here = admin.in_namespace(NAMESPACE)
    free = next(name for name in CRL_PART_CONFIG_MAPS if name not in named(admin))
    here.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": free}, "data": {"number": "1"}}
    )
    assert served(point) == last
    point.terminate()
    point.start()
    wait_until("it is served from the beginning", lambda: served(point) == last, bool, within=SLOWLY)

    # Without a part, one that has it already goes on; one that starts has nothing to serve, and says why.
    gone = here.get("configmap", named(admin)[0])
    here.delete("configmap", gone["metadata"]["name"])
    assert served(point) == last
    point.terminate()
    point.start()
    wait_until("it answers", lambda: served(point), lambda answer: answer[0] == 503, within=SLOWLY)
    assert "is in parts, which are not put together yet" in json.loads(served(point)[1])["message"]
    leases.begin(mortal)
    wait_until("the operator mends it", lambda: entries(served(point)), lambda n: n > 1, within=SLOWLY)
    wait_until(
        "what nothing names is gone",
        lambda: (parts(admin), named(admin)),
        lambda p: p[0] == p[1],
        within=SLOWLY,
    )
    point.terminate()
