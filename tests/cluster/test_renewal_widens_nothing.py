"""A renewal is the same identity for a while longer, in every field of its certificate, not past the end.

What has become narrower meanwhile holds for it: of two certificates of a task, both are taken apart here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from devcluster.audit import is_write
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.objects import AGENT, ANY_POD, pod, task
from tests.laying_out import clear_workloads, make_agent

LIFE = timedelta(seconds=30)
BACKDATED = timedelta(seconds=60)
PATIENTLY = timedelta(seconds=150)
NAMESPACE = "renewed-in-narrower-bounds"
BROAD = {"purpose": "Refund order 4711", "actions": ["orders:read", "refunds:create"]}

TASKS: Mapping[str, dict[str, Any]] = {
    "ceiling": {**ANY_POD, "activeDeadlineSeconds": 300},
    "intent": {**ANY_POD, "intent": BROAD, "activeDeadlineSeconds": 300},
    "deadline": {**ANY_POD, "activeDeadlineSeconds": 45},
    "unbound": {"activeDeadlineSeconds": 45},
}
"""The Agent's ceiling narrowed to just what is asked, the intent narrowed, the deadline near."""
BEFORE_ITS_RENEWAL = {"intent": 2}
"""How many certificates a task has had before its renewal: a changed intent is issued for anew."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """A task, and the last two certificates that were written for it.

    Attributes:
        task: As it is since.
        started: As it was once it had its first certificate: with its deadline, which an end takes away.
        old: The certificate before.
        new: The one that replaced it.
    """

    task: Object
    started: Object
    old: x509.Certificate
    new: x509.Certificate


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A namespace in which everything that can become narrower without an end has."""

    here: Kubectl
    cluster: ControlPlane
    started: Mapping[str, Object]

    def renewed(self, name: str) -> Renewed:
        """Wait until a task is renewed under the narrower bounds, and return the certificates."""
        before = BEFORE_ITS_RENEWAL.get(name, 1)
        chain = wait_until(
            f"AgentTask {name} is renewed",
            lambda: self._written(name),
            lambda seen: len(seen) > before,
            within=PATIENTLY,
            every=timedelta(seconds=1),
        )
        task_now = self.here.get("agenttask", name)
        return Renewed(task_now, self.started[name], chain[before - 1], chain[before])

    def _written(self, name: str) -> list[x509.Certificate]:
        return [
            story.leaf(event["responseObject"])
            for event in self.cluster.audit()
            if is_write(event)
            and event["verb"] in {"create", "update"}
            and event["objectRef"].get("namespace") == NAMESPACE
            and event["objectRef"].get("name") == f"agentid-{name}"
            and story.leaf_serial(event["responseObject"])
        ]


@pytest.fixture(scope="module")
def narrowed(cluster: ControlPlane, node: str, operator_of_session: OperatorProcess) -> Iterator[Narrowed]:
    """All tasks of this module, started at the same time, and then what bounds them made narrower."""
    assert node
    if not operator_of_session.alive():
        operator_of_session.start()
    operator_of_session.wait_ready()
    cluster.kubectl.create({"kind": "Namespace", "metadata": {"name": NAMESPACE}})
    here = cluster.kubectl.in_namespace(NAMESPACE)
    make_agent(here)
    here.create([task(name, credential={"ttlSeconds": 30}, **spec) for name, spec in TASKS.items()])
    here.create([pod(name, of=name) for name, spec in TASKS.items() if "workload" in spec])
    started = {name: story.runs(here, name) for name in TASKS}
    here.patch("agenttask", "intent", {"spec": {"intent": {"actions": ["orders:read"]}}})
    here.wait_for("agenttask", "intent", lambda seen: seen["status"].get("observedGeneration") == 2)
    here.patch("agent", AGENT, {"spec": {"actions": ["orders:read"], "maxActiveDeadlineSeconds": 300}})
    yield Narrowed(here, cluster, started)
    clear_workloads(here)
    cluster.kubectl.delete("namespace", NAMESPACE, "--wait=false")


def but_of_its_key(certificate: x509.Certificate) -> list[x509.Extension[x509.ExtensionType]]:
    """Every extension of a certificate but the one that is a digest of its own key."""
    return [each for each in certificate.extensions if each.oid != ExtensionOID.SUBJECT_KEY_IDENTIFIER]


@pytest.mark.parametrize("name", TASKS)
def test_renewed_certificate_says_the_same_with_another_key_for_no_longer(
    narrowed: Narrowed, name: str
) -> None:
    renewed = narrowed.renewed(name)
    old, new, status = renewed.old, renewed.new, renewed.started["status"]

    assert but_of_its_key(new) == but_of_its_key(old)
    assert (new.subject, new.issuer) == (old.subject, old.issuer)
    assert new.public_key() != old.public_key()
    assert new.serial_number != old.serial_number
    names = new.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [each.value for each in names] == [status["spiffeID"]]
    usage = new.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not usage.value.crl_sign
    assert set(new.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    assert not new.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert new.not_valid_after_utc <= datetime.fromisoformat(status["deadline"])
    assert new.not_valid_after_utc - new.not_valid_before_utc <= LIFE + BACKDATED


@pytest.mark.parametrize("name", ["deadline", "unbound"])
def test_renewal_near_the_deadline_is_shorter_and_ends_with_it(narrowed: Narrowed, name: str) -> None:
    renewed = narrowed.renewed(name)

    deadline = datetime.fromisoformat(renewed.started["status"]["deadline"])
    assert renewed.new.not_valid_after_utc == deadline
    lives = [each.not_valid_after_utc - each.not_valid_before_utc for each in (renewed.old, renewed.new)]
    assert lives[1] < lives[0]


def test_renewal_after_a_narrower_intent_is_for_that_intent(narrowed: Narrowed) -> None:
    renewed = narrowed.renewed("intent")

    assert renewed.task["spec"]["intent"]["actions"] == ["orders:read"]
    assert renewed.task["status"]["observedGeneration"] == 2
    issued = [each.reason for each in story.told(narrowed.here, renewed.task, at_least=3)]
    assert issued[:3] == ["CredentialIssued", "CredentialIssued", "CredentialRenewed"]
    assert story.settled(narrowed.here, "intent")["status"]["specHash"] == renewed.task["status"]["specHash"]


def test_task_that_asks_for_more_than_the_narrower_ceiling_is_not_renewed(narrowed: Narrowed) -> None:
    narrowed.renewed("ceiling")

    narrowed.here.patch("agent", AGENT, {"spec": {"actions": ["refunds:create"]}})

    for name in ("ceiling", "intent"):
        story.ends(narrowed.here, "Revoked", name)
        story.secret_gone_or_empty(narrowed.here, name)
