"""Puts a CRL together that is too large for one ConfigMap; until another is whole, the last one stays."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import structlog

from agentid.api.fields import format_time
from agentid.cluster.config_maps import ConfigMap
from agentid.cluster.errors import ApiAnswerError
from agentid.gate.published_crl import PKIX_CRL, Crl, Document, Withheld
from agentid.pki.crl_parts import PART_KEY, WholeCrl
from agentid.pki.errors import RevocationListError

_log = structlog.get_logger("agentid.gate")

_RETRY_SECONDS: Final = 0.5
_LONGEST_RETRY_SECONDS: Final = 15.0


class WholeCrls:
    """The CRL of one ConfigMap after the other, each put together from its parts.

    Those that the one before has too are not read again.
    """

    def __init__(
        self, read: Callable[[str], Awaitable[ConfigMap | None]], clock: Callable[[], float]
    ) -> None:
        """Take what reads a part's ConfigMap by its name, and a clock of seconds that only grow."""
        self._read = read
        self._clock = clock
        self._published: Crl | None = None
        self._last: tuple[Crl, Document] | None = None
        self._parts: dict[str, bytes] = {}
        self._behind_since: float | None = None
        self._changed = asyncio.Event()

    def follow(self, published: Crl | None) -> None:
        """Take in what is published now; None: nothing is."""
        self._published = published
        if self._wanted() is None:
            self._behind_since = None
            if published is None or published.whole is None:
                self._last, self._parts = None, {}
        elif self._behind_since is None:
            self._behind_since = self._clock()
        self._changed.set()

    def served(self, published: Crl, now: datetime) -> Document | Withheld:
        """Return what is served where `published` is: the one in the ConfigMap if that is whole, or the last.

        A cut one is signed too, so that nobody would see that it does not say all that is revoked.
        """
        if published.whole is None:
            return published.document
        if self._last is None or self._last[0].issuer != published.issuer:
            return Withheld(f"the CRL of {published.issuer} is in parts, which are not put together yet")
        last, document = self._last
        if last.until is None or last.until <= now:
            until = format_time(last.until) if last.until is not None else "a time that is not known"
            return Withheld(f"the last whole CRL of {last.issuer} counted until {until}")
        return document

    def behind_seconds(self) -> float:
        """Return for how long one has been published that is not put together yet; 0 where none is."""
        return 0.0 if self._behind_since is None else self._clock() - self._behind_since

    async def run(self) -> None:
        """Put together what is published, until cancelled."""
        failures = 0
        while True:
            self._changed.clear()
            wanted = self._wanted()
            if wanted is None:
                await self._changed.wait()
                continue
            try:
                await self._put_together(*wanted)
            except (ApiAnswerError, RevocationListError) as error:
                failures += 1
                if failures == 1:
                    _log.warning("crl not put together", issuer=wanted[0].issuer, error=str(error))
                await self._pause(min(_RETRY_SECONDS * 2 ** min(failures - 1, 8), _LONGEST_RETRY_SECONDS))
                continue
            if failures:
                _log.info("crl put together again", issuer=wanted[0].issuer)
            failures = 0

    def _wanted(self) -> tuple[Crl, WholeCrl] | None:
        """Return what is published in parts, and is not put together yet."""
        published, last = self._published, self._last
        if published is None or published.whole is None:
            return None
        if last is not None and last[1].tag == published.whole.sha256:
            return None
        return published, published.whole

    async def _put_together(self, crl: Crl, whole: WholeCrl) -> None:
        parts = {
            each.name: self._parts.get(each.sha256) or await self._part(each.name) for each in whole.parts
        }
        content = await asyncio.to_thread(whole.put_together, parts)
        if self._published is None or self._published.whole is None:
            return
        self._parts = {each.sha256: parts[each.name] for each in whole.parts}
        self._last = crl, Document(content, PKIX_CRL, whole.sha256, crl.document.modified)
        # Another one may have been published meanwhile: then that is what is behind, since now.
        self._behind_since = self._clock() if self._wanted() is not None else None

    async def _part(self, name: str) -> bytes:
        found = await self._read(name)
        return found.binary.get(PART_KEY, b"") if found is not None else b""

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
