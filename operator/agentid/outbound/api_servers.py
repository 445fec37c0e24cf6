"""Where the API server is, which is not asked under any name: found out again now and then."""

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Self
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver

from agentid.outbound.addresses import Address, AddressGuard
from agentid.outbound.errors import UnknownApiServerError

_SERVICE: Final = "kubernetes.default.svc"
_BELIEVED_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class ApiServers:
    """Hosts of the API server: `known` has to be found, `others` need not be there."""

    known: str
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, server: str) -> Self:
        """Return the hosts under which an API server is known: as `server`, its URL, and as its Service."""
        service = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        return cls(urlsplit(server).hostname or "", tuple(filter(None, (service, _SERVICE))))


class KeptOut:
    """Tells a guard where the API server is."""

    def __init__(self, api_servers: ApiServers, guard: AddressGuard, clock: Callable[[], float]) -> None:
        self._api_servers = api_servers
        self._guard = guard
        self._clock = clock
        self._known_at = -math.inf

    async def find(self, resolver: AbstractResolver) -> None:
        """Find it out, if that was not done within the last minute.

        Raises:
            UnknownApiServerError: that cannot be found out.
        """
        if self._clock() - self._known_at < _BELIEVED_SECONDS:
            return
        known = self._api_servers.known
        try:
            found = await _addresses(resolver, known)
        except OSError as error:
            raise UnknownApiServerError(f"no address of the API server {known} is found: {error}") from error
        for each in self._api_servers.others:
            try:
                found += await _addresses(resolver, each)
            except OSError:
                # Outside of a cluster there is no such name.
                continue
        self._guard.know_api_servers(found)
        self._known_at = self._clock()


async def _addresses(resolver: AbstractResolver, host: str) -> list[Address]:
    try:
        return [ip_address(host)]
    except ValueError:
        found: Iterable[str] = (each["host"] for each in await resolver.resolve(host, 0))
        return [ip_address(each) for each in found]
