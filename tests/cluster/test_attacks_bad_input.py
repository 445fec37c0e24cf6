"""Bad input for the fields of AgentTask and Agent gets a clear error and changes nothing."""

import copy
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError
from devcluster.kubectl import Kubectl, Object
from tests.cluster.objects import agent, task

LONG = "a" * 64
Manifest = dict[str, Any]


def with_field(path: str, value: Any, manifest: Manifest | None = None) -> str:  # noqa: ANN401 - anything at all
    """A manifest in which one field has a value, as JSON."""
    changed = copy.deepcopy(manifest or task("bad"))
    *parents, last = path.split(".")
    place = changed
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return json.dumps(changed)


def raw(path: str, literal: str) -> str:
    """A manifest in which one field has a value that is written as it is."""
    return with_field(path, "@HERE@").replace('"@HERE@"', literal)


def deeply_nested(depth: int) -> str:
    return raw("spec.intent.purpose", "[" * depth + "]" * depth)


TTL = "spec.credential.ttlSeconds"
INTENT = "spec.intent.actions"

BAD: dict[str, tuple[str, str]] = {
    "name of 64 characters": (with_field("metadata.name", LONG), "63"),
    "name of 253 characters": (with_field("metadata.name", "a" * 253), "63"),
    "name of 254 characters": (with_field("metadata.name", "a" * 254), "metadata.name"),
    "name in upper case": (with_field("metadata.name", "Refund"), "metadata.name"),
    "agent of 64 characters": (with_field("spec.agentRef.name", LONG), "agentRef"),
    "no agent": (with_field("spec.agentRef", {}), "spec.agentRef.name"),
    "agent name with a slash": (with_field("spec.agentRef.name", "other/agent"), "spec.agentRef.name"),
    "agent name with a newline": (with_field("spec.agentRef.name", "agent\n"), "spec.agentRef.name"),
    "agent name that looks alike": (
        with_field("spec.agentRef.name", "refund-\u0430gent"),
        "spec.agentRef.name",
    ),
    "TTL of 0": (with_field(TTL, 0), "30"),
    "TTL of 29": (with_field(TTL, 29), "30"),
    "negative TTL": (with_field(TTL, -300), "30"),
    "TTL of a day and a second": (with_field(TTL, 86_401), "86400"),
    "TTL of 2 to the 63rd": (with_field(TTL, 2**63), "ttlSeconds"),
    "TTL that is not a number": (raw(TTL, "NaN"), "integer"),
    "TTL that is true": (with_field(TTL, True), "ttlSeconds"),
    "TTL that is text": (with_field(TTL, "1_000"), "integer"),
    "TTL with a fraction": (with_field(TTL, 300.5), "integer"),
    "TTL that is null in a list": (with_field(TTL, [300]), "integer"),
    "TTL beyond the deadline": (with_field("spec.activeDeadlineSeconds", 60), "activeDeadlineSeconds"),
    "no intent": (with_field("spec.intent", None), "spec.intent"),
    "no action": (with_field(INTENT, []), "spec.intent.actions"),
    "action twice": (with_field(INTENT, ["orders:read", "orders:read"]), "spec.intent.actions"),
    "action with a wildcard": (with_field(INTENT, ["orders:*"]), "spec.intent.actions"),
    "action with a space": (with_field(INTENT, ["orders: read"]), "spec.intent.actions"),
    "too many actions": (with_field(INTENT, [f"a:{n}" for n in range(33)]), "32"),
    "100,000 actions": (with_field(INTENT, [f"a:{n}" for n in range(100_000)]), "32"),
    "purpose of 1.4 MB": (with_field("spec.intent.purpose", "p" * 1_400_000), "purpose"),
    "grantable with a wildcard": (with_field("spec.intent.grantable", ["refunds:*"]), "grantable"),
    "too much grantable": (with_field("spec.intent.grantable", [f"a:{n}" for n in range(33)]), "32"),
    "static secret of another namespace": (
        with_field("spec.staticSecrets", [{"name": "crm", "namespace": "kube-system"}]),
        "unknown field",
    ),
    "static secret that is a path": (with_field("spec.staticSecrets", [{"name": "../crm"}]), "staticSecrets"),
    "too many static secrets": (
        with_field("spec.staticSecrets", [{"name": f"s{n}"} for n in range(1_000)]),
        "staticSecrets",
    ),
    "parent that is a path": (
        with_field("spec.parentRef", {"name": "a/b", "uid": "5c0e1111-0000-4000-8000-000000000000"}),
        "parentRef",
    ),
    "emergency in a word": (with_field("spec.breakGlass", {"justification": "now"}), "justification"),
    "emergency without a reason": (with_field("spec.breakGlass", {}), "justification"),
    "object of 4 MB": (with_field("metadata.annotations", {"a": "p" * 4_000_000}), "too large"),
    "empty purpose": (with_field("spec.intent.purpose", ""), "purpose"),
    "purpose with a control character": (with_field("spec.intent.purpose", "Refund\u0007"), "purpose"),
    "purpose that runs backwards": (with_field("spec.intent.purpose", "Refund \u202e order"), "purpose"),
    "nested a hundred deep": (deeply_nested(100), "purpose"),
    "nested 11,000 deep": (deeply_nested(11_000), "depth"),
    "unknown field": (with_field("spec.intent.admin", True), 'unknown field "spec.intent.admin"'),
    "field of a later version": (with_field("spec.credential.audiences", ["orders"]), "unknown field"),
    "mode that does not exist": (with_field("spec.credential.mode", "Plain"), "mode"),
    "state that does not exist": (with_field("spec.state", "Paused"), "state"),
    "state in lower case": (with_field("spec.state", "active"), "state"),
    "workload without a kind": (with_field("spec.workload", {"ref": {"name": "x"}}), "spec.workload.ref"),
    "workload of another namespace": (
        with_field(
            "spec.workload",
            {"ref": {"apiVersion": "batch/v1", "kind": "Job", "name": "x", "namespace": "default"}},
        ),
        "unknown field",
    ),
    "workload path": (
        with_field("spec.workload", {"ref": {"apiVersion": "../v1", "kind": "Job", "name": "x"}}),
        "apiVersion",
    ),
    "service account with a colon": (
        with_field("spec.workload", {"serviceAccountName": "system:admin"}),
        "serviceAccountName",
    ),
    "delegator with a newline": (with_field("spec.onBehalfOf", "carol@example.com\n"), "onBehalfOf"),
    "start deadline of 0": (with_field("spec.startDeadlineSeconds", 0), "startDeadlineSeconds"),
    "negative time to keep": (with_field("spec.ttlSecondsAfterFinished", -1), "ttlSecondsAfterFinished"),
    "label of 64 characters": (with_field("metadata.labels", {"agentid.dev/task": LONG}), "63"),
    "agent without an owner": (with_field("spec.owner", "", agent("bad")), "owner"),
    "recurring agent without a review": (with_field("spec.class", "Recurring", agent("bad")), "reviewBy"),
    "agent's wildcard for everything": (with_field("spec.actions", ["*"], agent("bad")), "spec.actions"),
    "agent's service account twice": (
        with_field("spec.serviceAccounts", ["a", "a"], agent("bad")),
        "serviceAccounts",
    ),
    "agent reviewed at no time": (with_field("spec.reviewBy", "tomorrow", agent("bad")), "reviewBy"),
    "agent disabled by text": (with_field("spec.disabled", "yes", agent("bad")), "boolean"),
}


