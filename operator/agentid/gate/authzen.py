"""AuthZEN 1.0 (OpenID Authorization API): what is asked and answered as JSON, and the metadata document.

A denial is an answer like any other. Fields that are not known are ignored; what has another type than the
standard says is no question.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from agentid.gate.answer import Answer
from agentid.gate.errors import BadRequestError
from agentid.gate.parameters import parameters
from agentid.gate.question import Call, EnforcementPoint, Question
from agentid.gate.strict_json import parse

EVALUATION: Final = "/access/v1/evaluation"
EVALUATIONS: Final = "/access/v1/evaluations"
METADATA: Final = "/.well-known/authzen-configuration"
MAX_EVALUATIONS: Final = 64
"""In one request."""

Json = dict[str, JsonValue]
Decide = Callable[[Question], Answer]

_T = TypeVar("_T")
_Name = Annotated[str, Field(min_length=1, max_length=1024)]


class _Part(BaseModel):
    """Strict in what is known, and blind to everything else."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class _SubjectProperties(_Part):
    serial: Annotated[str, Field(max_length=64)] | None = None


class _Subject(_Part):
    type: _Name
    id: Annotated[str, Field(max_length=2048)]
    properties: _SubjectProperties = _SubjectProperties()


class _Action(_Part):
    name: _Name


class _Resource(_Part):
    type: _Name
    id: _Name


class _Context(_Part):
    tool: _Name | None = None
    session: _Name | None = None
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


class _Evaluation(_Part):
    subject: _Subject
    action: _Action
    resource: _Resource
    context: _Context = _Context()


class _Semantic(StrEnum):
    EXECUTE_ALL = "execute_all"
    DENY_ON_FIRST_DENY = "deny_on_first_deny"
    PERMIT_ON_FIRST_PERMIT = "permit_on_first_permit"


class _Options(_Part):
    evaluations_semantic: Annotated[_Semantic, Field(strict=False)] = _Semantic.EXECUTE_ALL


class _Batch(_Part):
    """What stands at the top holds for each evaluation that does not say it itself."""

    subject: JsonValue = None
    action: JsonValue = None
    resource: JsonValue = None
    context: JsonValue = None
    options: _Options = _Options()
    evaluations: Annotated[list[dict[str, JsonValue]], Field(max_length=MAX_EVALUATIONS)] = Field(
        default_factory=list
    )


_EVALUATION: Final = TypeAdapter(_Evaluation)
_BATCH: Final = TypeAdapter(_Batch)
_STOPS_AT: Final = {_Semantic.DENY_ON_FIRST_DENY: False, _Semantic.PERMIT_ON_FIRST_PERMIT: True}


def evaluate(body: bytes, asker: EnforcementPoint, decide: Decide, trace_id: str | None = None) -> Json:
    """Answer a request to the Access Evaluation API (§6).

    Raises:
        BadRequestError: it is none.
    """
    return _decided(_read(_EVALUATION, parse(body)), asker, decide, trace_id)


def evaluate_all(body: bytes, asker: EnforcementPoint, decide: Decide, trace_id: str | None = None) -> Json:
    """Answer a request to the Access Evaluations API (§7); without evaluations it is one evaluation.

    Raises:
        BadRequestError: it is none, or one of its evaluations is none: then none is answered.
    """
    found = parse(body)
    batch = _read(_BATCH, found)
    if not batch.evaluations:
        return _decided(_read(_EVALUATION, found), asker, decide, trace_id)
    shared = {
        name: value
        for name in ("subject", "action", "resource", "context")
        if (value := getattr(batch, name)) is not None
    }
    asked = [_read(_EVALUATION, {**shared, **each}) for each in batch.evaluations]
    stops_at = _STOPS_AT.get(batch.options.evaluations_semantic)
    answers: list[JsonValue] = []
    for each in asked:
        answer = _decided(each, asker, decide, trace_id)
        answers.append(answer)
        if answer["decision"] is stops_at:
            break
    return {"evaluations": answers}


def metadata(base_url: str) -> Json:
    """Return what there is at this decision point (§9); `base_url` is without a slash at its end."""
    return {
        "policy_decision_point": base_url,
        "access_evaluation_endpoint": f"{base_url}{EVALUATION}",
        "access_evaluations_endpoint": f"{base_url}{EVALUATIONS}",
    }


def _decided(asked: _Evaluation, asker: EnforcementPoint, decide: Decide, trace_id: str | None) -> Json:
    serial, context = asked.subject.properties.serial, asked.context
    call = Call(
        action=asked.action.name,
        resource=f"{asked.resource.type}/{asked.resource.id}",
        tool=context.tool,
        parameters=parameters(context.parameters),
        session=context.session,
    )
    # As `openssl x509` and proxies write them: in either case, with colons or without.
    lower = serial.replace(":", "").lower() if serial is not None else None
    answer = decide(Question(asker, asked.subject.id, lower, call, trace_id))
    return {"decision": answer.allowed, "context": {"reason": answer.reason, "message": answer.message}}


def _read(model: TypeAdapter[_T], found: JsonValue) -> _T:
    try:
        return model.validate_python(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise BadRequestError(f"{where}: {first['msg']}") from error
