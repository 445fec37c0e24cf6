"""No child has more than its parent, has one of another namespace, or gets more by a change of its intent."""

from collections.abc import Iterator
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE
from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.families import (
    INTENT,
    REFUND,
    STEP,
    TOP,
    child,
    grants,
    message,
    top_of,
    was_given,
)
from tests.cluster.objects import AGENT, ANY_POD, POD, agent, pod, task
from tests.laying_out import fresh_namespace, make_agent

CAROL, DAVE = "carol@example.com", "dave@example.com"
ORDER = "order/4711"
LIMITED = {**INTENT, "resources": [ORDER]}
TIMES = {"activeDeadlineSeconds": 1800}
STATIC = "crm-key-of-no-parent"

WIDER: dict[str, tuple[Object, str]] = {
    "actions": ({"intent": {**LIMITED, "actions": ["orders:write"]}}, "intent.actions asks for orders:write"),
    "grantable": ({"intent": {**LIMITED, "grantable": ["orders:write"]}}, "intent.grantable asks for"),
    "resources": ({"intent": {**LIMITED, "resources": ["order/4712"]}}, f"is limited to {ORDER}. Ask for"),
    "no-resources": ({"intent": INTENT}, "intent.resources is empty, but"),
    "sensitivity": ({"intent": {**LIMITED, "sensitivity": "Confidential"}}, "intent.sensitivity is"),
    "time": ({"activeDeadlineSeconds": 1801}, "it may live for 1801 s"),
    "ttl": ({"credential": {"ttlSeconds": 301}}, "credential.ttlSeconds is 301"),
    "no-pod": ({"workload": None}, "it is bound to no pod, but its parent"),
    "static-secret": ({"staticSecrets": [{"name": STATIC}]}, f"staticSecrets asks for {STATIC}, which"),
    "for-another": ({"onBehalfOf": DAVE}, f"is done for {CAROL}, and a child inherits that"),
    "step-of-another": (
        {"workload": None, **STEP, "intent": {**REFUND, "resources": [ORDER]}, "agentRef": {"name": "other"}},
        "agentRef is other, but a step is a grant to the identity of its parent AgentTask",
    ),
}
"""Of a child what is wider than of its parent, and what it is told."""


@pytest.fixture
def carols(wide: Kubectl) -> Object:
    """A running task for Carol, bound to a pod and limited to one order; its Agent would allow more."""
    more: dict[str, Any] = {"actions": ["orders:*", "refunds:create"], "maxSensitivity": "Restricted"}
    wide.apply([agent(**more), agent("other", **more)])
    wide.create([pod(POD, of=TOP), task(TOP, intent=LIMITED, onBehalfOf=CAROL, **ANY_POD, **TIMES)])
    playing.scheduled(wide, POD)
    return story.runs(wide, TOP)


@pytest.fixture
def static_secret(wide: Kubectl, cluster: ControlPlane) -> Iterator[str]:
    """A static secret that any task of the Agent may ask for."""
    home = cluster.kubectl.in_namespace(NAMESPACE)
    home.create(
        {
            "apiVersion": "agentid.dev/v1alpha1",
            "kind": "AgentSecret",
            "metadata": {"name": STATIC},
            "spec": {
                "source": {"secretName": "legacy-crm", "key": "token"},
                "agents": [{"namespace": wide.namespace, "name": AGENT}],
                "actions": ["orders:*"],
                "maxTTLSeconds": 3600,
            },
        }
    )
    yield STATIC
    home.delete("agentsecret", STATIC)


@pytest.fixture
def elsewhere(wide: Kubectl, cluster: ControlPlane) -> Iterator[Kubectl]:
    """Another namespace with an Agent."""
    with fresh_namespace(cluster.kubectl, f"{wide.namespace}-other") as here:
        make_agent(here)
        yield here


def test_a_child_that_is_wider_than_its_parent_is_refused(
    wide: Kubectl, static_secret: str, carols: Object
) -> None:
    assert static_secret == STATIC
    same: Object = {"intent": LIMITED, **ANY_POD, **TIMES}
    for name, (spec, _) in WIDER.items():
        asked = {field: value for field, value in {**same, **spec}.items() if value is not None}
        wide.create(child(carols, name, **asked))

    def not_refused_for_it() -> list[tuple[str, str]]:
        found = {each["metadata"]["name"]: each for each in wide.list("agenttasks")}
        return [
            (name, message(found[name]))
            for name, (_, why) in WIDER.items()
            if story.standing(found[name]) != "DelegationRefused" or why not in message(found[name])
        ]

    wait_until(
        "each is refused for what is wider", not_refused_for_it, lambda left: not left, within=story.PROMPTLY
    )
    assert [each["metadata"]["name"] for each in wide.list("secrets")] == [f"agentid-{TOP}"]
    assert grants(wide.get("agenttask", TOP)) == []


def test_a_child_is_done_for_whom_its_parent_is(wide: Kubectl) -> None:
    above = top_of(wide, onBehalfOf=CAROL)
    wide.create(child(above, "child"))
    running = story.runs(wide, "child")
    assert running["status"]["delegation"]["delegator"] == CAROL
    assert "onBehalfOf" not in running["spec"]
    assert f" for {CAROL}, " in story.told(wide, running)[-1].note


def test_a_task_of_another_namespace_is_nobodys_parent(wide: Kubectl, elsewhere: Kubectl) -> None:
    above = top_of(elsewhere)
    wide.create(child(above, "child", intent={**INTENT, "grantable": None}))
    refused = story.stands(wide, "DelegationRefused", "child")
    assert f"AgentTask {wide.namespace}/{TOP}, which it is a child of, does not exist" in message(refused)
    assert not was_given(refused)


def test_what_runs_and_asks_for_more_than_its_parent_has_loses_what_it_had(
    wide: Kubectl, delegates: Kubectl
) -> None:
    above = top_of(wide)
    delegates.create([child(above, "child"), child(above, "step", **STEP)])
    story.runs(wide, "child")
    wide.wait_for("agenttask", TOP, lambda seen: grants(seen) == ["step"])

    for name in ("child", "step"):
        delegates.patch("agenttask", name, {"spec": {"intent": {"actions": ["orders:write"]}}})

    for name in ("child", "step"):
        over = story.ends(wide, "Revoked", name)
        assert "intent.actions asks for orders:write, which its parent" in message(over)
    story.secret_gone_or_empty(wide, "child")
    assert wide.get("agenttask", "child")["status"]["credentialGeneration"] == 1
    wide.wait_for("agenttask", TOP, lambda seen: grants(seen) == [])
