"""Nothing is issued while what an admission rule says, or where it applies, is other than installed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.objects import agent, task
from tests.cluster.unguarded import as_written, put_back

OFTEN = {"AGENTID_ADMISSION_PROOF_SECONDS": "1"}
NOWHERE = {"matchLabels": {"agentid.dev/nowhere": "true"}}

VALIDATING = ("validatingadmissionpolicy", "ValidatingAdmissionPolicy", "reserved-secrets.agentid.dev")
MUTATING = ("mutatingadmissionpolicy", "MutatingAdmissionPolicy", "pod-credential.agentid.dev")
BINDING = ("validatingadmissionpolicybinding", "ValidatingAdmissionPolicyBinding", "pod-owner.agentid.dev")
MUTATING_BINDING = (
    "mutatingadmissionpolicybinding",
    "MutatingAdmissionPolicyBinding",
    "task-stamp.agentid.dev",
)

Weaken = Callable[[dict[str, Any]], object]


def no_expression(spec: dict[str, Any]) -> None:
    """What it says is always right."""
    spec["validations"][-1]["expression"] = "true"


def no_mutation(spec: dict[str, Any]) -> None:
    """What it does is nothing."""
    spec["mutations"][0]["jsonPatch"]["expression"] = "[JSONPatch{op: 'test', path: '/kind', value: 'Pod'}]"


def another_variable(spec: dict[str, Any]) -> None:
    """What its expressions stand on is other than it was."""
    spec["variables"][0]["expression"] = "true"


def another_folder(spec: dict[str, Any]) -> None:
    """What its expressions stand on is other than it was."""
    mount = next(each for each in spec["variables"] if each["name"] == "mount")
    mount["expression"] = mount["expression"].replace("/var/run/secrets", "/tmp")  # noqa: S108 - never written


def one_operation_less(spec: dict[str, Any]) -> None:
    spec["matchConstraints"]["resourceRules"][0]["operations"] = ["UPDATE"]


def one_condition_more(spec: dict[str, Any]) -> None:
    spec.setdefault("matchConditions", []).append({"name": "never", "expression": "false"})


def other_namespaces(spec: dict[str, Any]) -> None:
    spec["matchConstraints"]["namespaceSelector"] = NOWHERE


def other_objects(spec: dict[str, Any]) -> None:
    spec["matchConstraints"]["objectSelector"] = NOWHERE


def nothing_of_it(spec: dict[str, Any]) -> None:
    rules = spec["matchConstraints"]["resourceRules"]
    spec["matchConstraints"]["excludeResourceRules"] = rules


def bound_to_other_namespaces(spec: dict[str, Any]) -> None:
    spec["matchResources"] = {"namespaceSelector": NOWHERE}


def bound_to_less(spec: dict[str, Any]) -> None:
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["*"]}
    spec["matchResources"] = {"excludeResourceRules": [pods]}


def binds_another(spec: dict[str, Any]) -> None:
    spec["policyName"] = "nothing.agentid.dev"


WEAKENINGS: dict[str, tuple[tuple[str, str, str], Weaken, str]] = {
    "validating: no expression": (VALIDATING, no_expression, "validations"),
    "validating: another variable": (VALIDATING, another_variable, "variables"),
    "validating: one operation less": (VALIDATING, one_operation_less, "matchConstraints"),
    "validating: one condition more": (VALIDATING, one_condition_more, "matchConditions"),
    "validating: other namespaces": (VALIDATING, other_namespaces, "matchConstraints"),
    "validating: other objects": (VALIDATING, other_objects, "matchConstraints"),
    "validating: nothing of it": (VALIDATING, nothing_of_it, "matchConstraints"),
    "mutating: no mutation": (MUTATING, no_mutation, "mutations"),
    "mutating: another folder": (MUTATING, another_folder, "variables"),
    "mutating: one condition more": (MUTATING, one_condition_more, "matchConditions"),
    "mutating: other namespaces": (MUTATING, other_namespaces, "matchConstraints"),
    "mutating: other objects": (MUTATING, other_objects, "matchConstraints"),
    "binding: other namespaces": (BINDING, bound_to_other_namespaces, "matchResources"),
    "binding: less": (BINDING, bound_to_less, "matchResources"),
    "binding: another policy": (BINDING, binds_another, "policyName"),
    "mutating binding: less": (MUTATING_BINDING, bound_to_less, "matchResources"),
    "mutating binding: another policy": (MUTATING_BINDING, binds_another, "policyName"),
}


@pytest.fixture(scope="module")
def watchful(operator_of_session: OperatorProcess) -> Iterator[OperatorProcess]:
    """The operator, which looks every second whether admission is in force."""
    if operator_of_session.alive():
        operator_of_session.terminate()
    operator_of_session.start(OFTEN)
    yield operator_of_session
    operator_of_session.terminate()


@pytest.mark.parametrize("weakening", WEAKENINGS)
def test_weakening_what_a_rule_says_or_where_it_applies_stops_issuance(
    place: Kubectl, admin: Kubectl, watchful: OperatorProcess, weakening: str
) -> None:
    (kind, title, name), weaken, told = WEAKENINGS[weakening]
    watchful.wait_ready()
    installed: Object = as_written(admin.get(kind, name))
    weak = as_written(admin.get(kind, name))
    weaken(weak["spec"])
    # Made before, so that whoever makes it meets the rules as they are.
    place.create(task(agentRef={"name": "later"}))
    story.stands(place, "AwaitingAgent")
    try:
        admin.replace(weak)
        wait_until(
            f"/readyz says what of {title} {name} differs",
            watchful.why_not_ready,
            lambda seen: f"{title} {name} is not as installed" in seen and told in seen,
        )
        assert watchful.metric("agentid_admission_in_force") == 0
        place.create(agent("later"))
        waiting = story.stands(place, "IssuanceBlocked")
        assert story.serials(waiting) == []
        assert place.list("secret") == []
    finally:
        put_back(admin, installed)
    watchful.wait_ready()
    story.runs(place)
