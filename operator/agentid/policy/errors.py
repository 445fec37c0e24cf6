"""What can be wrong with a policy, or with a file of cases for one.

AgentidError
└── PolicyError
    ├── RefusedPolicyError    a text that is not accepted; the last accepted one stays in force
    └── InvalidCasesError     a file of cases that does not fit its model
"""

from dataclasses import dataclass

from agentid.errors import AgentidError


class PolicyError(AgentidError):
    """A policy, or a test of one, that cannot be used."""


@dataclass(frozen=True, slots=True)
class TextError:
    """One thing that is wrong with a policy text.

    Attributes:
        line: Line in the text, counted from 1.
        column: Character in the line, counted from 1.
        message: What is wrong, for the person who wrote it.
        rule: The rule's name, where the error is inside one whose name is known.
    """

    line: int
    column: int
    message: str
    rule: str | None = None

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}"
        return f'{where}, rule "{self.rule}": {self.message}' if self.rule else f"{where}: {self.message}"


class RefusedPolicyError(PolicyError):
    """A policy text is not accepted; `errors` says where and why, first things first."""

    def __init__(self, source: str, errors: tuple[TextError, ...]) -> None:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{source}: {errors[0]}{more}")
        self.errors = errors


class InvalidCasesError(PolicyError):
    """A file of cases cannot be read as one; the text names the field."""
