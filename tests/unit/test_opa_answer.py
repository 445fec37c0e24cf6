"""What counts as an answer of OPA, and how its reasons are made fit to be shown."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.opa.answer import MAX_REASON_LENGTH, Answer, read_answer
from agentid.opa.errors import OpaError, Outcome

RULE = "data.agentid.allow"


def read(answer: object) -> Answer:
    return read_answer(json.dumps(answer).encode(), RULE)


def test_true_allows_and_false_denies() -> None:
    assert read({"result": True}) == Answer(allowed=True)
    assert read({"result": False}) == Answer(allowed=False)
    assert read({"result": {"allow": True}}) == Answer(allowed=True)
    assert read({"result": {"allow": False, "reason": "change freeze", "more": [1]}}) == Answer(
        allowed=False, reason="change freeze"
    )


def test_decision_is_named_as_in_the_log_of_opa() -> None:
    assert read({"result": False, "decision_id": "4711\n-a"}).decision_id == "4711 -a"
    assert read({"result": True, "decision_id": 7}).decision_id == ""


@pytest.mark.parametrize(
    ("answer", "outcome", "said"),
    [
        ({}, Outcome.UNDEFINED, f"{RULE} is undefined"),
        ({"decision_id": "x"}, Outcome.UNDEFINED, "is undefined"),
        ({"result": None}, Outcome.INVALID, "wrong type"),
        ({"result": "true"}, Outcome.INVALID, "wrong type"),
        ({"result": 1}, Outcome.INVALID, "wrong type"),
        ({"result": []}, Outcome.INVALID, "wrong type"),
        ({"result": [True]}, Outcome.INVALID, "wrong type"),
        ({"result": {}}, Outcome.INVALID, "wrong type"),
        ({"result": {"allow": 1}}, Outcome.INVALID, "wrong type"),
        ({"result": {"allow": "true"}}, Outcome.INVALID, "wrong type"),
        ({"result": {"allow": True, "reason": 7}}, Outcome.INVALID, "reason"),
        ([], Outcome.INVALID, "not a JSON object"),
        (True, Outcome.INVALID, "not a JSON object"),
    ],
)
def test_anything_else_is_no_answer(answer: object, outcome: Outcome, said: str) -> None:
    with pytest.raises(OpaError, match=said) as refused:
        read(answer)
    assert refused.value.outcome is outcome


@given(st.binary(max_size=200))
def test_bytes_are_an_answer_or_an_error_and_never_a_yes_by_chance(body: bytes) -> None:
    try:
        answer = read_answer(body, RULE)
    except OpaError:
        return
    assert answer.allowed == ('"allow":true' in body.decode() or json.loads(body)["result"] is True)


@given(st.text())
def test_reason_is_one_short_line_of_what_shows(reason: str) -> None:
    told = read_answer(json.dumps({"result": {"allow": False, "reason": reason}}).encode(), RULE).reason
    assert len(told) <= MAX_REASON_LENGTH
    assert told.strip() == told
    assert all(each == " " or unicodedata.category(each)[0] not in "CZ" for each in told)


def test_reason_cannot_imitate_other_text() -> None:
    reason = "no\r\n\x1b[2J\u202eallowed\u2028by all" + "x" * 1000
    told = read({"result": {"allow": False, "reason": reason}}).reason
    assert told.startswith("no [2J allowed by allx")
    assert told.endswith("x…")
    assert len(told) == MAX_REASON_LENGTH
