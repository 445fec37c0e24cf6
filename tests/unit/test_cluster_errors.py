"""What the API server answers becomes one error of ours, the right one."""

import pytest

from agentid.cluster.errors import (
    AdmissionRefusedError,
    AlreadyExistsError,
    ApiAnswerError,
    ConflictError,
    FixedFieldError,
    ForbiddenError,
    GoneError,
    InvalidError,
    NamespaceTerminatingError,
    NotFoundError,
    PassingError,
    ServerError,
    TooManyRequestsError,
    translate,
)

_TERMINATING = {"reason": "Forbidden", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}


_REFUSAL = (
    "secrets \"x\" is forbidden: ValidatingAdmissionPolicy 'freeze' with binding 'b' denied request: no"
)


def _fixed(*messages: str, by: str = 'Secret "x" is invalid') -> dict[str, object]:
    causes = [{"reason": "FieldValueInvalid", "message": each, "field": "type"} for each in messages]
    return {"reason": "Invalid", "message": by, "details": {"causes": causes}}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {}, InvalidError),
        (401, {"reason": "Unauthorized"}, ForbiddenError),
        (403, {"reason": "Forbidden"}, ForbiddenError),
        (403, _TERMINATING, NamespaceTerminatingError),
        (404, {"reason": "NotFound"}, NotFoundError),
        (404, {"reason": "NotFound", "details": {"kind": "secrets", "name": "ns"}}, NotFoundError),
        (404, {"reason": "NotFound", "details": {"kind": "namespaces"}}, NamespaceTerminatingError),
        (409, {"reason": "AlreadyExists"}, AlreadyExistsError),
        (409, {"reason": "Conflict"}, ConflictError),
        (409, {}, ConflictError),
        (410, {"reason": "Expired"}, GoneError),
        (413, {}, PassingError),
        (415, {}, PassingError),
        (422, {"reason": "Invalid"}, InvalidError),
        (422, _fixed("type: Invalid value: field is immutable"), FixedFieldError),
        (422, _fixed("field is immutable", "must be a number"), InvalidError),
        (422, _fixed("field is immutable", by='admission webhook "x" denied it'), InvalidError),
        (422, {"reason": "Invalid", "message": _REFUSAL}, AdmissionRefusedError),
        (403, {"reason": "Forbidden", "message": _REFUSAL}, AdmissionRefusedError),
        (413, {"message": _REFUSAL}, AdmissionRefusedError),
        (500, {"message": _REFUSAL}, ServerError),
        (429, {}, TooManyRequestsError),
        (500, {}, ServerError),
        (503, {}, ServerError),
    ],
)
def test_each_answer_becomes_its_own_error(
    status: int, body: dict[str, object], expected: type[ApiAnswerError]
) -> None:
    assert type(translate(status, body, "PUT /x")) is expected


@pytest.mark.parametrize("status", [403, 422])
def test_a_refusal_by_a_policy_keeps_its_name(status: int) -> None:
    error = translate(status, {"message": _REFUSAL}, "PUT /x")
    assert isinstance(error, AdmissionRefusedError)
    assert error.policy == "freeze"


@pytest.mark.parametrize("body", [{"details": 7}, {"details": {"causes": "x"}}, {"details": {"causes": [3]}}])
def test_a_strange_refusal_is_still_a_refusal(body: dict[str, object]) -> None:
    assert type(translate(403, body, "PUT /x")) is ForbiddenError


def test_the_text_says_what_was_asked_and_what_was_said() -> None:
    error = translate(409, {"reason": "Conflict", "message": "object has been modified"}, "PUT /x")
    assert str(error) == "PUT /x: 409 Conflict: object has been modified"
    assert error.status == {"reason": "Conflict", "message": "object has been modified"}


def test_only_what_may_work_later_is_passing() -> None:
    passing = [code for code in (400, 403, 404, 409, 410, 422, 429, 500, 504) if _is_passing(code)]
    assert passing == [429, 500, 504]


def _is_passing(code: int) -> bool:
    return isinstance(translate(code, {}, "GET /x"), PassingError)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), (None, 1.0), ("soon", 1.0), ("-3", 1.0)])
def test_the_pause_that_was_asked_for_is_kept(header: str | None, seconds: float) -> None:
    error = translate(429, {}, "GET /x", header)
    assert isinstance(error, TooManyRequestsError)
    assert error.retry_after_seconds == seconds
