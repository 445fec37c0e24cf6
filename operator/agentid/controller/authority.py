"""Holds the certificate authority in memory: loaded or made at start, looked at again once an hour."""

import asyncio
from typing import Final

import structlog

from agentid.cluster.authority_store import AuthorityStore
from agentid.cluster.errors import ClusterError
from agentid.controller.metrics import Metrics
from agentid.errors import AgentidError
from agentid.lifecycle.model import Blocked
from agentid.pki.authority import CertificateAuthority
from agentid.pki.errors import CertificateAuthorityError, PkiError

_log = structlog.get_logger("agentid.authority")

_INTERVAL_SECONDS: Final = 3600.0
_RETRY_SECONDS: Final = 5.0


class Authority:
    """The authority that signs, or why there is none."""

    def __init__(self, store: AuthorityStore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._authority: CertificateAuthority | None = None
        self._problem = "it has not been loaded yet"

    @property
    def blocked(self) -> Blocked | None:
        """Return why nothing can be signed, or None."""
        if self._authority is not None:
            return None
        return Blocked(f"nothing is issued: the certificate authority can't be used: {self._problem}")

    def current(self) -> CertificateAuthority:
        """Return the authority that signs.

        Raises:
            CertificateAuthorityError: there is none.
        """
        if self._authority is None:
            raise CertificateAuthorityError(f"there is no certificate authority: {self._problem}")
        return self._authority

    async def load(self) -> None:
        """Load it, or make it where there is none; what is loaded stays if loading it again fails.

        Raises:
            AgentidError: it could not be loaded; `blocked` says why.
        """
        try:
            self._authority = await self._store.load_or_create()
        except AgentidError as error:
            self._problem = str(error)
            if isinstance(error, CertificateAuthorityError):
                self._authority = None
            raise
        self._metrics.authority_end.set(self._authority.not_after.timestamp())

    async def run(self) -> None:
        """Look again now and then, until cancelled: the intermediate is renewed in time, by one operator."""
        while True:
            await asyncio.sleep(_RETRY_SECONDS if self._authority is None else _INTERVAL_SECONDS)
            try:
                await self.load()
            except (ClusterError, PkiError) as error:
                _log.error("authority not loaded", error=str(error))
