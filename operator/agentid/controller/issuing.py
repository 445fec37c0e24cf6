"""Whether anything may be issued now; when that changes, all is looked at again."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from agentid.lifecycle.model import Blocked

_log = structlog.get_logger("agentid.issuing")

_LOOK_SECONDS: Final = 0.25


class Hindrance(Protocol):
    """What may say why nothing may be issued just now."""

    @property
    def blocked(self) -> Blocked | None:
        """Return why nothing may be issued, or None, as of now: also right after a suspension."""


class Issuing:
    """The first of several hindrances, as one."""

    def __init__(self, hindrances: tuple[Hindrance, ...], on_change: Callable[[], None]) -> None:
        self._hindrances = hindrances
        self._on_change = on_change
        self._somebody_waits = False

    @property
    def blocked(self) -> Blocked | None:
        """Return why nothing may be issued, or None."""
        blocked = self._why()
        self._somebody_waits = self._somebody_waits or blocked is not None
        return blocked

    async def run(self) -> None:
        """Have all looked at whenever the reason changes, until cancelled.

        A reason may come and go between two looks here; whoever was told of it meanwhile is looked at too.
        """
        was = self._why()
        if was is not None:
            _log.warning("issuing blocked", problem=was.message)
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            blocked = self._why()
            if blocked == was and (blocked is not None or not self._somebody_waits):
                continue
            if blocked is not None:
                _log.warning("issuing blocked", problem=blocked.message)
            elif was is not None:
                _log.info("issuing goes on")
            was = blocked
            self._somebody_waits = blocked is not None
            self._on_change()

    def _why(self) -> Blocked | None:
        each = (hindrance.blocked for hindrance in self._hindrances)
        return next((blocked for blocked in each if blocked is not None), None)
