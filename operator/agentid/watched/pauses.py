"""How long to wait before what failed is tried again."""

from typing import Final

from agentid.cluster.errors import TooManyRequestsError

FIRST_RETRY_SECONDS: Final = 0.25
LONGEST_RETRY_SECONDS: Final = 60.0


def retry_pause(failures: int, randomness: float, error: BaseException | None = None) -> float:
    """Return how many seconds to wait after so many failures: doubling, with up to a quarter added.

    It is as long as the API server asks for where `error` says so, but never more than a minute or so.
    """
    pause = FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 16)
    if isinstance(error, TooManyRequestsError):
        pause = max(pause, error.retry_after_seconds)
    return min(pause, LONGEST_RETRY_SECONDS) * (1 + randomness / 4)
