"""What can keep the operator from starting or from going on.

AgentidError
└── ControllerError
    ├── SettingsError     a setting is missing, unknown or not acceptable: the start stops with a sentence
    ├── ServingError      /metrics, /healthz and /readyz cannot be served at the address and port that are set
    ├── NotLeadingError   a write was about to be made without holding the lease
    └── WatchEndedError   a watch ended for good; the process has to start again
"""

from agentid.errors import AgentidError


class ControllerError(AgentidError):
    """Something about running the operator."""


class SettingsError(ControllerError):
    """A setting is missing, unknown or not acceptable; the text names it."""


class NotLeadingError(ControllerError):
    """Another operator may be the active one by now, so nothing may be written."""


class WatchEndedError(ControllerError):
    """What feeds the operator has ended; it must not go on with what it knew."""


class ServingError(ControllerError):
    """The address or the port for /metrics, /healthz and /readyz cannot be had; the text says why."""
