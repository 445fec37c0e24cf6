"""Why a sink did not take what it was given.

AgentidError
└── SinkError          it may have it or not; it is given the same again
"""

from agentid.errors import AgentidError


class SinkError(AgentidError):
    """A batch was not surely taken. The text is for people, and holds no token.

    `retry_after_seconds`: when the sink itself asked to be tried again; None: it did not say.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
