"""What can keep a process of agentid from starting.

AgentidError
└── ProcessError
    ├── ServingError    /metrics, /healthz and /readyz cannot be served at the address and port that are set
    └── TracesError     traces are switched on, and can't be sent as things are
"""

from agentid.errors import AgentidError


class ProcessError(AgentidError):
    """Something about running a process."""


class ServingError(ProcessError):
    """The address or the port for /metrics, /healthz and /readyz cannot be had; the text says why."""


class TracesError(ProcessError):
    """Traces are switched on, and what that needs is missing or does not fit; the text says what."""
