"""Field types that several models share: bounded, strict, the same for pydantic and for the API server.

Patterns are written in the subset that Python's `re` and Go's RE2 read alike and without anchors: pydantic
checks them with `fullmatch` (Python's `$` would accept a trailing newline), the API server with CEL and
`^(?:…)$`: a `pattern` of OpenAPI would answer with itself and no word of what is wanted. A rule over
several fields stands twice in its model, side by side: as a validator for pydantic and, by
`checked_by_server`, as CEL for the API server.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_RFC3339 = (
    r"2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
_is_rfc3339 = re.compile(_RFC3339).fullmatch
_UTC_SECOND = r"2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_is_utc_second = re.compile(_UTC_SECOND).fullmatch

# Control characters, and those that make text read otherwise than it is (bidirectional, zero width).
_NOT_SHOWN = "\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"


MAX_COUNT: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exact: the bound of generations and counters."""


class Model(BaseModel):
    """Base of every object and part: camelCase outside, strict, frozen, no unknown fields."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition over several fields or over time, as the API server checks it.

    Attributes:
        expression: CEL; `self` is the object of the model that carries the rule, `oldSelf` its old value.
        message: What is wrong and what to do, for the person whose object is refused.
        field: JSON path below `self` of the field to blame, or nothing for the object itself.
    """

    expression: str
    message: str
    field: str | None = None


def validations(*rules: Rule) -> dict[str, JsonValue]:
    """Write `rules` as the API server reads them in a schema."""
    return {
        "x-kubernetes-validations": [
            {
                "rule": rule.expression,
                "message": rule.message,
                **({"fieldPath": rule.field} if rule.field else {}),
            }
            for rule in rules
        ]
    }


def checked_by_server(*rules: Rule) -> ConfigDict:
    """Put `rules` into a model's schema, from where the CRD takes them."""
    return ConfigDict(json_schema_extra=validations(*rules))


@dataclass(frozen=True, slots=True)
class Unique:
    """Marks a list of strings in which an item stands once.

    It stays atomic, which a Kubernetes `set` is not: server-side apply would merge such lists, and who
    applied fewer actions would be left with those that somebody else had asked for.
    """

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Refuse an item that stands in the list twice."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Let the API server refuse it too."""
        once = Rule(
            "self.all(item, self.exists_one(other, other == item))",
            "an item stands in this list twice; once is enough",
        )
        return {**handler(schema), **validations(once)}

    def _check(self, value: list[str]) -> list[str]:
        repeated = next((item for position, item in enumerate(value) if item in value[:position]), None)
        if repeated is not None:
            raise ValueError(f"holds {repeated} twice; once is enough")
        return value


@dataclass(frozen=True, slots=True)
class Matches:
    """Marks a string type with the pattern that it must match from its first to its last character."""

    pattern: str
    told_as: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the whole string with `fullmatch`."""
        matches = re.compile(self.pattern).fullmatch

        def check(value: str) -> str:
            if matches(value) is None:
                raise ValueError(self._refusal)
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Let the API server refuse it too, in the same words."""
        whole = Rule(f"self.matches(r'^(?:{_escape(self.pattern)})$')", self._refusal)
        return {**handler(schema), **validations(whole)}

    @property
    def _refusal(self) -> str:
        return f"must be {self.told_as}"


def _escape(pattern: str) -> str:
    """Write invisible characters as RE2 escapes: YAML tools refuse or hide the characters."""
    return "".join(c if c.isascii() and c.isprintable() else f"\\x{{{ord(c):04X}}}" for c in pattern)


def _read_time(value: Any) -> Any:  # noqa: ANN401 - a validator is handed whatever was sent
    if isinstance(value, str):
        if _is_rfc3339(value) is None:
            raise ValueError("must be an RFC 3339 time such as 2026-05-31T14:00:00Z")
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("must have a time zone")
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _read_utc_second(value: Any) -> Any:  # noqa: ANN401 - a validator is handed whatever was sent
    if isinstance(value, str) and _is_utc_second(value) is None:
        raise ValueError("must be a UTC time in whole seconds such as 2026-05-31T14:00:00Z")
    if isinstance(value, datetime) and value.microsecond:
        raise ValueError("must be in whole seconds")
    return _read_time(value)


def format_time(moment: datetime) -> str:
    """Write an aware time as Kubernetes does: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[
    datetime,
    BeforeValidator(_read_time),
    PlainSerializer(format_time),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "maxLength": 35, "pattern": f"^(?:{_RFC3339})$"},
    ),
]

UtcSecond = Annotated[
    datetime,
    BeforeValidator(_read_utc_second),
    PlainSerializer(format_time),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "maxLength": 20, "pattern": f"^(?:{_UTC_SECOND})$"},
    ),
]
"""A time that can be written in one way only, so that a hash over it stays what it is."""

DnsLabel = Annotated[
    str,
    Field(min_length=1, max_length=63),
    Matches(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", "a DNS label: lower case letters, digits and '-'"),
]
DnsName = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Matches(
        r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
        "a DNS subdomain: lower case letters, digits, '-' and '.'",
    ),
]
TaskName = Annotated[
    str,
    Field(min_length=1, max_length=63),
    Matches(
        r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
        "the name of an AgentTask: lower case letters, digits, '-' and '.'",
    ),
]
Uid = Annotated[
    str,
    Field(min_length=36, max_length=36),
    Matches(r"[0-9a-f-]{36}", "a UID: 36 hexadecimal digits and '-'"),
]

_WORD = r"[a-z0-9][a-z0-9._-]*"
Action = Annotated[
    str,
    Field(min_length=1, max_length=128),
    Matches(
        rf"{_WORD}(:{_WORD})*",
        "an action such as orders:read: words of a-z, 0-9, '.', '_' and '-', joined by ':'",
    ),
]
ActionPattern = Annotated[
    str,
    Field(min_length=1, max_length=128),
    Matches(
        rf"{_WORD}(:{_WORD})*(:\*)?",
        "an action such as orders:read, or orders:* for all that begin with orders:",
    ),
]
Resource = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Matches(
        r"[A-Za-z0-9][A-Za-z0-9._:/@=+-]*",
        "a resource such as order/4711: letters, digits and . _ : / @ = + -",
    ),
]
SpecHash = Annotated[
    str,
    Field(max_length=80),
    Matches(r"v[0-9]{1,4}:[0-9a-f]{64}", "a spec hash: v1: and 64 hexadecimal digits"),
]
ShownText = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    Matches(
        f"[^{_NOT_SHOWN}]*[^ {_NOT_SHOWN}][^{_NOT_SHOWN}]*",
        "text on one line, without characters that cannot be seen",
    ),
]
Username = Annotated[str, Field(min_length=1, max_length=253)]
Person = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Matches(
        r"[A-Za-z0-9][A-Za-z0-9._@:+-]*",
        "a user name such as carol@example.com: letters, digits and . _ @ : + -",
    ),
]
