"""What keeps a connection from being made.

AgentidError
└── OutboundError
    ├── UnusableFileError         a token, certificate or key cannot be read or used
    └── UnknownApiServerError     it is not known where the API server is, which must not be asked
"""

from agentid.errors import AgentidError


class OutboundError(AgentidError):
    """No connection was tried; the text is for the operator's log, and holds no token."""


class UnusableFileError(OutboundError):
    """A token, a certificate or a key cannot be read or used."""


class UnknownApiServerError(OutboundError):
    """It cannot be found out where the API server is."""
