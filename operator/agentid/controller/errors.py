"""What can keep the operator from starting or from going on.

AgentidError
└── ControllerError
    ├── SettingsError     a setting is missing, unknown or not acceptable: the start stops with a sentence
    ├── NotLeadingError   a write was about to be made without holding the lease
    ├── LedgerUnavailableError   what is to be given is not known to be recorded, so that it is not given
    ├── LedgerOvertakenError     another operator has written to the ledger; the process has to start again
    └── WatchEndedError   a watch ended for good; the process has to start again
"""

from agentid.errors import AgentidError


class ControllerError(AgentidError):
    """Something about running the operator."""


class SettingsError(ControllerError):
    """A setting is missing, unknown or not acceptable; the text names it."""


class NotLeadingError(ControllerError):
    """Another operator may be the active one by now, so nothing may be written."""


class LedgerUnavailableError(ControllerError):
    """A record is not known to be durable, so that nothing may be released on it; the text says why."""


class LedgerOvertakenError(ControllerError):
    """Another operator has gone on with the chain; what this one knows of it is over."""


class WatchEndedError(ControllerError):
    """What feeds the operator has ended; it must not go on with what it knew."""
