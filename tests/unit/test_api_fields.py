"""Fields take what they should and nothing that only looks like it, and take no time over it."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from agentid.api import fields
from agentid.api.agent import AgentSpec, Sensitivity
from agentid.api.agentapproval import AgentApprovalSpec
from agentid.api.agenttask import AgentTaskSpec, CredentialMode
from agentid.api.agenttask_status import Condition
from agentid.api.reasons import ConditionType

TASK: dict[str, Any] = {"agentRef": {"name": "a"}, "intent": {"purpose": "Read", "actions": ["orders:read"]}}
AGENT: dict[str, Any] = {"owner": "payments", "class": "Ephemeral", "actions": ["orders:*"]}
TEXTS: dict[str, Any] = {
    name: TypeAdapter(getattr(fields, name))
    for name in (
        "DnsLabel",
        "DnsName",
        "TaskName",
        "Uid",
        "SpecHash",
        "Action",
        "ActionPattern",
        "Resource",
        "ShownText",
        "Person",
    )
}
GOOD: dict[str, list[str]] = {
    "DnsLabel": ["a", "a-b", "a" * 63, "4711"],
    "DnsName": ["a", "a.b-c", "a" * 253],
    "TaskName": ["a", "refund-4711", "a.b-c", "a" * 63],
    "Uid": ["5b0c3a3e-3a33-4b4b-9c9c-000000000001"],
    "SpecHash": [f"v1:{'0f' * 32}", f"v12:{'a' * 64}"],
    "Action": ["orders:read", "read", "crm.v2:orders:read_all"],
    "ActionPattern": ["orders:read", "orders:*", "a:b:*"],
    "Resource": ["order/4711", "urn:a:b", "a@b=c+d"],
    "ShownText": ["Refund order 4711", "é", " a ", "日本"],
    "Person": ["carol@example.com", "alice"],
}
BAD: dict[str, list[str]] = {
    "DnsLabel": ["", "A", "a.b", "-a", "a-", "a\n", "a" * 64, "é"],
    "DnsName": ["", "a..b", ".a", "a.", "a" * 254, "a_b"],
    "TaskName": ["", "A", "a_b", "a.", "a\n", "../a", "a" * 64],
    "SpecHash": ["", "a" * 64, f"v1:{'a' * 63}", f"v1:{'A' * 64}", f"v:{'a' * 64}", f"v1:{'a' * 64}\n"],
    "Uid": ["5b0c3a3e", "5B0C3A3E-3A33-4B4B-9C9C-000000000001", "x" * 36],
    "Action": ["", "*", "orders:*", "orders::read", "orders:", ":read", "Orders:read", "orders read", "a\n"],
    "ActionPattern": ["*", "orders*", "*:read", "orders:*:read", "orders:**"],
    "Resource": ["", "/a", "a b", "a?b", "a#b", "a%62", "a\x00"],
    "ShownText": ["", " ", "a\nb", "a\x00", "a\u202eb", "a\u200bb", "\ufeff", "a\u2028b", "a" * 1025],
    "Person": ["", " alice", "a b", "a\n", "system:masters\x00"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in GOOD.items() for text in texts])
def test_good_texts(name: str, text: str) -> None:
    assert TEXTS[name].validate_python(text) == text


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_bad_texts(name: str, text: str) -> None:
    with pytest.raises(ValidationError):
        TEXTS[name].validate_python(text)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "text", ["a" * 100_000, "a." * 126, "a:" * 63 + "!", " " * 1024, "-" * 253, "a-" * 126 + "!"]
)
def test_no_text_takes_long(name: str, text: str) -> None:
    begin = time.perf_counter()

    try:
        TEXTS[name].validate_python(text)
    except ValidationError:
        assert time.perf_counter() - begin < 1


@given(st.text(max_size=200))
def test_shown_text_holds_no_character_that_hides(text: str) -> None:
    try:
        shown = TEXTS["ShownText"].validate_python(text)
    except ValidationError:
        return
    assert shown == text
    assert shown.strip(" ")
    assert not any(
        ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u200b\u202e\u2066\ufeff\u2028" for c in shown
    )


@pytest.mark.parametrize("seconds", [True, "300", "1_000", 300.0, 29, -1, 0, 86_401, 2**63, None, [300]])
def test_a_life_in_seconds_is_an_integer_within_its_bounds(seconds: object) -> None:
    with pytest.raises(ValidationError):
        AgentTaskSpec.model_validate(TASK | {"credential": {"ttlSeconds": seconds}})


@pytest.mark.parametrize("value", ["true", "yes", 1, 0, None])
def test_a_switch_is_true_or_false(value: object) -> None:
    with pytest.raises(ValidationError):
        AgentSpec.model_validate(AGENT | {"disabled": value})


def test_choices_are_read_from_text_and_from_json() -> None:
    spec = AGENT | {"maxSensitivity": "Restricted"}

    assert AgentSpec.model_validate(spec).max_sensitivity is Sensitivity.RESTRICTED
    with pytest.raises(ValidationError):
        AgentSpec.model_validate(AGENT | {"maxSensitivity": "restricted"})


@pytest.mark.parametrize(
    "text",
    [
        "2027-05-31",
        "2027-05-31T00:00:00",
        "2027-05-31 00:00:00Z",
        "2027-05-31t00:00:00z",
        "2027-02-30T00:00:00Z",
        "2027-05-31T00:00:00+99:99",
        "2027-05-31T24:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "\uff12027-05-31T00:00:00Z",
        "2027-05-31T00:00:00Z\n",
        1_800_000_000,
        True,
    ],
)
def test_a_time_is_rfc_3339_with_a_zone(text: object) -> None:
    with pytest.raises(ValidationError):
        AgentSpec.model_validate(AGENT | {"reviewBy": text})


def test_times_are_read_in_any_zone_and_written_in_utc() -> None:
    spec = AgentSpec.model_validate(AGENT | {"reviewBy": "2027-05-31T02:00:00.5+02:00"})

    assert spec.model_dump(mode="json", by_alias=True)["reviewBy"] == "2027-05-31T00:00:00Z"


def test_the_same_rules_as_the_api_servers_hold_between_fields() -> None:
    with pytest.raises(ValidationError, match="must be at most activeDeadlineSeconds"):
        AgentTaskSpec.model_validate(TASK | {"activeDeadlineSeconds": 60})
    with pytest.raises(ValidationError, match="class Recurring needs reviewBy"):
        AgentSpec.model_validate(AGENT | {"class": "Recurring"})
    with pytest.raises(ValidationError, match=r"holds orders:\* twice; once is enough"):
        AgentSpec.model_validate(AGENT | {"actions": ["orders:*", "a", "orders:*"]})


PARENT = {"name": "triage-4711", "uid": "5b0c3a3e-3a33-4b4b-9c9c-000000000001"}
STEP: dict[str, Any] = TASK | {"parentRef": PARENT, "credential": {"mode": "None", "renew": False}}
EMERGENCY: dict[str, Any] = TASK | {
    "breakGlass": {"justification": "The payment provider is down"},
    "credential": {"renew": False},
}
GRANTABLE = TASK["intent"] | {"grantable": ["refunds:create"]}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (STEP | {"parentRef": None}, "no parent is named: set parentRef"),
        (STEP | {"workload": {}}, "which runs in the parent's pod: leave workload out"),
        (STEP | {"credential": {"mode": "None"}}, "a step.*set credential.renew to false"),
        (STEP | {"intent": GRANTABLE}, "a step.*has no children: leave intent.grantable empty"),
        (
            STEP | {"staticSecrets": [{"name": "crm"}]},
            "a step.*no Secret for copies: leave static",
        ),
        (EMERGENCY | {"parentRef": PARENT}, "answers for alone: leave parentRef out"),
        (EMERGENCY | {"credential": {}}, "an emergency.*set credential.renew to false"),
        (EMERGENCY | {"intent": GRANTABLE}, "an emergency, and has no children"),
        (EMERGENCY | {"breakGlass": {"justification": "too short for this."}}, "at least 20"),
        (EMERGENCY | {"breakGlass": {"justification": " " * 20}}, "text on one line"),
        (EMERGENCY | {"breakGlass": {"justification": "x" * 1025}}, "at most 1024"),
    ],
)
def test_what_a_step_and_an_emergency_may_not_have(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AgentTaskSpec.model_validate(spec)


def test_a_step_and_an_emergency_as_they_should_be() -> None:
    step, emergency = AgentTaskSpec.model_validate(STEP), AgentTaskSpec.model_validate(EMERGENCY)

    assert step.parent_ref is not None
    assert (step.credential.mode, step.parent_ref.name) == (CredentialMode.NONE, "triage-4711")
    assert emergency.break_glass is not None


APPROVAL: dict[str, Any] = {
    "taskRef": PARENT,
    "specHash": f"v1:{'0' * 64}",
    "intentGeneration": 1,
    "projection": "{}",
    "decision": "Approve",
    "expiresAt": "2027-05-31T00:00:00Z",
}


@pytest.mark.parametrize("decision", ["Approve", "Deny"])
def test_a_yes_expires_and_a_no_does_not(decision: str) -> None:
    yes = decision == "Approve"
    right = APPROVAL | {"decision": decision, "expiresAt": APPROVAL["expiresAt"] if yes else None}
    wrong = APPROVAL | {"decision": decision, "expiresAt": None if yes else APPROVAL["expiresAt"]}

    assert (AgentApprovalSpec.model_validate(right).expires_at is not None) == yes
    with pytest.raises(ValidationError, match="set it for the one, leave it out for the other"):
        AgentApprovalSpec.model_validate(wrong)


def test_nothing_unknown_is_taken() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        AgentTaskSpec.model_validate(TASK | {"childRef": {}})


def test_a_condition_reads_back_as_written() -> None:
    written = Condition(
        type=ConditionType.FINISHED,
        status="True",
        reason="Completed",
        message="done",
        observed_generation=3,
        last_transition_time=datetime(2027, 5, 31, tzinfo=UTC),
    )

    assert Condition.model_validate(written.model_dump(mode="json", by_alias=True)) == written
