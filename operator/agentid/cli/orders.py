"""What is to be done with tasks, and what came of each."""

from dataclasses import dataclass
from enum import StrEnum

from agentid.api.agenttask import DesiredState
from agentid.cluster.connection import Body


class Result(StrEnum):
    """What came of one task."""

    DONE = "done"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    UNSETTLED = "unsettled"
    """It was changed, and the operator has not acted on it in time."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done with tasks.

    Attributes:
        state: What they are set to.
        reason: Why, for people.
        dry_run: The API server looks at each change as if it were made, and makes none.
        within_seconds: How long to wait while the operator acts on none of them; 0: not at all.
    """

    state: DesiredState
    reason: str
    dry_run: bool = False
    within_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one task: as it was last seen, and why it is not as was asked for."""

    task: Body
    result: Result
    message: str = ""
