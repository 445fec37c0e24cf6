"""Why OPA gave no answer that counts.

AgentidError
└── OpaError                   there is no answer; `outcome` says in one word why
    └── ForbiddenAddressError  what the URL names is at an address that must not be asked
"""

from enum import StrEnum

from agentid.errors import AgentidError


class Outcome(StrEnum):
    """What became of one question to OPA; all but ALLOWED deny."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNDEFINED = "undefined"
    """OPA has no such document, or it is undefined for this question."""
    INVALID = "invalid"
    """The answer is not one: its form, its type, its size."""
    REFUSED = "refused"
    """Another status than 200."""
    FORBIDDEN = "forbidden_address"
    """The URL leads to an address that must not be asked."""
    UNPREPARED = "unprepared"
    """A file with a token or certificates cannot be used."""
    UNREACHABLE = "unreachable"
    """No connection, or one that was lost; TLS included."""
    TIMEOUT = "timeout"


class OpaError(AgentidError):
    """There is no answer.

    The text is shown to whoever waits for it, and names neither hosts nor addresses. `detail` is for the
    operator's log. Neither holds a token, or anything that OPA sent.
    """

    def __init__(self, outcome: Outcome, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.outcome = outcome
        self.detail = detail


class ForbiddenAddressError(OpaError):
    """The URL leads to an address that must not be asked."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            Outcome.FORBIDDEN,
            "OPA was not asked: its URL leads to an address that must not be asked.",
            detail,
        )
