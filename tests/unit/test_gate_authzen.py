"""AuthZEN 1.0: questions and answers as JSON, batches with their semantics, and what is no question."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.gate.answer import Answer, Reason
from agentid.gate.authzen import MAX_EVALUATIONS, evaluate, evaluate_all, metadata
from agentid.gate.errors import BadRequestError
from agentid.gate.question import Call, Question
from tests.unit.gate_cases import ASKER, SERIAL, SPIFFE_ID, Gate

SUBJECT = {"type": "workload", "id": SPIFFE_ID, "properties": {"serial": SERIAL}}
ACTION = {"name": "orders:read"}
RESOURCE = {"type": "order", "id": "4711"}
WHOLE = {"subject": SUBJECT, "action": ACTION, "resource": RESOURCE}
OTHER = {"type": "order", "id": "9"}
ALLOWED = {"decision": True, "context": {"reason": "Allowed", "message": "allowed by ClusterAgentPolicy/p0"}}


def sent(body: object) -> bytes:
    return json.dumps(body).encode()


def ask(body: object) -> dict[str, Any]:
    return evaluate(sent(body), ASKER, Gate().ask)


def ask_all(body: object) -> dict[str, Any]:
    return evaluate_all(sent(body), ASKER, Gate().ask)


class Heard:
    """Answers that are always yes, and what was asked."""

    def __init__(self) -> None:
        self.questions: list[Question] = []

    def __call__(self, asked: Question) -> Answer:
        self.questions.append(asked)
        return Answer(allowed=True, reason=Reason.ALLOWED, message="")


def test_a_call_is_allowed() -> None:
    assert ask(WHOLE) == ALLOWED


def test_a_denial_is_an_answer_with_its_reason() -> None:
    answer = ask({**WHOLE, "resource": OTHER})

    assert answer["decision"] is False
    assert answer["context"]["reason"] == "ResourceNotGranted"


def test_all_of_a_question_is_heard() -> None:
    heard = Heard()
    serial = ":".join(SERIAL.upper()[at : at + 2] for at in range(0, 32, 2))
    context = {"tool": "crm", "session": "s-1", "parameters": {"order": {"id": 4711}}, "time": "ignored"}
    subject = {**SUBJECT, "properties": {"serial": serial, "department": "x"}}

    evaluate(sent({**WHOLE, "subject": subject, "context": context, "more": 1}), ASKER, heard, "r-1")

    assert heard.questions == [
        Question(
            ASKER,
            SPIFFE_ID,
            SERIAL,
            Call("orders:read", "order/4711", "crm", {"order.id": 4711}, "s-1"),
            "r-1",
        )
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "the body: Input should be a valid dictionary or instance of _Evaluation"),
        ({}, "subject: Field required"),
        ({**WHOLE, "subject": {"type": "workload"}}, "subject.id: Field required"),
        ({**WHOLE, "subject": SPIFFE_ID}, "subject: Input should be a valid dictionary"),
        ({**WHOLE, "action": {"name": 5}}, "action.name: Input should be a valid string"),
        ({**WHOLE, "action": {"name": ""}}, "action.name: String should have at least 1 character"),
        ({**WHOLE, "resource": {"type": "order", "id": 4711}}, "resource.id: Input should be a valid string"),
        ({**WHOLE, "context": []}, "context: Input should be a valid dictionary"),
        ({**WHOLE, "context": {"parameters": 5}}, "context.parameters: Input should be a valid dictionary"),
        (
            {**WHOLE, "subject": {**SUBJECT, "properties": {"serial": 5}}},
            "subject.properties.serial: Input should",
        ),
    ],
)
def test_what_is_no_question_is_refused_and_says_where(body: object, said: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        ask(body)

    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("semantic", "decisions"),
    [
        (None, [True, False, True]),
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_a_batch_is_answered_by_its_semantics(semantic: str | None, decisions: list[bool]) -> None:
    body: dict[str, Any] = {
        "subject": SUBJECT,
        "action": ACTION,
        "evaluations": [{"resource": each} for each in (RESOURCE, OTHER, RESOURCE)],
    }
    if semantic is not None:
        body["options"] = {"evaluations_semantic": semantic, "other": 1}

    assert [each["decision"] for each in ask_all(body)["evaluations"]] == decisions


def test_what_an_evaluation_says_itself_counts() -> None:
    body = {**WHOLE, "evaluations": [{}, {"action": {"name": "orders:write"}}]}

    assert [each["decision"] for each in ask_all(body)["evaluations"]] == [True, False]


@pytest.mark.parametrize("evaluations", [{}, {"evaluations": []}])
def test_a_batch_of_nothing_is_one_evaluation(evaluations: dict[str, Any]) -> None:
    assert ask_all({**WHOLE, **evaluations}) == ALLOWED


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluations": [{}] * (MAX_EVALUATIONS + 1)}, "evaluations: List should have at most 64 items"),
        ({"evaluations": [5]}, "evaluations.0: Input should be a valid dictionary"),
        ({"evaluations": [{}, {"action": 5}]}, "action: Input should be a valid dictionary"),
        (
            {"options": {"evaluations_semantic": "first"}, "evaluations": [{}]},
            "options.evaluations_semantic: ",
        ),
    ],
)
def test_a_batch_that_is_none_is_not_answered_at_all(changes: dict[str, Any], said: str) -> None:
    heard = Heard()

    with pytest.raises(BadRequestError) as caught:
        evaluate_all(sent({**WHOLE, **changes}), ASKER, heard)

    assert str(caught.value).startswith(said)
    assert heard.questions == []


def test_the_metadata_name_the_endpoints() -> None:
    assert metadata("https://gate.example.com") == {
        "policy_decision_point": "https://gate.example.com",
        "access_evaluation_endpoint": "https://gate.example.com/access/v1/evaluation",
        "access_evaluations_endpoint": "https://gate.example.com/access/v1/evaluations",
    }


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*WHOLE, "context", "options", "evaluations"]), JSON) | JSON)
def test_no_body_raises_anything_but_that_it_is_none(body: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    whole = {**WHOLE, **body} if isinstance(body, dict) else body
    for answer in (evaluate, evaluate_all):
        for each in (body, whole):
            try:
                found = answer(sent(each), ASKER, Gate().ask)
            except BadRequestError:
                continue
            assert "decision" in found or "evaluations" in found
