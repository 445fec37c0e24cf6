"""Which tasks a command is about: by Agent, by whom decisions look at, by whose behalf."""

from typing import Any

import pytest

from agentid.api.agenttask import AgentTaskSpec
from agentid.cli.selecting import Selection, asker, delegator

SPEC: dict[str, Any] = {
    "agentRef": {"name": "refund-agent"},
    "intent": {"purpose": "Refund", "actions": ["orders:read"]},
    "requester": {"username": "system:serviceaccount:agentid-system:agentid"},
}
OF_A_TEMPLATE = {
    "templateRef": {
        "name": "nightly",
        "uid": "5c0e0000-0000-4000-8000-0000000000aa",
        "author": {"username": "dora"},
    }
}
CHANGED = {"requester": {"username": "erin", "intentGeneration": 2}}


@pytest.mark.parametrize(
    ("spec", "who"),
    [
        (SPEC, "system:serviceaccount:agentid-system:agentid"),
        (SPEC | OF_A_TEMPLATE, "dora"),
        (SPEC | OF_A_TEMPLATE | CHANGED, "erin"),
    ],
    ids=["of-itself", "of-a-template", "changed-since"],
)
def test_who_is_selected_by_is_whom_decisions_look_at(spec: dict[str, Any], who: str) -> None:
    answers = AgentTaskSpec.model_validate(spec).asker
    assert answers is not None
    assert asker(spec) == answers.username == who
    assert Selection(requester=who).fits({"spec": spec})
    assert not Selection(requester="someone").fits({"spec": spec})


@pytest.mark.parametrize(
    ("spec", "status", "whom"),
    [
        (SPEC | {"onBehalfOf": "carol"}, {}, "carol"),
        (SPEC, {"delegation": {"delegator": "carol", "chain": []}}, "carol"),
        (SPEC, {"delegation": {"chain": []}}, ""),
        (SPEC, {}, ""),
    ],
    ids=["named", "inherited", "a-child-for-nobody", "for-nobody"],
)
def test_a_child_is_selected_by_whom_its_uppermost_task_is_done_for(
    spec: dict[str, Any], status: dict[str, Any], whom: str
) -> None:
    found = {"spec": spec, "status": status}
    assert delegator(found) == whom
    assert Selection(delegator="carol").fits(found) is (whom == "carol")
