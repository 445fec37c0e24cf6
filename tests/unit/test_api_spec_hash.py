"""The spec hash: what was decided on is in it, the state is not, and an upgrade leaves it alone."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from agentid.api.agenttask import AgentTaskSpec
from agentid.api.spec_hash import hash_of, projection_text, spec_hash

WHOLE: dict[str, Any] = {
    "agentRef": {"name": "refund-agent"},
    "intent": {
        "purpose": "Refund order 4711",
        "session": "chat-83f1",
        "actions": ["orders:read"],
        "grantable": ["refunds:create"],
        "resources": ["order/4711"],
        "sensitivity": "Confidential",
    },
    "onBehalfOf": "carol@example.com",
    "workload": {
        "serviceAccountName": "refund-agent",
        "ref": {"apiVersion": "batch/v1", "kind": "Job", "name": "refund-4711"},
        "replacement": "Allow",
    },
    "startDeadlineSeconds": 60,
    "activeDeadlineSeconds": 1800,
    "ttlSecondsAfterFinished": 60,
    "credential": {"mode": "Secret", "ttlSeconds": 60, "renew": False},
    "requester": {"username": "alice", "groups": ["a"], "podUID": "p", "intentGeneration": 2},
}
CHILD: dict[str, Any] = WHOLE | {
    "parentRef": {"name": "triage", "uid": "5b0c3a3e-3a33-4b4b-9c9c-00000000000a"},
    "requester": WHOLE["requester"] | {"mayDelegate": True},
}
EMERGENCY: dict[str, Any] = WHOLE | {
    "intent": WHOLE["intent"] | {"grantable": []},
    "breakGlass": {"justification": "The payment provider is down"},
}
ADDED: dict[str, Any] = {
    "staticSecrets": [{"name": "legacy-crm-key"}],
    "templateRef": {
        "name": "refund",
        "uid": "5c0e0000-0000-4000-8000-0000000000aa",
        "author": {"username": "alice", "groups": ["a"]},
    },
}
"""What came later: it is in the hash of what uses it only."""
OF_STATE: dict[str, Any] = {"state": "Suspended", "stateReason": "Odd", "stateChangedBy": {"username": "bob"}}
SHORT: dict[str, Any] = {"agentRef": {"name": "a"}, "intent": {"purpose": "Read", "actions": ["orders:read"]}}


def hashed(spec: dict[str, Any]) -> str:
    return spec_hash(AgentTaskSpec.model_validate(spec))


OTHER = {
    "Confidential": "Internal",
    "Allow": "Never",
    CHILD["parentRef"]["uid"]: "5b0c3a3e-3a33-4b4b-9c9c-00000000000b",
    ADDED["templateRef"]["uid"]: "5c0e0000-0000-4000-8000-0000000000ab",
}


def changed(value: object) -> object:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case [{"name": _}]:
            return [*value, {"name": "more"}]
        case list():
            return [*value, "more"]
        case _:
            return OTHER.get(str(value), f"{value}x")


def variants(part: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The part with one of its leaves changed, each leaf once."""
    for name, value in part.items():
        if isinstance(value, dict):
            for inner, variant in variants(value, f"{path}{name}."):
                yield inner, {**part, name: variant}
        elif f"{path}{name}" not in ("credential.mode", "workload.ref.apiVersion"):
            yield f"{path}{name}", {**part, name: changed(value)}


@pytest.mark.parametrize(("path", "variant"), list(variants(WHOLE | ADDED)))
def test_a_change_of_any_field_changes_the_hash(path: str, variant: dict[str, Any]) -> None:
    assert hashed(variant) not in {hashed(WHOLE | ADDED), hashed(WHOLE)}, path


@pytest.mark.parametrize(("path", "variant"), list(variants(CHILD)))
def test_a_change_of_any_field_changes_the_hash_of_a_child(path: str, variant: dict[str, Any]) -> None:
    assert hashed(variant) not in (hashed(CHILD), hashed(WHOLE)), path


@pytest.mark.parametrize("without", ["parentRef", "breakGlass"])
def test_a_parent_and_an_emergency_are_in_it(without: str) -> None:
    whole = CHILD if without == "parentRef" else EMERGENCY

    assert hashed({name: part for name, part in whole.items() if name != without}) != hashed(whole)


def test_a_justification_is_in_it() -> None:
    other = {"breakGlass": {"justification": "The payment provider is up again"}}

    assert hashed(EMERGENCY | other) != hashed(EMERGENCY)


def test_the_mode_is_in_it() -> None:
    step = CHILD | {
        "intent": WHOLE["intent"] | {"grantable": []},
        "credential": WHOLE["credential"] | {"mode": "None"},
    }
    del step["workload"]

    assert hashed(step) != hashed(step | {"credential": WHOLE["credential"]})


def test_the_example_names_every_field_there_is() -> None:
    assert {field.alias for field in AgentTaskSpec.model_fields.values()} == {
        *CHILD,
        *EMERGENCY,
        *ADDED,
        *OF_STATE,
    }
    for name, part in CHILD.items():
        annotation = AgentTaskSpec.model_fields
        field = next(each for each in annotation.values() if each.alias == name)
        if isinstance(part, dict) and hasattr(field.annotation, "model_fields"):
            assert {each.alias for each in field.annotation.model_fields.values()} == set(part)


@pytest.mark.parametrize("field", OF_STATE)
def test_the_state_is_not_in_it(field: str) -> None:
    assert hashed(WHOLE | {field: OF_STATE[field]}) == hashed(WHOLE)


def test_version_1_is_what_it_was() -> None:
    assert hashed(WHOLE) == "v1:10c20689a7caf1dd5df112f9f46238cec7479558c6e8303dc50f22be74b164ad"
    assert hashed(SHORT) == "v1:a24334165edc27368c0aec44b701649bb28cc6b1ad6f5e295d55e46a42c8fabf"


@given(
    st.text(min_size=1, max_size=60),
    st.lists(st.text(min_size=1, max_size=60), max_size=3),
    st.integers(1, 2**31),
)
def test_it_is_taken_over_the_rfc_8785_form(username: str, groups: list[str], generation: int) -> None:
    requester = {"username": username, "groups": groups, "podUID": "p", "intentGeneration": generation}
    whole = WHOLE | {"requester": requester}
    assert hashed(whole) == f"v1:{hashlib.sha256(rfc8785.dumps(whole)).hexdigest()}"


def test_an_approval_keeps_what_the_hash_is_over() -> None:
    everything = CHILD | ADDED
    text = projection_text(AgentTaskSpec.model_validate(everything))

    assert text.encode() == rfc8785.dumps(everything)
    assert hash_of(text) == hashed(everything)
    assert hash_of(text + " ") != hashed(everything)


def test_defaults_that_are_typed_change_nothing() -> None:
    typed = SHORT | {"startDeadlineSeconds": 600, "credential": {"ttlSeconds": 300}, "state": "Active"}

    assert hashed(typed) == hashed(SHORT)


def test_a_field_that_an_upgrade_adds_leaves_the_hash_of_what_does_not_use_it() -> None:
    class Upgraded(AgentTaskSpec):
        """The spec of a later version."""

        audiences: list[str] = Field(default_factory=list)

    assert spec_hash(Upgraded.model_validate(WHOLE)) == hashed(WHOLE)


def test_the_order_of_keys_says_nothing() -> None:
    assert hashed(dict(reversed(WHOLE.items()))) == hashed(WHOLE)
