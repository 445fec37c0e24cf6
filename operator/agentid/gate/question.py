"""What the decision point is asked: who asks, whose identity is used, and for which call."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentid.gate.answer import Denial

Parameter = str | int | bool
"""A parameter of a call as policy reads it."""


@dataclass(frozen=True, slots=True)
class EnforcementPoint:
    """Who asks: a proxy or server that lets calls through or not.

    Attributes:
        name: How it showed who it is: a SPIFFE ID, or the user name of a service account.
        namespaces: The namespaces of whose tasks it may ask; None: of all.
    """

    name: str
    namespaces: frozenset[str] | None = None

    def may_ask_about(self, namespace: str) -> bool:
        """Whether it may ask about tasks of that namespace."""
        return self.namespaces is None or namespace in self.namespaces


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be done with the identity.

    Attributes:
        action: What is done, such as orders:read.
        resource: What it is done to, such as order/4711; None: not said.
        tool: The tool that is called.
        parameters: The call's parameters, by name.
        session: The session that the call is part of.
    """

    action: str
    resource: str | None = None
    tool: str | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Everything one decision is asked with.

    Attributes:
        asker: Who asks, authenticated.
        spiffe_id: The SPIFFE ID that the caller showed, as it was written.
        serial: Serial number of the caller's certificate, in lower case hexadecimal; None: not known.
        call: What is to be done.
        trace_id: By which logs of others name this request.
        flaw: Why it can't be asked as it should be, which denies; None: it can.
    """

    asker: EnforcementPoint
    spiffe_id: str
    serial: str | None
    call: Call
    trace_id: str | None = None
    flaw: Denial | None = None