@pytest.fixture(scope="module")
def tenant(cluster: ControlPlane) -> Iterator[Kubectl]:
    """An administrator of one namespace, so that nothing but the input is in the way."""
    admin = cluster.kubectl
    admin.create({"kind": "Namespace", "metadata": {"name": "bad-input"}})
    here = admin.in_namespace("bad-input")
    yield here.as_user("alice@example.com", ["system:masters"])
    admin.delete("namespace", "bad-input", "--wait=false")


def everything(here: Kubectl) -> list[Object]:
    """Each task and Agent of the namespace."""
    return here.list("agenttasks,agents")


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_a_clear_error_and_changes_nothing(tenant: Kubectl, what: str) -> None:
    text, says = BAD[what]

    with pytest.raises(KubectlError) as caught:
        tenant("create", "--filename=-", stdin=text, timeout=timedelta(minutes=3))

    refusal = caught.value.stderr
    assert says in refusal, refusal[:2000]
    assert len(refusal) < 20_000
    assert everything(tenant) == []


def test_key_that_is_there_twice_is_refused(tenant: Kubectl) -> None:
    """As a client sends it that does not drop the first by itself, as kubectl does."""
    text = with_field(TTL, 60).replace('"ttlSeconds": 60', '"ttlSeconds": 60, "ttlSeconds": 3600')
    path = f"/apis/agentid.dev/v1alpha1/namespaces/{tenant.namespace}/agenttasks?fieldValidation=Strict"

    with pytest.raises(KubectlError, match="duplicate field"):
        tenant("create", f"--raw={path}", "--filename=-", stdin=text)

    assert everything(tenant) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [("Caf\u00e9", "Cafe\u0301"), ("\uff4frders", "orders")],
    ids=["NFC and NFD", "full width"],
)
def test_forms_of_one_text_are_not_taken_for_each_other(tenant: Kubectl, first: str, second: str) -> None:
    for number, text in enumerate((first, second)):
        tenant.create(json.loads(with_field("spec.intent.purpose", text, task(f"form-{number}"))))
    purposes = [each["spec"]["intent"]["purpose"] for each in tenant.list("agenttasks")]
    tenant("delete", "agenttasks", "--all")

    assert sorted(purposes) == sorted([first, second])
    with pytest.raises(KubectlError, match=r"spec\.intent\.actions"):
        tenant.create(json.loads(with_field(INTENT, [f"{first}:read"])))


@pytest.mark.parametrize(("written", "stored"), [("9e2", 900), ("900.0", 900)])
def test_whole_numbers_written_otherwise_are_stored_as_whole_numbers(
    tenant: Kubectl, written: str, stored: int
) -> None:
    created = tenant.create(raw(TTL, written))
    tenant.delete("agenttask", "bad")

    assert created["spec"]["credential"]["ttlSeconds"] == stored


def test_name_of_63_characters_is_fine(tenant: Kubectl) -> None:
    created = tenant.create(task("a" * 63))
    tenant.delete("agenttask", "a" * 63)

    assert created["metadata"]["name"] == "a" * 63
