"""What can be wrong with what the decision point is asked, or with how it is set up.

AgentidError
└── GateError
    ├── BadRequestError        what was sent cannot be read as a question: 400
    ├── UnauthenticatedError   who asks did not show who it is: 401
    ├── UnusableMappingError   a file of mappings that does not fit its model
    ├── GateSettingsError      a setting is missing, unknown or not acceptable
    └── UnservableError        an address, a port or a certificate that cannot be served with
"""

from agentid.errors import AgentidError


class GateError(AgentidError):
    """Something about the decision point."""


class BadRequestError(GateError):
    """What was sent is no question; the text says which part of it is wrong, and holds nothing of it."""


class UnauthenticatedError(GateError):
    """Who asks did not show who it is; the text says what would."""


class UnusableMappingError(GateError):
    """The mapping from calls to actions cannot be used; the text names the place."""


class UnservableError(GateError):
    """Decisions cannot be served at the address and port, or with the certificate, that are set."""


class GateSettingsError(GateError):
    """A setting is missing, unknown or not acceptable; the text names it."""
