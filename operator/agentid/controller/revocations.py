"""Keeps the published CRL true: what is revoked is in it within two seconds, and it is never out of date."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

import structlog
from cryptography.x509 import ReasonFlags

from agentid.api.fields import format_time
from agentid.api.names import CRL_CONFIG_MAP, PREVIOUS_CRL_CONFIG_MAP
from agentid.cluster.config_maps import ConfigMap, ConfigMaps
from agentid.cluster.errors import AlreadyExistsError, ClusterError, ConflictError
from agentid.controller.crl_parts import CrlParts, parts_named_in, whole_in
from agentid.controller.errors import NotLeadingError
from agentid.controller.metrics import Metrics
from agentid.pki.authority import CertificateAuthority
from agentid.pki.crl import build_crl, read_crl, this_update_at
from agentid.pki.crl_parts import CRL_KEY, WholeCrl, cut, sha256
from agentid.pki.errors import PkiError, RevocationListError
from agentid.pki.revocation import RevokedEntry
from agentid.pki.revocation_list import MAX_ENTRIES_IN_CLUSTER, REFRESH, Edition, RevocationList

_log = structlog.get_logger("agentid.crl")

_LOOK_SECONDS: Final = 1.0
"""How often it is looked whether this operator leads, or a CRL is due, though nothing was revoked."""
_RETRY_SECONDS: Final = 0.5
_LONGEST_RETRY_SECONDS: Final = 15.0
_LONGEST_LIFE: Final = timedelta(days=1)
"""No installation may set a longer one for a certificate: for entries whose end nobody knows."""
_NAMES: Final = (CRL_CONFIG_MAP, PREVIOUS_CRL_CONFIG_MAP)


class Revocations:
    """What is revoked, and its CRLs: one of the authority that signs, and one of the intermediate before it.

    Both say the same: serial numbers are of no use to guess by, and each was given by one of the two.
    """

    def __init__(
        self,
        config_maps: ConfigMaps,
        authority: Callable[[], CertificateAuthority],
        metrics: Metrics,
        *,
        leads: Callable[[], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._config_maps = config_maps
        self._parts = CrlParts(config_maps)
        self._authority = authority
        self._leads = leads
        self._clock = clock
        self._list = RevocationList()
        self._changed = asyncio.Event()
        self._loaded = False
        self._published: dict[str, ConfigMap | None] = {}
        self._number = 0
        self._failures = 0
        self._told = False
        self._truncated = False
        self._is_in_parts = False
        self._parts_read_at: datetime | None = None
        self._add_gauges(metrics)

    def load(self, entries: Iterable[RevokedEntry]) -> None:
        """Take over: `entries` is all that the ledger knows as revoked; nothing is published before this.

        What the CRL that is there says besides stays revoked too.
        """
        for entry in entries:
            self._list.add(entry, self._clock())
        self._forget_what_is_there()
        self._loaded = True
        self._changed.set()

    def revoked(self, serial: str, not_after: datetime, at: datetime, reason: ReasonFlags) -> None:
        """Take in that a certificate counts no longer; it is in the CRL within two seconds.

        Raises:
            InvalidRevocationError: there is no such certificate.
        """
        self.add(RevokedEntry(serial, at, not_after, reason))

    def add(self, *entries: RevokedEntry) -> None:
        """Take in what counts no longer, as `revoked` does."""
        for entry in entries:
            self._list.add(entry, self._clock())
        self._changed.set()

    async def run(self) -> None:
        """Publish whenever it is due and this operator leads, until cancelled."""
        while True:
            self._changed.clear()
            pause = self._seconds_until_due()
            if pause > 0:
                await _wait(self._changed, pause)
            elif not await self._was_published():
                pause = _RETRY_SECONDS * 2 ** min(self._failures - 1, 8)
                await asyncio.sleep(min(pause, _LONGEST_RETRY_SECONDS))

    def _seconds_until_due(self) -> float:
        if not self._loaded or not self._leads():
            return _LOOK_SECONDS
        due_at, now = self._list.due_at(), self._clock()
        return 0.0 if due_at is None else min((due_at - now).total_seconds(), _LOOK_SECONDS)

    async def _was_published(self) -> bool:
        try:
            authority = self._authority()
            await self._read_what_is_there(authority)
            await self._publish(authority)
        except (ClusterError, PkiError, NotLeadingError) as error:
            # Another operator may have written since: what that says is read before it is written over.
            self._forget_what_is_there()
            self._list.failed()
            was_outrun = isinstance(error, ConflictError | AlreadyExistsError)
            if not self._told and not (was_outrun and not self._failures):
                self._told = True
                _log.warning("crl not published", error=str(error))
            self._failures += 1
            return False
        if self._told:
            _log.info("crl published again")
        self._failures, self._told = 0, False
        return True

    def _forget_what_is_there(self) -> None:
        self._published.clear()
        self._parts.forget()

    async def _read_what_is_there(self, authority: CertificateAuthority) -> None:
        """Learn the numbers that were given, and what was said to be revoked, of CRLs that are not known."""
        for name in _NAMES:
            if name in self._published:
                continue
            found = await self._config_maps.read(name)
            parts = await self._parts.read()
            for issuer in _issuers(authority):
                if found is not None and CRL_KEY in found.binary:
                    await self._take_in(name, whole_in(found, parts), issuer)
            self._published[name] = found

    async def _take_in(self, name: str, der: bytes, issuer: CertificateAuthority) -> None:
        try:
            crl = await asyncio.to_thread(read_crl, der, issuer, longest_life=_LONGEST_LIFE)
        except RevocationListError as error:
            # Of an authority before both, or not ours: nothing in it counts.
            _log.debug("crl not taken in", config_map=name, error=str(error))
            return
        self._number = max(self._number, crl.number)
        for entry in crl.entries:
            self._list.add(entry, self._clock())

    async def _publish(self, authority: CertificateAuthority) -> None:
        edition = self._list.begin_edition(self._clock())
        # As one that was lost would be followed by the same number, it is never below the time.
        self._number = max(self._number + 1, int(edition.made_at.timestamp()))
        if self._parts_read_at is None or edition.made_at - self._parts_read_at >= REFRESH:
            # What somebody did to them is seen, and made good.
            self._parts.forget()
            self._parts_read_at = edition.made_at
        in_cluster = await asyncio.to_thread(edition.cut, MAX_ENTRIES_IN_CLUSTER)
        parts: set[str] = set()
        for name, issuer in zip(_NAMES, _issuers(authority), strict=False):
            data = _about(issuer, in_cluster, self._number)
            binary = {CRL_KEY: await self._signed(issuer, in_cluster)}
            if in_cluster is not edition:
                # Its parts are there before what names them.
                whole = await self._put_whole(issuer, edition)
                parts |= {each.name for each in whole.parts}
                data, binary = data | whole.data(), binary | whole.binary()
            self._published[name] = await self._config_maps.write(name, self._published[name], data, binary)
        self._list.published(edition, this_update_at(authority, edition.made_at))
        self._tell_what_is_cut(edition, is_in_parts=in_cluster is not edition)
        await self._parts.keep_only(parts)

    async def _signed(self, issuer: CertificateAuthority, edition: Edition) -> bytes:
        return await asyncio.to_thread(
            build_crl,
            issuer,
            edition.entries,
            number=self._number,
            now=edition.made_at,
            next_update=edition.next_update,
        )

    async def _put_whole(self, issuer: CertificateAuthority, edition: Edition) -> WholeCrl:
        """Publish the parts of a CRL that is too large for one ConfigMap; return what is said of it."""
        der = await self._signed(issuer, edition)
        pieces = await asyncio.to_thread(cut, der, [entry.number for entry in edition.entries])
        in_use = {name for found in self._published.values() for name in parts_named_in(found)}
        parts = await self._parts.put(pieces.parts, self._number, in_use)
        return WholeCrl(self._number, len(edition.entries), sha256(der), pieces.begin, parts, pieces.end)

    def _tell_what_is_cut(self, edition: Edition, *, is_in_parts: bool) -> None:
        is_truncated = edition.incomplete_until is not None
        if is_truncated and not self._truncated:
            _log.warning("crl truncated", entries=len(edition.entries))
        if is_in_parts and not self._is_in_parts:
            _log.warning("crl in parts", entries=len(edition.entries))
        self._truncated, self._is_in_parts = is_truncated, is_in_parts

    def _add_gauges(self, metrics: Metrics) -> None:
        metrics.watch("agentid_crl_entries", "Certificates that the CRL revokes.", lambda: len(self._list))
        metrics.watch(
            "agentid_crl_lag_seconds",
            "For how long something has been revoked that the published CRL does not say.",
            lambda: self._list.lag(self._clock()).total_seconds() if self._leads() else 0.0,
        )
        metrics.watch(
            "agentid_crl_age_seconds",
            "How old the published CRL is.",
            lambda: self._list.age(self._clock()).total_seconds() if self._leads() else 0.0,
        )
        metrics.watch(
            "agentid_crl_truncated",
            "1 while more is revoked than the whole CRL holds.",
            lambda: float(self._truncated),
        )
        metrics.watch(
            "agentid_crl_in_parts",
            "1 while more is revoked than the CRL in its one ConfigMap holds.",
            lambda: float(self._is_in_parts),
        )


def _issuers(authority: CertificateAuthority) -> tuple[CertificateAuthority, ...]:
    return (authority,) if authority.previous is None else (authority, authority.previous)


def _about(issuer: CertificateAuthority, edition: Edition, number: int) -> dict[str, str]:
    until = edition.incomplete_until
    return {
        "issuer": issuer.key_id,
        "number": str(number),
        "thisUpdate": format_time(this_update_at(issuer, edition.made_at)),
        "nextUpdate": format_time(edition.next_update),
        "entries": str(len(edition.entries)),
        "truncated": "false" if until is None else f"until {format_time(until)}",
    }


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        return
