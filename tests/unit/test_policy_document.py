"""What OPA is asked: the same facts as Cedar, all of them, as plain JSON."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from agentid.policy.document import digest_without_clock, document
from agentid.policy.question import Ancestor, Environment, Person, Pod, Question, Secret, Use
from agentid.policy.request import request
from agentid.policy.vocabulary import CONTEXT, PRINCIPAL, RESOURCE, Action
from tests.unit.policy_questions import NOW, UID, agent, question

FULL = question(
    ancestors=(Ancestor("triage-4711", "u-9", "triage", "dave@example.com"),),
    delegator="carol@example.com",
    approvers=(Person("bob@example.com", ("security",)),),
)


def asked(about: Question) -> dict[str, object]:
    made: dict[str, object] = json.loads(json.dumps(document(request(about))))
    return made


def part(about: Question, name: str) -> dict[str, object]:
    found = asked(about)[name]
    assert isinstance(found, dict)
    return found


def test_it_reads_as_one_plain_object() -> None:
    made = asked(FULL)
    assert list(made) == ["principal", "action", "resource", "context"]
    assert made["action"] == "issue"
    principal, context = part(FULL, "principal"), part(FULL, "context")
    assert (principal["type"], principal["id"]) == ("Agent", "support/refund-agent")
    assert principal["reviewBy"] == "2027-05-31T00:00:00.000Z"
    resource = part(FULL, "resource")
    assert (resource["type"], resource["id"], resource["sensitivity"]) == ("Task", UID, 1)
    assert context["time"] == "2026-06-03T10:00:00.000Z"
    assert context["environment"] == {
        "trustDomain": "example.org",
        "clusterLabels": {"region": "eu"},
        "namespaceLabels": {"env": "test"},
    }
    assert context["approvers"] == ["bob@example.com"]
    assert context["delegator"] == "carol@example.com"


def test_nothing_of_cedars_own_forms_is_left() -> None:
    for about in (FULL, replace(FULL, action=Action.USE, use=Use("call", parameters={"amount": 7}))):
        assert "__" not in json.dumps(document(request(about)))


@pytest.mark.parametrize(("name", "attributes"), [("principal", PRINCIPAL), ("resource", RESOURCE)])
def test_every_attribute_of_the_schema_is_there(name: str, attributes: tuple[object, ...]) -> None:
    names = {each.name for each in attributes}  # type: ignore[attr-defined]
    assert part(FULL, name).keys() == names | {"type", "id"}


def test_every_attribute_of_the_context_is_there() -> None:
    wanted = {each.name for each in CONTEXT}
    assert wanted - part(FULL, "context").keys() == set()


def test_parameters_of_a_call_are_as_they_were_sent() -> None:
    sent = {"amount": 7, "currency": "EUR", "express": True}
    call = replace(FULL, action=Action.USE, use=Use("call", tool="refund", parameters=sent))
    assert part(call, "context")["parameters"] == sent


def test_secret_is_named() -> None:
    wanted = replace(FULL, action=Action.USE_SECRET, secret=Secret("legacy-crm", 900))
    assert part(wanted, "context")["secret"] == {"name": "legacy-crm", "maxTTLSeconds": 900}


def digest(about: Question) -> bytes:
    return digest_without_clock(document(request(about)))


def test_the_same_question_at_another_time_is_the_same() -> None:
    assert digest(FULL) == digest(replace(FULL, now=NOW + timedelta(days=3, hours=5)))


@pytest.mark.parametrize(
    "changes",
    [
        {"action": Action.RENEW},
        {"agent": agent(owner="other@example.com")},
        {"task_uid": "another"},
        {"requester": Person("mallory@example.com")},
        {"environment": Environment("example.org", {"region": "us"}, {"env": "test"})},
        {"environment": Environment("example.org", {"region": "eu"}, {})},
        {"pod": Pod("refund-agent", ("registry.example.com/refund:v2",))},
        {"pod": None},
        {"delegator": None},
        {"approvers": ()},
        {"break_glass": True},
    ],
    ids=str,
)
def test_any_other_question_is_another(changes: dict[str, object]) -> None:
    assert digest(FULL) != digest(replace(FULL, **changes))  # type: ignore[arg-type]
