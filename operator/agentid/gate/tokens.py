"""Whose a service-account token is: as the API server says (TokenReview), remembered for a short while."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from agentid.cluster.connection import Connection
from agentid.cluster.errors import ApiAnswerError
from agentid.gate.errors import UnauthenticatedError

_log = structlog.get_logger("agentid.gate")

MAX_TOKEN_LENGTH: Final = 16_384
REMEMBERED: Final = 4096
"""Tokens of which it is known whose they are, or that they are nobody's."""
KNOWN_SECONDS: Final = 60.0
"""A token of a deleted account is good for so long here."""
UNKNOWN_SECONDS: Final = 10.0
AT_ONCE: Final = 8
"""So many are asked about at once; whoever sends made-up tokens makes others wait, and no flood."""
_PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"

Review = Callable[[str], Awaitable[str | None]]
"""Returns the user name of a token; None: it is nobody's."""


class Tokens:
    """Whose each token is, as the API server said not long ago."""

    def __init__(self, review: Review, clock: Callable[[], float]) -> None:
        self._review = review
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, str | None]] = OrderedDict()
        self._places = asyncio.Semaphore(AT_ONCE)

    async def username(self, token: str) -> str:
        """Return the user name of a token.

        Raises:
            UnauthenticatedError: it is nobody's, or the API server does not say.
        """
        if not token or len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            raise UnauthenticatedError("This is no service-account token.")
        digest = hashlib.sha256(token.encode()).digest()
        until, found = self._known.get(digest, (0.0, None))
        if until <= self._clock():
            found = await self._asked(token)
            lasts = KNOWN_SECONDS if found is not None else UNKNOWN_SECONDS
            self._known[digest] = self._clock() + lasts, found
            self._known.move_to_end(digest)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        if found is None:
            raise UnauthenticatedError("The token is none that the API server takes for this decision point.")
        return found

    async def _asked(self, token: str) -> str | None:
        try:
            async with self._places:
                return await self._review(token)
        except ApiAnswerError as error:
            _log.warning("token could not be reviewed", error=str(error))
            raise UnauthenticatedError(
                "The API server does not say whose the token is. Try again."
            ) from error


def reviewer(connection: Connection, audience: str) -> Review:
    """Return what asks the API server whether a token is for `audience`, and whose it is."""

    async def review(token: str) -> str | None:
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        status: dict[str, Any] = (await connection.post(_PATH, asked)).get("status") or {}
        username = (status.get("user") or {}).get("username")
        is_good = status.get("authenticated") is True and audience in (status.get("audiences") or ())
        return username if is_good and isinstance(username, str) else None

    return review
