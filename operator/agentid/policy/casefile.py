"""A file of cases for policies: what is asked, and what has to be decided. It stands beside the policies.

What a case leaves out it takes from the file's `given`, and that from a plain task of a plain Agent: maps are
merged, lists replaced, null takes away. Agent and task are written as in their objects' `spec`.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

import yaml
from pydantic import Field, JsonValue, Strict, TypeAdapter, ValidationError, model_validator

from agentid.api.agent import AgentSpec
from agentid.api.agenttask import AgentTaskSpec
from agentid.api.fields import DnsLabel, Model, Timestamp
from agentid.policy.errors import InvalidCasesError
from agentid.policy.vocabulary import Action

MAX_BYTES: Final = 1_048_576
"""Of a file of cases."""

_MAX_TOLD_ERRORS: Final = 5
_PLAIN: Final[Mapping[str, JsonValue]] = {
    "ask": "issue",
    "at": "2026-06-03T10:00:00Z",
    "agent": {"owner": "payments-team@example.com", "class": "Ephemeral", "actions": ["orders:*"]},
    "task": {
        "agentRef": {"name": "refund-agent"},
        "intent": {"purpose": "Refund order 4711", "actions": ["orders:read"]},
    },
}

Name = Annotated[str, Field(min_length=1, max_length=253)]
Names = Annotated[list[Name], Field(max_length=64)]


class GivenPerson(Model):
    """Somebody as the API server authenticated them."""

    username: Name
    groups: Names = Field(default_factory=list)


class GivenPod(Model):
    """The pod that the task is bound to."""

    service_account: Name
    images: Names = Field(default_factory=list)
    running_images: Names = Field(default_factory=list)


class GivenAncestor(Model):
    """A task above the one that is asked about."""

    name: Name
    uid: Name
    agent: Name
    requester: Name


class GivenSecret(Model):
    """For `useSecret`: the AgentSecret that is asked for."""

    name: Name
    max_ttl_seconds: int = Field(default=900, alias="maxTTLSeconds", ge=1)


class GivenUse(Model):
    """For `use`: one call."""

    operation: Name
    target: Name | None = None
    tool: Name | None = None
    parameters: dict[Name, str | int | bool] = Field(default_factory=dict, max_length=64)
    session: Name | None = None


class Given(Model):
    """What is asked about, whole."""

    ask: Annotated[Action, Strict(strict=False)]
    namespace: DnsLabel = "support"
    name: DnsLabel = "refund-4711"
    uid: Name = "5c0e9a10-0000-4000-8000-000000000001"
    agent: AgentSpec
    task: AgentTaskSpec
    requester: GivenPerson = GivenPerson(username="alice@example.com")
    delegator: Name | None = None
    ancestors: list[GivenAncestor] = Field(default_factory=list, max_length=5)
    approvers: list[GivenPerson] = Field(default_factory=list, max_length=16)
    break_glass: bool = False
    at: Timestamp
    trust_domain: Name = "example.org"
    cluster_labels: dict[Name, str] = Field(default_factory=dict, max_length=64)
    namespace_labels: dict[Name, str] = Field(default_factory=dict, max_length=64)
    pod: GivenPod | None = None
    audiences: Names = Field(default_factory=list)
    static_secrets: Names = Field(default_factory=list)
    secret: GivenSecret | None = None
    audience: Name | None = None
    use: GivenUse | None = None


class Case(Model):
    """One case: what is asked, and what has to be decided.

    Attributes:
        name: What the case shows, in a few words.
        expect: `allow`, `deny`, or `approval`: denied now, allowed if approved.
        by: The rules that have to determine it, by name without the object's; left out: any.
        approvals: For `approval`: how many people have to approve; left out: any number.
        given: What is asked, completed.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    expect: Literal["allow", "deny", "approval"]
    by: Annotated[list[Name], Field(max_length=64)] | None = None
    approvals: int | None = Field(default=None, ge=1)
    given: Given

    @model_validator(mode="after")
    def _approvals_only_where_waited_for(self) -> Self:
        if self.approvals is not None and self.expect != "approval":
            raise ValueError("approvals is for `expect: approval` only")
        return self


class CaseFile(Model):
    """A file of cases.

    Attributes:
        cluster: Files of the cluster's layer, relative to this one.
        namespace: Files of the namespace's layer, relative to this one.
        cases: The cases, each with a name of its own.
    """

    cluster: Names = Field(default_factory=list)
    namespace: Names = Field(default_factory=list)
    cases: list[Case] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        names = [case.name for case in self.cases]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise ValueError(f"two cases are named {repeated!r}")
        return self

    @model_validator(mode="after")
    def _each_object_once(self) -> Self:
        for files in (self.cluster, self.namespace):
            names = [object_name(file) for file in files]
            if len(set(names)) < len(names):
                raise ValueError("two files of one layer have the same name")
        return self


def object_name(file: str) -> str:
    """Return the name of the object that a policy's file stands for: its own, without `.cedar`."""
    return file.rpartition("/")[2].removesuffix(".cedar")


def read_cases(text: str) -> CaseFile:
    """Read the YAML of a file of cases.

    Raises:
        InvalidCasesError: it is too large, no YAML, or does not fit; the text names the fields.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise InvalidCasesError(f"a file of cases has at most {MAX_BYTES} bytes")
    try:
        raw: JsonValue = TypeAdapter(JsonValue).validate_python(yaml.load(text, Loader=_Loader))  # noqa: S506
        return CaseFile.model_validate_json(TypeAdapter(JsonValue).dump_json(_completed(raw)))
    except ValidationError as error:
        raise InvalidCasesError(_told(error)) from error
    except (yaml.YAMLError, RecursionError, UnicodeError, ValueError) as error:
        raise InvalidCasesError(f"this is not a file of cases: {error}") from error


class _Loader(yaml.SafeLoader):
    """Reads times as the text they are written as, and refuses aliases, which can multiply a text."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node that is no alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed; write it out, or put it into `given`")
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _completed(raw: JsonValue) -> JsonValue:
    """Return the file with each case whole: what it says over the file's `given` over what is plain."""
    if not isinstance(raw, dict) or not isinstance(cases := raw.get("cases"), list):
        raise InvalidCasesError("a file of cases is a map with a list `cases`")
    given = _merged(dict(_PLAIN), raw.get("given", {}))
    rest = {name: value for name, value in raw.items() if name not in {"given", "cases"}}
    return rest | {"cases": [_case(each, given) for each in cases]}


def _case(raw: JsonValue, given: JsonValue) -> JsonValue:
    if not isinstance(raw, dict):
        raise InvalidCasesError("each case is a map with `name`, `expect` and what it is about")
    own = {name: value for name, value in raw.items() if name in {"name", "expect", "by", "approvals"}}
    return own | {"given": _merged(given, {name: value for name, value in raw.items() if name not in own})}


def _merged(base: JsonValue, over: JsonValue) -> JsonValue:
    """Return `over` over `base` as a JSON merge patch (RFC 7396): maps are merged, null takes away."""
    if not isinstance(over, dict):
        return over
    merged = dict(base) if isinstance(base, dict) else {}
    for name, value in over.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def _told(error: ValidationError) -> str:
    errors = error.errors(include_url=False, include_input=False)
    told = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in errors]
    more = [f"and {len(told) - _MAX_TOLD_ERRORS} more"] if len(told) > _MAX_TOLD_ERRORS else []
    return "; ".join([*told[:_MAX_TOLD_ERRORS], *more])
